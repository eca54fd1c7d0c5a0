"""Location scores: small MLPs, one per head, of the features of a pair.

The pair axis is kept last, where it fills the vector lanes of a CPU and the warps of a GPU: the
other axes have 3 to 16 entries. Where the hidden activations of all heads, (h, hidden, q, k), do
not fit into a cache, heads run one after the other and each recomputes its own in the backward
pass, so that they are never stored.
"""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from lie_jax import native
from lie_jax.attention.activations import swish
from lie_jax.typing import Array, Float

Activation = Callable[[Array], Array]

# Numbers that fit into a cache. The gradient of a small network takes 9 ms this way and 11 the
# other at 3e5 of them, 66 and 39 at 1e6. A gradient of its gradient, as dynamics needs it, is 1.4
# to 3 times faster this way.
_FITS = 2**19


def per_head_mlp(
    features: Float[Array, "..."],
    weights: Sequence[Float[Array, "h _i _o"]],
    biases: Sequence[Float[Array, "h _o"]],
    activation: Activation,
    *,
    shared: bool,
) -> Float[Array, "h _o p"]:
    """MLP with its own weights for each head, the activation after EVERY layer, as published.

    Args:
        features: (f, p) if ``shared`` between heads, else (h, f, p); p runs over pairs.
        weights: one (h, in, out) per layer.
        biases: one (h, out) per layer.
        activation: elementwise.
        shared: see ``features``.

    Returns:
        (h, out, p).
    """

    hidden = max(math.prod(weight.shape[::2]) for weight in weights)
    if hidden * features.shape[-1] <= _FITS:
        x = features
        for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            one_for_all = "ip" if i == 0 and shared else "hip"
            x = activation(jnp.einsum(f"hio,{one_for_all}->hop", weight, x) + bias[..., None])
        return x

    def one_head(inputs):
        x = features if shared else inputs[2]
        for weight, bias in zip(inputs[0], inputs[1], strict=True):
            x = activation(weight.T @ x + bias[:, None])
        return x

    mapped = (tuple(weights), tuple(biases)) + (() if shared else (features,))
    return jax.lax.map(jax.checkpoint(one_head), mapped)


def _swish_scores(features: Array, *layers: Array) -> tuple[Array]:
    """Scores (h, p) of three layers with swish: weights and biases, layer by layer."""
    scores = per_head_mlp(features, layers[::2], layers[1::2], swish, shared=True)
    return (scores[:, 0],)


_fast_scores = native.Accelerated(_swish_scores, shared=(0,), **native.LOCATION_SCORES)


def pair_scores(
    features: Float[Array, "f p"],
    weights: Sequence[Float[Array, "h _i _o"]],
    biases: Sequence[Float[Array, "h _o"]],
    activation: Activation,
) -> Float[Array, "h p"]:
    """The location MLP of every head at every pair; by machine code where there is any.

    Args:
        features: of the pairs, the same for all heads.
        weights, biases: of every layer; the last has one output.
        activation: elementwise; machine code knows `lie_jax.attention.activations.swish`.
    """
    if activation is swish and native.has_code(weights, biases, features):
        layers = [x for layer in zip(weights, biases, strict=True) for x in layer]
        return _fast_scores(features, *layers)[0]
    return per_head_mlp(features, weights, biases, activation, shared=True)[:, 0]


def pairs_last(features: Float[Array, "*b q k f"]) -> Float[Array, "f p"]:
    """All pairs of all clouds on one last axis."""
    return jnp.moveaxis(features, -1, 0).reshape(features.shape[-1], -1)


def location_mlp(
    features: Float[Array, "*b q k f"],
    weights: Sequence[Float[Array, "h _i _o"]],
    biases: Sequence[Float[Array, "h _o"]],
    activation: Activation,
) -> Float[Array, "*b h q k"]:
    """The location MLP of every head at every pair: scores (\\*b, h, q, k).

    Raises:
        ValueError: the first layer takes another number of features, or the last gives not 1.
    """
    if weights[0].shape[1] != features.shape[-1] or weights[-1].shape[-1] != 1:
        raise ValueError(
            f"location_mlp: weights must lead from {features.shape[-1]} features to 1 score, "
            f"got layers {[w.shape for w in weights]}"
        )
    scores = pair_scores(pairs_last(features), weights, biases, activation)
    return heads_inside(scores, features.shape[:-1])


def heads_inside(scores: Float[Array, "h p"], shape: tuple[int, ...]) -> Array:
    """(h, p) -> (\\*b, h, q, k), given the shape (\\*b, q, k)."""
    return jnp.moveaxis(scores.reshape(-1, *shape), 0, -3)
