"""R*xSO(3), scalings and rotations of space about the origin."""

import dataclasses
from typing import ClassVar

import jax.numpy as jnp

from lie_jax.groups import _check, quaternion
from lie_jax.groups.base import Group
from lie_jax.groups.so3 import SO3
from lie_jax.numerics import safe_norm, unit_vector


@dataclasses.dataclass(frozen=True)
class RxSO3(SO3):
    """Scalings and rotations of space: the quaternions other than 0, up to sign.

    Element q = sqrt(r) (w, x, y, z), which scales by r = |q|^2. Algebra [log r, ω]. Transitive
    on space without the origin, with representative (0, 0, 1), whose stabiliser is the rotations
    about z. At the origin, a fixed point, ``section`` is the identity.
    """

    is_compact: ClassVar[bool] = False

    @property
    def algebra_dim(self) -> int:
        return 4

    @property
    def orbit_dim(self) -> int:
        return 0

    def exp(self, a):
        a = _check.last_axes("RxSO3.exp", "a", a, (4,))
        return jnp.exp(a[..., :1] / 2) * quaternion.exp(a[..., 1:])

    def log(self, g):
        """[log |q|^2, ω], the angle in [0, π]; at π the sign of q decides between ω and -ω."""
        r, _ = self._split("log", g)
        return jnp.concatenate([jnp.log(r), quaternion.log(g)], axis=-1)

    def inverse(self, g):
        r, _ = self._split("inverse", g)
        return quaternion.inverse(g) / r

    def adjoint(self, g):
        _, unit = self._split("adjoint", g)
        rotation = quaternion.to_matrix(unit)
        column = jnp.zeros_like(rotation[..., :1])
        rest = jnp.concatenate([column, rotation], axis=-1)
        first = jnp.zeros_like(rest[..., :1, :]).at[..., 0].set(1)
        return jnp.concatenate([first, rest], axis=-2)

    def act(self, g, x):
        r, unit = self._split("act", g)
        return r * quaternion.act(unit, _check.last_axes("RxSO3.act", "x", x, (3,)))

    def section(self, x):
        """The scaling by |x| after the shortest rotation of the z axis to x."""
        x = _check.last_axes("RxSO3.section", "x", x, (3,))
        direction = unit_vector(x, (0.0, 0.0, 1.0))
        r = jnp.sum(direction * x, axis=-1, keepdims=True)  # |x|
        is_zero = r < float(jnp.finfo(x.dtype).tiny) ** 0.3
        return jnp.sqrt(jnp.where(is_zero, 1, r)) * quaternion.from_z_axis(direction)

    def orbit(self, x):
        return _check.last_axes("RxSO3.orbit", "x", x, (3,))[..., :0]

    def to_matrix(self, g):
        """r R."""
        r, unit = self._split("to_matrix", g)
        return r[..., None] * quaternion.to_matrix(unit)

    def from_matrix(self, matrix):
        matrix = _check.last_axes("RxSO3.from_matrix", "matrix", matrix, (3, 3))
        r = safe_norm(matrix[..., 0], keepdims=True)
        return jnp.sqrt(r) * quaternion.from_matrix(matrix / r[..., None])

    def hat(self, a):
        a = _check.last_axes("RxSO3.hat", "a", a, (4,))
        return a[..., :1, None] * jnp.eye(3, dtype=a.dtype) + quaternion.hat(a[..., 1:])

    def vee(self, matrix):
        matrix = _check.last_axes("RxSO3.vee", "matrix", matrix, (3, 3))
        return jnp.concatenate([matrix[..., 0, :1], quaternion.vee(matrix)], axis=-1)

    def haar(self, key, shape=(), dtype=None):
        return Group.haar(self, key, shape, dtype)

    def _split(self, where, value):
        """r and the unit quaternion."""
        g = _check.last_axes(f"RxSO3.{where}", "g", value, (4,))
        r = jnp.sum(g * g, axis=-1, keepdims=True)
        return r, g / jnp.sqrt(r)
