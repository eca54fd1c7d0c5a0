"""Checks of arguments that every group map makes: shapes and dtypes, never values."""

import jax.numpy as jnp

from lie_jax.typing import Array, Shape


def last_axes(where: str, name: str, value: Array, shape: Shape) -> Array:
    """``value`` as a floating array of at least float32 whose last axes are ``shape``.

    Raises:
        ValueError: the last axes differ.
        TypeError: the dtype is complex.
    """
    array = jnp.asarray(value)
    if array.shape[array.ndim - len(shape) :] != shape or array.ndim < len(shape):
        wanted = "(..., " + ", ".join(map(str, shape)) + ")"
        raise ValueError(f"{where}: {name} must have shape {wanted}, got {array.shape}")
    if jnp.issubdtype(array.dtype, jnp.complexfloating):
        raise TypeError(f"{where}: {name} must be real, got dtype {array.dtype}")
    return array.astype(jnp.promote_types(array.dtype, jnp.float32))


def float_dtype(dtype) -> jnp.dtype:
    """The dtype to build new elements in: at least float32; the default float if None."""
    if dtype is None:
        return jnp.zeros(()).dtype
    return jnp.promote_types(dtype, jnp.float32)
