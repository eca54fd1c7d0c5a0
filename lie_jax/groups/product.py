"""Direct products of any groups.

Elements are flat: the raw arrays of the factors, one after the other. A semidirect product
of two matrix groups in general is `lie_jax.groups.from_generators` of both sets of generators.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp

from lie_jax.groups import _check
from lie_jax.groups._flat import flat, shaped, size
from lie_jax.groups.base import Group
from lie_jax.numerics import safe_norm
from lie_jax.typing import Array, PRNGKey, Shape, Validated


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
        return (size(self.first) + size(self.second),)

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
        return jnp.concatenate([flat(self.first, g), flat(self.second, h)], axis=-1)

    def _split(self, where: str, name: str, value: Validated[Array]) -> tuple[Array, Array]:
        value = _check.last_axes(f"DirectProduct.{where}", name, value, self.element_shape)
        g, h = value[..., : size(self.first)], value[..., size(self.first) :]
        return shaped(self.first, g), shaped(self.second, h)

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
