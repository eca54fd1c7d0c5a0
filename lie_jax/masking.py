"""Reductions over the real entries of an axis; 0, with zero gradient, where none is real.

``mask`` broadcasts against the values. What stands at absent entries never matters, as long as
it is finite.
"""

import jax
import jax.numpy as jnp

from lie_jax.points import check_mask
from lie_jax.typing import Array, Bool, Float, Validated


def masked_sum(
    values: Float[Array, "..."], mask: Validated[Bool[Array, "..."]], axis: int
) -> Array:
    """Sum over the real entries of ``axis``."""
    check_mask("masked_sum", mask)
    return jnp.sum(jnp.where(mask, values, 0), axis=axis)


def masked_mean(
    values: Float[Array, "..."], mask: Validated[Bool[Array, "..."]], axis: int
) -> Array:
    """Mean over the real entries of ``axis``."""
    check_mask("masked_mean", mask)
    count = jnp.sum(mask, axis=axis, dtype=values.dtype)
    return masked_sum(values, mask, axis) / jnp.maximum(count, 1)


def masked_max(
    values: Float[Array, "..."], mask: Validated[Bool[Array, "..."]], axis: int
) -> Array:
    """Maximum over the real entries of ``axis``; the first of equal ones has the gradient."""
    check_mask("masked_max", mask)
    lowest = jnp.finfo(values.dtype).min
    shown = jnp.where(mask, values, lowest)
    # Not jnp.max: its derivative looks for entries equal to the maximum, and where XLA computes
    # an entry once for either, the two may differ in the last bit and the gradient is lost.
    place = jnp.argmax(shown, axis=axis, keepdims=True)
    largest = jnp.squeeze(jnp.take_along_axis(shown, place, axis=axis), axis)
    return jnp.where(jnp.any(mask, axis=axis), largest, 0)


def masked_softmax(
    scores: Float[Array, "..."], mask: Validated[Bool[Array, "..."]], axis: int = -1
) -> Array:
    """Softmax over the real entries of ``axis``; absent entries weigh 0."""
    check_mask("masked_softmax", mask)
    lowest = jnp.finfo(scores.dtype).min
    masked = jnp.where(mask, scores, lowest)
    # The maximum only shifts the exponent: its gradient cancels, so none is taken through it.
    largest = jax.lax.stop_gradient(jnp.max(masked, axis=axis, keepdims=True))
    weights = jnp.where(mask, jnp.exp(masked - largest), 0)
    total = jnp.sum(weights, axis=axis, keepdims=True)
    return weights / jnp.where(total == 0, 1, total)
