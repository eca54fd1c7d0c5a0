"""Nearest neighbours by a tree of boxes: exact for every density, in time about linear.

Halving the cloud at the median again and again leaves boxes of a few dozen points. The queries of
one box visit the boxes of keys, the nearest first and only those that can hold a neighbour yet,
until none is left.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from lie_jax.numerics import full_along
from lie_jax.points import LiftedSet
from lie_jax.typing import Array, Bool, Float, Int

Distance = Callable[[LiftedSet, LiftedSet], Array]

# Sizes, tuned for 100,000 points of T(3) on a CPU; no result depends on them.
LEAF = 64  # at most so many points in a box
VISITED = 16  # boxes whose points are compared at a time: a selection costs more than distances
CONSIDERED = 64  # nearest boxes among which these are chosen
PAIRS = 2**17  # distances in memory at a time: what a CPU's cache holds


def norm(x: Float[Array, "*b d"]) -> Float[Array, "*b"]:
    """The norm, without derivatives, one component after the other.

    XLA compiles a sum over an axis to a loop, which on a CPU is ten times slower than this where
    the axis has three entries.
    """
    squared = jnp.zeros(x.shape[:-1], x.dtype)
    for i in range(x.shape[-1]):
        squared = squared + jnp.square(x[..., i])
    return jnp.sqrt(squared)


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
        gap = norm(jnp.maximum(jnp.maximum(low_ - high, low - high_), 0))
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


def search_tree(
    distance: Distance,
    lifted: LiftedSet,
    x: Float[Array, "b m d"],
    count: int,
    radius: int | float,
) -> tuple[Int[Array, "b m k"], Bool[Array, "b m k"]]:
    """The ``count`` nearest of each point within ``radius``, and which of them there are.

    Args:
        distance: of every query (t, i) from every key (t, l): (t, i, l).
        lifted: the points, one batch axis.
        x: no farther apart than the distances of their points.
        count, radius: static.
    """
    clouds, m = lifted.mask.shape
    tree = _plant(lifted, x)
    total, size = tree.place.shape
    leaves = total // clouds
    together = max(1, min(total, PAIRS // (min(VISITED, leaves) * size * size)))
    tiles = math.ceil(total / together)
    ids = jnp.minimum(jnp.arange(tiles * together), total - 1).reshape(tiles, together)
    found = lax.map(lambda ids: _visit(distance, tree, leaves, ids, count, radius), ids)

    def original(values: Array) -> Array:
        values = values.reshape(-1, *values.shape[2:])[:total].reshape(clouds, leaves * size, -1)
        index = tree.place.reshape(clouds, -1)
        return jax.vmap(lambda v, i: jnp.zeros_like(v[:m]).at[i].set(v, mode="drop"))(values, index)

    return original(found[0]), original(found[1])


def _visit(
    distance: Distance,
    tree: _Tree,
    leaves: int,
    ids: Int[Array, "t"],
    count: int,
    radius: int | float,
) -> tuple[Int[Array, "t i k"], Bool[Array, "t i k"]]:
    """The neighbours of the queries in the boxes ``ids``, all boxes in lockstep."""
    visited, considered = min(VISITED, leaves), min(CONSIDERED, leaves)
    size = tree.place.shape[1]
    first = (ids // leaves * leaves)[:, None]  # of the boxes of the same cloud
    queries, x = jax.tree.map(lambda v: v[ids], (tree.points, tree.x))
    query_boxes = _Boxes(x, x, jnp.max(jnp.abs(x), axis=-1))

    def limit(best):
        """A new neighbour must be nearer than that; nothing is for absent queries."""
        return jnp.where(queries.mask, jnp.minimum(best[..., -1], radius), -jnp.inf)

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
        far = jnp.where(is_new[:, None] & (far <= radius), far, jnp.inf)
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
