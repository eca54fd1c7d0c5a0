"""SE(2), the rigid motions of the plane.

Element: (cos θ, sin θ, x, y), shape (4,), acts as p -> R(θ) p + (x, y). Algebra: [θ, u_x, u_y],
matrix [[0, -θ, u_x], [θ, 0, u_y], [0, 0, 0]]. The action on R² is transitive; the stabiliser
of the origin is SO(2).
"""

import dataclasses

import jax.numpy as jnp

from lie_jax.groups import _check, so2
from lie_jax.groups._check import checked
from lie_jax.groups.base import Group
from lie_jax.groups.matrix_functions import homogeneous
from lie_jax.numerics import cosc, cotc, safe_norm, sinc
from lie_jax.typing import Array, Float, PRNGKey, Shape


@checked
def exp(a: Float[Array, "*b 3"]) -> Float[Array, "*b 4"]:
    """Rotation by θ and translation V u, V = sinc(θ) + (1 - cos θ)/θ J, J the quarter turn."""
    theta, u = a[..., :1], a[..., 1:]
    theta2 = theta * theta
    t = sinc(theta2) * u + theta * cosc(theta2) * so2.quarter_turn(u)
    return jnp.concatenate([so2.exp(theta), t], axis=-1)


@checked
def log(g: Float[Array, "*b 4"]) -> Float[Array, "*b 3"]:
    """[θ, V⁻¹ t] with V⁻¹ = (θ/2) cot(θ/2) - (θ/2) J and θ in (-π, π].

    Branch: the half turn has θ = +π.
    """
    theta, t = so2.log(g[..., :2]), g[..., 2:]
    theta2 = theta * theta
    u = t - theta2 * cotc(theta2) * t - theta / 2 * so2.quarter_turn(t)
    return jnp.concatenate([theta, u], axis=-1)


@checked
def compose(g: Float[Array, "*#b 4"], h: Float[Array, "*#b 4"]) -> Float[Array, "*#b 4"]:
    """(R_g R_h, R_g t_h + t_g)."""
    rotation = so2.compose(g[..., :2], h[..., :2])
    return jnp.concatenate([rotation, act(g, h[..., 2:])], axis=-1)


@checked
def inverse(g: Float[Array, "*b 4"]) -> Float[Array, "*b 4"]:
    """(Rᵀ, -Rᵀ t)."""
    rotation = so2.inverse(g[..., :2])
    return jnp.concatenate([rotation, -so2.act(rotation, g[..., 2:])], axis=-1)


@checked
def act(g: Float[Array, "*#b 4"], x: Float[Array, "*#b 2"]) -> Float[Array, "*#b 2"]:
    """R x + t."""
    return so2.act(g[..., :2], x) + g[..., 2:]


@checked
def adjoint(g: Float[Array, "*b 4"]) -> Float[Array, "*b 3 3"]:
    """[[1, 0], [-J t, R]]."""
    zero = jnp.zeros_like(g[..., :1])
    left = jnp.concatenate([zero + 1, -so2.quarter_turn(g[..., 2:])], axis=-1)
    right = so2.to_matrix(g[..., :2])
    right = jnp.concatenate([jnp.zeros_like(right[..., :1, :]), right], axis=-2)
    return jnp.concatenate([left[..., None], right], axis=-1)


@checked
def from_rotation(rotation: Float[Array, "*b 2"]) -> Float[Array, "*b 4"]:
    """The motion that only rotates."""
    return jnp.concatenate([rotation, jnp.zeros_like(rotation)], axis=-1)


@checked
def section(x: Float[Array, "*b 2"]) -> Float[Array, "*b 4"]:
    """The translation by x."""
    return jnp.concatenate([jnp.ones_like(x[..., :1]), jnp.zeros_like(x[..., :1]), x], axis=-1)


@checked
def to_matrix(g: Float[Array, "*b 4"]) -> Float[Array, "*b 3 3"]:
    """The homogeneous matrix [[R, t], [0, 1]]."""
    return homogeneous(so2.to_matrix(g[..., :2]), g[..., 2:], 1)


@checked
def from_matrix(matrix: Float[Array, "*b 3 3"]) -> Float[Array, "*b 4"]:
    """(R, t) of [[R, t], [0, 1]]."""
    return jnp.concatenate([matrix[..., :2, 0], matrix[..., :2, 2]], axis=-1)


@checked
def hat(a: Float[Array, "*b 3"]) -> Float[Array, "*b 3 3"]:
    """[[θ J, u], [0, 0]]."""
    return homogeneous(so2.hat(a[..., :1]), a[..., 1:], 0)


@checked
def vee(matrix: Float[Array, "*b 3 3"]) -> Float[Array, "*b 3"]:
    """[θ, u] of [[θ J, u], [0, 0]]."""
    return jnp.concatenate([matrix[..., 1, :1], matrix[..., :2, 2]], axis=-1)


@dataclasses.dataclass(frozen=True)
class SE2(Group):
    """Rigid motions of the plane.

    Elements (cos θ, sin θ, x, y), algebra [θ, u_x, u_y]. The plane is one orbit, represented by
    the origin; its stabiliser is SO(2).
    """

    @property
    def algebra_dim(self) -> int:
        return 3

    @property
    def orbit_dim(self) -> int:
        return 0

    @property
    def space_dim(self) -> int:
        return 2

    @property
    def element_shape(self) -> Shape:
        return (4,)

    @property
    def matrix_dim(self) -> int:
        return 3

    def identity(self, shape: Shape = (), dtype=None):
        one = jnp.asarray([1, 0, 0, 0], _check.float_dtype(dtype))
        return jnp.broadcast_to(one, (*shape, 4))

    def compose(self, g, h):
        return compose(g, h)

    def inverse(self, g):
        return inverse(g)

    def exp(self, a):
        return exp(a)

    def log(self, g):
        return log(g)

    def adjoint(self, g):
        return adjoint(g)

    def act(self, g, x):
        return act(g, x)

    def section(self, x):
        return section(x)

    def orbit(self, x):
        x = _check.last_axes("SE2.orbit", "x", x, (2,))
        return x[..., :0]

    def stabiliser(self, key: PRNGKey, shape: Shape = (), dtype=None):
        return from_rotation(so2.haar(key, shape, _check.float_dtype(dtype)))

    def stabiliser_grid(self, count: int, dtype=None):
        return from_rotation(so2.grid(count, _check.float_dtype(dtype)))

    def to_matrix(self, g):
        return to_matrix(g)

    def from_matrix(self, matrix):
        return from_matrix(matrix)

    def hat(self, a):
        return hat(a)

    def vee(self, matrix):
        return vee(matrix)

    def distance(self, g, h):
        return safe_norm(self.log(self.compose(self.inverse(g), h)))
