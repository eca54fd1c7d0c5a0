"""What attention sees of two lifted particles: how fast each is, seen from the other."""

import jax.numpy as jnp

from lie_jax.geometry import PairEmbedding
from lie_jax.groups import Group
from lie_jax.numerics import safe_norm
from lie_jax.typing import Array, Float


def _rapidity(u: Float[Array, "*b 3"]) -> Float[Array, "*b 3"]:
    """u arsinh|u| / |u| of the space part u of a four-velocity: the rapidity, as a vector.

    By its series where |u| is small; the quotient has no derivative at 0.
    """
    size = safe_norm(u, keepdims=True)
    is_small = size < 1e-2
    far = jnp.where(is_small, 1, size)
    return u * jnp.where(is_small, 1 - size**2 / 6, jnp.arcsinh(far) / far)


def _embed(group: Group, g: Array) -> Array:
    matrix = group.to_matrix(g)
    return jnp.concatenate([_rapidity(matrix[..., 1:, 0]), _rapidity(matrix[..., 0, 1:])], axis=-1)


RAPIDITY = PairEmbedding("rapidity", lambda _: 6, _embed)
"""Rapidities of key seen from query and of query seen from key, of Lorentz matrices.

Entries of the matrix grow as exp(rapidity), the logarithm is dear and jumps at half turns; these
are smooth, and of the size of the rapidities. What they leave out is how the two rest frames are
turned against each other beyond that.
"""
