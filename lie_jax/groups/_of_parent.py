"""A group whose elements are another's, and whose maps are the other's unless it has its own."""

import dataclasses

from lie_jax.groups.base import Group
from lie_jax.typing import PRNGKey, Shape


@dataclasses.dataclass(frozen=True)
class OfParent(Group):
    """All maps of ``parent``, for a subclass to replace some.

    Args:
        parent: the other group.
    """

    parent: Group

    # Class attributes of a group; here they depend on the parent.
    @property
    def is_abelian(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.parent.is_abelian

    @property
    def is_compact(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.parent.is_compact

    @property
    def log_is_additive(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.parent.log_is_additive

    @property
    def exp_is_surjective(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.parent.exp_is_surjective

    @property
    def algebra_dim(self) -> int:
        return self.parent.algebra_dim

    @property
    def orbit_dim(self) -> int:
        return self.parent.orbit_dim

    @property
    def space_dim(self) -> int:
        return self.parent.space_dim

    @property
    def element_shape(self) -> Shape:
        return self.parent.element_shape

    @property
    def matrix_dim(self) -> int:
        return self.parent.matrix_dim

    @property
    def component_dim(self) -> int:
        return self.parent.component_dim

    @property
    def has_lift(self) -> bool:
        return self.parent.has_lift

    @property
    def has_stabiliser(self) -> bool:
        return self.parent.has_stabiliser

    @property
    def stabiliser_order(self) -> int | None:
        return self.parent.stabiliser_order

    def identity(self, shape: Shape = (), dtype=None):
        return self.parent.identity(shape, dtype)

    def compose(self, g, h):
        return self.parent.compose(g, h)

    def inverse(self, g):
        return self.parent.inverse(g)

    def exp(self, a):
        return self.parent.exp(a)

    def log(self, g):
        return self.parent.log(g)

    def adjoint(self, g):
        return self.parent.adjoint(g)

    def component(self, g):
        return self.parent.component(g)

    def act(self, g, x):
        return self.parent.act(g, x)

    def section(self, x):
        return self.parent.section(x)

    def orbit(self, x):
        return self.parent.orbit(x)

    def stabiliser(self, key: PRNGKey, shape: Shape = (), dtype=None):
        return self.parent.stabiliser(key, shape, dtype)

    def stabiliser_grid(self, count: int, dtype=None):
        return self.parent.stabiliser_grid(count, dtype)

    def to_matrix(self, g):
        return self.parent.to_matrix(g)

    def from_matrix(self, matrix):
        return self.parent.from_matrix(matrix)

    def hat(self, a):
        return self.parent.hat(a)

    def vee(self, matrix):
        return self.parent.vee(matrix)

    def distance(self, g, h):
        return self.parent.distance(g, h)

    def haar(self, key: PRNGKey, shape: Shape = (), dtype=None):
        return self.parent.haar(key, shape, dtype)
