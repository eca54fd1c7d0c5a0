"""SO+(1, 3), the Lorentz transformations that keep past, future and handedness."""

import jax.numpy as jnp
import numpy as np

from lie_jax.groups import quaternion
from lie_jax.groups.base import Group
from lie_jax.groups.matrix import from_generators
from lie_jax.groups.with_lift import with_lift
from lie_jax.typing import Array, Float, PRNGKey, Shape

_METRIC = np.diag([1.0, -1.0, -1.0, -1.0])


def Lorentz() -> Group:
    """The group on four-vectors (E, p_x, p_y, p_z), with metric E^2 - p^2.

    Elements are the matrices (4, 4), algebra [ω, η]: rotation, and rapidity of the boost.

    A timelike vector lies on the orbit named by its mass m = sqrt(E^2 - p^2), with the sign of
    the energy; representative (m, 0, 0, 0), section the boost, stabiliser SO(3). Lightlike and
    spacelike vectors have a stabiliser that is not compact, and so no lift: there ``orbit`` is 0
    and ``section`` the identity, and what a model makes of such points is not invariant. Vectors
    count as lightlike where m^2 is lost in the rounding of E^2.
    """
    return with_lift(
        from_generators("Lorentz", _generators(), form=_METRIC, exp_is_surjective=True),
        section=boost,
        orbit=mass,
        orbit_dim=1,
        stabiliser=rotations,
        stabiliser_grid=rotation_grid,
    )


def _generators() -> np.ndarray:
    turns, boosts = np.zeros((2, 3, 4, 4))
    for i, (j, k) in enumerate([(2, 3), (3, 1), (1, 2)]):
        turns[i, k, j], turns[i, j, k] = 1, -1
        boosts[i, 0, i + 1] = boosts[i, i + 1, 0] = 1
    return np.concatenate([turns, boosts])


def mass(x: Float[Array, "*b 4"]) -> Float[Array, "*b 1"]:
    """sqrt(E^2 - p^2) with the sign of E; 0 where that is not positive."""
    energy, squared = x[..., :1], jnp.sum(x[..., 1:] ** 2, axis=-1, keepdims=True)
    is_timelike = energy**2 - squared > 16 * jnp.finfo(x.dtype).eps * energy**2
    m = jnp.sqrt(jnp.where(is_timelike, energy**2 - squared, 1))
    return jnp.where(is_timelike, jnp.sign(energy) * m, 0)


def boost(x: Float[Array, "*b 4"]) -> Float[Array, "*b 4 4"]:
    """The boost that carries (m, 0, 0, 0) to x: [[u_0, u], [u, 1 + u u / (1 + u_0)]], u = x / m."""
    m = mass(x)
    rest = jnp.asarray([1, 0, 0, 0], x.dtype)
    u = jnp.where(m == 0, rest, x / jnp.where(m == 0, 1, m))
    spread = u[..., 1:, None] * u[..., None, 1:] / (1 + u[..., :1, None])
    lower = jnp.concatenate([u[..., 1:, None], jnp.eye(3, dtype=x.dtype) + spread], axis=-1)
    return jnp.concatenate([u[..., None, :], lower], axis=-2)


def rotations(key: PRNGKey, shape: Shape, dtype) -> Float[Array, "*b 4 4"]:
    """Uniform rotations of space."""
    return _in_spacetime(quaternion.haar(key, shape, dtype))


def rotation_grid(count: int, dtype) -> Float[Array, "s 4 4"]:
    """Rotations of space spread evenly."""
    return _in_spacetime(quaternion.grid(count, dtype))


def _in_spacetime(q: Float[Array, "*b 4"]) -> Float[Array, "*b 4 4"]:
    lower = jnp.pad(quaternion.to_matrix(q), [(0, 0)] * (q.ndim - 1) + [(1, 0), (1, 0)])
    return lower.at[..., 0, 0].set(1)
