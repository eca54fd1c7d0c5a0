"""Sizes and errors of stacks of arrays, and the assertion that names what is broken."""

import jax
import jax.numpy as jnp
from jax.scipy.linalg import expm as _expm

from lie_jax.typing import Array


def expm(matrix: Array) -> Array:
    batch = matrix.reshape(-1, *matrix.shape[-2:])
    return jax.vmap(_expm)(batch).reshape(matrix.shape)


def apply_matrix(matrix: Array, vector: Array) -> Array:
    return jnp.sum(matrix * vector[..., None, :], axis=-1)


def size(value: Array, axes: int) -> Array:
    """The largest magnitude over the last ``axes`` axes, at least 1."""
    last = tuple(range(value.ndim - axes, value.ndim))
    return jnp.max(jnp.abs(value), axis=last, initial=1)


def largest_error(got: Array, want: Array | int | float, scale, axes: int | None = None) -> Array:
    """The largest |got - want| / scale, ``scale`` having all but the last ``axes`` axes."""
    difference = jnp.abs(got - want)
    axes = difference.ndim if axes is None else axes
    last = tuple(range(difference.ndim - axes, difference.ndim))
    return jnp.max(jnp.max(difference, axis=last, initial=0) / scale, initial=0)


def raise_broken(where: str, errors: dict, allowed: float, skip: tuple[str, ...] = ()) -> None:
    values = {name: float(error) for name, error in errors.items() if name not in skip}
    # Written so that NaN counts as broken.
    broken = {name: error for name, error in values.items() if not error <= allowed}
    if broken:
        lines = "".join(f"\n  {name}: error {error:.3g}" for name, error in broken.items())
        raise AssertionError(f"{where}: broken, with more than {allowed:.3g} allowed:{lines}")
