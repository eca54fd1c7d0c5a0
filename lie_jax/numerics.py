"""Numerics with finite derivatives everywhere: norms, quotients, and the sinc family.

The sinc family is written in θ², not θ: exp and log of a rotation group are smooth functions of
the squared norm of their argument, and θ itself has no derivative at 0. Every ``where`` here
has two finite branches, because JAX differentiates both.
"""

import functools
import math
from collections.abc import Callable
from fractions import Fraction

import jax
import jax.numpy as jnp
from jax import lax

from lie_jax.typing import Array, PyTree, Shape, Validated


def safe_norm(x: Array, axis: int = -1, keepdims: bool = False) -> Array:
    """Euclidean norm whose derivatives at 0 are 0 instead of NaN.

    They are 0 too where the squared norm is below the smallest normal number, so that the
    second derivative, of size 1/norm, never overflows.
    """
    return _norm(x, axis, keepdims)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def _norm(x: Array, axis: int, keepdims: bool) -> Array:
    return jnp.sqrt(jnp.sum(x * x, axis=axis, keepdims=keepdims))


@_norm.defjvp
def _norm_jvp(axis, keepdims, primals, tangents):
    # By hand, because autodiff of sqrt(sum(x²)) passes through norm^-3, which overflows while
    # the derivative itself, x/norm, and its derivative are still far from it.
    (x,), (dx,) = primals, tangents
    norm = _norm(x, axis, True)
    is_small = norm <= math.sqrt(jnp.finfo(x.dtype).tiny)
    direction = jnp.where(is_small, 0, x / jnp.where(is_small, 1, norm))
    dnorm = jnp.sum(direction * dx, axis=axis, keepdims=keepdims)
    return norm if keepdims else jnp.squeeze(norm, axis), dnorm


def safe_divide(numerator: Array, denominator: Array) -> Array:
    """Quotient that is 0, with zero derivatives, where the denominator is 0."""
    is_zero = denominator == 0
    return jnp.where(is_zero, 0, numerator / jnp.where(is_zero, 1, denominator))


def unit_vector(x: Array, fallback: tuple[float, ...]) -> Array:
    """x / |x| along the last axis; the constant ``fallback`` where |x| is as good as 0.

    That is where |x| < tiny^0.3 (1e-92 in float64, 4e-12 in float32): nearer to 0 the second
    derivative, of size |x|^-2, would pass through |x|^-3, and that overflows.
    """
    norm = safe_norm(x, keepdims=True)
    is_small = norm < float(jnp.finfo(x.dtype).tiny) ** 0.3
    return jnp.where(is_small, jnp.asarray(fallback, x.dtype), x / jnp.where(is_small, 1, norm))


@jax.custom_jvp
def safe_eigh(matrix: Array) -> tuple[Array, Array]:
    """Eigenvalues, rising, and eigenvectors of symmetric matrices, with finite derivatives.

    Where two eigenvalues are equal to rounding, their eigenvectors may turn into each other by
    any angle: that part of the derivative does not exist and is given as 0.
    """
    values, vectors = jnp.linalg.eigh(matrix, symmetrize_input=False)
    return values, vectors


@safe_eigh.defjvp
def _safe_eigh_jvp(primals, tangents):
    (matrix,), (change,) = primals, tangents
    values, vectors = safe_eigh(matrix)
    multiply = functools.partial(jnp.matmul, precision="highest")
    change = (change + jnp.swapaxes(change, -1, -2)) / 2
    turned = multiply(multiply(jnp.swapaxes(vectors, -1, -2), change), vectors)
    gap = values[..., None, :] - values[..., :, None]
    largest = jnp.max(jnp.abs(values), axis=-1)[..., None, None]
    is_equal = jnp.abs(gap) <= 100 * jnp.finfo(matrix.dtype).eps * largest
    turning = jnp.where(is_equal, 0, turned / jnp.where(is_equal, 1, gap))
    diagonal = jnp.diagonal(turned, axis1=-2, axis2=-1)
    return (values, vectors), (diagonal, multiply(vectors, turning))


def cos_theta(theta2: Array) -> Array:
    """cos θ as a function of θ²."""
    return _smooth_at_zero(theta2, jnp.cos, _COS)


def sinc(theta2: Array) -> Array:
    """sin θ / θ as a function of θ²; 1 at 0."""
    return _smooth_at_zero(theta2, lambda t: jnp.sin(t) / t, _SINC)


def cosc(theta2: Array) -> Array:
    """(1 - cos θ) / θ² as a function of θ²; 1/2 at 0."""
    return _smooth_at_zero(theta2, lambda t: (1 - jnp.cos(t)) / (t * t), _COSC)


def sincc(theta2: Array) -> Array:
    """(θ - sin θ) / θ³ as a function of θ²; 1/6 at 0."""
    return _smooth_at_zero(theta2, lambda t: (t - jnp.sin(t)) / (t * t * t), _SINCC)


def cotc(theta2: Array) -> Array:
    """(1 - (θ/2) cot(θ/2)) / θ² as a function of θ², for θ < 2π; 1/12 at 0."""

    def closed(t):
        return (1 - (t / 2) * jnp.cos(t / 2) / jnp.sin(t / 2)) / (t * t)

    return _smooth_at_zero(theta2, closed, _COTC)


def atanc(t2: Array) -> Array:
    """atan(t) / t as a function of t²; 1 at 0."""
    return _smooth_at_zero(t2, lambda t: jnp.arctan(t) / t, _ATANC, limit=1 / 16)


def tanhc(t2: Array) -> Array:
    """tanh(t) / t as a function of t²; 1 at 0."""
    return _smooth_at_zero(t2, lambda t: jnp.tanh(t) / t, _tanh_coefficient, limit=1 / 4)


def _smooth_at_zero(
    x: Array,
    closed: Callable[[Array], Array],
    coefficient: Callable[[int], Fraction],
    limit: float = 1.0,
) -> Array:
    """``closed(√x)``, by its power series Σ c_k x^k where x < limit.

    The series runs until a term at ``limit`` is below one rounding error, and two terms on for
    the derivatives. ``limit`` is so large that the closed form's cancellation, which grows as
    limit^-m in derivative m, costs little in the first two.
    """
    eps = float(jnp.finfo(x.dtype).eps)
    last = 0
    while abs(coefficient(last)) * limit**last > eps * abs(coefficient(0)):
        last += 1
    is_small = x < limit
    # Neither branch may overflow where the other one is taken: a NaN would pass through the
    # gradient of `where`.
    near = jnp.where(is_small, x, 0)
    far = jnp.sqrt(jnp.where(is_small, limit, x))
    series = jnp.full_like(x, float(coefficient(last + 2)))
    for k in range(last + 1, -1, -1):
        series = series * near + float(coefficient(k))
    return jnp.where(is_small, series, closed(far))


def _alternating_inverse_factorial(offset: int) -> Callable[[int], Fraction]:
    """Coefficients (-1)^k / (2k + offset)!."""
    return lambda k: Fraction((-1) ** k, math.factorial(2 * k + offset))


def _cot_coefficient(k: int) -> Fraction:
    """|B_(2k+2)| / (2k+2)!: 1 - (θ/2) cot(θ/2) = Σ_(m>=1) |B_2m| θ^2m / (2m)!."""
    return abs(_bernoulli(2 * k + 2)) / math.factorial(2 * k + 2)


def _tanh_coefficient(k: int) -> Fraction:
    """4^m (4^m - 1) B_2m / (2m)! with m = k + 1."""
    m = k + 1
    return 4**m * (4**m - 1) * _bernoulli(2 * m) / math.factorial(2 * m)


@functools.cache
def _bernoulli(m: int) -> Fraction:
    if m == 0:
        return Fraction(1)
    return -sum((math.comb(m + 1, j) * _bernoulli(j) for j in range(m)), Fraction(0)) / (m + 1)


_COS = _alternating_inverse_factorial(0)
_SINC = _alternating_inverse_factorial(1)
_COSC = _alternating_inverse_factorial(2)
_SINCC = _alternating_inverse_factorial(3)
_COTC = _cot_coefficient


def _ATANC(k: int) -> Fraction:
    return Fraction((-1) ** k, 2 * k + 1)


def full_along(others: PyTree, shape: Shape, value: Validated[float], dtype) -> Array:
    """As `jnp.full`, to be carried through a loop in which it meets ``others``.

    In `jax.shard_map` a loop's state must be marked, from the start, as different on the devices
    on which what is added to it is different. A zero like each of ``others`` brings that along.
    """
    if not jax.sharding.get_abstract_mesh().manual_axes:
        return jnp.full(shape, value, dtype)
    zeros = [lax.full_like(x, 0, dtype, shape=()) for x in jax.tree.leaves(others)]
    return jnp.broadcast_to(sum(zeros, jnp.asarray(value, dtype)), shape)
