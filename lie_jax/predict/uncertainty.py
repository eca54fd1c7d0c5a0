"""Intervals that hold a stated share of the true values: split-conformal, by size of molecule.

For residuals of n molecules that took no part in training, the half-width is the smallest of
them that ceil((n + 1) coverage) do not exceed. A new molecule drawn alike then lies within it
with at least that probability, whatever the network and the distribution. Each bin of sizes has
a half-width of its own, so that the promise holds for small and for large molecules.

Source: Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World (2005), sections 4.2
and 4.5 (Mondrian predictors).
"""

import dataclasses
import math

import numpy as np

from lie_jax.typing import unchecked


@unchecked
@dataclasses.dataclass(frozen=True)
class Uncertainty:
    """Half-widths of the intervals about predictions.

    Args:
        coverage: probability that the true value is within.
        atoms: largest number of atoms of each bin, increasing; the last bin has no end.
        half_width: per target its half-width in each bin, in reported units.

    Raises:
        ValueError: shapes or values do not fit.
    """

    coverage: float
    atoms: tuple[int, ...]
    half_width: tuple[tuple[float, ...], ...]

    def __post_init__(self):
        _check_coverage("Uncertainty", self.coverage)
        if not self.atoms or list(self.atoms) != sorted(set(self.atoms)):
            raise ValueError(f"Uncertainty: atoms must be increasing, got {self.atoms}")
        if any(len(widths) != len(self.atoms) for widths in self.half_width):
            raise ValueError(
                f"Uncertainty: half_width must have {len(self.atoms)} bins for every target, got "
                f"{[len(widths) for widths in self.half_width]}"
            )

    def of(self, num_atoms: np.ndarray) -> np.ndarray:
        """(n, t): half-widths for molecules with these numbers of atoms (n,)."""
        bins = np.minimum(np.searchsorted(self.atoms, num_atoms), len(self.atoms) - 1)
        return np.asarray(self.half_width, np.float64).T[bins]


def calibrate(
    residuals: np.ndarray, num_atoms: np.ndarray, coverage: float = 0.9, bins: int = 5
) -> Uncertainty:
    """Half-widths from the errors on molecules that took no part in training.

    Args:
        residuals: (n, t) prediction minus true value, in reported units.
        num_atoms: (n,) sizes of the molecules.
        coverage: probability that the true value shall be within.
        bins: how many bins of sizes, about equally full; fewer where there are fewer sizes.

    Raises:
        ValueError: shapes do not fit, a residual is not finite, or a bin holds too few molecules
            for the coverage (9 for 0.9).
    """
    residuals, num_atoms = np.abs(np.asarray(residuals, np.float64)), np.asarray(num_atoms)
    if residuals.ndim != 2 or num_atoms.shape != residuals.shape[:1] or not residuals.size:
        raise ValueError(
            "calibrate: residuals must have shape (n, t) and num_atoms (n,), n > 0, got "
            f"{residuals.shape} and {num_atoms.shape}"
        )
    if not np.isfinite(residuals).all():
        raise ValueError("calibrate: residuals must be finite, got NaN or infinity")
    _check_coverage("calibrate", coverage)
    if bins < 1:
        raise ValueError(f"calibrate: bins must be at least 1, got {bins}")
    shares = np.arange(1, bins + 1) / bins
    atoms = np.unique(np.quantile(num_atoms, shares, method="inverted_cdf").astype(int))
    member = np.searchsorted(atoms, num_atoms)
    widths = []
    for i, most in enumerate(atoms):
        inside = np.sort(residuals[member == i], axis=0)
        # Rounding must not make a whole number one more.
        rank = math.ceil(round((len(inside) + 1) * coverage, 9))
        if rank > len(inside):
            raise ValueError(
                f"calibrate: every bin must hold at least {math.ceil(coverage / (1 - coverage))} "
                f"molecules for coverage {coverage}, got {len(inside)} of up to {most} atoms: "
                "take fewer bins"
            )
        widths.append(inside[rank - 1])
    half_width = tuple(tuple(float(w) for w in target) for target in np.stack(widths, axis=1))
    return Uncertainty(coverage, tuple(int(n) for n in atoms), half_width)


def _check_coverage(where: str, coverage: float) -> None:
    if not 0 < coverage < 1:
        raise ValueError(f"{where}: coverage must be between 0 and 1, got {coverage!r}")
