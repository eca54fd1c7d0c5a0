"""The networks' energies and forces as a calculator of ASE."""

import warnings
from pathlib import Path
from typing import Any, ClassVar

import jax
import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator as AseCalculator
from ase.calculators.calculator import all_changes

from lie_jax.predict.molecules import as_molecules
from lie_jax.predict.network import Network, pad, padded_sizes
from lie_jax.predict.predictor import Predictor, load
from lie_jax.typing import Array

_IN_EV = {"meV": 1e-3, "eV": 1.0}


class ForcesWarning(UserWarning):
    """Forces of a network that has seen molecules at rest only."""


class Calculator(AseCalculator):
    """Energy and forces of one molecule, for ASE.

    The energy is the target's, in eV: for U0 that of atomisation at 0 K, counted from free atoms
    and with the zero point energy. Forces are its exact derivative, averaged over the same
    rotations. QM9 has molecules at their energy minimum only, so no data tell how the energy
    rises about it: a warning says so when forces are first asked for.

    Args:
        predictor: from `lie_jax.predict.load`, or the path or name that it takes.
        target: an energy in meV or eV, by its name in the predictor.
        samples: rotations to average over; that of the card if None.
        check: refuse molecules unlike those of the training data; turn it off to go far from an
            equilibrium.
        **kwargs: of ASE's own class.

    Raises:
        ValueError: the predictor has no such target, or it is no energy. When it is used: a
            molecule is refused.
    """

    # A list on the class, as in every calculator of ASE.
    implemented_properties: ClassVar[list[str]] = ["energy", "forces"]  # pyright: ignore

    def __init__(
        self,
        predictor: Predictor | str | Path,
        target: str = "U0",
        *,
        samples: int | None = None,
        check: bool = True,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if samples is not None and samples < 1:
            raise ValueError(f"Calculator: samples must be at least 1, got {samples}")
        if not isinstance(predictor, Predictor):
            predictor = load(predictor)
        network, column = _find(predictor, target)
        unit = network.card.targets[column].unit
        if unit not in _IN_EV:
            raise ValueError(f"Calculator: target must be an energy, got {target} in {unit}")
        self._network, self._column, self._check = network, column, check
        self._reason = predictor.reason
        self._scale = _IN_EV[unit]
        count = samples or network.card.augmentations
        self._has_warned = False

        def energy(positions: Array, charges: Array) -> Array:
            outputs = network.outputs(charges, positions, count)
            return outputs[:, 0, column].mean() * network.card.targets[column].std

        self._energy = jax.jit(energy)
        self._energy_and_gradient = jax.jit(jax.value_and_grad(energy))

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Fills ``results``; called by ASE.

        Raises:
            ValueError: the molecule is refused.
        """
        properties = properties or ["energy"]
        super().calculate(atoms, properties, system_changes)
        (molecule,) = as_molecules(self.atoms)
        reason = self._reason(molecule, check=self._check)
        if reason:
            raise ValueError(f"Calculator: the molecule is refused: {reason}")
        count = len(molecule.numbers)
        charges, positions = pad([molecule], padded_sizes(count)[-1])
        # float64 where JAX has it turned on.
        positions = positions.astype(jax.dtypes.canonicalize_dtype(np.float64))
        offset = self._network.offsets(molecule)[self._column]
        if "forces" in properties:
            self._warn()
            energy, gradient = self._energy_and_gradient(positions, charges)
            forces = -np.asarray(gradient, np.float64)[0, :count] * self._scale
            self.results["forces"] = forces
        else:
            energy = self._energy(positions, charges)
        self.results["energy"] = (float(energy) + offset) * self._scale

    def _warn(self) -> None:
        if not self._has_warned:
            self._has_warned = True
            warnings.warn(
                "Calculator: the training data are molecules at their energy minimum; forces, and "
                "energies away from it, are extrapolated",
                ForcesWarning,
                stacklevel=2,
            )


def _find(predictor: Predictor, target: str) -> tuple[Network, int]:
    if target not in predictor.names:
        raise ValueError(f"Calculator: target must be one of {predictor.names}, got {target!r}")
    place = predictor.names.index(target)
    for network in predictor.networks:
        if place < len(network.card.targets):
            return network, place
        place -= len(network.card.targets)
    raise AssertionError
