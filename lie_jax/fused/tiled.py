"""Attention tile by tile in plain XLA: memory linear in the number of points.

The forward pass goes through the keys of a tile of queries with a running softmax; nothing of
size n x n is kept. The derivative is a second pass over the tiles, which recomputes the scores
from the saved normalisation. It is given as a JVP whose tiles are wrapped in `jax.checkpoint`,
and not as a VJP, so that forward mode, reverse mode and every higher derivative follow from it.

Source: the running softmax is that of Milakov and Gimelshein, "Online normalizer calculation for
softmax" (2018); the recomputing backward pass that of Dao et al., FlashAttention (2022).
"""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from lie_jax.attention.normalise import Normalisation
from lie_jax.fused.features import Embedding
from lie_jax.fused.terms import ScoreTerms
from lie_jax.fused.tile import added_per_key, join_sides, mix, split_sides, tile_scores
from lie_jax.geometry.pairs import LazyPairs
from lie_jax.numerics import full_along
from lie_jax.typing import Array, Bool, Float, PyTree


@dataclasses.dataclass(frozen=True)
class Tiling:
    """Sizes of a tile.

    Args:
        clouds, queries, keys: how many of each.
        all_heads: work on all heads of a tile at once instead of one after the other. One is
            right for a CPU, whose cache holds one head's activations; a GPU or TPU would starve.
        warps: of a program on a GPU, 32 threads each; of the Pallas kernels only.
    """

    clouds: int = 1
    queries: int = 64
    keys: int = 256
    all_heads: bool = False
    warps: int = 4


@dataclasses.dataclass(frozen=True)
class _Static:
    """What decides the program; hashable."""

    structure: ScoreTerms  # with numbers for arrays
    pairs: Embedding
    normalisation: Normalisation
    tiling: Tiling


def tiled_attention(
    terms: ScoreTerms,
    values: Float[Array, "h b m o"],
    pairs: LazyPairs,
    normalisation: Normalisation,
    tiling: Tiling,
) -> Float[Array, "h b m o"]:
    """Attention of all points to all points of their cloud.

    Args:
        terms: scores, see `lie_jax.fused.terms`.
        values: to be mixed.
        pairs: the lifted points, one batch axis; their neighbourhood is not looked at.
        normalisation: see `lie_jax.attention.normalise`.
        tiling: sizes of the tiles.
    """
    clouds, m = pairs.mask.shape
    query, key, parameters = split_sides(terms)
    static = _Static(jax.tree.map(lambda _: 0, terms), Embedding.of(pairs), normalisation, tiling)
    t = tiling
    query_side: dict[str, PyTree] = {
        "terms": [_tiles(x, {1: t.clouds, 2: t.queries}, 2) for x in query]
    }
    key = [_tiles(x, {1: t.clouds, 3: t.keys}, 2) for x in key]
    key_side: dict[str, PyTree] = {
        "terms": [
            jnp.swapaxes(x, -1, -2) if is_added else x
            for x, is_added in zip(key, added_per_key(terms), strict=True)
        ],
        "values": _tiles(jnp.swapaxes(values, 2, 3), {1: t.clouds, 3: t.keys}, 2),
    }
    if terms.needs_features:
        elements = pairs.elements.reshape(clouds, m, -1)
        query_side["elements"] = _tiles(elements, {0: t.clouds, 1: t.queries}, 2)
        key_side["elements"] = _tiles(elements, {0: t.clouds, 1: t.keys}, 2)
    mask = _tiles(pairs.mask, {0: t.clouds, 1: t.keys}, 2, value=False)
    counts = _tiles(jnp.sum(pairs.mask, axis=-1), {0: t.clouds}, 1)
    out, _ = _attend(static, (query_side, key_side, parameters), mask, counts)
    # (clouds/b, m/q, h, b, q, o) -> (h, clouds, m, o)
    out = jnp.moveaxis(out, 2, 0).swapaxes(2, 3)
    out = out.reshape(out.shape[0], out.shape[1] * t.clouds, -1, out.shape[-1])
    return out[:, :clouds, :m].astype(values.dtype)


def _tiles(x: Array, sizes: dict[int, int], lead: int, value=None) -> Array:
    """``x`` cut along the axes of ``sizes``; the tile numbers come first.

    Axes are filled up to whole tiles with their last entry, which is as good a group element as
    any, or with ``value``.
    """
    for axis, size in sizes.items():
        missing = -x.shape[axis] % size
        if missing:
            widths = [(0, missing if i == axis else 0) for i in range(x.ndim)]
            x = (
                jnp.pad(x, widths, mode="edge")
                if value is None
                else jnp.pad(x, widths, constant_values=value)
            )
    shape, places = [], []
    for axis, length in enumerate(x.shape):
        if axis in sizes:
            places.append(len(shape))
            shape += [length // sizes[axis], sizes[axis]]
        else:
            shape.append(length)
    assert len(places) == lead
    return jnp.moveaxis(x.reshape(shape), places, range(lead))


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _attend(static: _Static, sides: PyTree, mask: Bool[Array, "nb nk b k"], counts: Array):
    """Mixed values (nb, nq, h, b, q, o), and the log of softmax's denominator."""
    query_side, key_side, parameters = sides

    def one_cloud(xs):
        queries, keys, mask, count = xs
        return jax.lax.map(lambda q: _query_tile(static, q, keys, parameters, mask, count), queries)

    return jax.lax.map(one_cloud, (query_side, key_side, mask, counts))


def _query_tile(static: _Static, query, keys, parameters, mask, count):
    """One tile of queries against all keys."""
    softmax = static.normalisation == "softmax"

    def key_tile(carry, xs):
        key, real = xs
        features = _features(static, query, key)

        def head(xs):
            query_terms, key_terms, values, weights, (total, largest, denominator) = xs
            score = _scores(static, query_terms, key_terms, weights, features)
            if not softmax:
                mixing = _unnormalised(static, score, real)
                return total + mix(mixing, values[:, None]), largest, denominator
            lowest = jnp.finfo(score.dtype).min
            shown = jnp.where(real, score, lowest)
            new = jnp.maximum(largest, jnp.max(shown, axis=-1))
            mixing = jnp.where(real, jnp.exp(shown - new[..., None]), 0)
            old = jnp.exp(largest - new)
            total = total * old[..., None] + mix(mixing, values[:, None])
            return total, new, denominator * old + jnp.sum(mixing, axis=-1)

        xs = (query["terms"], key["terms"], key["values"], parameters, carry)
        return _over_heads(static, head, xs), None

    values = keys["values"]
    heads, clouds, size = values.shape[1:4]
    wide = jnp.promote_types(values.dtype, jnp.float32)
    row = (heads, clouds, static.tiling.queries)
    sides = (query, keys, parameters, mask)
    carry = (
        full_along(sides, (*row, size), 0, wide),
        full_along(sides, row, float(jnp.finfo(wide).min), wide),
        full_along(sides, row, 0, wide),
    )
    (total, largest, denominator), _ = jax.lax.scan(key_tile, carry, (keys, mask[:, :, None]))
    if not softmax:
        return total * _share(count, total.dtype), denominator
    is_empty = denominator == 0
    filled = jnp.where(is_empty, 1, denominator)
    return total / filled[..., None], jnp.where(is_empty, 0, largest + jnp.log(filled))


@functools.partial(_attend.defjvp, symbolic_zeros=True)
def _attend_jvp(static: _Static, primals, tangents):
    sides, mask, counts = primals
    out, lse = _attend(static, sides, mask, counts)
    query_side, key_side, parameters = sides
    dsides = tangents[0]
    if not any(_is_moved(side.get("elements")) for side in dsides[:2]):
        # The elements stay where they are, so the derivative of the pairs' features is not needed.
        dsides = [{k: v for k, v in x.items() if k != "elements"} for x in dsides[:2]] + [dsides[2]]
    dquery_side, dkey_side, dparameters = jax.tree.map(_as_array, dsides, is_leaf=_is_zero)

    @functools.partial(jax.checkpoint, prevent_cse=False)
    def query_tile(xs, params, keys, dkeys, mask, count):
        query, dquery, out, lse = xs

        @functools.partial(jax.checkpoint, prevent_cse=False)
        def key_tile(xs, query, dquery, lse, params):
            key, dkey, real = xs
            return _tile_tangent(
                static, (query, key, *params[:1]), (dquery, dkey, *params[1:]), real, lse
            )

        def add(carry, xs):
            return jax.tree.map(jnp.add, carry, key_tile(xs, query, dquery, lse, params)), None

        sides = (query, dquery, lse, params, keys, dkeys, mask)
        carry = tuple(full_along(sides, x.shape, 0, x.dtype) for x in (out, lse))
        (mixed, shift), _ = jax.lax.scan(add, carry, (keys, dkeys, mask[:, :, None]))
        if static.normalisation != "softmax":
            return mixed * _share(count, mixed.dtype), jnp.zeros_like(lse)
        return mixed - out * shift[..., None], shift

    def one_cloud(xs):
        queries, dqueries, keys, dkeys, mask, count, out, lse = xs
        return jax.lax.map(
            lambda q: query_tile(q, (parameters, dparameters), keys, dkeys, mask, count),
            (queries, dqueries, out, lse),
        )

    tangent = jax.lax.map(
        one_cloud,
        (query_side, dquery_side, key_side, dkey_side, mask, counts, out, lse),
    )
    return (out, lse), tangent


def _is_zero(tangent) -> bool:
    return isinstance(tangent, SymbolicZero)


def _is_moved(tangent) -> bool:
    return tangent is not None and not _is_zero(tangent)


def _as_array(tangent) -> Array:
    return jnp.zeros(tangent.shape, tangent.dtype) if _is_zero(tangent) else tangent


def _tile_tangent(static: _Static, sides, dsides, real, lse):
    """The tile's share of the change of out and of the log denominator, for every head."""
    (query, key, parameters), (dquery, dkey, dparameters) = sides, dsides
    if "elements" not in dquery:
        features, dfeatures = _features(static, query, key), None
    else:
        features, dfeatures = jax.jvp(
            lambda q, k: _features(static, {"elements": q}, {"elements": k}),
            (query["elements"], key["elements"]),
            (dquery["elements"], dkey["elements"]),
        )

    @functools.partial(jax.checkpoint, prevent_cse=False)
    def head(xs, features, dfeatures):
        (q, k, p, values), (dq, dk, dp, dvalues), lse = xs
        if dfeatures is None:
            score, dscore = jax.jvp(
                lambda q, k, p: _scores(static, q, k, p, features), (q, k, p), (dq, dk, dp)
            )
        else:
            score, dscore = jax.jvp(
                functools.partial(_scores, static), (q, k, p, features), (dq, dk, dp, dfeatures)
            )
        values, dvalues = values[:, None], dvalues[:, None]
        if static.normalisation == "mean":
            mixing = jnp.where(real, score, 0)
            slope = jnp.where(real, dscore, 0)
        else:
            exponent = jnp.where(real, score - lse[..., None], 0)
            mixing = jnp.where(real, jnp.exp(exponent), 0)
            slope = mixing * dscore
        change = mix(slope, values) + mix(mixing, dvalues)
        return change, jnp.sum(slope, axis=-1)

    xs = (
        (query["terms"], key["terms"], parameters, key["values"]),
        (dquery["terms"], dkey["terms"], dparameters, dkey["values"]),
        lse,
    )
    return _over_heads(static, lambda xs: head(xs, features, dfeatures), xs)


def _scores(static: _Static, query, key, parameters, features) -> Float[Array, "b q k"]:
    key = [x[:, None] for x in key]
    score = tile_scores(join_sides(static.structure, query, key, parameters), features)
    return score.astype(jnp.promote_types(score.dtype, jnp.float32))


def _features(static: _Static, query, key) -> Array | None:
    if "elements" not in query:
        return None
    first = bool(static.structure.location_mlp)
    return static.pairs.on_tile(query["elements"], key["elements"][:, None], features_first=first)


def _unnormalised(static: _Static, score: Array, real: Array) -> Array:
    """Weights that only await the division by the number of keys."""
    if static.normalisation == "mean":
        return jnp.where(real, score, 0)
    return jnp.where(real, jnp.exp(jnp.where(real, score, 0)), 0)


def _share(count: Array, dtype) -> Float[Array, "b 1 1"]:
    """1 / number of keys."""
    return (1 / jnp.maximum(count, 1).astype(dtype))[:, None, None]


def _over_heads(static: _Static, function: Callable[[PyTree], PyTree], xs: PyTree) -> PyTree:
    if static.tiling.all_heads:
        return jax.vmap(function)(xs)
    return jax.lax.map(function, xs)
