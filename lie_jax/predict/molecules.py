"""Molecules as users have them: atoms of ASE, or atomic numbers and positions."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np


class Molecule(NamedTuple):
    """One molecule.

    Args:
        numbers: (n,) atomic numbers.
        positions: (n, 3) in angstrom.
        periodic: whether it repeats along some axis.
    """

    numbers: np.ndarray
    positions: np.ndarray
    periodic: bool = False


def as_molecules(given: Any) -> list[Molecule]:
    """One molecule or several, as a list.

    Args:
        given: ``ase.Atoms``, a pair (numbers (n,), positions (n, 3)), or a list of these.

    Raises:
        ValueError: no molecule, or shapes that do not fit.
        TypeError: something else.
    """
    if _is_one(given):
        return [_molecule(given)]
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise TypeError(
            "predict: molecules must be ase.Atoms, (numbers, positions) or a list of these, got "
            f"{type(given).__name__}"
        )
    if not given:
        raise ValueError("predict: molecules must not be empty, got an empty list")
    return [_molecule(one) for one in given]


def _is_one(given: Any) -> bool:
    if hasattr(given, "numbers"):
        return True
    return isinstance(given, tuple) and len(given) == 2 and not _is_one(given[0])


def _molecule(given: Any) -> Molecule:
    if isinstance(given, Molecule):
        return given
    if not _is_one(given):
        raise TypeError(
            "predict: a molecule must be ase.Atoms or (numbers, positions), got "
            f"{type(given).__name__}"
        )
    if hasattr(given, "numbers"):
        numbers, positions = given.numbers, given.positions
    else:
        numbers, positions = given
    numbers, positions = np.asarray(numbers), np.asarray(positions, np.float64)
    is_whole = np.issubdtype(numbers.dtype, np.integer) or numbers.size == 0
    if numbers.ndim != 1 or not is_whole:
        raise ValueError(
            f"predict: numbers must be integers of shape (n,), got {numbers.dtype} of shape "
            f"{numbers.shape}"
        )
    if positions.shape != (len(numbers), 3) and numbers.size:
        raise ValueError(
            f"predict: positions must have shape ({len(numbers)}, 3), got {positions.shape}"
        )
    return Molecule(numbers, positions, bool(np.any(getattr(given, "pbc", False))))
