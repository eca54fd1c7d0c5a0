"""What happens inside one tile: scores and mixing of some queries with some keys, one head.

Shapes in a tile, where 1 stands for q unless each query has keys of its own: query side (b, q, o);
key side (b, 1, c, k) for what is multiplied, (b, 1, k, o) for what is added; scores (b, q, k);
hidden features of pairs (b, q, k, o). For the MLPs the features come last, so that a layer is
one product of all pairs with a small matrix, which XLA shares between the cores of a CPU and
gives to the matrix units of other devices; the usual 16 features are whole vectors besides.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from lie_jax.attention.location import pair_scores
from lie_jax.fused.assemble import assemble
from lie_jax.fused.products import times, times_transposed
from lie_jax.fused.terms import Affine, ScoreTerms
from lie_jax.typing import Array, Float

Tree = TypeVar("Tree")


def tile_scores(terms: ScoreTerms, features: Float[Array, "..."] | None) -> Float[Array, "b q k"]:
    """The scores of a tile's pairs.

    Args:
        terms: of one head (no head axis), cut to the tile.
        features: the embedded pair elements, (b, q, k, f); None where no term needs them. Where
            ``terms.location_mlp`` is there, (f, b, q, k).
    """
    content = None
    if terms.query is not None:
        assert terms.key is not None
        content = _dot(terms.query, terms.key)
    if terms.location_mlp:
        assert features is not None
        return assemble(terms, Arrays(), content, None, _location_scores(terms, features))
    return assemble(terms, Arrays(), content, features)


def _location_scores(terms: ScoreTerms, features: Float[Array, "f b q k"]) -> Float[Array, "b q k"]:
    """The whole location MLP of one head."""
    weights, biases = zip(*terms.location_mlp, strict=True)
    flat = features.reshape(features.shape[0], -1)
    one_head = ([x[None] for x in weights], [x[None] for x in biases])
    return pair_scores(flat, *one_head, terms.activate).reshape(features.shape[1:])


def mix(weights: Float[Array, "b q k"], values: Float[Array, "b #q o k"]) -> Array:
    """sum_k weights values, accumulated in at least float32: (b, q, o)."""
    wide = jnp.promote_types(values.dtype, jnp.float32)
    weights = weights.astype(values.dtype)
    if values.shape[1] == 1 and weights.shape[1] != 1:
        return times_transposed(weights, values[:, 0], wide)
    return times_transposed(weights[:, :, None], values, wide)[:, :, 0]


def _dot(query: Float[Array, "b q c"], key: Float[Array, "b #q c k"]) -> Float[Array, "b q k"]:
    if key.shape[1] == 1 and query.shape[1] != 1:
        return times(query, key[:, 0])
    return times(query[:, :, None], key)[:, :, 0]


class Arrays:
    """Hidden features of pairs as one array, (b, q, k, o) or what broadcasts to it."""

    def affine(self, affine: Affine, features: Array | None) -> Array:
        """Its outputs; a bias alone is (o,)."""
        total = None
        if affine.features is not None:
            assert features is not None
            total = _rows_times(features, _filled(affine.features, features).T)
        if affine.key is not None:
            total = _sum(total, affine.key)
        if affine.query is not None:
            total = _sum(total, affine.query[..., None, :])
        if affine.bias is not None:
            total = _sum(total, affine.bias)
        assert total is not None
        return total

    def layers(
        self,
        terms: ScoreTerms,
        x: Float[Array, "b #q k _f"],
        layers: tuple[tuple[Float[Array, "_i _o"], Float[Array, "_o"]], ...],
    ) -> Float[Array, "b #q k _g"]:
        """An activation, and each layer with one behind it."""
        x = terms.activate(x)
        for kernel, bias in layers:
            x = terms.activate(_rows_times(x, kernel) + bias)
        return x

    def weigh(self, weights: Float[Array, "b q f"], features: Array) -> Array:
        """Per pair, the sum of a query's weights times the pair's features."""
        return jnp.einsum("bqf,bqkf->bqk", _filled(weights, features), features)

    def output(self, x: Array) -> Array:
        """The first feature of each pair."""
        return x[..., 0]

    def enter(self, x: Array, score: Array, kernel: Float[Array, "o"]) -> Array:
        """``x`` plus the score times ``kernel``."""
        return x + score[..., None] * kernel


def _filled(weights: Array, features: Array) -> Array:
    """``weights`` filled up with zeros along the last axis, as the features are."""
    missing = features.shape[-1] - weights.shape[-1]
    return jnp.pad(weights, [(0, 0)] * (weights.ndim - 1) + [(0, missing)])


def _rows_times(x: Float[Array, "b #q k i"], kernel: Float[Array, "i o"]) -> Array:
    """x @ kernel as a product of two matrices: more axes, and XLA would keep to one core."""
    return (x.reshape(-1, x.shape[-1]) @ kernel).reshape(*x.shape[:-1], -1)


def _sum(x: Array | None, y: Array) -> Array:
    return y if x is None else x + y


# Which side of a pair an array of `ScoreTerms` belongs to, by the name of its field.
_SIDES = {"query": "query", "seen": "query", "key": "key"}


def split_sides(terms: ScoreTerms) -> tuple[list[Any], list[Any], list[Any]]:
    """The arrays (or their shapes) of the query side, of the key side, and the parameters."""
    found = {"query": [], "key": [], "parameter": []}
    for path, leaf in jax.tree_util.tree_flatten_with_path(terms)[0]:
        found[_side(path)].append(leaf)
    return found["query"], found["key"], found["parameter"]


def added_per_key(terms: ScoreTerms) -> list[bool]:
    """Of each array of the key side, whether it is added to something of the pairs."""
    paths = [path for path, _ in jax.tree_util.tree_flatten_with_path(terms)[0]]
    return [len(path) > 1 for path in paths if _side(path) == "key"]


def join_sides(
    structure: Tree, query: Sequence[Any], key: Sequence[Any], parameters: Sequence[Any]
) -> Tree:
    """The inverse of `split_sides`; ``structure`` is a tree with the same fields present."""
    sources = {"query": iter(query), "key": iter(key), "parameter": iter(parameters)}
    paths, treedef = jax.tree_util.tree_flatten_with_path(structure)
    return jax.tree.unflatten(treedef, [next(sources[_side(path)]) for path, _ in paths])


def _side(path) -> str:
    return _SIDES.get(getattr(path[-1], "name", ""), "parameter")
