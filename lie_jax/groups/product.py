"""Direct products of any groups, and semidirect products with translations.

Their elements are flat: the raw arrays of the factors, one after the other. A semidirect product
of two matrix groups in general is `lie_jax.groups.from_generators` of both sets of generators.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp

from lie_jax.groups import _check
from lie_jax.groups.base import Group
from lie_jax.groups.matrix_functions import apply, homogeneous, phi
from lie_jax.numerics import safe_norm
from lie_jax.typing import Array, PRNGKey, Shape, Validated


def _flat(group: Group, g: Array) -> Array:
    """Elements as vectors."""
    return g.reshape(*g.shape[: g.ndim - len(group.element_shape)], _size(group))


def _shaped(group: Group, g: Array) -> Array:
    """Vectors as elements."""
    return g.reshape(*g.shape[:-1], *group.element_shape)


def _size(group: Group) -> int:
    return math.prod(group.element_shape)


def _corner(a: Array, b: Array) -> Array:
    """The block diagonal matrix of two."""
    r, c = a.shape[-1], b.shape[-1]
    zero = jnp.zeros((*a.shape[:-2], r, c), a.dtype)
    top = jnp.concatenate([a, zero], axis=-1)
    bottom = jnp.concatenate([jnp.swapaxes(zero, -1, -2), b], axis=-1)
    return jnp.concatenate([top, bottom], axis=-2)


@dataclasses.dataclass(frozen=True)
class DirectProduct(Group):
    """Pairs (g, h) of two groups that act on R^(d_g + d_h), each on its part.

    Every map is that of the factors, side by side.

    Args:
        first, second: the factors.
    """

    first: Group
    second: Group

    @property
    def is_abelian(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.first.is_abelian and self.second.is_abelian

    @property
    def is_compact(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.first.is_compact and self.second.is_compact

    @property
    def log_is_additive(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.first.log_is_additive and self.second.log_is_additive

    @property
    def exp_is_surjective(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.first.exp_is_surjective and self.second.exp_is_surjective

    @property
    def algebra_dim(self) -> int:
        return self.first.algebra_dim + self.second.algebra_dim

    @property
    def orbit_dim(self) -> int:
        return self.first.orbit_dim + self.second.orbit_dim

    @property
    def space_dim(self) -> int:
        return self.first.space_dim + self.second.space_dim

    @property
    def element_shape(self) -> Shape:
        return (_size(self.first) + _size(self.second),)

    @property
    def matrix_dim(self) -> int:
        return self.first.matrix_dim + self.second.matrix_dim

    @property
    def component_dim(self) -> int:
        return self.first.component_dim + self.second.component_dim

    @property
    def has_lift(self) -> bool:
        return self.first.has_lift and self.second.has_lift

    @property
    def has_stabiliser(self) -> bool:
        return self.first.has_stabiliser or self.second.has_stabiliser

    @property
    def stabiliser_order(self) -> int | None:
        orders = self.first.stabiliser_order, self.second.stabiliser_order
        return None if None in orders else math.prod(o for o in orders if o)

    def identity(self, shape: Shape = (), dtype=None):
        return self._join(self.first.identity(shape, dtype), self.second.identity(shape, dtype))

    def compose(self, g, h):
        (g1, g2), (h1, h2) = self._split("compose", "g", g), self._split("compose", "h", h)
        return self._join(self.first.compose(g1, h1), self.second.compose(g2, h2))

    def inverse(self, g):
        g1, g2 = self._split("inverse", "g", g)
        return self._join(self.first.inverse(g1), self.second.inverse(g2))

    def exp(self, a):
        a1, a2 = self._algebra("exp", a)
        return self._join(self.first.exp(a1), self.second.exp(a2))

    def log(self, g):
        g1, g2 = self._split("log", "g", g)
        return jnp.concatenate([self.first.log(g1), self.second.log(g2)], axis=-1)

    def adjoint(self, g):
        g1, g2 = self._split("adjoint", "g", g)
        return _corner(self.first.adjoint(g1), self.second.adjoint(g2))

    def component(self, g):
        g1, g2 = self._split("component", "g", g)
        return jnp.concatenate([self.first.component(g1), self.second.component(g2)], axis=-1)

    def act(self, g, x):
        (g1, g2), (x1, x2) = self._split("act", "g", g), self._space("act", x)
        return jnp.concatenate([self.first.act(g1, x1), self.second.act(g2, x2)], axis=-1)

    def section(self, x):
        x1, x2 = self._space("section", x)
        return self._join(self.first.section(x1), self.second.section(x2))

    def orbit(self, x):
        x1, x2 = self._space("orbit", x)
        return jnp.concatenate([self.first.orbit(x1), self.second.orbit(x2)], axis=-1)

    def stabiliser(self, key: PRNGKey, shape: Shape = (), dtype=None):
        k1, k2 = jax.random.split(key)
        return self._join(
            self.first.stabiliser(k1, shape, dtype), self.second.stabiliser(k2, shape, dtype)
        )

    def stabiliser_grid(self, count: int, dtype=None):
        """The product of two grids, the first ``count`` of it: of all, or of about equal sizes."""
        orders = self.first.stabiliser_order, self.second.stabiliser_order
        rows = orders[0] or math.ceil(count / (orders[1] or math.ceil(math.sqrt(count))))
        columns = math.ceil(count / rows)
        i, j = jnp.divmod(jnp.arange(count), columns)
        return self._join(
            self.first.stabiliser_grid(rows, dtype)[i],
            self.second.stabiliser_grid(columns, dtype)[j],
        )

    def to_matrix(self, g):
        """The block diagonal matrix of both."""
        g1, g2 = self._split("to_matrix", "g", g)
        return _corner(self.first.to_matrix(g1), self.second.to_matrix(g2))

    def from_matrix(self, matrix):
        m1, m2 = self._blocks("from_matrix", matrix)
        return self._join(self.first.from_matrix(m1), self.second.from_matrix(m2))

    def hat(self, a):
        a1, a2 = self._algebra("hat", a)
        return _corner(self.first.hat(a1), self.second.hat(a2))

    def vee(self, matrix):
        m1, m2 = self._blocks("vee", matrix)
        return jnp.concatenate([self.first.vee(m1), self.second.vee(m2)], axis=-1)

    def distance(self, g, h):
        relative = self.compose(self.inverse(g), h)
        apart = jnp.sum(self.component(relative) != 1, axis=-1)
        return safe_norm(self.log(relative)) + apart

    def haar(self, key: PRNGKey, shape: Shape = (), dtype=None):
        """Samples of both factors.

        Raises:
            ValueError: one of them is not compact.
        """
        k1, k2 = jax.random.split(key)
        return self._join(self.first.haar(k1, shape, dtype), self.second.haar(k2, shape, dtype))

    def _join(self, g: Array, h: Array) -> Array:
        return jnp.concatenate([_flat(self.first, g), _flat(self.second, h)], axis=-1)

    def _split(self, where: str, name: str, value: Validated[Array]) -> tuple[Array, Array]:
        value = _check.last_axes(f"DirectProduct.{where}", name, value, self.element_shape)
        g, h = value[..., : _size(self.first)], value[..., _size(self.first) :]
        return _shaped(self.first, g), _shaped(self.second, h)

    def _algebra(self, where: str, value: Validated[Array]) -> tuple[Array, Array]:
        value = _check.last_axes(f"DirectProduct.{where}", "a", value, (self.algebra_dim,))
        return value[..., : self.first.algebra_dim], value[..., self.first.algebra_dim :]

    def _space(self, where: str, value: Validated[Array]) -> tuple[Array, Array]:
        value = _check.last_axes(f"DirectProduct.{where}", "x", value, (self.space_dim,))
        return value[..., : self.first.space_dim], value[..., self.first.space_dim :]

    def _blocks(self, where: str, value: Validated[Array]) -> tuple[Array, Array]:
        shape, r = (self.matrix_dim,) * 2, self.first.matrix_dim
        value = _check.last_axes(f"DirectProduct.{where}", "matrix", value, shape)
        return value[..., :r, :r], value[..., r:, r:]


@dataclasses.dataclass(frozen=True)
class SemidirectProduct(Group):
    """All translations of R^r together with a group H of r x r matrices: x -> h x + t.

    Element: (h, t), flat. Algebra: (a, u), matrix [[hat(a), u], [0, 0]], so that
    exp(a, u) = (exp a, φ u) with φ = (e^hat(a) - 1)/hat(a), and log (h, t) = (log h, φ^-1 t).

    Space is R^r, one orbit; the stabiliser of the origin is H, of which samples exist if H is
    compact. With ``with_vector`` a point carries, beside its place, a point of the space that H
    itself acts on: a velocity, a momentum, a frame. Translations leave that part alone. It then
    lifts as it does to H, which needs no compact H.

    Args:
        linear: H; acts on R^r by ``to_matrix``, r = ``linear.matrix_dim``.
        with_vector: space is R^r x (the space of H) instead of R^r.
    """

    linear: Group
    with_vector: bool = False

    @property
    def exp_is_surjective(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.linear.exp_is_surjective

    @property
    def algebra_dim(self) -> int:
        return self.linear.algebra_dim + self.linear.matrix_dim

    @property
    def orbit_dim(self) -> int:
        return self.linear.orbit_dim if self.with_vector else 0

    @property
    def space_dim(self) -> int:
        return self.linear.matrix_dim + (self.linear.space_dim if self.with_vector else 0)

    @property
    def element_shape(self) -> Shape:
        return (_size(self.linear) + self.linear.matrix_dim,)

    @property
    def matrix_dim(self) -> int:
        return self.linear.matrix_dim + 1

    @property
    def component_dim(self) -> int:
        return self.linear.component_dim

    @property
    def has_lift(self) -> bool:
        return self.linear.has_lift if self.with_vector else self.linear.is_compact

    @property
    def has_stabiliser(self) -> bool:
        return self.linear.has_stabiliser if self.with_vector else _size(self.linear) > 0

    @property
    def stabiliser_order(self) -> int | None:
        if self.with_vector or not self.has_stabiliser:
            return self.linear.stabiliser_order if self.with_vector else 1
        return None

    def identity(self, shape: Shape = (), dtype=None):
        return self._from_linear(self.linear.identity(shape, dtype))

    def compose(self, g, h):
        (h1, t1), (h2, t2) = self._split("compose", "g", g), self._split("compose", "h", h)
        moved = apply(self.linear.to_matrix(h1), t2) + t1
        return self._join(self.linear.compose(h1, h2), moved)

    def inverse(self, g):
        h, t = self._split("inverse", "g", g)
        h = self.linear.inverse(h)
        return self._join(h, -apply(self.linear.to_matrix(h), t))

    def exp(self, a):
        a, u = self._algebra("exp", a)
        return self._join(self.linear.exp(a), apply(phi(self.linear.hat(a)), u))

    def log(self, g):
        """(log h, φ^-1 t); where H is not connected, the part of h in its identity component."""
        h, t = self._split("log", "g", g)
        a = self.linear.log(h)
        u = jnp.linalg.solve(phi(self.linear.hat(a)), t[..., None])[..., 0]
        return jnp.concatenate([a, u], axis=-1)

    def adjoint(self, g):
        """[[Ad_h, 0], [-hat(Ad_h e_i) t, h]]."""
        h, t = self._split("adjoint", "g", g)
        rotated = self.linear.adjoint(h)
        columns = self.linear.hat(jnp.swapaxes(rotated, -1, -2))  # (..., a, r, r)
        mixed = -jnp.swapaxes(apply(columns, t[..., None, :]), -1, -2)
        zero = jnp.zeros_like(jnp.swapaxes(mixed, -1, -2))
        top = jnp.concatenate([rotated, zero], axis=-1)
        bottom = jnp.concatenate([mixed, self.linear.to_matrix(h)], axis=-1)
        return jnp.concatenate([top, bottom], axis=-2)

    def component(self, g):
        return self.linear.component(self._split("component", "g", g)[0])

    def act(self, g, x):
        h, t = self._split("act", "g", g)
        place, vector = self._space("act", x)
        place = apply(self.linear.to_matrix(h), place) + t
        if not self.with_vector:
            return place
        return jnp.concatenate([place, self.linear.act(h, vector)], axis=-1)

    def section(self, x):
        """The translation to the place, after H's section of the vector if there is one."""
        place, vector = self._space("section", x)
        if self.with_vector:
            return self._join(self.linear.section(vector), place)
        return self._join(self.linear.identity(place.shape[:-1], place.dtype), place)

    def orbit(self, x):
        place, vector = self._space("orbit", x)
        return self.linear.orbit(vector) if self.with_vector else place[..., :0]

    def stabiliser(self, key: PRNGKey, shape: Shape = (), dtype=None):
        if self.with_vector:
            return self._from_linear(self.linear.stabiliser(key, shape, dtype))
        self._need_compact("stabiliser")
        return self._from_linear(self.linear.haar(key, shape, dtype))

    def stabiliser_grid(self, count: int, dtype=None):
        """H's grid for the vector; without a vector the identity, then fixed samples of H."""
        if self.with_vector:
            return self._from_linear(self.linear.stabiliser_grid(count, dtype))
        self._need_compact("stabiliser_grid")
        one = self.linear.identity((1,), dtype)
        rest = self.linear.haar(jax.random.key(0), (count,), dtype)
        return self._from_linear(jnp.concatenate([one, rest])[:count])

    def _need_compact(self, where: str):
        if not self.linear.is_compact:
            raise NotImplementedError(
                f"{self}.{where}: {self.linear}, the stabiliser of a place, is not compact and has "
                "no uniform distribution; let points carry a vector too: with_vector=True"
            )

    def to_matrix(self, g):
        """[[h, t], [0, 1]]."""
        h, t = self._split("to_matrix", "g", g)
        return homogeneous(self.linear.to_matrix(h), t, 1)

    def from_matrix(self, matrix):
        linear, t = self._blocks("from_matrix", matrix)
        return self._join(self.linear.from_matrix(linear), t)

    def hat(self, a):
        a, u = self._algebra("hat", a)
        return homogeneous(self.linear.hat(a), u, 0)

    def vee(self, matrix):
        linear, u = self._blocks("vee", matrix)
        return jnp.concatenate([self.linear.vee(linear), u], axis=-1)

    def distance(self, g, h):
        relative = self.compose(self.inverse(g), h)
        apart = jnp.sum(self.component(relative) != 1, axis=-1)
        return safe_norm(self.log(relative)) + apart

    def _join(self, h: Array, t: Array) -> Array:
        return jnp.concatenate([_flat(self.linear, h), t], axis=-1)

    def _from_linear(self, h: Array) -> Array:
        flat = _flat(self.linear, h)
        zero = jnp.zeros((*flat.shape[:-1], self.linear.matrix_dim), flat.dtype)
        return jnp.concatenate([flat, zero], axis=-1)

    def _split(self, where: str, name: str, value: Validated[Array]) -> tuple[Array, Array]:
        value = _check.last_axes(f"SemidirectProduct.{where}", name, value, self.element_shape)
        size = _size(self.linear)
        return _shaped(self.linear, value[..., :size]), value[..., size:]

    def _algebra(self, where: str, value: Validated[Array]) -> tuple[Array, Array]:
        value = _check.last_axes(f"SemidirectProduct.{where}", "a", value, (self.algebra_dim,))
        return value[..., : self.linear.algebra_dim], value[..., self.linear.algebra_dim :]

    def _space(self, where: str, value: Validated[Array]) -> tuple[Array, Array]:
        value = _check.last_axes(f"SemidirectProduct.{where}", "x", value, (self.space_dim,))
        return value[..., : self.linear.matrix_dim], value[..., self.linear.matrix_dim :]

    def _blocks(self, where: str, value: Validated[Array]) -> tuple[Array, Array]:
        shape = (self.matrix_dim, self.matrix_dim)
        value = _check.last_axes(f"SemidirectProduct.{where}", "matrix", value, shape)
        return value[..., :-1, :-1], value[..., :-1, -1]
