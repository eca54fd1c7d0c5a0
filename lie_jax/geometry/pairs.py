"""What attention sees of two lifted points: an embedding of inverse(g_query) @ g_key, and orbits.

Both are unchanged when one g acts on all points from the left, whatever the group: this is
where the invariance of the whole network comes from.
"""

import dataclasses
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp

from lie_jax.groups import Group
from lie_jax.numerics import safe_norm
from lie_jax.points import LiftedSet
from lie_jax.typing import Array, Bool, Float, Int


@dataclasses.dataclass(frozen=True)
class PairEmbedding:
    """A map from a pair's group element to real location features.

    Args:
        name: how it is called in messages and configs.
        size: number of features it gives for a group.
        embed: ``embed(group, element)``, (\\*b, g) -> (\\*b, f).
    """

    name: str
    size: Callable[[Group], int]
    embed: Callable[[Group, Array], Array]


def _log_and_component(group: Group, element: Array) -> Array:
    log = group.log(element)
    if group.component_dim == 0:
        return log
    return jnp.concatenate([log, group.component(element)], axis=-1)


def _flat_matrix(group: Group, element: Array) -> Array:
    matrix = group.to_matrix(element)
    return matrix.reshape((*matrix.shape[:-2], -1))


LOG = PairEmbedding(
    "log", lambda group: group.algebra_dim + group.component_dim, _log_and_component
)
"""Log coordinates as published, with the component's label where the group has several."""

MATRIX = PairEmbedding("matrix", lambda group: group.matrix_dim**2, _flat_matrix)
"""Entries of the matrix: smooth on the whole group, where log has a branch."""

EmbeddingName = Literal["log", "matrix"]
_NAMED: dict[str, PairEmbedding] = {"log": LOG, "matrix": MATRIX}


def resolve_embedding(embedding: EmbeddingName | PairEmbedding) -> PairEmbedding:
    """The embedding of that name, or the user's own.

    Raises:
        ValueError: unknown name.
    """
    if isinstance(embedding, PairEmbedding):
        return embedding
    if embedding not in _NAMED:
        raise ValueError(
            f"pair_embedding must be one of {tuple(_NAMED)} or a PairEmbedding, got {embedding!r}"
        )
    return _NAMED[embedding]


def feature_dim(group: Group, embedding: EmbeddingName | PairEmbedding = "log") -> int:
    """f: number of location features of a pair, orbit coordinates of both points included."""
    return resolve_embedding(embedding).size(group) + 2 * group.orbit_dim


def pair_elements(
    group: Group, queries: Float[Array, "*b q g"], keys: Float[Array, "*b k g"]
) -> Float[Array, "*b q k g"]:
    """``inverse(g_query) @ g_key`` for every query and key."""
    element_ndim = len(group.element_shape)
    inverse = jnp.expand_dims(group.inverse(queries), -element_ndim - 1)
    return group.compose(inverse, jnp.expand_dims(keys, -element_ndim - 2))


def bound_norm(a: Float[Array, "*b f"], bound: float) -> Float[Array, "*b f"]:
    """Shortens vectors smoothly to a norm below ``bound``: a -> a (B / |a|) tanh(|a| / B)."""
    norm = safe_norm(a, keepdims=True)
    positive = jnp.where(norm == 0, 1, norm)
    factor = jnp.where(norm == 0, 1, jnp.tanh(positive / bound) * bound / positive)
    return a * factor


def location_features(
    group: Group,
    elements: Float[Array, "*b q k g"],
    query_orbit: Float[Array, "*b q q1"],
    key_orbit: Float[Array, "*b q k q1"],
    *,
    embedding: EmbeddingName | PairEmbedding = "log",
    norm_bound: float | None = None,
) -> Float[Array, "*b q k f"]:
    """Embedding of the pair elements, then orbit coordinates of query and key.

    Args:
        group: the group.
        elements: ``inverse(g_query) @ g_key``.
        query_orbit: (\\*b, q, orbit_dim).
        key_orbit: (\\*b, q or 1, k, orbit_dim).
        embedding: see `PairEmbedding`; ``"log"`` as published.
        norm_bound: bound the norm of the embedded element, see `bound_norm`.
    """
    features = resolve_embedding(embedding).embed(group, elements)
    if norm_bound is not None:
        features = bound_norm(features, norm_bound)
    if group.orbit_dim == 0:
        return features
    shape = (*features.shape[:-1], group.orbit_dim)
    query_orbit = jnp.broadcast_to(query_orbit[..., :, None, :], shape)
    return jnp.concatenate([features, query_orbit, jnp.broadcast_to(key_orbit, shape)], axis=-1)


@jax.tree_util.register_dataclass
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
@dataclasses.dataclass(frozen=True)
class PairSet:
    """What attention needs to know of the geometry, computed once and used by every layer.

    Args:
        features: location features, (\\*b, q, k, f).
        mask: (\\*b, q or 1, k) bool, True where the query attends to the key.
        indices: (\\*b, q, k) position of each key in its cloud; None where k runs over all.
    """

    features: Float[Array, "*b q k f"]
    mask: Bool[Array, "*b q k"]
    indices: Int[Array, "*b q k"] | None = None


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
    if neighbourhood is None:
        elements = pair_elements(group, lifted.elements, lifted.elements)
        key_orbit, mask = lifted.orbit[..., None, :, :], lifted.mask[..., None, :]
        indices = None
    else:
        indices = neighbourhood.indices
        element_ndim = len(group.element_shape)
        inverse = jnp.expand_dims(group.inverse(lifted.elements), -element_ndim - 1)
        neighbours = gather_keys(lifted.elements, indices, element_ndim)
        elements = group.compose(inverse, neighbours)
        key_orbit, mask = gather_keys(lifted.orbit, indices, 1), neighbourhood.mask
    features = location_features(
        group, elements, lifted.orbit, key_orbit, embedding=embedding, norm_bound=norm_bound
    )
    return PairSet(features, mask, indices)


def gather_keys(
    values: Float[Array, "*b m c"], indices: Int[Array, "*b q k"], feature_ndim: int
) -> Float[Array, "*b q k c"]:
    """Each query's own keys; the last ``feature_ndim`` axes of ``values`` are features."""

    def one_cloud(values, indices):
        return values[indices]

    for _ in range(values.ndim - feature_ndim - 1):
        one_cloud = jax.vmap(one_cloud)
    return one_cloud(values, indices)
