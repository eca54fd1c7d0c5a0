"""T(n), the translations of R^n, and the trivial group.

Element: the translation vector (n,). Algebra: the same vector, so that exp and log are the
identity map. Matrix: homogeneous (n + 1, n + 1). The action on R^n is transitive and free.
"""

import dataclasses
from typing import ClassVar

import jax.numpy as jnp

from lie_jax.groups import _check
from lie_jax.groups._check import checked
from lie_jax.groups.base import Group
from lie_jax.numerics import safe_norm
from lie_jax.typing import Array, Float, PRNGKey, Shape, Validated


@checked
def to_matrix(t: Float[Array, "*b n"]) -> Float[Array, "*b r r"]:
    """The homogeneous matrix [[1, t], [0, 1]]."""
    n = t.shape[-1]
    eye = jnp.broadcast_to(jnp.eye(n + 1, dtype=t.dtype), (*t.shape[:-1], n + 1, n + 1))
    return eye.at[..., :n, n].set(t)


@checked
def hat(a: Float[Array, "*b n"]) -> Float[Array, "*b r r"]:
    """The algebra matrix [[0, a], [0, 0]]."""
    n = a.shape[-1]
    zero = jnp.zeros((*a.shape[:-1], n + 1, n + 1), a.dtype)
    return zero.at[..., :n, n].set(a)


@dataclasses.dataclass(frozen=True)
class T(Group):
    """Translations of R^n.

    Args:
        n: dimension of the space, at least 1.
    """

    n: Validated[int]
    is_abelian: ClassVar[bool] = True
    log_is_additive: ClassVar[bool] = True

    def __post_init__(self):
        if not (isinstance(self.n, int) and self.n >= 1):
            raise ValueError(f"T: n must be an integer of at least 1, got {self.n!r}")

    @property
    def algebra_dim(self) -> int:
        return self.n

    @property
    def orbit_dim(self) -> int:
        return 0

    @property
    def space_dim(self) -> int:
        return self.n

    @property
    def element_shape(self) -> Shape:
        return (self.n,)

    @property
    def matrix_dim(self) -> int:
        return self.n + 1

    @property
    def has_stabiliser(self) -> bool:
        return False

    def identity(self, shape: Shape = (), dtype=None):
        return jnp.zeros((*shape, self.n), _check.float_dtype(dtype))

    def compose(self, g, h):
        return self._vector("compose", "g", g) + self._vector("compose", "h", h)

    def inverse(self, g):
        return -self._vector("inverse", "g", g)

    def exp(self, a):
        return self._vector("exp", "a", a)

    def log(self, g):
        return self._vector("log", "g", g)

    def adjoint(self, g):
        g = self._vector("adjoint", "g", g)
        return jnp.broadcast_to(jnp.eye(self.n, dtype=g.dtype), (*g.shape, self.n))

    def act(self, g, x):
        return self._vector("act", "g", g) + self._vector("act", "x", x)

    def section(self, x):
        return self._vector("section", "x", x)

    def orbit(self, x):
        x = self._vector("orbit", "x", x)
        return jnp.zeros((*x.shape[:-1], 0), x.dtype)

    def to_matrix(self, g):
        return to_matrix(self._vector("to_matrix", "g", g))

    def from_matrix(self, matrix):
        return self._matrix("from_matrix", matrix)[..., : self.n, self.n]

    def hat(self, a):
        return hat(self._vector("hat", "a", a))

    def vee(self, matrix):
        return self._matrix("vee", matrix)[..., : self.n, self.n]

    def distance(self, g, h):
        return safe_norm(self.compose(self.inverse(g), h))

    def _vector(self, where: str, name: str, value: Validated[Array]) -> Array:
        return _check.last_axes(f"T({self.n}).{where}", name, value, (self.n,))

    def _matrix(self, where: str, value: Validated[Array]) -> Array:
        shape = (self.n + 1, self.n + 1)
        return _check.last_axes(f"T({self.n}).{where}", "matrix", value, shape)


@dataclasses.dataclass(frozen=True)
class Trivial(Group):
    """The group of one element: no symmetry, and every point is its own orbit.

    Attention over it sees the absolute coordinates of query and key: the baseline that shows
    what a symmetry buys.

    Args:
        n: dimension of the space, at least 1.
    """

    n: Validated[int]
    is_abelian: ClassVar[bool] = True
    log_is_additive: ClassVar[bool] = True
    is_compact: ClassVar[bool] = True

    def __post_init__(self):
        if not (isinstance(self.n, int) and self.n >= 1):
            raise ValueError(f"Trivial: n must be an integer of at least 1, got {self.n!r}")

    @property
    def algebra_dim(self) -> int:
        return 0

    @property
    def orbit_dim(self) -> int:
        return self.n

    @property
    def space_dim(self) -> int:
        return self.n

    @property
    def element_shape(self) -> Shape:
        return (0,)

    @property
    def matrix_dim(self) -> int:
        return self.n

    @property
    def has_stabiliser(self) -> bool:
        return False

    def identity(self, shape: Shape = (), dtype=None):
        return jnp.zeros((*shape, 0), _check.float_dtype(dtype))

    def compose(self, g, h):
        return self._empty("compose", "g", g) + self._empty("compose", "h", h)

    def inverse(self, g):
        return self._empty("inverse", "g", g)

    def exp(self, a):
        return self._empty("exp", "a", a)

    def log(self, g):
        return self._empty("log", "g", g)

    def adjoint(self, g):
        g = self._empty("adjoint", "g", g)
        return jnp.zeros((*g.shape, 0), g.dtype)

    def act(self, g, x):
        g = self._empty("act", "g", g)
        x = _check.last_axes(f"Trivial({self.n}).act", "x", x, (self.n,))
        batch = jnp.broadcast_shapes(g.shape[:-1], x.shape[:-1])
        return jnp.broadcast_to(x, (*batch, self.n))

    def section(self, x):
        x = _check.last_axes(f"Trivial({self.n}).section", "x", x, (self.n,))
        return x[..., :0]

    def orbit(self, x):
        return _check.last_axes(f"Trivial({self.n}).orbit", "x", x, (self.n,))

    def to_matrix(self, g):
        g = self._empty("to_matrix", "g", g)
        return jnp.broadcast_to(jnp.eye(self.n, dtype=g.dtype), (*g.shape[:-1], self.n, self.n))

    def from_matrix(self, matrix):
        return self._matrix("from_matrix", matrix)[..., 0, :0]

    def hat(self, a):
        a = self._empty("hat", "a", a)
        return jnp.zeros((*a.shape[:-1], self.n, self.n), a.dtype)

    def vee(self, matrix):
        return self._matrix("vee", matrix)[..., 0, :0]

    def distance(self, g, h):
        return jnp.sum(self.compose(g, h), axis=-1)

    def haar(self, key: PRNGKey, shape: Shape = (), dtype=None):
        del key
        return self.identity(shape, dtype)

    def _empty(self, where: str, name: str, value: Validated[Array]) -> Array:
        return _check.last_axes(f"Trivial({self.n}).{where}", name, value, (0,))

    def _matrix(self, where: str, value: Validated[Array]) -> Array:
        return _check.last_axes(f"Trivial({self.n}).{where}", "matrix", value, (self.n, self.n))
