"""Features of a tile's pairs."""

import dataclasses

import jax
import jax.numpy as jnp

from lie_jax.fused.componentwise import broadcast_components, componentwise
from lie_jax.geometry.embeddings import EmbeddingName, PairEmbedding
from lie_jax.geometry.pairs import LazyPairs, embed_pairs
from lie_jax.groups import Group
from lie_jax.typing import Array, Float


@dataclasses.dataclass(frozen=True)
class Embedding:
    """The map from two lifted points to the features of their pair; hashable.

    Args:
        group, embedding, norm_bound: as in `LazyPairs`.
    """

    group: Group
    embedding: EmbeddingName | PairEmbedding
    norm_bound: float | None

    @classmethod
    def of(cls, pairs: LazyPairs) -> "Embedding":
        """That of ``pairs``."""
        return cls(pairs.group, pairs.embedding, pairs.norm_bound)

    def __call__(self, query: Float[Array, "g"], key: Float[Array, "g"]) -> Float[Array, "f"]:
        """Features of one pair of elements, each as a flat array."""
        shape = self.group.element_shape
        pair = self.group.compose(self.group.inverse(query.reshape(shape)), key.reshape(shape))
        return embed_pairs(self.group, pair, self.embedding, self.norm_bound)

    def on_tile(
        self,
        queries: Float[Array, "b q g"],
        keys: Float[Array, "b #q k g"],
        *,
        features_first: bool = False,
    ) -> Array:
        """Features of all pairs of a tile: (f, b, q, k) if first, else (b, q, k, f).

        Component by component: what depends on the query alone (its inverse) is computed once
        per query, and the pairs fill the vector lanes. The last axis is filled up with zeros to
        a multiple of four, because a CPU takes longer for the product of the pairs with the
        first layer if they have six features than if eight.
        """
        size = queries.shape[-1]
        try:
            on_pairs = componentwise(self, (size,), (size,), dtype=queries.dtype)
        except NotImplementedError:
            # A user's group may hold what has no such form, a matrix exponential for instance.
            per_key = jax.vmap(jax.vmap(self, (None, 0)), (0, None if keys.shape[1] == 1 else 0))
            keys = keys[:, 0] if keys.shape[1] == 1 else keys
            features = jax.vmap(per_key)(queries, keys)
            if features_first:
                return jnp.moveaxis(features, -1, 0)
            missing = -features.shape[-1] % 4
            return jnp.pad(features, [(0, 0)] * 3 + [(0, missing)])
        query = [queries[:, :, None, i] for i in range(size)]
        key = [keys[..., i] for i in range(size)]
        shape = (*queries.shape[:2], keys.shape[-2])
        columns = broadcast_components(on_pairs(query, key), shape)
        if features_first:
            return jnp.stack(columns)
        zeros = [jnp.zeros_like(columns[0])] * (-len(columns) % 4)
        return jnp.stack([*columns, *zeros], axis=-1)
