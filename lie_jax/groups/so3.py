"""SO(3), the rotations of space about the origin.

Element: unit quaternion (w, x, y, z), shape (4,); q and -q are the same rotation. Algebra:
ω = axis times angle in radians, matrix hat(ω). The action on R³ leaves |x| unchanged; the
stabiliser of a point off the origin is the circle of rotations about it.
"""

import dataclasses
import math
from typing import ClassVar

import jax
import jax.numpy as jnp

from lie_jax.groups import _check, quaternion
from lie_jax.groups._check import checked
from lie_jax.groups.base import Group
from lie_jax.groups.quaternion import grid as grid
from lie_jax.groups.quaternion import haar as haar
from lie_jax.numerics import safe_norm, unit_vector
from lie_jax.typing import Array, Float, PRNGKey, Shape

exp = checked(quaternion.exp, "so3")
log = checked(quaternion.log, "so3")
compose = checked(quaternion.compose, "so3")
inverse = checked(quaternion.inverse, "so3")
act = checked(quaternion.act, "so3")
to_matrix = checked(quaternion.to_matrix, "so3")
from_matrix = checked(quaternion.from_matrix, "so3")
hat = checked(quaternion.hat, "so3")
vee = checked(quaternion.vee, "so3")


@checked
def adjoint(q: Float[Array, "*b 4"]) -> Float[Array, "*b 3 3"]:
    """The rotation matrix itself."""
    return quaternion.to_matrix(q)


@checked
def section(x: Float[Array, "*b 3"]) -> Float[Array, "*b 4"]:
    """The shortest rotation that carries (0, 0, |x|) to x; the identity at the origin.

    Continuous but for the origin and the negative z axis; on that axis it is the half turn
    about x.
    """
    return quaternion.from_z_axis(unit_vector(x, (0.0, 0.0, 1.0)))


@checked
def about_z(half_angle: Float[Array, "*b"]) -> Float[Array, "*b 4"]:
    """The rotation about z by twice ``half_angle``."""
    c, s = jnp.cos(half_angle), jnp.sin(half_angle)
    return jnp.stack([c, jnp.zeros_like(c), jnp.zeros_like(c), s], axis=-1)


@dataclasses.dataclass(frozen=True)
class SO3(Group):
    """Rotations of space about the origin.

    Elements are unit quaternions (w, x, y, z), algebra ω (3). Orbits are spheres, named by |x|
    and represented by (0, 0, |x|), whose stabiliser is the rotations about z; the origin is the
    singular one, where the section is the identity.
    """

    is_compact: ClassVar[bool] = True

    @property
    def algebra_dim(self) -> int:
        return 3

    @property
    def orbit_dim(self) -> int:
        return 1

    @property
    def space_dim(self) -> int:
        return 3

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
        return safe_norm(_check.last_axes("SO3.orbit", "x", x, (3,)), keepdims=True)

    def stabiliser(self, key: PRNGKey, shape: Shape = (), dtype=None):
        dtype = _check.float_dtype(dtype)
        return about_z(jax.random.uniform(key, shape, dtype, 0, math.pi))

    def stabiliser_grid(self, count: int, dtype=None):
        dtype = _check.float_dtype(dtype)
        return about_z(jnp.arange(count, dtype=dtype) * (math.pi / count))

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
