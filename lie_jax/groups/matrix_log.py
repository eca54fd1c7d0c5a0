"""The logarithm in a group of matrices, and its derivative in closed form."""

import functools
import math
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from lie_jax.groups._algebra import Matrices
from lie_jax.groups.matrix_functions import product, rough_log
from lie_jax.typing import Array, Validated

if TYPE_CHECKING:
    from lie_jax.groups.matrix import MatrixGroup

_SHIFT = 0.3
"""Angle by which an element is moved away from the logarithm's branch."""
_PREFERENCE = 200
"""By how much det(1 + g) must grow for that: within 0.03 rad of the branch it does."""
_MOST_NEWTON_STEPS = 10


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def log(group: Validated["MatrixGroup"], g: Array) -> Array:
    """The principal logarithm, (*b, r, r) to (*b, a); d log = J^-1 vee(g^-1 dg)."""
    return log_value(group, g)


@log.defjvp
def _log_jvp(group, primals, tangents):
    (g,), (dg,) = primals, tangents
    a = log(group, g)
    moved = group.vee(product(group.inverse(g), dg))
    return a, jnp.linalg.solve(group.right_jacobian(a), moved[..., None])[..., 0]


@functools.partial(jax.jit, static_argnums=0)
def log_value(group: Validated["MatrixGroup"], g: Array) -> Array:
    """The principal logarithm, without a derivative.

    A rough matrix logarithm, projected to the algebra, is improved by Newton's method in the
    group, a <- a + J(a)^-1 log(exp(-a) g), until nothing changes.

    Where g turns a plane by nearly π, the square roots of a matrix logarithm are ill conditioned.
    There the starts are the logarithms of g p and g p^-1, p small and fixed: of a few, that which
    moves g farthest from the branch. Of the two results, the one with smaller angles is kept:
    with the larger tr hat(a)², the sum of the squared eigenvalues.
    """
    tries = _shifted(group, g)
    a = group.vee(rough_log(tries))
    one, eps = jnp.eye(g.shape[-1], dtype=g.dtype), float(jnp.finfo(g.dtype).eps)

    def step(state):
        i, a, _ = state
        rest = group.vee(_log_near_one(product(group.exp(-a), g) - one))
        change = jnp.linalg.solve(group.right_jacobian(a), rest[..., None])[..., 0]
        return i + 1, a + change, _largest(change, 1) / (1 + _largest(a, 1))

    def is_unfinished(state):
        # The error of the next step would be this one's square.
        return (state[0] < _MOST_NEWTON_STEPS) & jnp.any(state[2] > eps**0.6)

    a = lax.while_loop(is_unfinished, step, (0, a, jnp.full_like(a[..., 0], jnp.inf)))[1]
    is_found = _largest(group.exp(a) - g, 2) / _largest(g, 2) < eps**0.25
    hat = group.hat(a)
    spread = jnp.sum(hat * jnp.swapaxes(hat, -1, -2), axis=(-2, -1))
    best = jnp.argmax(jnp.where(is_found, spread, -jnp.inf), axis=0)[None, ..., None]
    a = jnp.where(is_found[..., None], a, jnp.nan)
    return jnp.take_along_axis(a, best, axis=0)[0]


def _shifted(group: Validated["MatrixGroup"], g: Array) -> Array:
    """g p and g p^-1, (2, \\*b, r, r); twice g itself where it is far from log's branch."""
    shifts = jnp.asarray(_directions(group.generators), g.dtype)
    moved = product(g, group.exp(shifts).reshape(-1, *(1,) * (g.ndim - 2), *g.shape[-2:]))
    # The product of 1 + λ over the eigenvalues λ: 0 on the branch, negative where there is no log.
    margin = jnp.linalg.det(jnp.eye(g.shape[-1], dtype=g.dtype) + moved)
    margin = margin.at[0].multiply(_PREFERENCE)
    first = jnp.argmax(margin, axis=0)
    half = len(shifts) // 2
    second = jnp.where(first == 0, 0, (first - 1 + half) % (2 * half) + 1)
    chosen = jnp.stack([first, second])[..., None, None]
    return jnp.take_along_axis(moved, chosen, axis=0)


def _log_near_one(e: Array) -> Array:
    """log(1 + E), six terms of the series."""
    one = jnp.eye(e.shape[-1], dtype=e.dtype)
    series = -one / 6
    for k in (5, 4, 3, 2, 1):
        series = (-1) ** (k + 1) / k * one + product(e, series)
    return product(e, series)


def _largest(x: Array, axes: int) -> Array:
    return jnp.max(jnp.abs(x), axis=tuple(range(-axes, 0)))


@functools.lru_cache(maxsize=256)
def _directions(generators: Matrices) -> np.ndarray:
    """0, then a few generic directions of the algebra and their negatives, of one fixed length."""
    basis = np.asarray(generators)
    draws = np.random.default_rng(0).normal(size=(min(6, 2 * len(basis) - 1), len(basis)))
    length = np.linalg.norm(np.einsum("ni,irc->nrc", draws, basis), axis=(1, 2))
    # A rotation of one plane by θ has a generator of norm √2 θ.
    draws *= (math.sqrt(2) * _SHIFT / length)[:, None]
    return np.concatenate([np.zeros((1, len(basis))), draws, -draws])
