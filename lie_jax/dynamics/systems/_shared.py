"""Draws of initial states and pair potentials, which several systems share."""

import functools
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from lie_jax.dynamics.systems._checks import Range, check_counts, float_dtype
from lie_jax.typing import Array, Float, PRNGKey, Validated

Sample = tuple[Float[Array, "b n d"], Float[Array, "b n d"], Float[Array, "b n c"]]


class Drawn(Protocol):
    """A system that draws one state; frozen and hashable, as all are."""

    def _sample_one(self, key: PRNGKey, dtype: Any) -> tuple[Array, Array, Array]: ...


def sample_each(
    where: str, system: Validated[Drawn], key: PRNGKey, count: Validated[int], dtype: Any
) -> Sample:
    """States of ``count`` systems, each with a key of its own, in one compiled call.

    System i depends on the key and on i: asking for more systems adds to those there are.
    """
    check_counts(where, count=count)
    return _draw(system, key, int(count), float_dtype(where, dtype))


@functools.partial(jax.jit, static_argnums=(0, 2, 3))
def _draw(system: Any, key: Any, count: int, dtype: Any) -> Any:
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(count))
    return jax.vmap(lambda key: system._sample_one(key, dtype))(keys)


def uniform(key: PRNGKey, limits: Range, count: int, dtype: Any) -> Float[Array, " n"]:
    """Uniform in ``limits``."""
    return jax.random.uniform(key, (count,), dtype, *limits)


def softened_pairs(
    x: Float[Array, "*b n d"],
    charge: Float[Array, "*#b n"],
    softening: float,
    is_pair: np.ndarray,
) -> Float[Array, "*b"]:
    """Σ_{i<j} c_i c_j / sqrt(|x_i - x_j|² + softening²) over the pairs that ``is_pair`` marks.

    Args:
        x: places.
        charge: c.
        softening: above 0, so that every derivative is finite where two places coincide.
        is_pair: (n, n) bool, symmetric, False on the diagonal.
    """
    difference = x[..., :, None, :] - x[..., None, :, :]
    inverse = jax.lax.rsqrt(jnp.sum(difference * difference, axis=-1) + softening * softening)
    weights = jnp.where(is_pair, charge[..., :, None] * charge[..., None, :], 0)
    return jnp.sum(weights * inverse, axis=(-2, -1)) / 2
