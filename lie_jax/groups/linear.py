"""SL(2) and GL(2)+: linear maps of the plane, acting on pairs of vectors.

A single vector has a stabiliser that is not compact, shears for instance. A pair (v, w) with
D = v x w not 0 has exactly one lift, so a model on pairs is exactly invariant. A point of a cloud
is then a pair of vectors: place and velocity, or the two axes of an affine frame.
"""

import jax.numpy as jnp

from lie_jax.groups.base import Group
from lie_jax.groups.matrix import from_generators
from lie_jax.groups.with_lift import with_lift
from lie_jax.typing import Array, Float

_SHEARS = [[[0, 1], [0, 0]], [[0, 0], [1, 0]]]


def SL2() -> Group:
    """Linear maps of the plane that keep areas, on pairs of vectors (v_x, v_y, w_x, w_y).

    Elements are the matrices (2, 2), algebra: two shears and the squeeze. The orbit is named by
    the area D = v x w, representative sqrt(|D|) (1, 0, 0, sign D). Where v and w are parallel the
    section is the identity. exp does not reach matrices of trace below -2: log is NaN there, and
    models take ``pair_embedding="matrix"``.
    """
    group = from_generators(
        "SL2", [*_SHEARS, [[1, 0], [0, -1]]], form=[[0, 1], [-1, 0]], copies=2,
        exp_is_surjective=False,
    )  # fmt: skip
    return with_lift(group, section=_unit_area, orbit=area, orbit_dim=1)


def GL2() -> Group:
    """Linear maps of the plane of positive determinant, on pairs of vectors (v_x, v_y, w_x, w_y).

    Elements are the matrices (2, 2), algebra their entries. The orbit is named by the sign of
    v x w, representative (1, 0, 0, sign); 0 where v and w are parallel, where the section is the
    identity. As with `SL2`, log is NaN for some elements.
    """
    basis = [[[1, 0], [0, 0]], *_SHEARS, [[0, 0], [0, 1]]]
    group = from_generators("GL2", basis, copies=2, exp_is_surjective=False)
    return with_lift(group, section=_as_matrix, orbit=handedness, orbit_dim=1)


def area(x: Float[Array, "*b 4"]) -> Float[Array, "*b 1"]:
    """v x w."""
    return x[..., :1] * x[..., 3:] - x[..., 1:2] * x[..., 2:3]


def handedness(x: Float[Array, "*b 4"]) -> Float[Array, "*b 1"]:
    """The sign of v x w; 0 where that is lost in rounding."""
    size = jnp.sum(x * x, axis=-1, keepdims=True)
    is_lost = jnp.abs(area(x)) <= 4 * jnp.finfo(x.dtype).eps * size
    return jnp.where(is_lost, 0, jnp.sign(area(x)))


def _as_matrix(x: Float[Array, "*b 4"]) -> Float[Array, "*b 2 2"]:
    """The columns v and sign(D) w; the identity where D is 0."""
    sign = handedness(x)
    columns = jnp.stack([x[..., :2], sign * x[..., 2:]], axis=-1)
    return jnp.where(sign[..., None] == 0, jnp.eye(2, dtype=x.dtype), columns)


def _unit_area(x: Float[Array, "*b 4"]) -> Float[Array, "*b 2 2"]:
    sign = handedness(x)
    scale = jnp.sqrt(jnp.where(sign == 0, 1, jnp.abs(area(x))))
    return _as_matrix(x) / scale[..., None]
