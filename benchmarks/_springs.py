"""Chunks of spring trajectories, as files that the workers read."""

from pathlib import Path

import numpy as np

from benchmarks._cases import Springs
from lie_jax.data import springs

SEED = 0


def write(case: Springs, path: Path) -> None:
    """q, p (b, t, n, d) and [mass, k] (b, n, 2) of all systems of a round, and dt, as npz."""
    found = springs.simulate(
        case.batch * case.batches, seed=SEED, dt=springs.PUBLISHED_DT, chunk=case.intervals + 1
    )
    arrays = {"q": found.q, "p": found.p, "particles": found.params}
    np.savez(path, allow_pickle=False, dt=np.float32(springs.PUBLISHED_DT), **arrays)
