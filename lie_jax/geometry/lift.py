"""Lifting: from points of a homogeneous space to the group elements that carry the origin there.

A point x = s(x) x0 is replaced by ``samples`` elements s(x) h, with h in the stabiliser of x0.
Acting with g on the points multiplies the lifted elements by g from the left, up to another
choice of h: a network of ``inverse(g_query) @ g_key`` is then invariant, exactly given the
lifted elements, in expectation over h.

Source: Hutchinson et al., LieTransformer (2021), section 3.1.
"""

from typing import Literal, cast, get_args

import jax
import jax.numpy as jnp

from lie_jax.geometry import sampling
from lie_jax.geometry.frames import FrameMethod, Frames, cloud_frames, draw_frames
from lie_jax.groups import Group
from lie_jax.points import LiftedSet, PointSet
from lie_jax.typing import PRNGKey, Validated

LiftMethod = Literal[
    "random", "shared", "grid", "all", "frame", "weighted_frame", "local_frame", "canonical"
]


def lift(
    group: Group,
    points: PointSet,
    *,
    key: Validated[PRNGKey | None] = None,
    samples: Validated[int | None] = None,
    method: Validated[LiftMethod] = "random",
    random_offset: bool = False,
    frames: Validated[int | None] = None,
) -> LiftedSet:
    """Lifts every point to group elements.

    Args:
        group: the group; its ``space_dim`` is the points' d.
        points: coords (\\*b, n, d), values (\\*b, n, c), mask (\\*b, n).
        key: typed key; needed where the method draws and the stabiliser is not trivial. A
            point's samples depend on the key and on the point's index alone, not on padding
            or batch mates. So with ``"random"`` another order of the points gives other
            samples, and may give others of the drawn ``frames``; with every other method
            the order does not matter.
        samples: lifts per point, s, of the first three methods, by default 1; must be 1 where
            points have a single lift. For ``"weighted_frame"`` the number of anchors, by
            default all points. The others know theirs.
        method: ``"random"`` draws Haar samples of the stabiliser for each point; ``"shared"``
            draws one set for each cloud; ``"grid"`` takes the group's deterministic grid.
            ``"all"`` takes every lift where the stabiliser is finite. The methods from here on
            make a network exactly invariant. They lift by frames of the cloud, see
            `lie_jax.geometry.frames`; each frame is a cloud of its own, with one lift per
            point, and outputs are averaged over frames.
            ``"frame"``: principal axes, 2 or 4 frames in the plane, 4 or 8 in space; one for every
            element of the point group for ``Discrete`` groups.
            ``"weighted_frame"``: one per anchor (in space, per anchor and partner), with weights
            that make the average continuous.
            ``"local_frame"``: each point has its own, from its neighbours.
            ``"canonical"``: one frame, the cheapest.
        random_offset: multiply each cloud's grid by one Haar sample (``"grid"`` only).
        frames: how many of a cloud's frames are drawn, by their weights; None takes all. Drawn
            ones make a network invariant on average only: one for training costs what one lift
            costs, and the trained network may be used with all. Gradients with respect to
            coordinates do not see that weights change.

    Returns:
        LiftedSet of m = n s elements, point-major, sample-minor; of m = n elements per frame
        where the method is one of frames.

    Raises:
        ValueError: wrong dimension, method or number of samples, or no key where one is needed.
        TypeError: ``key`` is not a typed key.
        NotImplementedError: no frames are known for the group.
    """
    if points.coords.shape[-1] != group.space_dim:
        raise ValueError(
            f"lift: points.coords must have shape (*b, n, {group.space_dim}) for {group}, "
            f"got {points.coords.shape}"
        )
    if method not in get_args(LiftMethod):
        raise ValueError(f"lift: method must be one of {get_args(LiftMethod)}, got {method!r}")
    if samples is not None and (not isinstance(samples, int) or samples < 1):
        raise ValueError(f"lift: samples must be an integer of at least 1, got {samples!r}")
    if random_offset and method != "grid":
        raise ValueError(f'lift: random_offset needs method="grid", got method={method!r}')
    if frames is not None:
        if not isinstance(frames, int) or frames < 1:
            raise ValueError(f"lift: frames must be an integer of at least 1, got {frames!r}")
        if method not in get_args(FrameMethod):
            raise ValueError(
                f"lift: frames needs a method of {get_args(FrameMethod)}, got method={method!r}"
            )
    if method in get_args(FrameMethod):
        if samples not in (None, 1) and method != "weighted_frame":
            raise ValueError(
                f"lift: samples must be left out with method={method!r}, got {samples}"
            )
        if group.has_stabiliser:
            found = _frames(group, points, key, samples, cast(FrameMethod, method), frames)
            return lift_in_frames(group, points, found)
        samples = None  # one lift per point, which moves with the points as it is
    if method == "all":
        samples, method = _count_all(group, samples), "grid"
    samples = samples or 1
    if samples > 1 and not group.has_stabiliser:
        raise ValueError(
            f"lift: samples must be 1 for {group}, under which every point has one lift, "
            f"got {samples}"
        )

    elements = group.section(points.coords)  # (*b, n, *g)
    elements = jnp.expand_dims(elements, points.mask.ndim)  # (*b, n, 1, *g)
    if group.has_stabiliser:
        h = _stabiliser_samples(group, points, key, samples, method, random_offset)
        elements = group.compose(elements, h)
    lead = points.mask.shape
    batch, m = lead[:-1], lead[-1] * samples
    return LiftedSet(
        elements=elements.reshape((*batch, m, *group.element_shape)),
        orbit=jnp.repeat(group.orbit(points.coords), samples, axis=-2),
        values=jnp.repeat(points.values, samples, axis=-2),
        mask=jnp.repeat(points.mask, samples, axis=-1),
        samples=samples,
    )


def lift_in_frames(group: Group, points: PointSet, frames: Frames) -> LiftedSet:
    """Lifts every point once per frame F, to F s(F^-1 x).

    Args:
        group: the group.
        points: coords (\\*b, n, d), values (\\*b, n, c), mask (\\*b, n).
        frames: s frames of each cloud, or of each point.

    Returns:
        LiftedSet of batch shape (\\*b, s), with ``frame_weights``.
    """
    seen = group.act(group.inverse(frames.elements), points.coords[..., None, :, :])
    elements = group.compose(frames.elements, group.section(seen))

    def per_frame(x: jax.Array, feature_ndim: int) -> jax.Array:
        x = jnp.expand_dims(x, -feature_ndim - 2)
        shape = (*frames.weights.shape, *x.shape[-feature_ndim - 1 :])
        return jnp.broadcast_to(x, shape)

    return LiftedSet(
        elements=elements,
        orbit=per_frame(group.orbit(points.coords), 1),
        values=per_frame(points.values, 1),
        mask=per_frame(points.mask, 0),
        frame_weights=frames.weights,
    )


def _frames(group, points, key, anchors, method, count) -> Frames:
    """All frames of the clouds, or ``count`` of them."""
    if count is None:
        return cloud_frames(group, points, method, anchors)
    key = sampling.check_key("lift", key)
    return draw_frames(key, cloud_frames(group, points, method, anchors), count)


def _count_all(group: Group, samples: int | None) -> int:
    order = group.stabiliser_order
    if order is None:
        raise ValueError(
            f'lift: method="all" needs a finite stabiliser, {group} has infinitely many lifts '
            "of a point: take frames or another method, or a Discrete subgroup"
        )
    if samples not in (None, 1, order):
        raise ValueError(
            f'lift: samples must be left out with method="all" (there are {order} for '
            f"{group}), got {samples}"
        )
    return order


def _stabiliser_samples(group, points, key, samples, method, random_offset) -> jax.Array:
    """Elements h that broadcast against (\\*b, n, s, \\*g)."""
    dtype = points.coords.dtype
    batch = points.mask.shape[:-1]
    if method == "grid":
        grid = group.stabiliser_grid(samples, dtype)
        if not random_offset:
            return grid
        key = sampling.check_key("lift", key)
        offset = sampling.per_index(lambda k: group.stabiliser(k, (1, 1), dtype), key, batch)
        return group.compose(offset, grid)
    key = sampling.check_key("lift", key)
    if method == "shared":
        return sampling.per_index(lambda k: group.stabiliser(k, (1, samples), dtype), key, batch)
    return sampling.per_index(
        lambda k: group.stabiliser(k, (samples,), dtype), key, points.mask.shape
    )
