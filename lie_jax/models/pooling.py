"""From the features of lifted points to those of points or clouds."""

from typing import Literal

import jax.numpy as jnp

from lie_jax import masking
from lie_jax.points import LiftedSet
from lie_jax.typing import Array

PoolingName = Literal["mean", "sum", "max", "none"]


def pool(x: Array, lifted: LiftedSet, pooling: PoolingName) -> Array:
    """(\\*b, m, ...) to (\\*b, ...), or (\\*b, n, ...) where nothing is pooled.

    Args:
        x: one entry per lifted point.
        lifted: these points, without frames.
        pooling: ``"mean"``, ``"sum"`` or ``"max"`` over real lifted points; ``"none"`` gives the
            mean over each point's lifts, 0 at absent points.
    """
    axis = lifted.mask.ndim - 1
    mask = jnp.expand_dims(lifted.mask, tuple(range(axis + 1, x.ndim)))
    match pooling:
        case "mean":
            return masking.masked_mean(x, mask, axis=axis)
        case "sum":
            # The lifts of a point are samples of one integral: they are averaged, so that
            # the sum counts points and does not grow with the number of lifts.
            return masking.masked_sum(x, mask, axis=axis) / lifted.samples
        case "max":
            return masking.masked_max(x, mask, axis=axis)
    shape = (*x.shape[:axis], x.shape[axis] // lifted.samples, lifted.samples)
    per_point = jnp.mean(x.reshape(*shape, *x.shape[axis + 1 :]), axis=axis + 1)
    is_real = jnp.take(mask, jnp.arange(0, x.shape[axis], lifted.samples), axis=axis)
    return jnp.where(is_real, per_point, 0)
