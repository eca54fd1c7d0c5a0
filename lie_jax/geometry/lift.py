"""Lifting: from points of a homogeneous space to the group elements that carry the origin there.

A point x = s(x) x0 is replaced by ``samples`` elements s(x) h, with h in the stabiliser of x0.
Acting with g on the points multiplies the lifted elements by g from the left, up to another
choice of h: a network of ``inverse(g_query) @ g_key`` is then invariant, exactly given the
lifted elements, in expectation over h.

Source: Hutchinson et al., LieTransformer (2021), section 3.1.
"""

from typing import Literal, get_args

import jax
import jax.numpy as jnp

from lie_jax.geometry import sampling
from lie_jax.groups import Group
from lie_jax.points import LiftedSet, PointSet
from lie_jax.typing import PRNGKey, Validated

LiftMethod = Literal["random", "shared", "grid", "all"]


def lift(
    group: Group,
    points: PointSet,
    *,
    key: Validated[PRNGKey | None] = None,
    samples: int = 1,
    method: Validated[LiftMethod] = "random",
    random_offset: bool = False,
) -> LiftedSet:
    """Lifts every point to ``samples`` group elements.

    Args:
        group: the group; its ``space_dim`` is the points' d.
        points: coords (\\*b, n, d), values (\\*b, n, c), mask (\\*b, n).
        key: typed key; needed where the method draws and the stabiliser is not trivial. A
            point's samples depend on the key and on the point's index alone, not on padding
            or batch mates. So with ``"random"`` another order of the points gives other
            samples; with ``"shared"`` and ``"grid"`` the order does not matter.
        samples: lifts per point, s; must be 1 where points have a single lift, and with
            ``"all"``, which counts them itself.
        method: ``"random"`` draws Haar samples of the stabiliser for each point; ``"shared"``
            draws one set for each cloud; ``"grid"`` takes the group's deterministic grid;
            ``"all"`` takes every lift where the stabiliser is finite, so that invariance to the
            group is exact.
        random_offset: multiply each cloud's grid by one Haar sample (``"grid"`` only).

    Returns:
        LiftedSet of m = n s elements, point-major, sample-minor.

    Raises:
        ValueError: wrong dimension, method or number of samples, or no key where one is needed.
        TypeError: ``key`` is not a typed key.
    """
    if points.coords.shape[-1] != group.space_dim:
        raise ValueError(
            f"lift: points.coords must have shape (*b, n, {group.space_dim}) for {group}, "
            f"got {points.coords.shape}"
        )
    if method not in get_args(LiftMethod):
        raise ValueError(f"lift: method must be one of {get_args(LiftMethod)}, got {method!r}")
    if not isinstance(samples, int) or samples < 1:
        raise ValueError(f"lift: samples must be an integer of at least 1, got {samples!r}")
    if samples > 1 and not group.has_stabiliser:
        raise ValueError(
            f"lift: samples must be 1 for {group}, under which every point has one lift, "
            f"got {samples}"
        )
    if method == "all":
        order = group.stabiliser_order
        if order is None:
            raise ValueError(
                f'lift: method="all" needs a finite stabiliser, {group} has infinitely many lifts '
                'of a point: use "random", "shared" or "grid", or a Discrete subgroup'
            )
        if samples not in (1, order):
            raise ValueError(
                f'lift: samples must be left out with method="all" (there are {order} for '
                f"{group}), got {samples}"
            )
        samples, method = order, "grid"
    if random_offset and method != "grid":
        raise ValueError(f'lift: random_offset needs method="grid", got method={method!r}')

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
