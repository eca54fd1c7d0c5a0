"""The last step of attention: values summed with the weights."""

import jax.numpy as jnp

from lie_jax.typing import Array, Float


def aggregate(
    weights: Float[Array, "*b h q k"], values: Float[Array, "*b k h c"]
) -> Float[Array, "*b q h c"]:
    """sum_k weights[h, q, k] values[k, h]; values may be (\\*b, q, k, h, c), one set per query."""
    if values.ndim == weights.ndim + 1:
        return jnp.einsum("...hqk,...qkhc->...qhc", weights, values)
    return jnp.einsum("...hqk,...khc->...qhc", weights, values)
