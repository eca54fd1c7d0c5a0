"""Which keys each query sees: the choice, and how it is found for a lifted cloud."""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp

from lie_jax import geometry
from lie_jax.attention.config import check_option, check_positive
from lie_jax.geometry import Neighbourhood
from lie_jax.geometry.sampling import check_key
from lie_jax.groups import Group
from lie_jax.points import LiftedSet
from lie_jax.typing import PRNGKey, Validated, unchecked

NeighbourName = Literal["all", "nearest", "ball", "random"]


@unchecked
@dataclasses.dataclass(frozen=True)
class NeighbourConfig:
    """Which keys each query attends to.

    Args:
        method: ``"all"``; the ``"nearest"`` ``count``; at most ``count`` within ``radius``
            (``"ball"``, the nearest of them); or ``count`` drawn at ``"random"`` with the
            model's key.
        count: k.
        radius: of the ball, in the unit of `lie_jax.geometry.pair_distance`.
        algebra_weights, orbit_weight: of that distance.
    """

    method: NeighbourName = "all"
    count: int = 32
    radius: float | None = None
    algebra_weights: tuple[float, ...] | None = None
    orbit_weight: float = 1.0

    def __post_init__(self):
        check_option("NeighbourConfig", "method", self.method, NeighbourName)
        check_positive("NeighbourConfig", count=self.count)
        if (self.method == "ball") != (self.radius is not None):
            raise ValueError(
                'NeighbourConfig: radius must be given for method="ball" and only for it, got '
                f"radius={self.radius!r} with method={self.method!r}"
            )


def find_neighbours(
    where: str,
    group: Group,
    lifted: LiftedSet,
    choice: NeighbourConfig,
    key: Validated[PRNGKey | None],
) -> Neighbourhood | None:
    """The neighbourhood of every lifted point; None for all keys.

    Args:
        where: who asks, for the message.
        group: the group.
        lifted: m lifted points.
        choice: see `NeighbourConfig`.
        key: typed key, for ``method="random"``.

    Raises:
        ValueError: no key where one is needed.
    """
    if choice.method == "all":
        return None
    if lifted.frame_weights is not None:
        # The same for every frame: only rounding, or another draw, could tell them apart.
        axis, count = lifted.frame_weights.ndim - 1, lifted.frame_weights.shape[-1]
        one = jax.tree.map(lambda x: jnp.take(x, 0, axis=axis), lifted)
        one = dataclasses.replace(one, frame_weights=None)
        found = find_neighbours(where, group, one, choice, key)
        return jax.tree.map(lambda x: jnp.stack([x] * count, axis=axis), found)
    if choice.method == "random":
        key = check_key(where, key)
        return geometry.random_subset(key, lifted.mask, choice.count, lifted.mask.shape[-1])
    distance = {
        "algebra_weights": choice.algebra_weights,
        "orbit_weight": choice.orbit_weight,
    }
    if choice.method == "nearest":
        return geometry.search_nearest(group, lifted, choice.count, **distance)
    assert choice.radius is not None
    return geometry.search_ball(group, lifted, choice.radius, choice.count, **distance)
