"""Features of a point that its cloud gives: distances, which no motion changes, or a constant."""

from typing import Literal, get_args

import jax.numpy as jnp

from lie_jax.numerics import safe_norm
from lie_jax.points import PointSet
from lie_jax.typing import Array, Bool, Float, Validated

FeatureName = Literal["distances", "constant"]


def feature_count(name: Validated[FeatureName], points: Validated[int]) -> int:
    """c, for clouds that are padded to so many points."""
    return points - 1 if name == "distances" else 1


def point_set(
    coords: Float[Array, "*b n d"],
    mask: Validated[Bool[Array, "*b n"]],
    features: Validated[FeatureName] = "distances",
    *,
    count: Validated[int | None] = None,
) -> PointSet:
    """Clouds with the features that the published networks see, or with none to speak of.

    Args:
        coords: (\\*b, n, d).
        mask: True where there is a point, (\\*b, n).
        features: ``"distances"``: of each point, its distances to the others, largest first and
            filled up with 0. They say by themselves which pattern a point may belong to, and no
            motion changes them. ``"constant"``: 1, so that coordinates alone tell.
        count: c of the distances, at least n - 1; None takes n - 1. With it clouds may be cut to
            fewer points and keep their number of features.

    Returns:
        values (\\*b, n, c), 0 at absent points.

    Raises:
        ValueError: unknown features, or too few of them.
    """
    if features not in get_args(FeatureName):
        raise ValueError(
            f"point_set: features must be one of {get_args(FeatureName)}, got {features!r}"
        )
    if features == "constant":
        return PointSet(coords, mask[..., None].astype(coords.dtype), mask)
    n = coords.shape[-2]
    count = n - 1 if count is None else count
    if count < n - 1:
        raise ValueError(f"point_set: count must be at least {n - 1}, got {count}")
    offsets = coords[..., :, None, :] - coords[..., None, :, :]
    pairs = mask[..., :, None] & mask[..., None, :]
    distances = jnp.where(pairs, safe_norm(offsets), 0)
    # The least is the point's own, which is 0.
    largest = jnp.sort(distances, axis=-1, descending=True)[..., :-1]
    widths = [(0, 0)] * (largest.ndim - 1) + [(0, count - n + 1)]
    return PointSet(coords, jnp.pad(largest, widths), mask)
