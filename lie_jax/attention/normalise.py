"""From scores to attention weights."""

from typing import Literal, get_args

import jax.numpy as jnp

from lie_jax.masking import masked_softmax
from lie_jax.points import check_mask
from lie_jax.typing import Array, Bool, Float, Validated

Normalisation = Literal["softmax", "mean", "exp_mean"]


def normalise(
    scores: Float[Array, "*b h q k"],
    mask: Validated[Bool[Array, "*b #q k"]],
    normalisation: Validated[Normalisation],
) -> Float[Array, "*b h q k"]:
    """Attention weights; 0 where the mask is False, and all 0 in a row without a real key.

    ``"softmax"``: exp(s) / sum exp(s). ``"mean"``: s / number of real keys, which may be
    negative (Wang et al., Non-local neural networks, 2018). ``"exp_mean"``: exp(s) / number of
    real keys, which overflows where scores are large.

    Args:
        scores: (\\*b, h, q, k).
        mask: (\\*b, q or 1, k).
        normalisation: which.

    Raises:
        ValueError: unknown normalisation.
        TypeError: mask is not boolean.
    """
    check_mask("normalise", mask)
    mask = mask[..., None, :, :]
    if normalisation == "softmax":
        return masked_softmax(scores, mask, axis=-1)
    count = jnp.sum(mask, axis=-1, keepdims=True, dtype=scores.dtype)
    # Divided by the count as a factor: one multiplication per pair instead of a division.
    share = jnp.where(mask, 1 / jnp.maximum(count, 1), 0)
    if normalisation == "mean":
        return scores * share
    if normalisation == "exp_mean":
        return jnp.exp(jnp.where(mask, scores, 0)) * share
    raise ValueError(
        f"normalise: normalisation must be one of {get_args(Normalisation)}, got {normalisation!r}"
    )
