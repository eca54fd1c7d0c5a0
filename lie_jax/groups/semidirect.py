"""Semidirect products of all translations with a group of linear maps."""

import dataclasses

import jax
import jax.numpy as jnp

from lie_jax.groups import _check
from lie_jax.groups._flat import flat, shaped, size
from lie_jax.groups.base import Group
from lie_jax.groups.matrix_functions import apply, homogeneous, phi
from lie_jax.numerics import safe_norm
from lie_jax.typing import Array, PRNGKey, Shape, Validated


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
        return (size(self.linear) + self.linear.matrix_dim,)

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
        return self.linear.has_stabiliser if self.with_vector else size(self.linear) > 0

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
        return jnp.concatenate([flat(self.linear, h), t], axis=-1)

    def _from_linear(self, h: Array) -> Array:
        h = flat(self.linear, h)
        zero = jnp.zeros((*h.shape[:-1], self.linear.matrix_dim), h.dtype)
        return jnp.concatenate([h, zero], axis=-1)

    def _split(self, where: str, name: str, value: Validated[Array]) -> tuple[Array, Array]:
        value = _check.last_axes(f"SemidirectProduct.{where}", name, value, self.element_shape)
        count = size(self.linear)
        return shaped(self.linear, value[..., :count]), value[..., count:]

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
