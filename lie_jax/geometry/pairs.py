"""What attention sees of two lifted points: an embedding of inverse(g_query) @ g_key, and orbits.

Both are unchanged when one g acts on all points from the left, whatever the group: this is
where the invariance of the whole network comes from.
"""

import dataclasses

import jax
import jax.numpy as jnp

from lie_jax.geometry.embeddings import EmbeddingName, PairEmbedding, resolve_embedding
from lie_jax.groups import Group
from lie_jax.numerics import tanhc
from lie_jax.points import LiftedSet
from lie_jax.typing import Array, Bool, Float, Int, unchecked


def feature_dim(group: Group, embedding: EmbeddingName | PairEmbedding = "log") -> int:
    """f: number of location features of a pair, orbit coordinates of both points included."""
    return resolve_embedding(embedding).size(group) + 2 * group.orbit_dim


def pair_elements(
    group: Group, queries: Float[Array, "..."], keys: Float[Array, "..."]
) -> Float[Array, "..."]:
    """``inverse(g_query) @ g_key`` for every query and key.

    Args:
        group: the group.
        queries, keys: (\\*b, q, \\*g) and (\\*b, k, \\*g), g being the group's element shape.

    Returns:
        (\\*b, q, k, \\*g).
    """
    element_ndim = len(group.element_shape)
    inverse = jnp.expand_dims(group.inverse(queries), -element_ndim - 1)
    return group.compose(inverse, jnp.expand_dims(keys, -element_ndim - 2))


def bound_norm(a: Float[Array, "*b f"], bound: float) -> Float[Array, "*b f"]:
    """Shortens vectors smoothly to a norm below ``bound``: a -> a (B / |a|) tanh(|a| / B)."""
    squared = jnp.sum(jnp.square(a / bound), axis=-1, keepdims=True)
    return a * tanhc(squared)


def embed_pairs(
    group: Group,
    elements: Float[Array, "..."],
    embedding: EmbeddingName | PairEmbedding,
    norm_bound: float | None,
) -> Float[Array, "*b f"]:
    """The pair elements' embedding, its norm bounded if asked."""
    features = resolve_embedding(embedding).embed(group, elements)
    return features if norm_bound is None else bound_norm(features, norm_bound)


def location_features(
    group: Group,
    elements: Float[Array, "..."],
    query_orbit: Float[Array, "*b q o"],
    key_orbit: Float[Array, "*b #q k o"],
    *,
    embedding: EmbeddingName | PairEmbedding = "log",
    norm_bound: float | None = None,
) -> Float[Array, "*b q k f"]:
    """Embedding of the pair elements, then orbit coordinates of query and key.

    Args:
        group: the group.
        elements: ``inverse(g_query) @ g_key``, (\\*b, q, k, \\*g).
        query_orbit: (\\*b, q, orbit_dim).
        key_orbit: (\\*b, q or 1, k, orbit_dim).
        embedding: see `PairEmbedding`; ``"log"`` as published.
        norm_bound: bound the norm of the embedded element, see `bound_norm`.
    """
    features = embed_pairs(group, elements, embedding, norm_bound)
    if group.orbit_dim == 0:
        return features
    shape = (*features.shape[:-1], group.orbit_dim)
    query_orbit = jnp.broadcast_to(query_orbit[..., :, None, :], shape)
    return jnp.concatenate([features, query_orbit, jnp.broadcast_to(key_orbit, shape)], axis=-1)


@jax.tree_util.register_dataclass
@unchecked
@dataclasses.dataclass(frozen=True)
class Neighbourhood:
    """Which keys each query attends to, of static size k.

    Args:
        indices: (\\*b, q, k) int, positions along the key axis.
        mask: (\\*b, q, k) bool, False where there were fewer than k.
    """

    indices: Int[Array, "*b q k"]
    mask: Bool[Array, "*b q k"]


@jax.tree_util.register_dataclass
@unchecked
@dataclasses.dataclass(frozen=True)
class PairSet:
    """What attention needs to know of the geometry, computed once and used by every layer.

    Args:
        features: location features, (\\*b, q, k, f).
        mask: (\\*b, q or 1, k) bool, True where the query attends to the key.
        indices: (\\*b, q, k) position of each key in its cloud; None where k runs over all.
    """

    features: Float[Array, "*b q k f"]
    mask: Bool[Array, "*b #q k"]
    indices: Int[Array, "*b q k"] | None = None


@jax.tree_util.register_dataclass
@unchecked
@dataclasses.dataclass(frozen=True)
class LazyPairs:
    """The pairs of a lifted cloud, not computed yet: memory linear in the number of points.

    Args:
        elements: group elements, (\\*b, m, \\*g).
        orbit: orbit coordinates, (\\*b, m, q).
        mask: real points, (\\*b, m) bool.
        neighbourhood: which keys each query attends to; None for all.
        group: the group, static.
        embedding, norm_bound: see `location_features`; static.
    """

    elements: Float[Array, "*b m g"]
    orbit: Float[Array, "*b m q"]
    mask: Bool[Array, "*b m"]
    neighbourhood: Neighbourhood | None = None
    group: Group = dataclasses.field(kw_only=True, metadata={"static": True})
    embedding: EmbeddingName | PairEmbedding = dataclasses.field(
        default="log", metadata={"static": True}
    )
    norm_bound: float | None = dataclasses.field(default=None, metadata={"static": True})

    @property
    def is_additive(self) -> bool:
        """Whether the embedded pair is the key's embedding less the query's."""
        return self.norm_bound is None and resolve_embedding(self.embedding).is_additive(self.group)

    def features(
        self,
        queries: Float[Array, "..."],
        keys: Float[Array, "..."],
    ) -> Float[Array, "*b q k f"]:
        """The embedded elements of some pairs, without orbit coordinates.

        Args:
            queries: (\\*b, q, \\*g).
            keys: (\\*b, k, \\*g), or (\\*b, q, k, \\*g) where each query has its own.
        """
        element_ndim = len(self.group.element_shape)
        inverse = jnp.expand_dims(self.group.inverse(queries), -element_ndim - 1)
        if keys.ndim == queries.ndim:
            keys = jnp.expand_dims(keys, -element_ndim - 2)
        return embed_pairs(
            self.group, self.group.compose(inverse, keys), self.embedding, self.norm_bound
        )

    def materialise(self) -> PairSet:
        """All pairs in memory, to be shared by the layers of a network."""
        group = self.group
        if self.neighbourhood is None:
            elements = pair_elements(group, self.elements, self.elements)
            key_orbit, mask = self.orbit[..., None, :, :], self.mask[..., None, :]
            indices = None
        else:
            indices = self.neighbourhood.indices
            element_ndim = len(group.element_shape)
            inverse = jnp.expand_dims(group.inverse(self.elements), -element_ndim - 1)
            neighbours = gather_keys(self.elements, indices, element_ndim)
            elements = group.compose(inverse, neighbours)
            key_orbit, mask = gather_keys(self.orbit, indices, 1), self.neighbourhood.mask
        features = location_features(
            group,
            elements,
            self.orbit,
            key_orbit,
            embedding=self.embedding,
            norm_bound=self.norm_bound,
        )
        return PairSet(features, mask, indices)


def pair_set(
    group: Group,
    lifted: LiftedSet,
    *,
    neighbourhood: Neighbourhood | None = None,
    embedding: EmbeddingName | PairEmbedding = "log",
    norm_bound: float | None = None,
) -> PairSet:
    """Location features of every pair of a lifted cloud, or of each query's neighbours.

    Args:
        group: the group.
        lifted: m lifted points.
        neighbourhood: which keys each query attends to; None for all.
        embedding, norm_bound: see `location_features`.
    """
    return lazy_pairs(
        group, lifted, neighbourhood=neighbourhood, embedding=embedding, norm_bound=norm_bound
    ).materialise()


def lazy_pairs(
    group: Group,
    lifted: LiftedSet,
    *,
    neighbourhood: Neighbourhood | None = None,
    embedding: EmbeddingName | PairEmbedding = "log",
    norm_bound: float | None = None,
) -> LazyPairs:
    """As `pair_set`, but nothing is computed yet."""
    return LazyPairs(
        lifted.elements,
        lifted.orbit,
        lifted.mask,
        neighbourhood,
        group=group,
        embedding=embedding,
        norm_bound=norm_bound,
    )


def gather_keys(
    values: Float[Array, "..."], indices: Int[Array, "*b q k"], feature_ndim: int
) -> Float[Array, "..."]:
    """Each query's own keys; the last ``feature_ndim`` axes of ``values`` are features."""

    def one_cloud(values, indices):
        return values[indices]

    for _ in range(values.ndim - feature_ndim - 1):
        one_cloud = jax.vmap(one_cloud)
    return one_cloud(values, indices)
