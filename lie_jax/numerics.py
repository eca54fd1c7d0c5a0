"""Numerics with finite derivatives everywhere: safe norms and quotients."""

import jax.numpy as jnp

from lie_jax.typing import Array


def safe_norm(x: Array, axis: int = -1, keepdims: bool = False) -> Array:
    """Euclidean norm whose derivatives at 0 are 0 instead of NaN."""
    squared = jnp.sum(x * x, axis=axis, keepdims=keepdims)
    is_zero = squared == 0
    return jnp.where(is_zero, 0, jnp.sqrt(jnp.where(is_zero, 1, squared)))


def safe_divide(numerator: Array, denominator: Array) -> Array:
    """Quotient that is 0, with zero derivatives, where the denominator is 0."""
    is_zero = denominator == 0
    return jnp.where(is_zero, 0, numerator / jnp.where(is_zero, 1, denominator))
