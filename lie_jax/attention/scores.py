"""Scores of every pair, from projected features and pair features, for every option."""

import dataclasses

import jax
import jax.numpy as jnp

from lie_jax.attention import combine, content, location
from lie_jax.attention.activations import ACTIVATIONS
from lie_jax.attention.config import AttentionConfig
from lie_jax.typing import Array, Float, unchecked

MLP = tuple[tuple[Float[Array, "h _i _o"], ...], tuple[Float[Array, "h _o"], ...]]
"""Weights and biases of one MLP per head, layer by layer."""


@jax.tree_util.register_dataclass
@unchecked
@dataclasses.dataclass(frozen=True)
class ScoreWeights:
    """Parameters of the scores, beside the projections of queries, keys and values.

    Which of them are there follows from the `AttentionConfig`; the others are None.

    Args:
        location_mlp: from f pair features to one score.
        combine_mlp: from [content, location] to one score.
        content_map: (2 c, c) and (c,), the map of ``"linear_concat_linear"``.
        location_map: (f, h, c) and (h, c), the map of ``"relative_position"``.
        content_bias, location_bias: (h, c), u and v of ``"relative_position"``.
        content_readout: (h, fc), from a content vector to a score.
        location_readout: (h, f), from the raw pair features to a score.
    """

    location_mlp: MLP | None = None
    combine_mlp: MLP | None = None
    content_map: tuple[Array, Array] | None = None
    location_map: tuple[Array, Array] | None = None
    content_bias: Float[Array, "h c"] | None = None
    location_bias: Float[Array, "h c"] | None = None
    content_readout: Float[Array, "h fc"] | None = None
    location_readout: Float[Array, "h f"] | None = None


def scores(
    config: AttentionConfig,
    weights: ScoreWeights,
    queries: Float[Array, "*b q h c"] | None,
    keys: Float[Array, "..."] | None,
    features: Float[Array, "*b q k f"],
    heads: int,
) -> Float[Array, "*b h q k"]:
    """Scores before masking and normalisation.

    Args:
        config: which score.
        weights: its parameters.
        queries: (\\*b, q, h, c); None without content scores.
        keys: (\\*b, k, h, c), or (\\*b, q, k, h, c) where each query has its own.
        features: location features of the pairs.
        heads: h.
    """
    content_score = _content(config, weights, queries, keys, features)
    location_score = _location(config, weights, features, heads)
    if content_score is None or location_score is None:
        score = location_score if content_score is None else content_score
        assert score is not None
        return score
    if config.combination == "mlp":
        assert weights.combine_mlp is not None
        return combine.combine_mlp(
            content_score, location_score, *weights.combine_mlp, ACTIVATIONS[config.activation]
        )
    if config.combination == "sum":
        return content_score + location_score
    return content_score * location_score


def _content(config, weights: ScoreWeights, queries, keys, features) -> Array | None:
    """A score (\\*b, h, q, k); a vector (\\*b, h, q, k, f) where an MLP will combine it."""
    if config.content == "none":
        return None
    as_vector = config.combination == "mlp"
    if config.content == "dot_product":
        score = content.dot_product(queries, keys)
        return combine.as_features(score) if as_vector else score
    if config.content == "relative_position":
        assert weights.location_map is not None
        assert weights.content_bias is not None
        assert weights.location_bias is not None
        biases = (weights.content_bias, weights.location_bias)
        score = content.relative_position(queries, keys, features, *weights.location_map, *biases)
        return combine.as_features(score) if as_vector else score
    vector = content.linear_concat(queries, keys)
    if config.content == "linear_concat_linear":
        assert weights.content_map is not None
        kernel, bias = weights.content_map
        vector = vector @ kernel + bias
    if as_vector:
        return vector
    assert weights.content_readout is not None
    return combine.read_out(vector, weights.content_readout)


def _location(config, weights: ScoreWeights, features: Array, heads: int) -> Array | None:
    """As `_content`; None without location scores."""
    if config.location == "none":
        return None
    as_vector = config.combination == "mlp"
    if config.location == "raw":
        vector = jnp.expand_dims(features, -4)  # one for all heads
        if as_vector:
            return vector
        assert weights.location_readout is not None
        shape = (*vector.shape[:-4], heads, *vector.shape[-3:])
        return combine.read_out(jnp.broadcast_to(vector, shape), weights.location_readout)
    assert weights.location_mlp is not None
    activation = ACTIVATIONS[config.activation]
    score = location.location_mlp(features, *weights.location_mlp, activation)
    return combine.as_features(score) if as_vector else score
