"""Random draws that one point's key decides, whatever stands beside it in the batch."""

import math

import jax
import jax.numpy as jnp

from lie_jax.typing import PRNGKey, Shape, Validated


def check_key(where: str, key: Validated[PRNGKey | None]) -> PRNGKey:
    """``key``, if it is a typed key.

    Raises:
        ValueError: there is no key.
        TypeError: it is not what ``jax.random.key`` makes.
    """
    if key is None:
        raise ValueError(f"{where}: key must be a jax.random.key, got None")
    dtype = getattr(key, "dtype", None)
    if dtype is None or not jnp.issubdtype(dtype, jax.dtypes.prng_key):
        raise TypeError(
            f"{where}: key must be a typed key, as jax.random.key(seed) makes it, got {key!r}"
        )
    return key


def fold_in_indices(key: PRNGKey, shape: Shape):
    """One key per index of ``shape``, folded in axis by axis.

    ``jax.random.split`` would also give distinct keys, but all of them would change when an
    axis grows. These do not: the key at an index depends on that index only, so that padding
    and batch mates leave a point's samples alone.
    """
    fold = jax.vmap(jax.vmap(jax.random.fold_in, (None, 0)), (0, None))
    keys = key.reshape(1)
    for size in shape:
        keys = fold(keys, jnp.arange(size)).reshape(-1)
    return keys.reshape(shape)


def per_index(sample, key: PRNGKey, shape: Shape):
    """``sample(key_i)`` for every index i of ``shape``, stacked to (\\*shape, ...)."""
    keys = fold_in_indices(key, shape).reshape(math.prod(shape))
    values = jax.vmap(sample)(keys)
    return values.reshape((*shape, *values.shape[1:]))
