"""Trajectories as flat arrays, and the short pieces of them that a network learns from."""

import dataclasses
from collections.abc import Sequence

import jax
import numpy as np

from lie_jax.typing import Array, Float, Validated, unchecked

Seed = int | Sequence[int]


@jax.tree_util.register_dataclass
@unchecked
@dataclasses.dataclass(frozen=True)
class Trajectories:
    """Systems along time; NumPy arrays until they are moved to a device.

    Args:
        ts: times of each system, increasing, (b, t).
        q: coordinates, (b, t, n, d).
        p: momenta, (b, t, n, d).
        params: constants of each particle, (b, n, c).
    """

    ts: Float[Array | np.ndarray, "b t"]
    q: Float[Array | np.ndarray, "b t n d"]
    p: Float[Array | np.ndarray, "b t n d"]
    params: Float[Array | np.ndarray, "b n c"]

    def __len__(self) -> int:
        return len(self.ts)

    def take(self, rows: np.ndarray | slice) -> "Trajectories":
        """The systems in these rows, in this order."""
        return Trajectories(self.ts[rows], self.q[rows], self.p[rows], self.params[rows])


def chunk_starts(
    count: Validated[int], points: Validated[int], length: Validated[int], seed: Validated[Seed]
) -> np.ndarray:
    """Where the chunk of each of ``count`` trajectories begins, uniform over all that fit.

    The first starts do not depend on ``count``.

    Raises:
        ValueError: a chunk has fewer than 2 points, or more than a trajectory has.
    """
    if not 2 <= length <= points:
        raise ValueError(
            f"chunks: length must be at least 2 and at most {points}, the points of a trajectory, "
            f"got {length}"
        )
    return np.random.default_rng(seed).integers(points - length + 1, size=count)


def chunks(
    trajectories: Validated[Trajectories],
    length: Validated[int] = 5,
    *,
    seed: Validated[Seed],
) -> Trajectories:
    """One random chunk of consecutive points of each trajectory.

    Args:
        trajectories: long ones, in NumPy arrays.
        length: points of a chunk, the one it starts from included.
        seed: of NumPy's generator; (seed, epoch) gives other chunks in every epoch.

    Returns:
        Trajectories of t = length points, with the times they had.

    Raises:
        ValueError: a chunk has fewer than 2 points, or more than a trajectory has; shapes of the
            trajectories disagree.
    """
    ts, q, p = trajectories.ts, trajectories.q, trajectories.p
    if q.shape != p.shape or q.ndim != 4 or q.shape[:2] != ts.shape:
        raise ValueError(
            "chunks: trajectories must hold ts (b, t) and q and p (b, t, n, d), got "
            f"{ts.shape}, {q.shape} and {p.shape}"
        )
    count, points = ts.shape
    starts = chunk_starts(count, points, length, seed)
    rows, columns = np.arange(len(ts))[:, None], starts[:, None] + np.arange(length)
    return dataclasses.replace(
        trajectories, ts=ts[rows, columns], q=q[rows, columns], p=p[rows, columns]
    )
