"""Random motions of whole clouds, one per cloud, for groups that the model does not respect."""

import dataclasses

import jax

from lie_jax.groups import SO2, SO3
from lie_jax.points import PointSet
from lie_jax.typing import PRNGKey

_ROTATIONS = {2: SO2(), 3: SO3()}


def random_rotation(key: PRNGKey, points: PointSet) -> PointSet:
    """Each cloud turned about the origin by a rotation of SO(2) or SO(3), Haar distributed.

    Raises:
        ValueError: space is neither the plane nor R³.
    """
    d = points.coords.shape[-1]
    if d not in _ROTATIONS:
        raise ValueError(f"random_rotation: coords must have 2 or 3 coordinates, got {d}")
    group = _ROTATIONS[d]
    g = group.haar(key, points.coords.shape[:-2], points.coords.dtype)
    coords = group.act(g[..., None, :], points.coords)
    return dataclasses.replace(points, coords=coords.astype(points.coords.dtype))


def random_translation(key: PRNGKey, points: PointSet, *, scale: float = 1.0) -> PointSet:
    """Each cloud shifted by ``scale`` times a normal vector."""
    *batch, _, d = points.coords.shape
    shift = scale * jax.random.normal(key, (*batch, 1, d), points.coords.dtype)
    return dataclasses.replace(points, coords=points.coords + shift)


def random_rotation_translation(key: PRNGKey, points: PointSet, *, scale: float = 1.0) -> PointSet:
    """A random rotation, then a shift by ``scale`` times a normal vector: SE(2) or SE(3)."""
    rotation_key, shift_key = jax.random.split(key)
    return random_translation(shift_key, random_rotation(rotation_key, points), scale=scale)
