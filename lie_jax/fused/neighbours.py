"""Attention of each query to its own k keys: O(m k) time and memory.

The neighbours' keys and values are gathered one head at a time, all queries at once: gathering
inside a loop over tiles would give the derivative a sum over all points in every tile.
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
from lie_jax.typing import Array, Float, Int


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
    query, key, parameters = split_sides(terms)
    # Tiles of queries whose pairs are about as many as in a tile of all keys.
    rows = max(1, tiling.queries * tiling.keys // count)
    rows = min(rows, clouds * m)

    def tiles(x: Array) -> Array:
        """(b, m, ...) -> (tiles, 1, rows, ...)."""
        x = x.reshape(clouds * m, *x.shape[2:])
        missing = -x.shape[0] % rows
        if missing:
            x = jnp.pad(x, [(0, missing)] + [(0, 0)] * (x.ndim - 1), mode="edge")
        return x.reshape(-1, 1, rows, *x.shape[1:])

    features = None
    if terms.needs_features:
        elements = pairs.elements.reshape(clouds, m, -1)
        embed = Embedding.of(pairs)
        features = jax.lax.map(
            jax.checkpoint(lambda xs: embed.on_tile(*xs), prevent_cse=False),
            (tiles(elements), tiles(_gather(elements, neighbourhood.indices))),
        )
    mask = tiles(neighbourhood.mask)

    @functools.partial(jax.checkpoint, prevent_cse=False)
    def head(xs):
        query, key, values, parameters = xs
        # One gather for everything: rows of neighbours are then read in one go.
        rows_of = [jnp.swapaxes(x, -1, -2) for x in key] + [values]
        sizes = [x.shape[-1] for x in rows_of]
        gathered = _gather(jnp.concatenate(rows_of, axis=-1), neighbourhood.indices)

        @functools.partial(jax.checkpoint, prevent_cse=False)
        def tile(xs):
            query, gathered, features, mask = xs
            *key, values = jnp.split(gathered, _offsets(sizes), axis=-1)
            key = [
                x if is_added else jnp.swapaxes(x, -1, -2)
                for x, is_added in zip(key, added_per_key(terms), strict=True)
            ]
            score = tile_scores(join_sides(terms, query, key, parameters), features)
            wide = jnp.promote_types(score.dtype, jnp.float32)
            weights = normalise(score.astype(wide)[:, None], mask, normalisation)[:, 0]
            return mix(weights, jnp.swapaxes(values, -1, -2))

        out = jax.lax.map(tile, ([tiles(x) for x in query], tiles(gathered), features, mask))
        return out.reshape(-1, out.shape[-1])[: clouds * m].reshape(clouds, m, -1)

    out = jax.lax.map(head, (query, key, values, parameters))
    return out.astype(values.dtype)


def _gather(x: Float[Array, "b m c"], indices: Int[Array, "b m k"]) -> Float[Array, "b m k c"]:
    return jax.vmap(lambda x, i: x[i])(x, indices)


def _offsets(sizes: list[int]) -> list[int]:
    return [sum(sizes[: i + 1]) for i in range(len(sizes) - 1)]
