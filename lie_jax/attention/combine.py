"""Combining content and location into one score per head and pair."""

from collections.abc import Sequence

import jax.numpy as jnp

from lie_jax.attention.location import Activation, heads_inside, per_head_mlp
from lie_jax.typing import Array, Float


def read_out(
    features: Float[Array, "*b h q k f"], weights: Float[Array, "h f"]
) -> Float[Array, "*b h q k"]:
    """One linear map per head from a feature vector to a score (additive attention)."""
    return jnp.einsum("...hqkf,hf->...hqk", features, weights)


def combine_mlp(
    content: Float[Array, "*b #h q k fc"],
    location: Float[Array, "*b #h q k fl"],
    weights: Sequence[Float[Array, "h _i _o"]],
    biases: Sequence[Float[Array, "h _o"]],
    activation: Activation,
) -> Float[Array, "*b h q k"]:
    """Per-head MLP of [content, location]; either may have one entry for all heads."""
    lead = jnp.broadcast_shapes(content.shape[:-1], location.shape[:-1])
    joined = jnp.concatenate(
        [jnp.broadcast_to(x, (*lead, x.shape[-1])) for x in (content, location)], axis=-1
    )
    features = jnp.moveaxis(joined, (-4, -1), (0, 1))  # (h, f, *b, q, k)
    shape = features.shape[2:]
    features = features.reshape(*features.shape[:2], -1)
    scores = per_head_mlp(features, weights, biases, activation, shared=False)
    return heads_inside(scores[:, 0], shape)


def as_features(scores: Float[Array, "*b h q k"]) -> Array:
    """A score as a feature vector of one entry."""
    return scores[..., None]
