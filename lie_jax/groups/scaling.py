"""R>0, the positive numbers under multiplication, with two actions: scaling and squeezing.

Element: the number itself, (1,), so that composition and action are single products without
exp or log. Algebra: its logarithm (1,). Both groups are abelian, connected and not compact.

`Scaling` multiplies every coordinate of R^n by r; `Squeeze` keeps areas: (x, y) goes to
(s x, y / s).
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
def scaling_section(x: Float[Array, "*b n"]) -> tuple[Float[Array, "*b 1"], Float[Array, "*b n"]]:
    """Length |x| and direction x / |x|, without overflow or underflow; at 0: 1 and 0.

    Derivatives at 0 are 0; elsewhere they are those of the formulas, to every order.
    """
    # |x| does not depend on the unit it is measured in, so the unit carries no derivative.
    unit = lax.stop_gradient(jnp.max(jnp.abs(x), axis=-1, keepdims=True))
    is_zero = unit == 0
    unit = jnp.where(is_zero, 1, unit)
    relative = x / unit
    squared = jnp.sum(relative * relative, axis=-1, keepdims=True)
    length = jnp.sqrt(jnp.where(is_zero, 1, squared))
    return unit * length, jnp.where(is_zero, 0, relative / length)


@checked
def squeeze_section(
    x: Float[Array, "*b 2"],
) -> tuple[Float[Array, "*b 1"], Float[Array, "*b 2"]]:
    """The squeeze s that carries the representative of x's orbit to x, and the representative.

    ==============  ==============  ===================================
    point           s               representative
    ==============  ==============  ===================================
    x != 0, y != 0  sqrt(|x / y|)   sqrt(|x y|) (sign x, sign y)
    x != 0, y = 0   |x|             (sign x, 0)
    x = 0, y != 0   1 / |y|         (0, sign y)
    0               1               0
    ==============  ==============  ===================================

    ``(s, 1/s) * representative == x`` everywhere. Each half of each axis is an orbit of its
    own, on which the representative jumps: derivatives there are those along the axis, and
    the others are 0.
    """
    sign = jnp.sign(x)
    is_zero = x == 0
    size = jnp.where(is_zero, 1, x * sign)
    root = jnp.sqrt(size)
    on_axis = jnp.any(is_zero, axis=-1, keepdims=True)
    s = jnp.where(on_axis, size[..., :1] / size[..., 1:], root[..., :1] / root[..., 1:])
    return s, sign * jnp.where(on_axis, 1, root[..., :1] * root[..., 1:])


class _Positive(Group):
    """What every action of R>0 has in common: all but act, section, orbit and matrices."""

    is_abelian: ClassVar[bool] = True
    log_is_additive: ClassVar[bool] = True

    @property
    def algebra_dim(self) -> int:
        return 1

    @property
    def orbit_dim(self) -> int:
        return self.space_dim

    @property
    def element_shape(self) -> Shape:
        return (1,)

    @property
    def matrix_dim(self) -> int:
        return self.space_dim

    @property
    def has_stabiliser(self) -> bool:
        return False

    def identity(self, shape: Shape = (), dtype=None):
        return jnp.ones((*shape, 1), _check.float_dtype(dtype))

    def compose(self, g, h):
        return self._number("compose", "g", g) * self._number("compose", "h", h)

    def inverse(self, g):
        return 1 / self._number("inverse", "g", g)

    def exp(self, a):
        return jnp.exp(self._number("exp", "a", a))

    def log(self, g):
        """The logarithm of the number; NaN or infinite if it is not positive."""
        return jnp.log(self._number("log", "g", g))

    def adjoint(self, g):
        return jnp.ones_like(self._number("adjoint", "g", g))[..., None]

    def from_matrix(self, matrix):
        return self._matrix("from_matrix", matrix)[..., 0, :1]

    def vee(self, matrix):
        return self._matrix("vee", matrix)[..., 0, :1]

    def distance(self, g, h):
        return safe_norm(self.log(self.compose(self.inverse(g), h)))

    def _number(self, where: str, name: str, value: Validated[Array]) -> Array:
        return _check.last_axes(f"{self}.{where}", name, value, (1,))

    def _point(self, where: str, value: Validated[Array]) -> Array:
        return _check.last_axes(f"{self}.{where}", "x", value, (self.space_dim,))

    def _matrix(self, where: str, value: Validated[Array]) -> Array:
        shape = (self.space_dim, self.space_dim)
        return _check.last_axes(f"{self}.{where}", "matrix", value, shape)


def _diagonal(values: Float[Array, "*b r"]) -> Float[Array, "*b r r"]:
    return values[..., None] * jnp.eye(values.shape[-1], dtype=values.dtype)


@dataclasses.dataclass(frozen=True)
class Scaling(_Positive):
    """R>0 acting on R^n by x -> r x.

    Orbits are the rays from 0, named by their direction x / |x|, which is also the
    representative; ``section(x)`` is |x|. The origin is the singular orbit: it has direction
    0 and section 1, and derivatives there are 0.

    Args:
        n: dimension of the space, at least 1.
    """

    n: Validated[int]

    def __post_init__(self):
        if not (isinstance(self.n, int) and self.n >= 1):
            raise ValueError(f"Scaling: n must be an integer of at least 1, got {self.n!r}")

    @property
    def space_dim(self) -> int:
        return self.n

    def act(self, g, x):
        return self._number("act", "g", g) * self._point("act", x)

    def section(self, x):
        return scaling_section(self._point("section", x))[0]

    def orbit(self, x):
        return scaling_section(self._point("orbit", x))[1]

    def to_matrix(self, g):
        """r times the unit matrix."""
        g = self._number("to_matrix", "g", g)
        return _diagonal(jnp.broadcast_to(g, (*g.shape[:-1], self.n)))

    def hat(self, a):
        """log r times the unit matrix."""
        a = self._number("hat", "a", a)
        return _diagonal(jnp.broadcast_to(a, (*a.shape[:-1], self.n)))


@dataclasses.dataclass(frozen=True)
class Squeeze(_Positive):
    """R>0 acting on the plane by (x, y) -> (s x, y / s).

    Orbits are the branches of the hyperbolas x y = constant, the four half axes and the
    origin; ``orbit(x)`` is the representative, (sign x, sign y) sqrt(|x y|) off the axes,
    (sign x, 0) and (0, sign y) on them. See `squeeze_section`.
    """

    @property
    def space_dim(self) -> int:
        return 2

    def act(self, g, x):
        g, x = self._number("act", "g", g), self._point("act", x)
        return jnp.concatenate([g * x[..., :1], x[..., 1:] / g], axis=-1)

    def section(self, x):
        return squeeze_section(self._point("section", x))[0]

    def orbit(self, x):
        return squeeze_section(self._point("orbit", x))[1]

    def to_matrix(self, g):
        """diag(s, 1/s)."""
        g = self._number("to_matrix", "g", g)
        return _diagonal(jnp.concatenate([g, 1 / g], axis=-1))

    def hat(self, a):
        """diag(log s, -log s)."""
        a = self._number("hat", "a", a)
        return _diagonal(jnp.concatenate([a, -a], axis=-1))
