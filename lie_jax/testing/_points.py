"""Where in space a group is tried."""

from collections.abc import Callable
from functools import cache
from typing import Any

import jax

from lie_jax.groups.base import Group
from lie_jax.typing import Array, PRNGKey, Shape

PointSampler = Callable[[PRNGKey, Shape, Any], Array]
"""(key, shape, dtype) to points (*shape, d)."""


@cache
def normal_points(group: Group) -> PointSampler:
    """Points of a standard normal; one function per group, being a static argument."""

    def sample(key: PRNGKey, shape: Shape, dtype) -> Array:
        return jax.random.normal(key, (*shape, group.space_dim), dtype)

    return sample
