"""Real molecules in the true distribution of sizes, as files that the workers read."""

from pathlib import Path

import numpy as np

from benchmarks._cases import Convolutions, Molecules
from lie_jax.data import Batches, bucket_edges, qm9

SEED = 0


def sample(count: int) -> dict[str, np.ndarray]:
    """``count`` random molecules: charges (n, 29), positions (n, 29, 3), targets (n,).

    The target is the standardised HOMO energy; its value does not matter for the time.
    """
    molecules = qm9.load()
    rows = np.random.default_rng(SEED).choice(len(molecules), count, replace=False)
    chosen = molecules.take(rows)
    homo = chosen.values["homo"]
    return {
        "charges": chosen.charges,
        "positions": chosen.positions.astype(np.float32),
        "targets": ((homo - homo.mean()) / homo.std()).astype(np.float32),
    }


def write(case: Molecules | Convolutions, path: Path) -> None:
    """Molecules and the order in which each implementation takes them, as an npz file."""
    molecules = sample(case.batch * case.batches)
    sizes = (molecules["charges"] > 0).sum(-1)
    edges = bucket_edges(sizes, case.buckets)
    epoch = Batches(sizes, case.batch, edges, seed=SEED).epoch()
    order = {
        "rows": np.stack([batch.indices for batch in epoch]),
        "padded": np.array([batch.size for batch in epoch]),
    }
    np.savez(path, allow_pickle=False, **molecules, **order)
