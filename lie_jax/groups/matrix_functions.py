"""exp, log and (e^M - 1)/M of small square matrices, batched, with finite derivatives.

Products are written as sums over one index: no dot product, so no reduced precision (TF32,
bfloat16) on an accelerator, and on a CPU an order of magnitude faster than batched products of
tiny matrices.
"""

import math

import jax
import jax.numpy as jnp
from jax import lax

from lie_jax.typing import Array, Float

_MOST_DOUBLINGS = 10


def product(a: Float[Array, "*#b r k"], b: Float[Array, "*#b k c"]) -> Float[Array, "*#b r c"]:
    """The matrix product a b."""
    terms = [a[..., :, i, None] * b[..., None, i, :] for i in range(a.shape[-1])]
    return sum(terms[1:], terms[0])


def apply(matrix: Float[Array, "*#b r k"], x: Float[Array, "*#b k"]) -> Float[Array, "*#b r"]:
    """The vector M x."""
    return jnp.sum(matrix * x[..., None, :], axis=-1)


def homogeneous(linear: Array, offset: Array, corner: int) -> Array:
    """[[linear, offset], [0, corner]]: corner 1 for an element, 0 for the algebra."""
    top = jnp.concatenate([linear, offset[..., None]], axis=-1)
    last = jnp.zeros_like(top[..., :1, :]).at[..., -1].set(corner)
    return jnp.concatenate([top, last], axis=-2)


@jax.jit
def expm1_and_phi(m: Float[Array, "*b r r"]) -> tuple[Float[Array, "*b r r"], ...]:
    """e^M - 1 and φ(M) = (e^M - 1)/M = Σ M^k / (k + 1)!.

    The series, at M / 2^s with s such that its norm is below 1/2, then s times
    e^2M - 1 = 2 E + E², φ(2M) = φ + E φ / 2 with E = e^M - 1. Sums and products only, so every
    derivative exists; s, on which the result does not depend, carries none.

    Exact to rounding up to a norm of 512. Beyond it e^M overflows for real eigenvalues.

    Source: Higham, Functions of Matrices, 2008, chapter 10.
    """
    one = jnp.broadcast_to(jnp.eye(m.shape[-1], dtype=m.dtype), m.shape)
    norm = lax.stop_gradient(jnp.max(jnp.sum(jnp.abs(m), axis=-1), axis=-1))
    doublings = jnp.ceil(jnp.log2(jnp.maximum(2 * norm, 1)))
    doublings = jnp.minimum(doublings, _MOST_DOUBLINGS)[..., None, None]
    m = m * jnp.exp2(-doublings)
    order = _order(float(jnp.finfo(m.dtype).eps))
    phi = lax.fori_loop(0, order, lambda i, p: one + product(m, p) / (order + 1 - i), one)

    def double(i, state):
        e, phi = state
        again = i < doublings
        twice = 2 * e + product(e, e)
        return jnp.where(again, twice, e), jnp.where(again, phi + product(e, phi) / 2, phi)

    return lax.fori_loop(0, _MOST_DOUBLINGS, double, (product(m, phi), phi))


def _order(eps: float) -> int:
    """Terms of φ's series at norm 1/2 for one rounding error, and two more for derivatives."""
    order = 1
    while 0.5**order / math.factorial(order + 1) > eps:
        order += 1
    return order + 2


def expm(m: Float[Array, "*b r r"]) -> Float[Array, "*b r r"]:
    """e^M."""
    return jnp.eye(m.shape[-1], dtype=m.dtype) + expm1_and_phi(m)[0]


def phi(m: Float[Array, "*b r r"]) -> Float[Array, "*b r r"]:
    """(e^M - 1)/M, the identity at 0; singular where M has an eigenvalue 2 π i k, k not 0."""
    return expm1_and_phi(m)[1]


def rough_log(m: Float[Array, "*b r r"]) -> Float[Array, "*b r r"]:
    """The principal logarithm to a few per cent, from which Newton's method goes on.

    Inverse scaling and squaring: log M = 8 log M^(1/8) = 16 atanh w with
    w = (M^(1/8) - 1)(M^(1/8) + 1)^-1. The closer an eigenvalue is to the negative axis, the more
    steps the square root would need; `_ROOT_STEPS` are for 0.005 rad. NaN or meaningless where no
    principal logarithm exists.

    Source: Higham, Functions of Matrices, 2008, chapters 6 and 11.
    """
    one = jnp.eye(m.shape[-1], dtype=m.dtype)
    for steps in _ROOT_STEPS:
        m = _square_root(m, steps)
    w = product(m - one, jnp.linalg.inv(m + one))
    square = product(w, w)
    series = one / 9
    for k in (7, 5, 3, 1):
        series = one / k + product(square, series)
    return 2 * 2 ** len(_ROOT_STEPS) * product(w, series)


_ROOT_STEPS = (11, 5, 4)


def _square_root(a: Float[Array, "*b r r"], steps: int) -> Float[Array, "*b r r"]:
    """The product form of Denman and Beavers' iteration: X -> A^(1/2), M -> 1.

    Each step is scaled by c, so that M and its inverse have the same norm: without, an eigenvalue
    e^z would take |z| more steps.
    """
    one = jnp.eye(a.shape[-1], dtype=a.dtype)

    def step(_, state):
        x, m = state
        inverse = jnp.linalg.inv(m)
        c = jnp.sqrt(_size(inverse) / _size(m))
        root = product(x, one + inverse / c) * jnp.sqrt(c) / 2
        return root, (one + (c * m + inverse / c) / 2) / 2

    return lax.fori_loop(0, steps, step, (a, a))[0]


def _size(m: Float[Array, "*b r r"]) -> Float[Array, "*b 1 1"]:
    return jnp.sqrt(jnp.sum(m * m, axis=(-2, -1), keepdims=True))
