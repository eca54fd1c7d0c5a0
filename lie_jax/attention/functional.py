"""Attention in one piece: what the tiled and fused implementations are tested against."""

import jax.numpy as jnp

from lie_jax import native
from lie_jax.attention.config import AttentionConfig
from lie_jax.attention.normalise import normalise
from lie_jax.attention.scores import ScoreWeights, scores
from lie_jax.geometry.pairs import PairSet, gather_keys
from lie_jax.typing import Array, Float


def aggregate(
    weights: Float[Array, "*b h q k"], values: Float[Array, "..."]
) -> Float[Array, "*b q h c"]:
    """sum_k weights[h, q, k] values[k, h]; values may be (\\*b, q, k, h, c), one set per query."""
    if values.ndim == weights.ndim + 1:
        return jnp.einsum("...hqk,...qkhc->...qhc", weights, values)
    return native.contract("mix", weights, values)


def reference_attention(
    config: AttentionConfig,
    weights: ScoreWeights,
    queries: Float[Array, "*b m h c"] | None,
    keys: Float[Array, "*b m h c"] | None,
    values: Float[Array, "*b m h o"],
    pairs: PairSet,
) -> Float[Array, "*b m h o"]:
    """Attention with every pair in memory at once: (\\*b, h, m, m), and f times (\\*b, m, m).

    Args:
        config: see `AttentionConfig`.
        weights: see `ScoreWeights`.
        queries, keys: projected features; None where ``config.content`` is ``"none"``.
        values: projected features to be mixed.
        pairs: of the m lifted points.
    """
    if pairs.indices is not None:
        keys = None if keys is None else gather_keys(keys, pairs.indices, 2)
        values = gather_keys(values, pairs.indices, 2)
    features = pairs.features.astype(values.dtype)
    score = scores(config, weights, queries, keys, features, values.shape[-2])
    # Sums over keys lose precision in bf16, so weights are normalised in float32.
    wide = jnp.promote_types(score.dtype, jnp.float32)
    mixing = normalise(score.astype(wide), pairs.mask, config.normalisation)
    return aggregate(mixing.astype(values.dtype), values)
