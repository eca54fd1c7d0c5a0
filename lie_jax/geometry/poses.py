"""Rotations that turn with a cloud: poses of points about the origin of R² or R³.

Each function gives rotations R of the points y, with R(Q y) = Q R(y) as a set for every rotation
Q, so that the turned-back points R^-1 y are the same however the cloud is turned. Together with
weights that add up to 1, an average over the set is then exactly invariant.

Where the points leave a rotation open (they lie on a line, or all at the origin), it is filled in
by a fixed rule. That costs nothing: whatever the rule, the turned-back points are the same. Only
where two principal moments agree for points that are not symmetric about the axis, and no weights
smooth the choice, is the pose a matter of rounding; see each function.
"""

import itertools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from lie_jax.groups.quaternion import cross
from lie_jax.numerics import safe_eigh, safe_norm
from lie_jax.typing import Array, Bool, Float, Validated


class Poses(NamedTuple):
    """Rotations and their weights.

    Args:
        rotations: (\\*b, s, 1, d, d); (\\*b, s, n, d, d) where every point has its own. Their
            columns are the axes of the pose.
        weights: (\\*b, s), not negative, of sum 1.
    """

    rotations: Float[Array, "*b s p d d"]
    weights: Float[Array, "*b s"]


def principal(y: Float[Array, "*b n d"], mask: Bool[Array, "*b n"], reflects: bool) -> Poses:
    """Principal axes, longest first, with every choice of signs.

    In the plane 2 rotations, or 4 with reflections; in space 4, or 8. Equal weights. Where two
    moments are equal the axes jump.

    Source: Puny et al., Frame averaging (2022), section 3.
    """
    axes = _principal_axes(_scaled(y, mask))
    d = y.shape[-1]
    signs = [s for s in itertools.product((1, -1), repeat=d) if reflects or math.prod(s) == 1]
    table = jnp.asarray(signs, y.dtype)[:, None, None, :]
    rotations = axes[..., None, None, :, :] * table
    weights = jnp.full((*y.shape[:-2], len(signs)), 1 / len(signs), y.dtype)
    return Poses(rotations, weights)


def canonical(y: Float[Array, "*b n d"], mask: Bool[Array, "*b n"], reflects: bool) -> Poses:
    """One pose: principal axes, signs such that the third moments along the axes are positive.

    In SO(d) the last axis has the sign that makes it a rotation. Jumps where two second moments
    are equal or a third moment is 0.
    """
    y = _scaled(y, mask)
    axes = _principal_axes(y)
    # Not a matrix product: so small a one takes longer than this.
    along = jnp.sum(y[..., :, None] * axes[..., None, :, :], axis=-2)
    skew = jax.lax.stop_gradient(jnp.sum(along**3, axis=-2))
    signs = jnp.where(skew < 0, -1, 1).astype(y.dtype)
    if not reflects:
        others = signs[..., :-1]
        signs = jnp.concatenate([others, jnp.prod(others, axis=-1, keepdims=True)], axis=-1)
    rotations = (axes * signs[..., None, :])[..., None, None, :, :]
    return Poses(rotations, jnp.ones((*y.shape[:-2], 1), y.dtype))


def weighted(
    y: Float[Array, "*b n d"],
    mask: Bool[Array, "*b n"],
    reflects: bool,
    anchors: Validated[int | None] = None,
) -> Poses:
    """A pose for every anchor point, weighed so that the average over poses is continuous.

    In the plane the first axis points to an anchor i, with a weight that grows as |y_i|^4: where
    the axis would jump, at |y_i| = 0, it counts nothing. In space the second axis points to a
    partner j, as far as it is across the first, with a weight among the partners of i that
    grows as the fourth power of that distance. With reflections, each pose has its mirror image.

    With n points that is n poses in the plane and n² in space. ``anchors`` keeps the heaviest
    anchors, and as many partners of each, their weights less that of the first one left out:
    continuous still, but where all that are kept weigh the same as the one left out.

    Source: Dym et al., Equivariant frames and the impossibility of continuous canonicalization
    (2024), section 4, of which this is a variant.
    """
    y = _scaled(y, mask)
    length2 = jnp.sum(y * y, axis=-1)
    weights, first = _heaviest(_shares(length2, mask), anchors)
    e1 = _direction(_take(y, first), _axis(y.shape[-1], 0, y))
    if y.shape[-1] == 2:
        rotations = _in_plane(e1, reflects)
    else:
        across = y[..., None, :, :] - _project(e1[..., None, :], y[..., None, :, :])
        across = jnp.where(_is_rounding(across), 0, across)
        others = jnp.broadcast_to(mask[..., None, :], across.shape[:-1])
        shares = _shares(jnp.sum(across * across, axis=-1), others)
        inner, partner = _heaviest(shares, anchors)
        e1 = jnp.broadcast_to(e1[..., None, :], (*partner.shape, 3))
        e2 = _perpendicular(e1, _take(across, partner))
        rotations = _in_space(e1, e2, reflects)
        weights = weights[..., None] * inner
        batch = y.shape[:-2]
        weights = weights.reshape(*batch, -1)
        rotations = rotations.reshape(*batch, -1, *rotations.shape[-3:])
    copies = rotations.shape[-3]
    rotations = rotations.reshape(*y.shape[:-2], -1, 1, *rotations.shape[-2:])
    return Poses(rotations, jnp.repeat(weights, copies, axis=-1) / copies)


def local(y: Float[Array, "*b n d"], mask: Bool[Array, "*b n"], reflects: bool) -> Poses:
    """A pose for every point, from the points around it; with reflections, it and its mirror.

    A neighbour at r counts (|r|² + ρ²)^-3, ρ = n^(-1/d) of the cloud's size. The first axis is
    the weighted mean v of r, in space the second that of r (r . v), as far as it is across v:
    smooth where they are not 0. Where they are (a point among symmetric neighbours), the
    direction from the cloud's centre stands in, then the cloud's canonical pose.
    """
    d = y.shape[-1]
    whole = canonical(y, mask, reflects).rotations[..., 0, :, :, :]  # (*b, 1, d, d)
    y = _scaled(y, mask)
    count = jnp.maximum(jnp.sum(mask, axis=-1, dtype=y.dtype), 1)
    rho2 = (count ** (-2 / d))[..., None, None]
    # Component by component, so that the neighbours and not the 3 components are the vector lanes.
    r = [y[..., None, :, k] - y[..., :, None, k] for k in range(d)]
    weight = (sum(x * x for x in r) + rho2) ** -3
    weight = jnp.where(mask[..., None, :], weight, 0)
    weight = weight / jnp.sum(weight, axis=-1, keepdims=True)
    v = jnp.stack([jnp.sum(weight * x, axis=-1) for x in r], axis=-1)
    stand_ins = [jnp.broadcast_to(whole[..., k], y.shape) for k in range(d)]
    e1 = _direction(v, y, *stand_ins)
    if d == 2:
        rotations = _in_plane(e1, reflects)
    else:
        lever = weight * sum(x * e1[..., :, k, None] for k, x in enumerate(r))
        turn = jnp.stack([jnp.sum(lever * x, axis=-1) for x in r], axis=-1)
        candidates = [x - _project(e1, x) for x in (turn, y, *stand_ins)]
        e2 = _perpendicular(e1, *candidates)
        rotations = _in_space(e1, e2, reflects)
    rotations = jnp.moveaxis(rotations, -3, -4)  # (*b, s, n, d, d)
    copies = rotations.shape[-4]
    return Poses(rotations, jnp.full((*y.shape[:-2], copies), 1 / copies, y.dtype))


# --- parts -------------------------------------------------------------------------------------


def _rounding(dtype) -> float:
    """What counts as 0 in a cloud of size 1: below it a direction is mostly rounding error."""
    return 1e3 * float(jnp.finfo(dtype).eps)


def _scaled(y: Array, mask: Array) -> Array:
    """Points of root mean square 1, absent ones at the origin. A pose does not depend on size."""
    y = jnp.where(mask[..., None], y, 0)
    # First by the largest coordinate: squares of small ones would underflow.
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(y), axis=(-2, -1), keepdims=True))
    y = y / jnp.where(largest == 0, 1, largest)
    count = jnp.maximum(jnp.sum(mask, axis=-1, dtype=y.dtype), 1)[..., None, None]
    mean = jax.lax.stop_gradient(jnp.sum(y * y, axis=(-2, -1), keepdims=True)) / count
    return y / jnp.sqrt(jnp.where(mean == 0, 1, mean))


def _matmul(a: Array, b: Array) -> Array:
    return jnp.matmul(a, b, precision="highest")


def _principal_axes(y: Array) -> Array:
    """Principal axes in the columns, longest first, of determinant +1; (\\*b, d, d)."""
    axes = safe_eigh(_matmul(jnp.swapaxes(y, -1, -2), y))[1][..., ::-1]
    turned = (jax.lax.stop_gradient(jnp.linalg.det(axes)) < 0)[..., None, None]
    is_last = jnp.arange(y.shape[-1]) == y.shape[-1] - 1
    return jnp.where(turned & is_last, -axes, axes)


def _project(e: Array, x: Array) -> Array:
    """The part of x along the unit vector e."""
    return jnp.sum(e * x, axis=-1, keepdims=True) * e


def _axis(d: int, k: int, like: Array) -> Array:
    return jnp.eye(d, dtype=like.dtype)[k]


def _is_rounding(x: Array) -> Array:
    """Whether vectors are no more than rounding errors of a cloud of size 1; (\\*b, 1)."""
    return jnp.sum(x * x, axis=-1, keepdims=True) <= _rounding(x.dtype) ** 2


def _direction(x: Array, *fallbacks: Array) -> Array:
    """The direction of x, or of the first of ``fallbacks`` where x is 0 but for rounding.

    The last of them is never 0.
    """
    *candidates, found = (x, *fallbacks)
    for candidate in reversed(candidates):
        found = jnp.where(_is_rounding(candidate), found, candidate)
    return found / safe_norm(found, keepdims=True)


def _perpendicular(e1: Array, *candidates: Array) -> Array:
    """A unit vector across e1, towards the first candidate that is not along e1."""
    spare = _across(e1)
    x = _direction(*candidates, spare)
    # Once more: what was left of a nearly parallel x is not across e1 to full accuracy.
    x = x - _project(e1, x)
    length = safe_norm(x, keepdims=True)
    return jnp.where(length < 0.5, spare, x / jnp.where(length < 0.5, 1, length))


def _across(u: Array) -> Array:
    """A unit vector across the unit vector u of R³.

    Source: Duff et al., Building an orthonormal basis, revisited (2017).
    """
    x, y, z = u[..., 0], u[..., 1], u[..., 2]
    sign = jnp.where(z < 0, -1, 1).astype(u.dtype)
    a = -1 / (sign + z)
    return jnp.stack([1 + sign * x * x * a, sign * x * y * a, -sign * x], axis=-1)


def _in_plane(e1: Array, reflects: bool) -> Array:
    """The rotation whose first axis is e1, and its mirror image; (\\*b, 1 or 2, 2, 2)."""
    return _complete(e1[..., None], jnp.stack([-e1[..., 1], e1[..., 0]], axis=-1), reflects)


def _in_space(e1: Array, e2: Array, reflects: bool) -> Array:
    """The rotation whose first axes are e1, e2, and its mirror image; (\\*b, 1 or 2, 3, 3)."""
    return _complete(jnp.stack([e1, e2], axis=-1), cross(e1, e2), reflects)


def _complete(axes: Array, last: Array, reflects: bool) -> Array:
    signs = (1, -1) if reflects else (1,)
    copies = [jnp.concatenate([axes, s * last[..., None]], axis=-1) for s in signs]
    return jnp.stack(copies, axis=-3)


def _shares(length2: Array, mask: Array) -> Array:
    """Weights along the last axis in proportion to length^4, of sum 1; equal where all are 0."""
    length2 = jnp.where(mask, length2, 0)
    total = jnp.sum(length2, axis=-1, keepdims=True)
    count = jnp.maximum(jnp.sum(mask, axis=-1, keepdims=True, dtype=length2.dtype), 1)
    part = length2 / jnp.where(total == 0, 1, total)
    squares = jnp.sum(part * part, axis=-1, keepdims=True)
    weighed = part * part / jnp.where(total == 0, 1, squares)
    # A cloud without real points weighs its first: weights have the sum 1 always.
    alone = jnp.arange(mask.shape[-1]) == 0
    equal = jnp.where(jnp.any(mask, axis=-1, keepdims=True), mask / count, alone)
    return jnp.where(total == 0, equal, weighed)


def _heaviest(weights: Array, count: int | None) -> tuple[Array, Array]:
    """The ``count`` largest along the last axis, made to end in 0, and their indices."""
    n = weights.shape[-1]
    if count is None or count >= n:
        return weights, jnp.broadcast_to(jnp.arange(n), weights.shape)
    _, indices = jax.lax.top_k(jax.lax.stop_gradient(weights), count + 1)
    top = jnp.take_along_axis(weights, indices, axis=-1)
    kept, largest = top[..., :count] - top[..., count:], top[..., :1]
    total = jnp.sum(kept, axis=-1, keepdims=True)
    is_tie = total <= _rounding(weights.dtype) * largest
    plain = top[..., :count] / jnp.sum(top[..., :count], axis=-1, keepdims=True)
    return jnp.where(is_tie, plain, kept / jnp.where(is_tie, 1, total)), indices[..., :count]


def _take(y: Array, indices: Array) -> Array:
    """Rows of y (\\*b, n, d) at indices (\\*b, k)."""
    return jnp.take_along_axis(y, indices[..., None], axis=-2)
