"""Activations of the MLPs.

At n points attention evaluates n^2 heads (hidden features) of them, layer by layer: on a CPU, where
XLA's tanh and logistic function cost as much as a layer's matrix product, most of the time.
"""

import math

import jax
import jax.numpy as jnp
from jax import lax

from lie_jax.typing import Array

# 2^f for |f| <= 1/2 as a polynomial of degree 5, its relative error at most 7.5e-8: the least
# possible, found by Lawson's iteration.
_EXP2 = (
    1.0000000716548711,
    0.6931469670643267,
    0.24022119722913893,
    0.055507132737604374,
    0.009675541384713271,
    0.001327647204906933,
)
# Added to a number below 2^22, it leaves the nearest integer in the last bits of the sum.
_ROUND = 1.5 * 2.0**23
_ROUND_BITS = 0x4B400000
_LOG2_E = math.log2(math.e)


def swish(x: Array) -> Array:
    """x times the logistic function of x; in float32 on a CPU in less time than `jax.nn.swish`."""
    return _swish(x) if _is_ours(x) else x * jax.nn.sigmoid(x)


def swish_in_kernel(x: Array) -> Array:
    """The same of primitives that Pallas lowers everywhere."""
    return x * (0.5 + 0.5 * jnp.tanh(0.5 * x))


def _is_ours(x: Array) -> bool:
    return x.dtype == jnp.float32 and jax.default_backend() == "cpu"


def _exp2(t: Array) -> Array:
    """2^t for t from -127, where it is 0, to 128, where it is infinite."""
    # Rounded by way of the bits: (t + c) - c would be "simplified" by XLA to t.
    whole = lax.bitcast_convert_type(t + _ROUND, jnp.int32) - _ROUND_BITS
    f = t - whole.astype(t.dtype)
    low, middle, high = (_EXP2[i] + _EXP2[i + 1] * f for i in (0, 2, 4))
    mantissa = low + f * f * (middle + f * f * high)
    # As a factor, so that NaN stays NaN.
    return mantissa * lax.bitcast_convert_type((whole + 127) << 23, t.dtype)


@jax.custom_jvp
def _logistic(x: Array) -> Array:
    """1 / (1 + exp(-x)), in float32.

    It is off by at most 1.1e-7 (`jax.nn.sigmoid`: 0.9e-7), relative to its value by 6e-7 for
    |x| < 10 and 4e-6 wherever it is a normal number; it is 0 below -88.4, 1/2 at 0.
    """
    return 1 / (1 + _exp2(jnp.clip(x * -_LOG2_E, -127, 128)))


@_logistic.defjvp
def _logistic_jvp(primals, tangents):
    y = _logistic(*primals)
    return y, y * (1 - y) * tangents[0]


@jax.custom_jvp
def _swish(x: Array) -> Array:
    return x * _logistic(x)


@_swish.defjvp
def _swish_jvp(primals, tangents):
    return _swish(*primals), _slope(*primals) * tangents[0]


@jax.custom_jvp
def _slope(x: Array) -> Array:
    """The derivative of swish.

    From exp(x), where `_logistic` takes exp(-x): XLA would otherwise find that value and slope
    share the logistic function, and keep it in memory between them. On a CPU that takes longer
    than computing it twice. The bounds: below, the power is 0; above, its inverse is still a
    normal number.
    """
    x = jnp.clip(x, -127 / _LOG2_E, 124 / _LOG2_E)
    power = _exp2(x * _LOG2_E)
    rest = 1 / (1 + power)
    return power * rest * (1 + x * rest)


@_slope.defjvp
def _slope_jvp(primals, tangents):
    (x,) = primals
    y = _logistic(x)
    return _slope(x), y * (1 - y) * (2 + x * (1 - 2 * y)) * tangents[0]


ACTIVATIONS = {
    "swish": swish,
    "exact_swish": jax.nn.swish,
    "relu": jax.nn.relu,
    "softplus": jax.nn.softplus,
    "gelu": jax.nn.gelu,
    "tanh": jnp.tanh,
}
