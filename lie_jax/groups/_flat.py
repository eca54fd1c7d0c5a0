"""Elements of any group as vectors: what products of groups are made of."""

import math

from lie_jax.groups.base import Group
from lie_jax.typing import Array


def flat(group: Group, g: Array) -> Array:
    """Elements as vectors."""
    return g.reshape(*g.shape[: g.ndim - len(group.element_shape)], size(group))


def shaped(group: Group, g: Array) -> Array:
    """Vectors as elements."""
    return g.reshape(*g.shape[:-1], *group.element_shape)


def size(group: Group) -> int:
    return math.prod(group.element_shape)
