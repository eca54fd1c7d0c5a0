"""R*xSO(2), scalings and rotations of the plane: the complex numbers other than 0.

Element: (a, b) = r (cos theta, sin theta), the complex number a + i b. Algebra:
[log r, theta]. Matrix: [[a, -b], [b, a]]. The action on R^2 without 0 is transitive and free;
0 is a fixed point.
"""

import dataclasses
from typing import ClassVar

import jax.numpy as jnp
from jax import lax

from lie_jax.groups import _check
from lie_jax.groups._check import checked
from lie_jax.groups.base import Group
from lie_jax.numerics import safe_norm
from lie_jax.typing import Array, Float, Shape, Validated


@checked
def compose(g: Float[Array, "*#b 2"], h: Float[Array, "*#b 2"]) -> Float[Array, "*#b 2"]:
    """The product of two complex numbers."""
    a, b = g[..., 0], g[..., 1]
    x, y = h[..., 0], h[..., 1]
    return jnp.stack([a * x - b * y, b * x + a * y], axis=-1)


@checked
def act(g: Float[Array, "*#b 2"], x: Float[Array, "*#b 2"]) -> Float[Array, "*#b 2"]:
    """The product g x, x being a point of the plane."""
    return compose(g, x)


@checked
def inverse(g: Float[Array, "*b 2"]) -> Float[Array, "*b 2"]:
    """(a, -b) / (a^2 + b^2), without overflow."""
    # The quotient does not depend on the unit, so the unit carries no derivative.
    unit = lax.stop_gradient(jnp.max(jnp.abs(g), axis=-1, keepdims=True))
    g = g / unit
    conjugate = jnp.stack([g[..., 0], -g[..., 1]], axis=-1)
    return conjugate / (jnp.sum(g * g, axis=-1, keepdims=True) * unit)


@checked
def exp(a: Float[Array, "*b 2"]) -> Float[Array, "*b 2"]:
    """e^(log r) (cos theta, sin theta)."""
    r, theta = jnp.exp(a[..., :1]), a[..., 1]
    return r * jnp.stack([jnp.cos(theta), jnp.sin(theta)], axis=-1)


@checked
def log(g: Float[Array, "*b 2"]) -> Float[Array, "*b 2"]:
    """[log |g|, angle of g], the angle in [-pi, pi]: pi on the negative axis, -pi if b is -0.

    log |g| = log m + log1p((l / m)^2) / 2 with m and l the larger and the smaller of |a| and
    |b|, which neither overflows nor loses digits where |g| is close to 1.
    """
    a, b = g[..., 0], g[..., 1]
    steep = jnp.abs(b) > jnp.abs(a)
    larger, smaller = jnp.where(steep, b, a), jnp.where(steep, a, b)
    log_r = jnp.log(jnp.abs(larger)) + jnp.log1p((smaller / larger) ** 2) / 2
    unit = lax.stop_gradient(jnp.abs(larger))
    return jnp.stack([log_r, jnp.arctan2(b / unit, a / unit)], axis=-1)


@checked
def to_matrix(g: Float[Array, "*b 2"]) -> Float[Array, "*b 2 2"]:
    """[[a, -b], [b, a]]."""
    a, b = g[..., 0], g[..., 1]
    return jnp.stack([jnp.stack([a, -b], axis=-1), jnp.stack([b, a], axis=-1)], axis=-2)


@checked
def hat(a: Float[Array, "*b 2"]) -> Float[Array, "*b 2 2"]:
    """[[log r, -theta], [theta, log r]]."""
    return to_matrix(a)


@checked
def section(x: Float[Array, "*b 2"]) -> Float[Array, "*b 2"]:
    """The element that carries (1, 0) to x, which is x itself; the identity at 0."""
    is_zero = jnp.all(x == 0, axis=-1, keepdims=True)
    return jnp.where(is_zero, jnp.asarray([1, 0], x.dtype), x)


@dataclasses.dataclass(frozen=True)
class RxSO2(Group):
    """Scalings and rotations of the plane about 0.

    Transitive on the plane without 0, with representative (1, 0). At 0, a fixed point,
    ``section`` is the identity and derivatives are 0.
    """

    is_abelian: ClassVar[bool] = True

    @property
    def algebra_dim(self) -> int:
        return 2

    @property
    def orbit_dim(self) -> int:
        return 0

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
        """[log r, theta], theta in [-pi, pi]; see `log` of the module."""
        return log(g)

    def adjoint(self, g):
        g = _check.last_axes("RxSO2.adjoint", "g", g, (2,))
        return jnp.broadcast_to(jnp.eye(2, dtype=g.dtype), (*g.shape, 2))

    def act(self, g, x):
        return act(g, x)

    def section(self, x):
        return section(x)

    def orbit(self, x):
        return _check.last_axes("RxSO2.orbit", "x", x, (2,))[..., :0]

    def to_matrix(self, g):
        return to_matrix(g)

    def from_matrix(self, matrix):
        return _matrix("from_matrix", matrix)[..., 0]

    def hat(self, a):
        return hat(a)

    def vee(self, matrix):
        return _matrix("vee", matrix)[..., 0]

    def distance(self, g, h):
        return safe_norm(self.log(self.compose(self.inverse(g), h)))


def _matrix(where: str, value: Validated[Array]) -> Array:
    return _check.last_axes(f"RxSO2.{where}", "matrix", value, (2, 2))
