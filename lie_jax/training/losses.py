"""Losses per example, and their mean over the examples of a batch that are real."""

import jax.numpy as jnp

from lie_jax.masking import masked_mean
from lie_jax.typing import Array, Bool, Float, Validated


def absolute_error(
    prediction: Float[Array, "b t"], target: Validated[Float[Array, "b t"]]
) -> Array:
    """|prediction - target|, (b, t)."""
    _check("absolute_error", prediction, target)
    return jnp.abs(prediction - target)


def squared_error(prediction: Float[Array, "b t"], target: Validated[Float[Array, "b t"]]) -> Array:
    """(prediction - target)², (b, t)."""
    _check("squared_error", prediction, target)
    return (prediction - target) ** 2


def masked_mean_loss(errors: Float[Array, "b t"], mask: Bool[Array, "b"]) -> Float[Array, ""]:
    """Mean over targets and over the examples whose mask is True; 0 if there are none."""
    return jnp.mean(masked_mean(errors, mask[:, None], axis=0))


def _check(where: str, prediction: Array, target: Array) -> None:
    # (b, 1) against (b,) would broadcast to (b, b) and train on nonsense without a word.
    if prediction.shape != target.shape:
        raise ValueError(
            f"{where}: prediction must have the target's shape {target.shape}, "
            f"got {prediction.shape}"
        )
