"""SE(3), the rigid motions of space.

Element: (w, x, y, z, t_x, t_y, t_z), a unit quaternion and a translation, shape (7,); acts as
p -> R p + t. Algebra: [ω (3), u (3)], matrix [[hat(ω), u], [0, 0]]. The action on R³ is
transitive; the stabiliser of the origin is SO(3).
"""

import dataclasses

import jax.numpy as jnp

from lie_jax.groups import _check, quaternion
from lie_jax.groups._check import checked
from lie_jax.groups.base import Group
from lie_jax.groups.matrix_functions import homogeneous
from lie_jax.numerics import cosc, cotc, safe_norm, sincc
from lie_jax.typing import Array, Float, PRNGKey, Shape


@checked
def exp(a: Float[Array, "*b 6"]) -> Float[Array, "*b 7"]:
    """Rotation exp(ω) and translation V u.

    V u = u + (1 - cos θ)/θ² ω × u + (θ - sin θ)/θ³ ω × (ω × u), θ = |ω|.
    """
    omega, u = a[..., :3], a[..., 3:]
    theta2 = jnp.sum(omega * omega, axis=-1, keepdims=True)
    turned = quaternion.cross(omega, u)
    t = u + cosc(theta2) * turned + sincc(theta2) * quaternion.cross(omega, turned)
    return jnp.concatenate([quaternion.exp(omega), t], axis=-1)


@checked
def log(g: Float[Array, "*b 7"]) -> Float[Array, "*b 6"]:
    """[ω, V⁻¹ t], ω the logarithm of the rotation.

    V⁻¹ t = t - ω × t / 2 + (1 - (θ/2) cot(θ/2))/θ² ω × (ω × t).

    Branch: at angle π the sign of the stored quaternion decides between ω and -ω, as for SO(3).
    """
    omega, t = quaternion.log(g[..., :4]), g[..., 4:]
    theta2 = jnp.sum(omega * omega, axis=-1, keepdims=True)
    turned = quaternion.cross(omega, t)
    u = t - turned / 2 + cotc(theta2) * quaternion.cross(omega, turned)
    return jnp.concatenate([omega, u], axis=-1)


@checked
def compose(g: Float[Array, "*#b 7"], h: Float[Array, "*#b 7"]) -> Float[Array, "*#b 7"]:
    """(R_g R_h, R_g t_h + t_g)."""
    rotation = quaternion.compose(g[..., :4], h[..., :4])
    return jnp.concatenate([rotation, act(g, h[..., 4:])], axis=-1)


@checked
def inverse(g: Float[Array, "*b 7"]) -> Float[Array, "*b 7"]:
    """(Rᵀ, -Rᵀ t)."""
    rotation = quaternion.inverse(g[..., :4])
    return jnp.concatenate([rotation, -quaternion.act(rotation, g[..., 4:])], axis=-1)


@checked
def act(g: Float[Array, "*#b 7"], x: Float[Array, "*#b 3"]) -> Float[Array, "*#b 3"]:
    """R x + t."""
    return quaternion.act(g[..., :4], x) + g[..., 4:]


@checked
def adjoint(g: Float[Array, "*b 7"]) -> Float[Array, "*b 6 6"]:
    """[[R, 0], [hat(t) R, R]]."""
    rotation, t = quaternion.to_matrix(g[..., :4]), g[..., 4:]
    columns = jnp.swapaxes(rotation, -1, -2)
    turned = jnp.swapaxes(quaternion.cross(t[..., None, :], columns), -1, -2)
    top = jnp.concatenate([rotation, jnp.zeros_like(rotation)], axis=-1)
    return jnp.concatenate([top, jnp.concatenate([turned, rotation], axis=-1)], axis=-2)


@checked
def from_rotation(rotation: Float[Array, "*b 4"]) -> Float[Array, "*b 7"]:
    """The motion that only rotates."""
    return jnp.concatenate([rotation, jnp.zeros_like(rotation[..., :3])], axis=-1)


@checked
def section(x: Float[Array, "*b 3"]) -> Float[Array, "*b 7"]:
    """The translation by x."""
    return jnp.concatenate([jnp.ones_like(x[..., :1]), jnp.zeros_like(x), x], axis=-1)


@checked
def to_matrix(g: Float[Array, "*b 7"]) -> Float[Array, "*b 4 4"]:
    """The homogeneous matrix [[R, t], [0, 1]]."""
    return homogeneous(quaternion.to_matrix(g[..., :4]), g[..., 4:], 1)


@checked
def from_matrix(matrix: Float[Array, "*b 4 4"]) -> Float[Array, "*b 7"]:
    """(R, t) of [[R, t], [0, 1]], the quaternion with w >= 0."""
    rotation = quaternion.from_matrix(matrix[..., :3, :3])
    return jnp.concatenate([rotation, matrix[..., :3, 3]], axis=-1)


@checked
def hat(a: Float[Array, "*b 6"]) -> Float[Array, "*b 4 4"]:
    """[[hat(ω), u], [0, 0]]."""
    return homogeneous(quaternion.hat(a[..., :3]), a[..., 3:], 0)


@checked
def vee(matrix: Float[Array, "*b 4 4"]) -> Float[Array, "*b 6"]:
    """[ω, u] of [[hat(ω), u], [0, 0]]."""
    return jnp.concatenate([quaternion.vee(matrix[..., :3, :3]), matrix[..., :3, 3]], axis=-1)


@dataclasses.dataclass(frozen=True)
class SE3(Group):
    """Rigid motions of space.

    Elements (w, x, y, z, t_x, t_y, t_z), algebra [ω, u]. Space is one orbit, represented by the
    origin; its stabiliser is SO(3).
    """

    @property
    def algebra_dim(self) -> int:
        return 6

    @property
    def orbit_dim(self) -> int:
        return 0

    @property
    def space_dim(self) -> int:
        return 3

    @property
    def element_shape(self) -> Shape:
        return (7,)

    @property
    def matrix_dim(self) -> int:
        return 4

    def identity(self, shape: Shape = (), dtype=None):
        one = jnp.asarray([1, 0, 0, 0, 0, 0, 0], _check.float_dtype(dtype))
        return jnp.broadcast_to(one, (*shape, 7))

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
        x = _check.last_axes("SE3.orbit", "x", x, (3,))
        return x[..., :0]

    def stabiliser(self, key: PRNGKey, shape: Shape = (), dtype=None):
        return from_rotation(quaternion.haar(key, shape, _check.float_dtype(dtype)))

    def stabiliser_grid(self, count: int, dtype=None):
        return from_rotation(quaternion.grid(count, _check.float_dtype(dtype)))

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
