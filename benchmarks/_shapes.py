"""Clouds of shapes in the true distribution of sizes, as files that the workers read."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np

from benchmarks._cases import Shapes
from lie_jax.data import Batches, bucket_edges
from lie_jax.data.constellations import constellations, point_set

SEED = 0


def write(case: Shapes, path: Path) -> None:
    """Clouds and the order in which each implementation takes them, as an npz file.

    coords (b, 34, 2), values (b, 34, 33), which are the published features, mask (b, 34) and
    counts (b, 4), real points first.
    """
    clouds = constellations(case.batch * case.batches, seed=SEED)
    points = point_set(jnp.asarray(clouds.coords), jnp.asarray(clouds.mask))
    edges = bucket_edges(clouds.sizes, case.buckets)
    epoch = Batches(clouds.sizes, case.batch, edges, seed=SEED).epoch()
    np.savez(
        path,
        allow_pickle=False,
        coords=clouds.coords,
        values=np.asarray(points.values),
        mask=clouds.mask,
        counts=clouds.counts,
        rows=np.stack([batch.indices for batch in epoch]),
        padded=np.array([batch.size for batch in epoch]),
    )
