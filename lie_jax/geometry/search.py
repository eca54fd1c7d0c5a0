"""Nearest neighbours of a lifted cloud, in memory linear in its size.

`nearest` and `ball` read them off the matrix of all distances. Here two methods give the same:

* Where the lifted points have *positions*, points of R^d that are no farther apart than
  `pair_distance` says (see `positions`), a tree. Halving the cloud at the median again and again
  leaves boxes of a few dozen points. The queries of one box visit the boxes of keys, the nearest
  first and only those that can hold a neighbour yet, until none is left. That is exact for every
  density, and takes time about linear in the number of points.
* Elsewhere, a scan: all distances of a few queries at a time.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from lie_jax.geometry.pairs import Neighbourhood, pair_elements
from lie_jax.groups import E2, E3, SE2, SE3, Group
from lie_jax.numerics import full_along
from lie_jax.points import LiftedSet, check_mask
from lie_jax.typing import Array, Bool, Float, Int, Validated, unchecked

Distance = Callable[[LiftedSet, LiftedSet], Array]

# Sizes, tuned for 100,000 points of T(3) on a CPU; no result depends on them.
LEAF = 64  # at most so many points in a box
VISITED = 16  # boxes whose points are compared at a time: a selection costs more than distances
CONSIDERED = 64  # nearest boxes among which these are chosen
PAIRS = 2**17  # distances in memory at a time in the tree: what a CPU's cache holds
SCANNED = 2**20  # the same in the scan


@unchecked
@dataclasses.dataclass(frozen=True)
class _Options:
    """What a search was asked for; static."""

    count: int
    radius: int | float
    algebra_weights: tuple[int | float, ...] | None
    orbit_weight: int | float
    recall_target: int | float | None


def search_nearest(
    group: Group,
    lifted: Validated[LiftedSet],
    count: Validated[int],
    *,
    algebra_weights: tuple[int | float, ...] | None = None,
    orbit_weight: int | float = 1.0,
    recall_target: int | float | None = None,
) -> Neighbourhood:
    """The ``count`` nearest real points of each lifted point, itself among them.

    As ``nearest(pair_distance(group, lifted, lifted), lifted.mask, count)``, up to the choice
    among points at equal distance; absent points are given no neighbours, masked indices are 0.

    Args:
        group: the group.
        lifted: m lifted points, with any batch axes.
        count: static size, k. Where the cloud has fewer points, all of them.
        algebra_weights, orbit_weight: see `pair_distance`; static numbers.
        recall_target: where the group gives no positions, find only this share of the neighbours
            (expected), by ``jax.lax.approx_min_k``: faster on a TPU. None finds all.

    Returns:
        Neighbourhood of indices and mask (\\*b, m, min(count, m)), nearest first; choosing has no
        gradient.

    Raises:
        ValueError: count, algebra_weights, orbit_weight or recall_target is out of range.
        TypeError: lifted is not a LiftedSet, or its mask not boolean.
    """
    options = _Options(count, math.inf, algebra_weights, orbit_weight, recall_target)
    return _search(group, lifted, _check("search_nearest", group, lifted, options))


def search_ball(
    group: Group,
    lifted: Validated[LiftedSet],
    radius: int | float,
    count: Validated[int],
    *,
    algebra_weights: tuple[int | float, ...] | None = None,
    orbit_weight: int | float = 1.0,
    recall_target: int | float | None = None,
) -> Neighbourhood:
    """The ``count`` nearest real points within ``radius`` of each lifted point.

    As ``ball(pair_distance(group, lifted, lifted), lifted.mask, radius, count)``; for the rest
    see `search_nearest`.

    Args:
        radius: in the unit of `pair_distance`, positive; a static number.

    Raises:
        ValueError: radius, count, algebra_weights, orbit_weight or recall_target is out of range.
        TypeError: lifted is not a LiftedSet, or its mask not boolean.
    """
    options = _Options(count, radius, algebra_weights, orbit_weight, recall_target)
    return _search(group, lifted, _check("search_ball", group, lifted, options))


def positions(
    group: Group,
    lifted: LiftedSet,
    *,
    algebra_weights: tuple[int | float, ...] | None = None,
    orbit_weight: int | float = 1.0,
) -> Float[Array, "*b m d"] | None:
    """Points of R^d at most as far apart as `pair_distance` says of the lifted points.

    A group that gets positions here is searched by the tree.

    * Where log(g^-1 h) = log h - log g: weighted log and orbit coordinates, side by side; the
      norm of (a, b) is at most |a| + |b|.
    * For motions: the translation, times the smallest weight of its directions. With log(g^-1 h)
      = (ω, u), the difference of the translations is as long as V u, and |V u| <= |u|, because
      V is a mean of rotations.

    Returns:
        (\\*b, m, d), or None where no positions are known.
    """
    if group.log_is_additive and group.component_dim == 0:
        log = group.log(lifted.elements)
        if algebra_weights is not None:
            log = log * jnp.asarray(algebra_weights, log.dtype)
        return jnp.concatenate([log, orbit_weight * lifted.orbit.astype(log.dtype)], axis=-1)
    if isinstance(group, SE2 | SE3 | E2 | E3):
        weight = 1.0
        if algebra_weights is not None:
            weight = min(abs(w) for w in algebra_weights[-group.space_dim :])
        if weight > 0:
            origin = jnp.zeros(group.space_dim, lifted.elements.dtype)
            return weight * group.act(lifted.elements, origin)
    return None


def _check(where: str, group: Group, lifted: Validated[LiftedSet], options: _Options) -> _Options:
    count, weights, recall = options.count, options.algebra_weights, options.recall_target
    if not isinstance(lifted, LiftedSet):
        raise TypeError(f"{where}: lifted must be a LiftedSet, got {type(lifted).__name__}")
    check_mask(where, lifted.mask)
    if not isinstance(count, int) or count < 1:
        raise ValueError(f"{where}: count must be an integer of at least 1, got {count!r}")
    if not options.radius > 0:
        raise ValueError(f"{where}: radius must be positive, got {options.radius!r}")
    if weights is not None:
        if len(weights) != group.algebra_dim:
            raise ValueError(
                f"{where}: algebra_weights must hold {group.algebra_dim} numbers for {group}, "
                f"got {len(weights)}"
            )
        weights = tuple(float(w) for w in weights)
    if not options.orbit_weight >= 0:
        raise ValueError(f"{where}: orbit_weight must be at least 0, got {options.orbit_weight!r}")
    if recall is not None and not 0 < recall <= 1:
        raise ValueError(f"{where}: recall_target must be in (0, 1] or None, got {recall!r}")
    count = min(count, lifted.mask.shape[-1])
    return dataclasses.replace(options, count=count, algebra_weights=weights)


# Compiled as a whole: outside jit, every call would compile its loops again.
@functools.partial(jax.jit, static_argnums=(0, 2))
def _search(group: Group, lifted: LiftedSet, options: _Options) -> Neighbourhood:
    real, batch = lifted.mask, lifted.mask.shape[:-1]
    if not real.size:  # an empty batch
        shape = (*real.shape, options.count)
        return Neighbourhood(jnp.zeros(shape, jnp.int32), jnp.zeros(shape, bool))
    lifted = dataclasses.replace(lifted, values=lifted.values[..., :0])  # not to be moved about
    lifted = jax.tree.map(
        lambda x: lax.stop_gradient(x).reshape(math.prod(batch), *x.shape[len(batch) :]), lifted
    )
    weights = {"algebra_weights": options.algebra_weights, "orbit_weight": options.orbit_weight}
    distance = functools.partial(_distance, group, **weights)
    x = positions(group, lifted, **weights)
    found = _scan(distance, lifted, options) if x is None else _tree(distance, lifted, x, options)
    indices, mask = (values.reshape(*batch, *values.shape[1:]) for values in found)
    mask = mask & real[..., None]
    return Neighbourhood(jnp.where(mask, indices, 0), mask)


def _distance(
    group: Group,
    queries: LiftedSet,
    keys: LiftedSet,
    algebra_weights: tuple[int | float, ...] | None,
    orbit_weight: int | float,
) -> Float[Array, "*b q k"]:
    """`pair_distance`, but for the norm, see `_norm`."""
    elements = pair_elements(group, queries.elements, keys.elements)
    log = group.log(elements)
    if algebra_weights is not None:
        log = log * jnp.asarray(algebra_weights, log.dtype)
    distance = _norm(log)
    if group.component_dim:
        distance = distance + jnp.sum(group.component(elements) != 1, axis=-1)
    if group.orbit_dim:
        difference = queries.orbit[..., :, None, :] - keys.orbit[..., None, :, :]
        distance = distance + orbit_weight * _norm(difference)
    return distance


def _norm(x: Float[Array, "*b d"]) -> Float[Array, "*b"]:
    """The norm, without derivatives, one component after the other.

    XLA compiles a sum over an axis to a loop, which on a CPU is ten times slower than this where
    the axis has three entries.
    """
    squared = jnp.zeros(x.shape[:-1], x.dtype)
    for i in range(x.shape[-1]):
        squared = squared + jnp.square(x[..., i])
    return jnp.sqrt(squared)


# --- tree ----------------------------------------------------------------------------------


class _Boxes(NamedTuple):
    """Boxes with sides along the axes; empty ones are infinitely far from all others."""

    low: Float[Array, "*b d"]
    high: Float[Array, "*b d"]
    reach: Float[Array, "*b"]  # largest coordinate in size

    @staticmethod
    def around(x: Float[Array, "*b i d"], mask: Bool[Array, "*b i"]) -> "_Boxes":
        mask = mask[..., None]
        return _Boxes(
            jnp.min(jnp.where(mask, x, jnp.inf), axis=-2),
            jnp.max(jnp.where(mask, x, -jnp.inf), axis=-2),
            jnp.max(jnp.where(mask, jnp.abs(x), 0), axis=(-2, -1)),
        )

    def gap(self, other: "_Boxes") -> Float[Array, "t i l"]:
        """Less than the distance, if not 0, of points in boxes (t, i, d) and (t, l, d)."""
        (low, high, reach), (low_, high_, reach_) = self, other
        low, high, low_, high_ = low[:, :, None], high[:, :, None], low_[:, None], high_[:, None]
        gap = _norm(jnp.maximum(jnp.maximum(low_ - high, low - high_), 0))
        # Distances are off by a few units in the last place of the coordinates.
        rounding = 16 * float(jnp.finfo(gap.dtype).eps)
        reach = reach[:, :, None] + reach_[:, None]
        return jnp.maximum(gap * (1 - rounding) - rounding * reach, 0)


class _Tree(NamedTuple):
    """The leaves of all clouds' trees, one after the other, (t, i, ...)."""

    place: Int[Array, "t i"]  # the points' places in their clouds, m for padding
    x: Float[Array, "t i d"]
    points: LiftedSet
    boxes: _Boxes


def _plant(lifted: LiftedSet, x: Float[Array, "b m d"]) -> _Tree:
    """The tree's leaves, of at most ``LEAF`` points each."""
    clouds, m = lifted.mask.shape
    levels = max(0, math.ceil(math.log2(m / LEAF)))
    leaves, size = 2**levels, math.ceil(m / 2**levels)
    missing = leaves * size - m
    x = jnp.pad(x, ((0, 0), (0, missing), (0, 0)))
    mask = jnp.pad(lifted.mask, ((0, 0), (0, missing)))
    place = jax.vmap(lambda x, mask: _halve(x, mask, levels))(x, mask)

    def leaf(values: Array) -> Array:
        values = jax.vmap(lambda v, i: v.at[i].get(mode="clip"))(values, place)
        return values.reshape(clouds * leaves, size, *values.shape[2:])

    x, mask = leaf(x), leaf(mask)
    points = dataclasses.replace(jax.tree.map(leaf, lifted), mask=mask)
    return _Tree(place.reshape(-1, size), x, points, _Boxes.around(x, mask))


def _halve(x: Float[Array, "m d"], mask: Bool[Array, "m"], levels: int) -> Int[Array, "m"]:
    """An order whose aligned blocks of m / 2^level points are the boxes of the tree.

    Every box is cut at the median along its longest side, absent points last. The points are
    sorted along every axis once, and stay so in each box: a sort per level costs more, to run
    and above all to compile.
    """
    m = len(x)
    at = jnp.arange(m, dtype=jnp.int32)
    order = jnp.argsort(jnp.where(mask, x.T, jnp.inf), axis=-1).astype(jnp.int32)  # (d, m)

    def split(state, block):
        order, real = state  # real: how many points of the box at each place are not absent
        half, start = block // 2, at // block * block
        last = start + jnp.maximum(real - 1, 0)
        side = jax.vmap(lambda x, order: x[order[last]] - x[order[start]])(x.T, order)
        longest = order[jnp.argmax(side, axis=0), at]
        is_low = jnp.zeros(m, bool).at[longest].set(at - start < half)

        def keep_sorted(order):
            low = is_low[order]
            rank = jnp.cumsum(low, dtype=jnp.int32) - low
            rank = rank - rank[start]  # of the low ones
            to = jnp.where(low, start + rank, half + at - rank)
            return order.at[to].set(order, unique_indices=True)

        real = jnp.where(at - start < half, jnp.minimum(real, half), jnp.maximum(real - half, 0))
        return (jax.vmap(keep_sorted)(order), real), None

    real = full_along((x, mask), (m,), 0, jnp.int32) + jnp.sum(mask, dtype=jnp.int32)
    order = order + full_along((x, mask), (), 0, jnp.int32)
    blocks = jnp.asarray([m // 2**level for level in range(levels)], jnp.int32)
    (order, _), _ = lax.scan(split, (order, real), blocks)
    return order[0]


def _tree(
    distance: Distance, lifted: LiftedSet, x: Float[Array, "b m d"], options: _Options
) -> tuple[Int[Array, "b m k"], Bool[Array, "b m k"]]:
    clouds, m = lifted.mask.shape
    tree = _plant(lifted, x)
    total, size = tree.place.shape
    leaves = total // clouds
    together = max(1, min(total, PAIRS // (min(VISITED, leaves) * size * size)))
    tiles = math.ceil(total / together)
    ids = jnp.minimum(jnp.arange(tiles * together), total - 1).reshape(tiles, together)
    found = lax.map(lambda ids: _visit(distance, tree, leaves, ids, options), ids)

    def original(values: Array) -> Array:
        values = values.reshape(-1, *values.shape[2:])[:total].reshape(clouds, leaves * size, -1)
        index = tree.place.reshape(clouds, -1)
        return jax.vmap(lambda v, i: jnp.zeros_like(v[:m]).at[i].set(v, mode="drop"))(values, index)

    return original(found[0]), original(found[1])


def _visit(
    distance: Distance, tree: _Tree, leaves: int, ids: Int[Array, "t"], options: _Options
) -> tuple[Int[Array, "t i k"], Bool[Array, "t i k"]]:
    """The neighbours of the queries in the boxes ``ids``, all boxes in lockstep."""
    visited, considered = min(VISITED, leaves), min(CONSIDERED, leaves)
    size, count = tree.place.shape[1], options.count
    first = (ids // leaves * leaves)[:, None]  # of the boxes of the same cloud
    queries, x = jax.tree.map(lambda v: v[ids], (tree.points, tree.x))
    query_boxes = _Boxes(x, x, jnp.max(jnp.abs(x), axis=-1))

    def limit(best):
        """A new neighbour must be nearer than that; nothing is for absent queries."""
        return jnp.where(queries.mask, jnp.minimum(best[..., -1], options.radius), -jnp.inf)

    def nearest(gaps):
        negative, chosen = lax.top_k(-gaps, considered)
        return -negative, chosen

    def is_open(state):
        _, (gaps, _), best, _ = state
        return jnp.any(gaps[:, 0] < jnp.max(limit(best), axis=-1))

    def step(state):
        left, (gaps, candidates), best, found = state
        # Whether a box can hold a neighbour is asked of each query, not of their box: that one is
        # large where the cloud thins out, and the box of a single outlier reaches everywhere.
        boxes = jax.tree.map(lambda v: v[first + candidates], tree.boxes)
        is_needed = jnp.any(query_boxes.gap(boxes) < limit(best)[..., None], axis=1)
        negative, chosen = lax.top_k(-jnp.where(is_needed, gaps, jnp.inf), visited)
        is_done = jax.vmap(lambda done, i: done.at[i].set(True))(~is_needed, chosen)
        gaps = jnp.where(is_done, jnp.inf, gaps)
        left = jax.vmap(lambda left, i, v: left.at[i].set(v))(left, candidates, gaps)
        is_new = negative > -jnp.inf
        chosen = first + jnp.take_along_axis(candidates, chosen, axis=-1)
        best, found = lax.cond(
            jnp.any(is_new), compare, lambda *xs: xs[2:], chosen, is_new, best, found
        )
        return left, nearest(left), best, found

    def compare(chosen, is_new, best, found):
        def join(v):
            return v[chosen].reshape(len(ids), visited * size, *v.shape[2:])

        keys, index = jax.tree.map(join, (tree.points, tree.place))
        is_new = keys.mask & jnp.repeat(is_new, size, axis=-1)
        far = distance(queries, keys)
        far = jnp.where(is_new[:, None] & (far <= options.radius), far, jnp.inf)
        negative, place = lax.top_k(-jnp.concatenate([best, far], axis=-1), count)
        old = jnp.take_along_axis(found, jnp.minimum(place, count - 1), axis=-1)
        new = jax.vmap(lambda index, i: index[i])(index, jnp.maximum(place - count, 0))
        return -negative, jnp.where(place < count, old, new)

    boxes = jax.tree.map(lambda v: v.reshape(-1, leaves, *v.shape[1:])[ids // leaves], tree.boxes)
    left = jax.tree.map(lambda v: v[ids[:, None]], tree.boxes).gap(boxes)[:, 0]
    dtype = jax.eval_shape(distance, queries, queries).dtype
    best = full_along(tree, (*x.shape[:2], count), jnp.inf, dtype)
    state = (left, nearest(left), best, full_along(tree, best.shape, 0, tree.place.dtype))
    *_, best, found = lax.while_loop(is_open, step, state)
    return found, best < jnp.inf


# --- scan ----------------------------------------------------------------------------------


def _scan(
    distance: Distance, lifted: LiftedSet, options: _Options
) -> tuple[Int[Array, "b m k"], Bool[Array, "b m k"]]:
    clouds, m = lifted.mask.shape
    rows = max(1, min(m, SCANNED // m))
    tiles = math.ceil(m / rows)

    def search(tile: Int[Array, ""]):
        """The neighbours of some queries of one cloud."""
        cloud = jax.tree.map(lambda x: x[tile // tiles], lifted)
        here = jnp.minimum(tile % tiles * rows + jnp.arange(rows), m - 1)
        far = distance(jax.tree.map(lambda x: x[here], cloud), cloud)
        far = jnp.where(cloud.mask & (far <= options.radius), far, jnp.inf)
        if options.recall_target is None:
            negative, found = lax.top_k(-far, options.count)
            return found, jnp.isfinite(negative)
        far, found = lax.approx_min_k(far, options.count, recall_target=options.recall_target)
        return found, jnp.isfinite(far)

    together = max(1, SCANNED // (rows * m))
    found = lax.map(search, jnp.arange(clouds * tiles), batch_size=min(together, clouds * tiles))
    return jax.tree.map(lambda x: x.reshape(clouds, tiles * rows, -1)[:, :m], found)
