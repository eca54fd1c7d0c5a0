"""Features of a tile's pairs, with the pair axes last."""

import jax.numpy as jnp

from lie_jax.geometry.pairs import embed_pairs
from lie_jax.groups import Group
from lie_jax.typing import Array, Float


def tile_features(
    group: Group,
    embedding,
    norm_bound: float | None,
    queries: Float[Array, "b q g"],
    keys: Float[Array, "b #q k g"],
) -> Float[Array, "b q f k"]:
    """The embedded elements ``inverse(g_query) @ g_key`` of a tile, keys last."""
    queries = queries.reshape(*queries.shape[:2], 1, *group.element_shape)
    keys = keys.reshape(*keys.shape[:3], *group.element_shape)
    pair = group.compose(group.inverse(queries), keys)
    return jnp.swapaxes(embed_pairs(group, pair, embedding, norm_bound), -1, -2)
