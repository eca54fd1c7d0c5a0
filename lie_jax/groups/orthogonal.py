"""O(2), O(3), E(2), E(3): rotations and motions in which a reflection is an element.

Each is its identity component C (SO(2), SO(3), SE(2), SE(3)) together with one fixed
reflection P of space: every element is h or h P with h in C, and P h P^-1 is in C again.

Element: the raw array of h, then one entry s: +1 for h, -1 for h P. The reflection is
P = diag(1, -1) in the plane and P = -I in space, so that

* O(2): (cos, sin, s) is R(theta) diag(1, s); E(2): (cos, sin, x, y, s), translation last;
* O(3): (w, x, y, z, s) is s R(q); E(3): (w, x, y, z, t, s) maps v to s R(q) v + t.

The logarithm is that of h, so that (log, component) = (log h, s) determines the element, and
log on C itself is C's own. exp lands in C.

In all of C's coordinates conjugation by P changes signs and nothing else. Hence everything
below is exact, and one class serves the four groups: they differ in the signs.
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from lie_jax.groups import _check, quaternion
from lie_jax.groups.base import Group
from lie_jax.groups.se2 import SE2
from lie_jax.groups.se3 import SE3
from lie_jax.groups.so2 import SO2
from lie_jax.groups.so3 import SO3
from lie_jax.typing import Array, Float, PRNGKey, Shape, Validated

Signs = tuple[int, ...]


def reflect(
    s: Float[Array, "*#b"], value: Float[Array, "*#b k"], signs: Signs
) -> Float[Array, "*b k"]:
    """P applied to ``value`` where s = -1, P being multiplication by ``signs``."""
    flips = jnp.asarray(signs, value.dtype)
    return jnp.where(s[..., None] < 0, flips * value, value)


@dataclasses.dataclass(frozen=True)
class _WithReflection(Group):
    """The group of h and h P; a subclass says what C and P are.

    ``mirror`` is the rotation m for which m P leaves the orbits' representative where it is.
    """

    connected: ClassVar[Group]
    element_signs: ClassVar[Signs]
    algebra_signs: ClassVar[Signs]
    space_signs: ClassVar[Signs]
    mirror: ClassVar[tuple[float, ...]]

    @property
    def algebra_dim(self) -> int:
        return self.connected.algebra_dim

    @property
    def orbit_dim(self) -> int:
        return self.connected.orbit_dim

    @property
    def space_dim(self) -> int:
        return self.connected.space_dim

    @property
    def element_shape(self) -> Shape:
        return (len(self.element_signs) + 1,)

    @property
    def matrix_dim(self) -> int:
        return self.connected.matrix_dim

    @property
    def component_dim(self) -> int:
        return 1

    def identity(self, shape: Shape = (), dtype=None):
        return _join(self.connected.identity(shape, dtype))

    def compose(self, g, h):
        (g, s), (h, t) = self._split("compose", "g", g), self._split("compose", "h", h)
        return _join(self.connected.compose(g, reflect(s, h, self.element_signs)), s * t)

    def inverse(self, g):
        g, s = self._split("inverse", "g", g)
        return _join(reflect(s, self.connected.inverse(g), self.element_signs), s)

    def exp(self, a):
        """The element of C, s = +1."""
        return _join(self.connected.exp(self._vector("exp", "a", a, self.algebra_dim)))

    def log(self, g):
        """The logarithm of h, where g is h or h P."""
        return self.connected.log(self._split("log", "g", g)[0])

    def adjoint(self, g):
        g, s = self._split("adjoint", "g", g)
        matrix = self.connected.adjoint(g)
        return reflect(s[..., None], matrix, self.algebra_signs)

    def component(self, g):
        """[s]: +1 in C, -1 outside."""
        return self._split("component", "g", g)[1][..., None]

    def act(self, g, x):
        g, s = self._split("act", "g", g)
        x = self._vector("act", "x", x, self.space_dim)
        return self.connected.act(g, reflect(s, x, self.space_signs))

    def section(self, x):
        """C's own section, s = +1."""
        return _join(self.connected.section(self._vector("section", "x", x, self.space_dim)))

    def orbit(self, x):
        return self.connected.orbit(self._vector("orbit", "x", x, self.space_dim))

    def stabiliser(self, key: PRNGKey, shape: Shape = (), dtype=None):
        """Haar samples of the representative's stabiliser, a reflection with probability 1/2."""
        return self._mirror_half(self.connected.stabiliser, key, shape, dtype)

    def stabiliser_grid(self, count: int, dtype=None):
        """C's grid of half as many elements, each followed by its mirror image."""
        g = _join(self.connected.stabiliser_grid((count + 1) // 2, dtype))
        both = jnp.stack([g, self.compose(g, self._mirror(g.dtype))], axis=1)
        return both.reshape(-1, *self.element_shape)[:count]

    def to_matrix(self, g):
        g, s = self._split("to_matrix", "g", g)
        return reflect(s[..., None], self.connected.to_matrix(g), self._matrix_signs)

    def from_matrix(self, matrix):
        matrix = self._matrix("from_matrix", matrix)
        s = jnp.where(_determinant(matrix[..., : self.space_dim, : self.space_dim]) < 0, -1, 1)
        s = s.astype(matrix.dtype)
        rest = reflect(s[..., None], matrix, self._matrix_signs)
        return _join(self.connected.from_matrix(rest), s)

    def hat(self, a):
        return self.connected.hat(self._vector("hat", "a", a, self.algebra_dim))

    def vee(self, matrix):
        return self.connected.vee(self._matrix("vee", matrix))

    def distance(self, g, h):
        """C's distance of the parts in C, plus 1 if only one of g and h reflects."""
        relative, s = self._split("distance", "g", self.compose(self.inverse(g), h))
        one = self.connected.identity((), relative.dtype)
        return self.connected.distance(one, relative) + jnp.where(s < 0, 1, 0)

    def haar(self, key: PRNGKey, shape: Shape = (), dtype=None):
        """Samples of the uniform measure; a reflection with probability 1/2.

        Raises:
            ValueError: the group is not compact.
        """
        if not self.is_compact:
            return super().haar(key, shape, dtype)
        return self._mirror_half(self.connected.haar, key, shape, dtype)

    def _mirror_half(self, sample, key: PRNGKey, shape: Shape, dtype) -> Array:
        rotation_key, coin_key = jax.random.split(key)
        g = _join(sample(rotation_key, shape, dtype))
        coin = jax.random.bernoulli(coin_key, shape=(*shape, 1))
        return jnp.where(coin, self.compose(g, self._mirror(g.dtype)), g)

    def _mirror(self, dtype) -> Array:
        return jnp.asarray((*self.mirror, -1), dtype)

    @property
    def _matrix_signs(self) -> Signs:
        return self.space_signs + (1,) * (self.matrix_dim - self.space_dim)

    def _split(self, where: str, name: str, value: Validated[Array]) -> tuple[Array, Array]:
        value = self._vector(where, name, value, len(self.element_signs) + 1)
        return value[..., :-1], value[..., -1]

    def _vector(self, where: str, name: str, value: Validated[Array], size: int) -> Array:
        return _check.last_axes(f"{type(self).__name__}.{where}", name, value, (size,))

    def _matrix(self, where: str, value: Validated[Array]) -> Array:
        shape = (self.matrix_dim, self.matrix_dim)
        return _check.last_axes(f"{type(self).__name__}.{where}", "matrix", value, shape)


@dataclasses.dataclass(frozen=True)
class O2(_WithReflection):
    """Rotations of the plane and reflections in lines through 0.

    Element (cos, sin, s) = R(theta) diag(1, s). Orbits are circles, named by |x|; the
    stabiliser of (r, 0) is {1, diag(1, -1)}.
    """

    is_compact: ClassVar[bool] = True
    connected: ClassVar[Group] = SO2()
    element_signs: ClassVar[Signs] = (1, -1)
    algebra_signs: ClassVar[Signs] = (-1,)
    space_signs: ClassVar[Signs] = (1, -1)
    mirror: ClassVar[tuple[float, ...]] = (1, 0)

    @property
    def stabiliser_order(self) -> int | None:
        return 2


@dataclasses.dataclass(frozen=True)
class O3(_WithReflection):
    """Rotations of space and their products with the inversion -I.

    Element (w, x, y, z, s) = s R(q). Orbits are spheres, named by |x|; the stabiliser of
    (0, 0, r) is the O(2) of rotations about z and reflections in planes that contain z.
    """

    is_compact: ClassVar[bool] = True
    connected: ClassVar[Group] = SO3()
    element_signs: ClassVar[Signs] = (1, 1, 1, 1)
    algebra_signs: ClassVar[Signs] = (1, 1, 1)
    space_signs: ClassVar[Signs] = (-1, -1, -1)
    # Half a turn about x, then -I: the reflection diag(-1, 1, 1), which keeps z.
    mirror: ClassVar[tuple[float, ...]] = (0, 1, 0, 0)

    def log(self, g):
        """The logarithm of h; a half turn has the same axis whatever the rounding.

        Every reflection in a plane is a half turn times -I, and any two lifts of a point with
        opposite signs differ by one.
        """
        return quaternion.log(self._split("log", "g", g)[0], one_side=True)


@dataclasses.dataclass(frozen=True)
class E2(_WithReflection):
    """Motions of the plane: rotations, reflections, translations and their products.

    Element (cos, sin, x, y, s): v goes to R(theta) diag(1, s) v + (x, y). Transitive; the
    stabiliser of 0 is O(2).
    """

    connected: ClassVar[Group] = SE2()
    element_signs: ClassVar[Signs] = (1, -1, 1, -1)
    algebra_signs: ClassVar[Signs] = (-1, 1, -1)
    space_signs: ClassVar[Signs] = (1, -1)
    mirror: ClassVar[tuple[float, ...]] = (1, 0, 0, 0)


@dataclasses.dataclass(frozen=True)
class E3(_WithReflection):
    """Motions of space: rotations, reflections, translations and their products.

    Element (w, x, y, z, t_x, t_y, t_z, s): v goes to s R(q) v + t. Transitive; the stabiliser
    of 0 is O(3).
    """

    connected: ClassVar[Group] = SE3()
    element_signs: ClassVar[Signs] = (1, 1, 1, 1, -1, -1, -1)
    algebra_signs: ClassVar[Signs] = (1, 1, 1, -1, -1, -1)
    space_signs: ClassVar[Signs] = (-1, -1, -1)
    mirror: ClassVar[tuple[float, ...]] = (1, 0, 0, 0, 0, 0, 0)


def _join(h: Float[Array, "*b k"], s: Float[Array, "*b"] | None = None) -> Float[Array, "*b g"]:
    """The element's raw array from its part in C and its sign, +1 if not given."""
    if s is None:
        s = jnp.ones(h.shape[:-1], h.dtype)
    s = jnp.broadcast_to(s.astype(h.dtype), h.shape[:-1])
    return jnp.concatenate([h, s[..., None]], axis=-1)


def _determinant(m: Float[Array, "*b d d"]) -> Float[Array, "*b"]:
    if m.shape[-1] == 2:
        return m[..., 0, 0] * m[..., 1, 1] - m[..., 0, 1] * m[..., 1, 0]
    return jnp.sum(m[..., 0] * jnp.cross(m[..., 1], m[..., 2]), axis=-1)
