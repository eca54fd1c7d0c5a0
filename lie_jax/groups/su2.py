"""SU(2), the unit quaternions, acting on C^2 = R^4."""

import dataclasses

import jax.numpy as jnp

from lie_jax.groups import _check, quaternion
from lie_jax.groups.so3 import SO3
from lie_jax.numerics import safe_norm, unit_vector


@dataclasses.dataclass(frozen=True)
class SU2(SO3):
    """The unit quaternions, which act on R^4, read as quaternions, by multiplication from the left.

    Elements (w, x, y, z), of which q and -q differ. Algebra ω, so that exp(ω) lies above the
    rotation by ω; its length goes up to 2 π. Orbits are the spheres, named by |x|; a point off the
    origin has one lift. Branch: at -1 the logarithm is 2 π about x.
    """

    @property
    def space_dim(self) -> int:
        return 4

    @property
    def matrix_dim(self) -> int:
        return 4

    @property
    def has_stabiliser(self) -> bool:
        return False

    def log(self, g):
        """Twice the rotation vector of q's square root, (1 + w, v) normalised."""
        g = _check.last_axes("SU2.log", "g", g, (4,))
        w, v = g[..., :1], g[..., 1:]
        cancels = jnp.sum(v * v, axis=-1, keepdims=True) / (1 + jnp.abs(w))
        root = jnp.concatenate([jnp.where(w < 0, cancels, 1 + w), v], axis=-1)
        return 2 * quaternion.log(unit_vector(root, (0.0, 1.0, 0.0, 0.0)))

    def act(self, g, x):
        return self.compose(g, _check.last_axes("SU2.act", "x", x, (4,)))

    def section(self, x):
        """x / |x|; the identity at the origin."""
        return unit_vector(_check.last_axes("SU2.section", "x", x, (4,)), (1.0, 0.0, 0.0, 0.0))

    def orbit(self, x):
        return safe_norm(_check.last_axes("SU2.orbit", "x", x, (4,)), keepdims=True)

    def stabiliser(self, key, shape=(), dtype=None):
        del key
        return self.identity(shape, dtype)

    def stabiliser_grid(self, count, dtype=None):
        return self.identity((count,), dtype)

    def to_matrix(self, g):
        """Multiplication from the left."""
        w, x, y, z = jnp.moveaxis(_check.last_axes("SU2.to_matrix", "g", g, (4,)), -1, 0)
        rows = [[w, -x, -y, -z], [x, w, -z, y], [y, z, w, -x], [z, -y, x, w]]
        return jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)

    def from_matrix(self, matrix):
        return _check.last_axes("SU2.from_matrix", "matrix", matrix, (4, 4))[..., 0]

    def hat(self, a):
        a = _check.last_axes("SU2.hat", "a", a, (3,))
        return self.to_matrix(jnp.concatenate([jnp.zeros_like(a[..., :1]), a / 2], axis=-1))

    def vee(self, matrix):
        return 2 * _check.last_axes("SU2.vee", "matrix", matrix, (4, 4))[..., 1:, 0]
