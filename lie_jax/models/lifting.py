"""What the models on lifted points share: their lifts, and what batch and frame axes need."""

import dataclasses
import math
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jax.core import Tracer

from lie_jax import geometry
from lie_jax.geometry import EmbeddingName, LiftMethod, Neighbourhood, PairEmbedding
from lie_jax.geometry.embeddings import resolve_embedding
from lie_jax.groups import Group
from lie_jax.models.neighbours import NeighbourConfig, find_neighbours
from lie_jax.points import LiftedSet, PointSet
from lie_jax.typing import Array, PRNGKey, Validated


@runtime_checkable  # tests check types at run time
class LiftOptions(Protocol):
    """The options of a model's config that say how points are lifted and paired."""

    @property
    def in_channels(self) -> int: ...
    @property
    def lift_samples(self) -> int | None: ...
    @property
    def lift_method(self) -> LiftMethod: ...
    @property
    def lift_random_offset(self) -> bool: ...
    @property
    def lift_frames(self) -> int | None: ...
    @property
    def pair_embedding(self) -> EmbeddingName | PairEmbedding: ...
    @property
    def neighbours(self) -> NeighbourConfig: ...


def check_group(where: str, group: Validated[Group], config: LiftOptions) -> None:
    """Raises unless ``group`` is a group for which the config's pairs exist.

    Raises:
        TypeError: ``group`` is not a Group, for instance a class instead of an instance.
        ValueError: the config needs logarithms, and not every element of ``group`` has one.
    """
    if not isinstance(group, Group):
        raise TypeError(
            f"{where}: group must be a lie_jax.groups.Group such as T(3), got {group!r}"
        )
    if group.exp_is_surjective:
        return
    reason = f"not every element of {group} has a logarithm (exp_is_surjective is False)"
    if resolve_embedding(config.pair_embedding).needs_log:
        raise ValueError(
            f'{where}: pair_embedding must not be "log", for {reason}: take pair_embedding="matrix"'
        )
    if config.neighbours.method in ("nearest", "ball"):
        raise ValueError(
            f'{where}: neighbours must have method "all" or "random", got '
            f'"{config.neighbours.method}", whose distances are lengths of logarithms, and {reason}'
        )


def check_points(where: str, points: PointSet, in_channels: int) -> None:
    """Raises ValueError for another number of features or, outside jit, NaN and infinity."""
    if points.values.shape[-1] != in_channels:
        raise ValueError(
            f"{where}: points.values must have shape (*b, n, {in_channels})"
            f", got {points.values.shape}"
        )
    if not any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(points)):
        points.check_finite()


def lift_points(
    where: str,
    group: Group,
    points: PointSet,
    config: LiftOptions,
    key: Validated[PRNGKey | None],
) -> tuple[LiftedSet, PRNGKey | None]:
    """The lifted points, and the key of their neighbours."""
    check_points(where, points, config.in_channels)
    lift_key = neighbour_key = key
    if key is not None and config.neighbours.method == "random":
        lift_key, neighbour_key = jax.random.split(key)
    return lift_as(config, group, points, lift_key), neighbour_key


def lift_as(
    config: LiftOptions, group: Group, points: PointSet, key: Validated[PRNGKey | None]
) -> LiftedSet:
    """`lie_jax.geometry.lift` with a config's options."""
    return geometry.lift(
        group,
        points,
        key=key,
        samples=config.lift_samples,
        method=config.lift_method,
        random_offset=config.lift_random_offset,
        frames=config.lift_frames,
    )


def run_lifted(
    where: str,
    group: Group,
    lifted: LiftedSet,
    config: LiftOptions,
    key: Validated[PRNGKey | None],
    network: Callable[[LiftedSet, Neighbourhood | None], Array],
) -> Array:
    """The network's outputs for every cloud, averaged over frames, in the dtype of the values.

    Args:
        where: the model, for messages.
        group: the group.
        lifted: m lifted points, (\\*b) clouds, perhaps in frames.
        config: of the model.
        key: of random neighbours.
        network: of (b, m) lifted points without frames, and their neighbours.
    """
    batch, weights, dtype = lifted.mask.shape[:-1], lifted.frame_weights, lifted.values.dtype
    neighbourhood = find_neighbours(where, group, lifted, config.neighbours, key)
    lifted = dataclasses.replace(lifted, frame_weights=None)
    if len(batch) > 1:
        # One batch axis: XLA lays out what has more of them worse (10 % of a training step).
        lifted, neighbourhood = jax.tree.map(
            lambda x: x.reshape(math.prod(batch), *x.shape[len(batch) :]),
            (lifted, neighbourhood),
        )
    # Or else XLA would compute a point's elements anew for each of its pairs.
    lifted = jax.lax.optimization_barrier(lifted)
    y = network(lifted, neighbourhood)
    y = y.reshape(*batch, *y.shape[1:]) if len(batch) > 1 else y
    if weights is not None:
        axis = weights.ndim - 1
        weights = jnp.expand_dims(weights, tuple(range(axis + 1, y.ndim)))
        y = jnp.sum(weights.astype(y.dtype) * y, axis=axis)
    return y.astype(dtype)
