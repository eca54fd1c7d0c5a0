"""Content scores: what query and key say to each other through their features.

Queries are (\\*b, q, h, c). Keys are (\\*b, k, h, c), or (\\*b, q, k, h, c) where each query has
its own. Scores are (\\*b, h, q, k), and feature vectors (\\*b, h, q, k, f).
"""

import jax.numpy as jnp

from lie_jax import native
from lie_jax.typing import Array, Float


def per_query(queries: Array, keys: Array) -> bool:
    """Whether each query has keys of its own (neighbourhoods)."""
    return keys.ndim == queries.ndim + 1


def dot_product(
    queries: Float[Array, "*b q h c"], keys: Float[Array, "..."]
) -> Float[Array, "*b h q k"]:
    """q . k / sqrt(c)."""
    queries = queries * queries.shape[-1] ** -0.5
    if per_query(queries, keys):
        return jnp.einsum("...qhc,...qkhc->...hqk", queries, keys)
    return native.contract("scores", queries, keys)


def linear_concat(
    queries: Float[Array, "*b q h c"], keys: Float[Array, "..."]
) -> Float[Array, "*b h q k f"]:
    """[q, k]: the two projections beside each other, f = 2 c."""
    queries = jnp.moveaxis(queries, -2, -3)[..., :, None, :]  # (*b, h, q, 1, c)
    if keys.ndim == queries.ndim:
        keys = jnp.moveaxis(keys, -2, -4)  # (*b, h, q, k, c)
    else:
        keys = jnp.moveaxis(keys, -2, -3)[..., None, :, :]  # (*b, h, 1, k, c)
    shape = jnp.broadcast_shapes(queries.shape, keys.shape)
    return jnp.concatenate(
        [jnp.broadcast_to(queries, shape), jnp.broadcast_to(keys, shape)], axis=-1
    )


def relative_position(
    queries: Float[Array, "*b q h c"],
    keys: Float[Array, "..."],
    features: Float[Array, "*b q k f"],
    projection: Float[Array, "f h c"],
    projection_bias: Float[Array, "h c"],
    content_bias: Float[Array, "h c"],
    location_bias: Float[Array, "h c"],
) -> Float[Array, "*b h q k"]:
    """(q.k + e.(q + v) + u.k) / sqrt(c) with e = features @ projection + projection_bias.

    u is ``content_bias`` and v is ``location_bias``.

    e.(q + v) is computed as features . (projection (q + v)), so that e, of size q k h c, is
    never formed.

    Source: Dai et al., Transformer-XL (2019), section 3.3, with log coordinates of the pair in
    place of the sinusoid of the distance.
    """
    shifted = queries + location_bias
    seen = jnp.einsum("...qhc,fhc->...qhf", shifted, projection)
    location = jnp.einsum("...qkf,...qhf->...hqk", features, seen)
    constant = jnp.einsum("...qhc,hc->...hq", shifted, projection_bias)
    location = location + constant[..., None]
    return dot_product(queries + content_bias, keys) + location * queries.shape[-1] ** -0.5
