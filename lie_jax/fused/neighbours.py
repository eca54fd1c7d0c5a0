"""Attention of each query to its own k keys: O(m k) time and memory.

The neighbours' keys and values are gathered for a chunk of queries, all heads at once: on a CPU a
gather, and the sum that is its transpose, cost as much for a row of one head as for one of eight.
Chunks are many tiles large, because the derivative of a gather is a sum over all points each time.
"""

import functools

import jax
import jax.numpy as jnp

from lie_jax.attention.normalise import Normalisation, normalise
from lie_jax.fused.features import Embedding
from lie_jax.fused.terms import ScoreTerms
from lie_jax.fused.tile import added_per_key, join_sides, mix, split_sides, tile_scores
from lie_jax.fused.tiled import Tiling
from lie_jax.geometry.pairs import LazyPairs
from lie_jax.typing import Array, Float

# Pairs whose keys and values are in memory at a time.
_CHUNK = 2**17


def neighbour_attention(
    terms: ScoreTerms,
    values: Float[Array, "h b m o"],
    pairs: LazyPairs,
    normalisation: Normalisation,
    tiling: Tiling,
) -> Float[Array, "h b m o"]:
    """Attention of every point to its neighbourhood; arguments as in `tiled_attention`."""
    neighbourhood = pairs.neighbourhood
    assert neighbourhood is not None
    clouds, m, count = neighbourhood.indices.shape
    points = clouds * m
    # Tiles of queries whose pairs are about as many as in a tile of all keys.
    rows = min(points, max(1, tiling.queries * tiling.keys // count))
    together = max(1, min(_CHUNK // count, points) // rows)

    def chunks(x: Array) -> Array:
        """(points, ...) -> (chunks, tiles, 1, rows, ...)."""
        missing = -points % (rows * together)
        if missing:
            x = jnp.pad(x, [(0, missing)] + [(0, 0)] * (x.ndim - 1), mode="edge")
        return x.reshape(-1, together, 1, rows, *x.shape[1:])

    def per_point(x: Array) -> Array:
        """(h, b, m, c) -> (points, h, c)."""
        return jnp.moveaxis(x.reshape(x.shape[0], points, x.shape[-1]), 0, 1)

    query, key, parameters = split_sides(terms)
    # One array, so that one gather reads everything of a neighbour.
    sides = [jnp.swapaxes(x, -1, -2) for x in key] + [values]
    offsets = _offsets([x.shape[-1] for x in sides])
    key_rows = per_point(jnp.concatenate(sides, axis=-1))
    first = jnp.arange(clouds, dtype=neighbourhood.indices.dtype)[:, None, None] * m
    per_query = {
        "terms": [jnp.moveaxis(chunks(per_point(x)), -2, 1) for x in query],
        "index": chunks((neighbourhood.indices + first).reshape(points, count)),
        "mask": chunks(neighbourhood.mask.reshape(points, count)),
    }
    elements = None
    if terms.needs_features:
        elements = pairs.elements.reshape(points, -1)
        per_query["elements"] = chunks(elements)
    on_tile = functools.partial(
        Embedding.of(pairs).on_tile, features_first=bool(terms.location_mlp)
    )

    @functools.partial(jax.checkpoint, prevent_cse=False)
    def tile(query, gathered, features, mask, parameters):
        *key, values = jnp.split(gathered, offsets, axis=-1)
        key = [
            x if is_added else jnp.swapaxes(x, -1, -2)
            for x, is_added in zip(key, added_per_key(terms), strict=True)
        ]
        score = tile_scores(join_sides(terms, query, key, parameters), features)
        wide = jnp.promote_types(score.dtype, jnp.float32)
        weights = normalise(score.astype(wide)[:, None], mask, normalisation)[:, 0]
        return mix(weights, jnp.swapaxes(values, -1, -2))

    @functools.partial(jax.checkpoint, prevent_cse=False)
    def chunk(xs, key_rows, elements, parameters):
        features = None
        if elements is not None:
            features = jax.lax.map(
                jax.checkpoint(lambda xs: on_tile(*xs), prevent_cse=False),
                (xs["elements"], elements[xs["index"]]),
            )
        gathered = jnp.moveaxis(key_rows[xs["index"]], -2, 0)

        def head(of_head):
            query, gathered, parameters = of_head
            return jax.lax.map(
                lambda of_tile: tile(*of_tile, parameters),
                (query, gathered, features, xs["mask"]),
            )

        return jax.lax.map(head, (xs["terms"], gathered, parameters))

    out = jax.lax.map(lambda xs: chunk(xs, key_rows, elements, parameters), per_query)
    out = jnp.moveaxis(out, 1, 0)  # (h, chunks, tiles, 1, rows, o)
    out = out.reshape(out.shape[0], -1, out.shape[-1])[:, :points]
    return out.reshape(-1, clouds, m, out.shape[-1]).astype(values.dtype)


def _offsets(sizes: list[int]) -> list[int]:
    return [sum(sizes[: i + 1]) for i in range(len(sizes) - 1)]
