"""SO(2), the rotations of the plane about the origin.

Element: (cos θ, sin θ), shape (2,). Algebra: [θ] in radians, matrix [[0, -θ], [θ, 0]].
The action on R² leaves |x| unchanged; away from the origin it is free, so a point has one lift.
"""

import dataclasses
import math
from typing import ClassVar

import jax
import jax.numpy as jnp

from lie_jax.groups import _check
from lie_jax.groups._check import checked
from lie_jax.groups.base import Group
from lie_jax.numerics import safe_norm, unit_vector
from lie_jax.typing import Array, Float, PRNGKey, Shape


@checked
def exp(a: Float[Array, "*b 1"]) -> Float[Array, "*b 2"]:
    """(cos θ, sin θ)."""
    return jnp.concatenate([jnp.cos(a), jnp.sin(a)], axis=-1)


@checked
def log(g: Float[Array, "*b 2"]) -> Float[Array, "*b 1"]:
    """The angle in (-π, π], atan2(sin, cos): the length of (cos, sin) does not matter.

    Branch: the half turn is +π, also when rounding left its sine at -0.
    """
    angle = jnp.arctan2(g[..., 1:], g[..., :1])
    half_turn = jnp.asarray(math.pi, g.dtype)
    return jnp.where(angle <= -half_turn, angle + 2 * half_turn, angle)


@checked
def compose(g: Float[Array, "*#b 2"], h: Float[Array, "*#b 2"]) -> Float[Array, "*#b 2"]:
    """The product of complex numbers."""
    c, s = g[..., :1], g[..., 1:]
    return c * h + s * quarter_turn(h)


@checked
def inverse(g: Float[Array, "*b 2"]) -> Float[Array, "*b 2"]:
    """The complex conjugate."""
    return jnp.concatenate([g[..., :1], -g[..., 1:]], axis=-1)


@checked
def act(g: Float[Array, "*#b 2"], x: Float[Array, "*#b 2"]) -> Float[Array, "*#b 2"]:
    """The rotated vector."""
    return compose(g, x)


@checked
def quarter_turn(x: Float[Array, "*b 2"]) -> Float[Array, "*b 2"]:
    """x turned by π/2: (-x_1, x_0)."""
    return jnp.concatenate([-x[..., 1:], x[..., :1]], axis=-1)


@checked
def section(x: Float[Array, "*b 2"]) -> Float[Array, "*b 2"]:
    """The rotation that carries (|x|, 0) to x; the identity at the origin."""
    return unit_vector(x, (1.0, 0.0))


@checked
def to_matrix(g: Float[Array, "*b 2"]) -> Float[Array, "*b 2 2"]:
    """[[cos, -sin], [sin, cos]]."""
    return jnp.stack([g, quarter_turn(g)], axis=-1)


@checked
def from_matrix(matrix: Float[Array, "*b 2 2"]) -> Float[Array, "*b 2"]:
    """Its first column."""
    return matrix[..., :, 0]


@checked
def hat(a: Float[Array, "*b 1"]) -> Float[Array, "*b 2 2"]:
    """[[0, -θ], [θ, 0]]."""
    return to_matrix(jnp.concatenate([jnp.zeros_like(a), a], axis=-1))


@checked
def vee(matrix: Float[Array, "*b 2 2"]) -> Float[Array, "*b 1"]:
    """θ of [[0, -θ], [θ, 0]]."""
    return matrix[..., 1, :1]


def haar(key: PRNGKey, shape: Shape, dtype) -> Float[Array, "*b 2"]:
    """Rotations by an angle uniform on the circle."""
    return exp(jax.random.uniform(key, (*shape, 1), dtype, -math.pi, math.pi))


def grid(count: int, dtype) -> Float[Array, "s 2"]:
    """Rotations by 2πi/count."""
    return exp(jnp.arange(count, dtype=dtype)[:, None] * (2 * math.pi / count))


@dataclasses.dataclass(frozen=True)
class SO2(Group):
    """Rotations of the plane about the origin.

    Elements (cos θ, sin θ), algebra [θ]. Orbits are circles, named by |x| and represented by
    (|x|, 0); the origin is the singular one, where the section is the identity.
    """

    is_abelian: ClassVar[bool] = True
    is_compact: ClassVar[bool] = True

    @property
    def algebra_dim(self) -> int:
        return 1

    @property
    def orbit_dim(self) -> int:
        return 1

    @property
    def space_dim(self) -> int:
        return 2

    @property
    def element_shape(self) -> Shape:
        return (2,)

    @property
    def matrix_dim(self) -> int:
        return 2

    @property
    def has_stabiliser(self) -> bool:
        return False

    def identity(self, shape: Shape = (), dtype=None):
        one = jnp.asarray([1, 0], _check.float_dtype(dtype))
        return jnp.broadcast_to(one, (*shape, 2))

    def compose(self, g, h):
        return compose(g, h)

    def inverse(self, g):
        return inverse(g)

    def exp(self, a):
        return exp(a)

    def log(self, g):
        return log(g)

    def adjoint(self, g):
        g = _check.last_axes("SO2.adjoint", "g", g, (2,))
        return jnp.ones((*g.shape[:-1], 1, 1), g.dtype)

    def act(self, g, x):
        return act(g, x)

    def section(self, x):
        return section(x)

    def orbit(self, x):
        return safe_norm(_check.last_axes("SO2.orbit", "x", x, (2,)), keepdims=True)

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

    def haar(self, key: PRNGKey, shape: Shape = (), dtype=None):
        return haar(key, shape, _check.float_dtype(dtype))
