"""Frames: elements of a group that move with the cloud.

A frame F of the points X satisfies F(g X) = g F(X). Seen from it, F^-1 X, the cloud is the same
however it was moved. So the lift x -> F s(F^-1 x), with any section s, moves with the points, and
what is computed from it is exactly invariant, where random lifts are so only on average.

A frame is found in two steps: one element that moves with the cloud and normalises it (to its
centroid, and where the group scales, to size 1), then rotations of what is left, by one of the
methods in `lie_jax.geometry.poses`. Where only finitely many rotations are left, all are taken.
"""

import dataclasses
from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp

from lie_jax.geometry import poses, sampling
from lie_jax.groups import Group
from lie_jax.points import PointSet
from lie_jax.typing import Array, Float, PRNGKey, Validated

FrameMethod = Literal["frame", "weighted_frame", "local_frame", "canonical"]


class Frames(NamedTuple):
    """Elements that move with a cloud.

    Args:
        elements: (\\*b, s, 1, \\*g); (\\*b, s, n, \\*g) where every point has its own.
        weights: (\\*b, s), not negative, of sum 1.
    """

    elements: Float[Array, "..."]
    weights: Float[Array, "*b s"]


@dataclasses.dataclass(frozen=True)
class FrameRule:
    """How a group's frames come about.

    Args:
        normalise: (points) -> element (\\*b, \\*g): one that moves with the points.
        vectors: normalised coordinates (\\*b, n, d) -> (\\*b, n, 2 or 3), which ``embed(R)``
            rotates by R.
        embed: rotation matrices (\\*b, k, k) -> elements (\\*b, \\*g).
        reflects: whether ``embed`` takes reflections too.
    """

    normalise: Callable[[PointSet], Array]
    vectors: Callable[[Array], Array]
    embed: Callable[[Array], Array]
    reflects: bool


@dataclasses.dataclass(frozen=True)
class FiniteFrameRule:
    """How the frames of a group come about whose stabiliser is finite: ``"frame"`` takes all of it.

    Args:
        normalise: (points) -> element (\\*b, \\*g): one that moves with the points.
        elements: (dtype) -> the stabiliser, (s, \\*g).
    """

    normalise: Callable[[PointSet], Array]
    elements: Callable[[jax.typing.DTypeLike], Array]


Rule = FrameRule | FiniteFrameRule
_RULES: dict[type[Group] | Group, Callable[[Group], Rule]] = {}


def register_frames(kind: type[Group] | Group, rule: Callable[[Group], Rule]) -> None:
    """Makes the frame methods of `lie_jax.lift` known for a group or a class of groups.

    Args:
        kind: the group, or the class.
        rule: gives the rule of the group, or of one of the class's.
    """
    _RULES[kind] = rule


def has_frames(group: Group, method: FrameMethod = "frame") -> bool:
    """Whether a frame method is known for a group."""
    make_rule = _RULES.get(group, _RULES.get(type(group)))
    if make_rule is None:
        return False
    return method == "frame" or not isinstance(make_rule(group), FiniteFrameRule)


def cloud_frames(
    group: Group,
    points: PointSet,
    method: FrameMethod,
    anchors: Validated[int | None] = None,
) -> Frames:
    """The frames of a cloud.

    Args:
        group: the group.
        points: coords (\\*b, n, d), mask (\\*b, n).
        method: see `lie_jax.lift`.
        anchors: of `lie_jax.geometry.poses.weighted`; None for all points.

    Raises:
        NotImplementedError: no rule is known for the group, or not by that method.
        ValueError: unknown method.
    """
    if method not in get_args(FrameMethod):
        raise ValueError(
            f"cloud_frames: method must be one of {get_args(FrameMethod)}, got {method!r}"
        )
    make_rule = _RULES.get(group, _RULES.get(type(group)))
    if make_rule is None:
        known = ", ".join(k.__name__ if isinstance(k, type) else str(k) for k in _RULES)
        raise NotImplementedError(
            f"cloud_frames: no frames are known for {group}, only for {known}; add yours with "
            "geometry.register_frames, or lift with geometry.lift_in_frames"
        )
    rule = make_rule(group)
    base = rule.normalise(points)
    axis = base.ndim - len(group.element_shape)
    if isinstance(rule, FiniteFrameRule):
        if method != "frame":
            raise NotImplementedError(
                f'cloud_frames: method must be "frame" for {group}, whose frames are its finite '
                f"stabiliser whatever the cloud, got {method!r}"
            )
        elements = rule.elements(base.dtype)
        elements = group.compose(jnp.expand_dims(base, axis), elements)
        count = elements.shape[axis]
        weights = jnp.full(elements.shape[: axis + 1], 1 / count, base.dtype)
        return Frames(jnp.expand_dims(elements, axis + 1), weights)
    to_base = group.inverse(jnp.expand_dims(base, axis))
    y = rule.vectors(group.act(to_base, points.coords))
    if method == "weighted_frame":
        found = poses.weighted(y, points.mask, rule.reflects, anchors)
    else:
        find = {"frame": poses.principal, "canonical": poses.canonical, "local_frame": poses.local}
        found = find[method](y, points.mask, rule.reflects)
    base = jnp.expand_dims(base, (axis, axis + 1))
    return Frames(group.compose(base, rule.embed(found.rotations)), found.weights)


def draw_frames(key: PRNGKey, frames: Frames, count: int) -> Frames:
    """Some of the frames, by chance, so that averages over them are right in expectation.

    Each cloud's draw depends on the key and on the cloud's index alone. Where all weigh the same
    and ``count`` is their number, each is drawn once.

    Args:
        key: typed key.
        frames: s of each cloud.
        count: how many to draw.

    Returns:
        ``count`` frames of equal weights.

    Source: systematic sampling (Madow and Madow, 1944); to draw one frame in training is Duval et
    al., FAENet (2023).
    """
    *batch, s = frames.weights.shape
    dtype = frames.weights.dtype
    start = sampling.per_index(lambda k: jax.random.uniform(k, (), dtype), key, tuple(batch))
    # Never 1, whatever the rounding: the last frame of all may weigh nothing.
    places = jnp.minimum((start[..., None] + jnp.arange(count)) / count, 1 - jnp.finfo(dtype).eps)
    below = jnp.cumsum(frames.weights, axis=-1)
    index = jnp.sum(below[..., None, :] <= places[..., None] * below[..., -1:, None], axis=-1)
    index = jnp.minimum(index, s - 1)

    def take(elements, index):
        return elements[index]

    for _ in batch:
        take = jax.vmap(take)
    weights = jnp.full((*batch, count), 1 / count, dtype)
    return Frames(take(frames.elements, index), weights)
