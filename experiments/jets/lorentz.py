"""Four-momenta (E, px, py, pz) and their proper Lorentz transformations, as matrices.

Kept apart from ``lie_jax.groups``, so that the data and the tests of invariance do not rest on the
code that is tested.
"""

import dataclasses

import jax
import jax.numpy as jnp

import lie_jax as lj
from lie_jax.groups import SO3
from lie_jax.typing import Array, Float, PRNGKey


def boost(rapidity: Float[Array, "*b"], direction: Float[Array, "*b 3"]) -> Float[Array, "*b 4 4"]:
    """The boost that gives a particle at rest this rapidity in this direction (of length 1)."""
    c, s = jnp.cosh(rapidity)[..., None, None], jnp.sinh(rapidity)[..., None, None]
    n = direction[..., None]
    nt = direction[..., None, :]
    top = jnp.concatenate([c, s * nt], axis=-1)
    bottom = jnp.concatenate([s * n, jnp.eye(3, dtype=n.dtype) + (c - 1) * n * nt], axis=-1)
    return jnp.concatenate([top, bottom], axis=-2)


def boost_by_momentum(p: Float[Array, "*b 4"], mass: Float[Array, "*b"]) -> Float[Array, "*b 4 4"]:
    """The boost that brings a particle of this mass from rest to momentum p."""
    momentum = jnp.linalg.norm(p[..., 1:], axis=-1)
    safe = jnp.where(momentum > 0, momentum, 1)
    return boost(jnp.arcsinh(momentum / mass), p[..., 1:] / safe[..., None])


def directions(key: PRNGKey, shape: tuple[int, ...], dtype=jnp.float32) -> Float[Array, "*b 3"]:
    """Uniform on the sphere."""
    x = jax.random.normal(key, (*shape, 3), dtype)
    return x / jnp.linalg.norm(x, axis=-1, keepdims=True)


def random_transformations(key: PRNGKey, rapidity: Float[Array, "*b"]) -> Float[Array, "*b 4 4"]:
    """Boosts of the given rapidities in random directions, after random rotations."""
    shape, dtype = rapidity.shape, rapidity.dtype
    rotation_key, direction_key = jax.random.split(key)
    group = SO3()
    rotation = group.to_matrix(group.haar(rotation_key, shape, dtype))
    whole = jnp.broadcast_to(jnp.eye(4, dtype=dtype), (*shape, 4, 4))
    whole = whole.at[..., 1:, 1:].set(rotation)
    turned = boost(rapidity, directions(direction_key, shape, dtype))
    return jnp.matmul(turned, whole, precision="highest")


def transform(matrices: Float[Array, "*b 4 4"], points: lj.PointSet) -> lj.PointSet:
    """Each cloud moved by its matrix."""
    coords = jnp.einsum("...ij,...nj->...ni", matrices, points.coords, precision="highest")
    return dataclasses.replace(points, coords=coords)
