"""The domain of a network: which molecules are like those that it was trained on.

Equilibrium geometries are alike: bonds of two elements have a few lengths, and the length of an
atom's shortest bond goes with the number of its neighbours. What does not occur among 100,000
molecules is a slip of units, a missing hydrogen, a broken bond, or beyond what the network knows.
Atoms are counted from 0, as in ASE.
"""

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from ase.data import atomic_numbers, chemical_symbols

from lie_jax.data import qm9
from lie_jax.predict.molecules import as_molecules
from lie_jax.typing import unchecked

Intervals = tuple[tuple[float, float], ...]

_REACH = 2.2
"""Longest distance that is looked at, in angstrom: beyond it all distances occur."""
_STEP = 0.02
_MARGIN = 2
"""Steps by which distances that occur are widened."""
_CHUNK = 2000
_BOND, _BOND_WITH_H = 1.75, 1.35
"""Atoms nearer than this, in angstrom, are neighbours; the longest bonds of QM9 are 1.70, 1.25."""


@unchecked
@dataclasses.dataclass(frozen=True)
class Domain:
    """What the training molecules look like. Made by `Domain.of`.

    Args:
        elements: symbols of the elements.
        atoms: fewest and most atoms of a molecule.
        even_electrons: whether every molecule, taken as neutral, has an even number of electrons.
        link: no part of a molecule is further than this from the rest, in angstrom.
        distances: per pair of elements ("H-C", by atomic number) the distances below 2.2 angstrom
            that occur.
        surroundings: per element, number of hydrogens and of other atoms bound to it ("C:2:1")
            the distances to its nearest atom that occur; of the others, if it has any.
    """

    elements: tuple[str, ...]
    atoms: tuple[int, int]
    even_electrons: bool
    link: float
    distances: Mapping[str, Intervals]
    surroundings: Mapping[str, Intervals]

    @classmethod
    def of(cls, molecules: Any) -> "Domain":
        """The domain of some training molecules; 100,000 take about 15 s.

        Args:
            molecules: `lie_jax.data.qm9.Molecules`, or what a predictor takes.

        Raises:
            ValueError: no molecule, or an element that has no features.
        """
        count, numbers = _Counts(), set()
        atoms, even, link = [], True, 0.0
        for charges, positions in _chunks(molecules):
            mask = charges > 0
            atoms += [mask.sum(1).min(), mask.sum(1).max()]
            numbers |= set(np.unique(charges[mask]).tolist())
            even &= bool((charges.sum(1) % 2 == 0).all())
            far = _distances(charges, positions)
            link = max(link, float(_longest_link(far, mask).max()))
            count.add_pairs(charges, far)
            count.add_surroundings(charges, far)
        unknown = numbers - set(qm9.CHARGES)
        if unknown:
            raise ValueError(
                f"Domain.of: molecules must hold H, C, N, O, F only, got {_names(unknown)}"
            )
        return cls(
            elements=_names(numbers),
            atoms=(int(min(atoms)), int(max(atoms))),
            even_electrons=even,
            link=round(link + _MARGIN * _STEP, 2),
            distances=count.intervals("distances"),
            surroundings=count.intervals("surroundings"),
        )

    def impossible(
        self, numbers: np.ndarray, positions: np.ndarray, periodic: bool = False
    ) -> str | None:
        """Why no number can be given for a molecule; None if there is no reason.

        Args:
            numbers, positions, periodic: see `lie_jax.predict.molecules.Molecule`.
        """
        if not len(numbers):
            return "it has no atoms"
        known = [atomic_numbers[symbol] for symbol in self.elements]
        for i in np.flatnonzero(~np.isin(numbers, known))[:1]:
            return f"atom {_atom(numbers, int(i))} is none of {', '.join(self.elements)}"
        for i in np.flatnonzero(~np.isfinite(positions).all(1))[:1]:
            return f"atom {_atom(numbers, int(i))} has the position {positions[i].tolist()}"
        if periodic:
            return "it is periodic, where the network knows molecules only"
        return None

    def check(
        self, numbers: np.ndarray, positions: np.ndarray, periodic: bool = False
    ) -> str | None:
        """Why a molecule is not like the training molecules; None if it is.

        Args:
            numbers, positions, periodic: see `lie_jax.predict.molecules.Molecule`.
        """
        return self.impossible(numbers, positions, periodic) or self._unlike(numbers, positions)

    def _unlike(self, numbers: np.ndarray, positions: np.ndarray) -> str | None:
        least, most = self.atoms
        if not least <= len(numbers) <= most:
            plural = "" if len(numbers) == 1 else "s"
            return f"it has {len(numbers)} atom{plural}, training molecules have {least} to {most}"
        charges = np.asarray(numbers, np.int64)
        far = _distances(charges[None], positions[None])[0]
        reason = self._wrong_distance(charges, far) or self._in_parts(charges, far)
        if reason:
            return reason
        if self.even_electrons and charges.sum() % 2:
            return (
                f"it has {charges.sum()} electrons, training molecules an even number: is it a "
                "radical or an ion, or is a hydrogen missing?"
            )
        return self._wrong_surroundings(charges, far)

    def _wrong_distance(self, charges: np.ndarray, far: np.ndarray) -> str | None:
        i, j = np.nonzero(np.triu(far < _REACH, 1))
        step = (far[i, j] / _STEP).astype(int)
        occurs = self._table[charges[i], charges[j], step]
        if occurs.all():
            return None
        # The worst first: the shortest distance that does not occur.
        worst = min(np.flatnonzero(~occurs), key=lambda pair: far[i[pair], j[pair]])
        a, b = int(i[worst]), int(j[worst])
        kind = f"{chemical_symbols[charges[a]]} and {chemical_symbols[charges[b]]}"
        known = self.distances.get(_pair(int(charges[a]), int(charges[b])), ())
        return (
            f"atoms {_atom(charges, a)} and {_atom(charges, b)} are {far[a, b]:.3f} Å apart, as no "
            f"pair of {kind} in training; {_nearest(known, far[a, b])}"
        )

    def _in_parts(self, charges: np.ndarray, far: np.ndarray) -> str | None:
        joined = np.arange(len(charges)) == 0
        while True:
            more = joined | (far[joined] < self.link).any(0)
            if (more == joined).all():
                break
            joined = more
        if joined.all():
            return None
        # The smaller part is named.
        part = joined if joined.sum() * 2 <= len(joined) else ~joined
        i = int(np.flatnonzero(part)[0])
        return (
            f"atom {_atom(charges, i)} is in a part {far[part][:, ~part].min():.2f} Å from the "
            f"rest; training molecules are whole, no part is further than {self.link:.2f} Å"
        )

    def _wrong_surroundings(self, charges: np.ndarray, far: np.ndarray) -> str | None:
        hydrogens, others, nearest = (x[0] for x in _surroundings(charges[None], far[None]))
        for i, z in enumerate(charges):
            key = f"{chemical_symbols[z]}:{hydrogens[i]}:{others[i]}"
            known = self.surroundings.get(key, ())
            if not any(low <= nearest[i] < high for low, high in known):
                what = f"{hydrogens[i]} H and {others[i]} other atoms"
                return (
                    f"atom {_atom(charges, i)} is bound to {what}, the nearest at "
                    f"{nearest[i]:.3f} Å, as no {chemical_symbols[z]} in training; "
                    f"{_nearest(known, nearest[i])}: is a hydrogen missing, or the group new?"
                )
        return None

    @functools.cached_property
    def _table(self) -> np.ndarray:
        """(10, 10, steps) bool: which distances of two atomic numbers occur."""
        size = max(qm9.CHARGES) + 1
        table = np.zeros((size, size, round(_REACH / _STEP) + 1), bool)
        for pair, intervals in self.distances.items():
            a, b = (atomic_numbers[symbol] for symbol in pair.split("-"))
            for low, high in intervals:
                table[[a, b], [b, a], round(low / _STEP) : round(high / _STEP)] = True
        table[:, :, -1] = True
        return table


# --- words -------------------------------------------------------------------------------------


def _names(numbers: set[int]) -> tuple[str, ...]:
    return tuple(chemical_symbols[z] for z in sorted(numbers))


def _atom(numbers: np.ndarray, i: int) -> str:
    z = int(numbers[i])
    return f"{i} ({chemical_symbols[z] if 0 <= z < len(chemical_symbols) else z})"


def _pair(a: int, b: int) -> str:
    return "-".join(chemical_symbols[z] for z in sorted((a, b)))


def _nearest(known: Intervals, distance: float | np.floating) -> str:
    """The distance that occurs which is nearest to one that does not."""
    ends = [end for interval in known for end in interval]
    if not ends:
        return "none occurs at any distance"
    return f"the nearest that occurs is {min(ends, key=lambda end: abs(end - distance)):.2f} Å"


# --- counting ----------------------------------------------------------------------------------


class _Surroundings(NamedTuple):
    hydrogens: np.ndarray
    others: np.ndarray
    nearest: np.ndarray


class _Counts:
    """How often each distance occurs, by name of what is counted."""

    def __init__(self):
        self.steps = round(_REACH / _STEP)
        self.counts: dict[str, dict[str, np.ndarray]] = {"distances": {}, "surroundings": {}}

    def add(self, kind: str, key: str, distances: np.ndarray) -> None:
        steps = (distances / _STEP).astype(int)
        found = np.bincount(steps, minlength=self.steps)[: self.steps]
        self.counts[kind][key] = self.counts[kind].get(key, 0) + found

    def add_pairs(self, charges: np.ndarray, far: np.ndarray) -> None:
        b, i, j = np.nonzero(np.triu(far < _REACH, 1))
        first, second = charges[b, i], charges[b, j]
        code = np.minimum(first, second) * 100 + np.maximum(first, second)
        for pair in np.unique(code):
            self.add("distances", _pair(*divmod(int(pair), 100)), far[b, i, j][code == pair])

    def add_surroundings(self, charges: np.ndarray, far: np.ndarray) -> None:
        found, mask = _surroundings(charges, far), charges > 0
        hydrogens, others, nearest = (x[mask] for x in found)
        code = (charges[mask] * 100 + hydrogens) * 100 + others
        for kind in np.unique(code):
            (z, h), x = divmod(kind // 100, 100), kind % 100
            near = nearest[code == kind]
            near = near[near < _REACH]
            self.add("surroundings", f"{chemical_symbols[z]}:{h}:{x}", near)

    def intervals(self, kind: str) -> dict[str, Intervals]:
        """The distances that occur, each widened by the margin."""
        found = {key: _runs(count > 0) for key, count in sorted(self.counts[kind].items())}
        return {key: runs for key, runs in found.items() if runs}


def _runs(occurs: np.ndarray) -> Intervals:
    wide = np.zeros(len(occurs), bool)
    for i in np.flatnonzero(occurs):
        wide[max(i - _MARGIN, 0) : i + _MARGIN + 1] = True
    edges = np.flatnonzero(np.diff(np.r_[False, wide, False].astype(int)))
    return tuple(
        (round(float(a) * _STEP, 2), round(float(b) * _STEP, 2)) for a, b in edges.reshape(-1, 2)
    )


def _chunks(molecules: Any) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Charges (b, n) and positions (b, n, 3), 0 where there is no atom."""
    if isinstance(molecules, qm9.Molecules):
        for start in range(0, len(molecules), _CHUNK):
            part = slice(start, start + _CHUNK)
            yield molecules.charges[part].astype(np.int64), molecules.positions[part]
        return
    given = as_molecules(molecules)
    size = max(len(one.numbers) for one in given)
    charges, positions = np.zeros((len(given), size), np.int64), np.zeros((len(given), size, 3))
    for row, (numbers, places, _) in enumerate(given):
        charges[row, : len(numbers)], positions[row, : len(numbers)] = numbers, places
    yield charges, positions


def _distances(charges: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """(b, n, n), infinite where there is no atom, and from an atom to itself."""
    positions = positions.astype(np.float64)
    far = np.sqrt(np.sum(np.square(positions[:, :, None] - positions[:, None]), axis=-1))
    mask = charges > 0
    real = mask[:, :, None] & mask[:, None] & ~np.eye(mask.shape[1], dtype=bool)
    return np.where(real, far, np.inf)


def _longest_link(far: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(b,): longest edge of each molecule's shortest spanning tree, by Prim's algorithm."""
    row = np.arange(len(mask))
    outside = mask.copy()
    outside[:, 0] = False
    near, longest = far[:, 0], np.zeros(len(mask))
    for _ in range(mask.shape[1] - 1):
        reach = np.where(outside, near, np.inf)
        following = reach.argmin(1)
        edge = reach[row, following]
        longest = np.where(np.isfinite(edge), np.maximum(longest, edge), longest)
        outside[row, following] = False
        near = np.minimum(near, far[row, following])
    return longest


def _surroundings(charges: np.ndarray, far: np.ndarray) -> _Surroundings:
    """(b, n) each: how many hydrogens and other atoms are bound, and how near the nearest is."""
    is_h = charges == 1
    to_h = is_h[:, None] & ~is_h[:, :, None]
    bound = far < np.where(to_h | to_h.swapaxes(1, 2), _BOND_WITH_H, _BOND)
    bound &= ~(is_h[:, None] & is_h[:, :, None])
    with_h, with_others = bound & is_h[:, None], bound & ~is_h[:, None]
    others = with_others.sum(2)
    chosen = np.where((others > 0)[:, :, None], with_others, with_h)
    nearest = np.where(chosen, far, np.inf).min(2)
    return _Surroundings(with_h.sum(2), others, nearest)
