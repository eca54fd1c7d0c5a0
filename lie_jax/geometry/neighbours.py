"""Choosing the keys that a query attends to: nearest, in a ball, or at random.

All give arrays of static size, so that they compile once: k indices and a mask.
"""

import jax
import jax.numpy as jnp

from lie_jax.geometry import sampling
from lie_jax.geometry.pairs import Neighbourhood
from lie_jax.points import check_mask
from lie_jax.typing import Array, Bool, Float, PRNGKey, Validated


def nearest(
    distance: Float[Array, "*b q k"], mask: Validated[Bool[Array, "*b k"]], count: int
) -> Neighbourhood:
    """The ``count`` nearest real keys of each query, the query itself among them.

    Where the cloud has fewer points than ``count``, all of them. Choosing has no gradient.
    """
    check_mask("nearest", mask)
    count = _check_count("nearest", count, distance.shape[-1])
    far = jnp.where(mask[..., None, :], jax.lax.stop_gradient(distance), jnp.inf)
    negative, indices = jax.lax.top_k(-far, count)
    return Neighbourhood(indices, jnp.isfinite(negative))


def ball(
    distance: Float[Array, "*b q k"],
    mask: Validated[Bool[Array, "*b k"]],
    radius: float,
    count: int,
    *,
    key: Validated[PRNGKey | None] = None,
) -> Neighbourhood:
    """At most ``count`` real keys within ``radius`` of each query.

    Args:
        distance: (\\*b, q, k).
        mask: real keys, (\\*b, k).
        radius: in the unit of ``distance``, positive.
        count: static size.
        key: where more than ``count`` lie within the radius, draw among them; without a key,
            take the nearest.

    Raises:
        ValueError: radius or count is not positive.
    """
    if not radius > 0:
        raise ValueError(f"ball: radius must be positive, got {radius!r}")
    check_mask("ball", mask)
    inside = mask[..., None, :] & (distance <= radius)
    if key is None:
        found = nearest(distance, mask, count)
        return Neighbourhood(
            found.indices, jnp.take_along_axis(inside, found.indices, axis=-1) & found.mask
        )
    return _draw("ball", key, inside, count)


def random_subset(
    key: Validated[PRNGKey], mask: Validated[Bool[Array, "*b k"]], count: int, queries: int
) -> Neighbourhood:
    """``count`` real keys drawn for each of ``queries`` queries, without replacement."""
    check_mask("random_subset", mask)
    allowed = jnp.broadcast_to(mask[..., None, :], (*mask.shape[:-1], queries, mask.shape[-1]))
    return _draw("random_subset", key, allowed, count)


def _draw(
    where: str, key: Validated[PRNGKey], allowed: Bool[Array, "*b q k"], count: int
) -> Neighbourhood:
    count = _check_count(where, count, allowed.shape[-1])
    key = sampling.check_key(where, key)
    # The largest of independent uniform numbers are a uniform draw without replacement.
    rank = sampling.per_index(jax.random.uniform, key, allowed.shape)
    value, indices = jax.lax.top_k(jnp.where(allowed, rank, -1), count)
    return Neighbourhood(indices, value >= 0)


def _check_count(where: str, count: int, available: int) -> int:
    if not isinstance(count, int) or count < 1:
        raise ValueError(f"{where}: count must be an integer of at least 1, got {count!r}")
    return min(count, available)
