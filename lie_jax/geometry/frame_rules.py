"""How each group's frames come about, see `lie_jax.geometry.frames`."""

from collections.abc import Callable

import jax.numpy as jnp

from lie_jax import masking
from lie_jax.geometry.frames import FiniteFrameRule, FrameRule, register_frames
from lie_jax.groups import (
    E2,
    E3,
    O2,
    O3,
    SE2,
    SE3,
    SO3,
    Discrete,
    Galilei,
    Group,
    Lorentz,
    Poincare,
    RxSO3,
    Similarity,
)
from lie_jax.groups.matrix_functions import homogeneous
from lie_jax.numerics import safe_norm
from lie_jax.points import PointSet
from lie_jax.typing import Array, Float


def centroid(points: PointSet) -> Float[Array, "*b d"]:
    """The mean of the real points."""
    return masking.masked_mean(points.coords, points.mask[..., None], axis=-2)


def frames_of_rotations(*, reflects: bool) -> Callable[[Group], FrameRule]:
    """The rule of groups of rotations about the origin, whose matrices are d x d."""

    def rule(group: Group) -> FrameRule:
        def normalise(points: PointSet) -> Array:
            return group.identity(points.mask.shape[:-1], points.coords.dtype)

        return FrameRule(normalise, lambda y: y, group.from_matrix, reflects)

    return rule


def frames_of_motions(*, reflects: bool) -> Callable[[Group], FrameRule]:
    """The rule of groups of rotations and translations, whose section is the translation."""

    def rule(group: Group) -> FrameRule:
        def normalise(points: PointSet) -> Array:
            return group.section(centroid(points))

        def embed(rotation: Array) -> Array:
            return group.from_matrix(_with_ones(rotation, 0, 1))

        return FrameRule(normalise, lambda y: y, embed, reflects)

    return rule


def _with_ones(matrix: Array, before: int, after: int) -> Array:
    """The block matrix diag(1, ..., matrix, ..., 1)."""
    size = before + matrix.shape[-1] + after
    widths = [(0, 0)] * (matrix.ndim - 2) + [(before, after)] * 2
    inside = (jnp.arange(size) >= before) & (jnp.arange(size) < size - after)
    return jnp.pad(matrix, widths) + jnp.diag(jnp.where(inside, 0, 1)).astype(matrix.dtype)


def _lorentz(group: Group) -> FrameRule:
    """The rest frame of the total momentum, then rotations of the momenta in it."""

    def normalise(points: PointSet) -> Array:
        return group.section(masking.masked_sum(points.coords, points.mask[..., None], axis=-2))

    def embed(rotation: Array) -> Array:
        return group.from_matrix(_with_ones(rotation, 1, 0))

    return FrameRule(normalise, lambda y: y[..., 1:], embed, reflects=False)


def _poincare(group: Group) -> FrameRule:
    """As the Lorentz group's, about the centroid of the events."""
    lorentz = Lorentz()

    def normalise(points: PointSet) -> Array:
        momentum = points.coords[..., 4:]
        total = masking.masked_sum(momentum, points.mask[..., None], axis=-2)
        return group.from_matrix(homogeneous(lorentz.section(total), centroid(points)[..., :4], 1))

    def embed(rotation: Array) -> Array:
        return group.from_matrix(_with_ones(rotation, 1, 1))

    return FrameRule(normalise, lambda y: y[..., 5:], embed, reflects=False)


def _galilei(group: Group) -> FrameRule:
    """About the centroid of the events, at rest on average; rotations of the velocities."""

    def normalise(points: PointSet) -> Array:
        mean = centroid(points)
        event, velocity = mean[..., :4], mean[..., 4:]
        one = jnp.broadcast_to(jnp.eye(3, dtype=mean.dtype), (*velocity.shape, 3))
        return group.from_matrix(homogeneous(homogeneous(one, velocity, 1), event, 1))

    def embed(rotation: Array) -> Array:
        return group.from_matrix(_with_ones(rotation, 0, 2))

    return FrameRule(normalise, lambda y: y[..., 4:], embed, reflects=False)


def _similarity(group: Group) -> FrameRule:
    """About the centroid of the places, in units of their mean distance from it."""

    def normalise(points: PointSet) -> Array:
        centre = centroid(points)[..., :3]
        radius = safe_norm(points.coords[..., :3] - centre[..., None, :])
        scale = masking.masked_mean(radius, points.mask, axis=-1)[..., None, None]
        scale = jnp.where(scale == 0, 1, scale)
        return group.from_matrix(homogeneous(scale * jnp.eye(3, dtype=scale.dtype), centre, 1))

    def embed(rotation: Array) -> Array:
        return group.from_matrix(_with_ones(rotation, 0, 1))

    return FrameRule(normalise, lambda y: y[..., :3], embed, reflects=False)


def _discrete(group: Group) -> FiniteFrameRule:
    """About the centroid, turned by every element of the point group."""
    assert isinstance(group, Discrete)

    def normalise(points: PointSet) -> Array:
        return group.section(centroid(points))

    return FiniteFrameRule(normalise, group.elements)


register_frames(SO3, frames_of_rotations(reflects=False))
register_frames(RxSO3, frames_of_rotations(reflects=False))
register_frames(O2, frames_of_rotations(reflects=True))
register_frames(O3, frames_of_rotations(reflects=True))
register_frames(SE2, frames_of_motions(reflects=False))
register_frames(SE3, frames_of_motions(reflects=False))
register_frames(E2, frames_of_motions(reflects=True))
register_frames(E3, frames_of_motions(reflects=True))
register_frames(Lorentz(), _lorentz)
register_frames(Poincare(), _poincare)
register_frames(Similarity(3), _similarity)
register_frames(Galilei(), _galilei)
register_frames(Discrete, _discrete)
