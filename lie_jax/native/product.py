"""Products of matrices in float32 on a CPU with units for tiles, see ``product.cc``."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lie_jax.native.build import is_alone, is_known, library
from lie_jax.typing import Array, Float

_LEAST = 2**21
"""Multiplications; below that many XLA's products are over before a second thread is awake."""
_LEAST_SIDE = {"rounded": 32, "exact": 128}
"""Smaller matrices are filled up to 64 with zeros, and digits are not made for a few products."""


def has_product(n: Any, k: Any, o: Any, *, rounded: bool) -> bool:
    """Whether machine code takes products of (n, k) with (k, o); compiles it if so.

    Args:
        n, k, o: sizes; never where they are symbolic.
        rounded: of factors rounded to bfloat16, or as good as float32.
    """
    sizes = (n, k, o)
    if not all(isinstance(x, int) for x in sizes):  # symbolic, in `jax.export`
        return False
    least = _LEAST_SIDE["rounded" if rounded else "exact"]
    return min(sizes) >= least and math.prod(sizes) >= _LEAST and is_alone() and _is_there()


@functools.cache
def _is_there() -> bool:
    if not is_known("amx_int8"):  # nor compile for nothing
        return False
    found = library("product")
    return found is not None and bool(found.lie_jax_product_is_there())


def matmul(
    left: Float[Array, "..."],
    right: Float[Array, "..."],
    *,
    turn_left: bool,
    turn_right: bool,
    rounded: bool,
) -> Float[Array, "n o"]:
    """(n, k) by (k, o), float32, sums in float32. Other threads in between change no bit.

    Args:
        left: (n, k), or (k, n) if it is turned.
        right: (k, o), or (o, k) if it is turned.
        turn_left, turn_right: whether a factor is stored the other way round.
        rounded: factors are rounded to bfloat16. Else each number is off by 2^-24 of the largest of
            its row of the (n, k), or its column of the (k, o), among 512 neighbours along k; where
            one of these is not finite, all that is computed of them is NaN.
    """
    shape = (left.shape[1 if turn_left else 0], right.shape[0 if turn_right else 1])
    call = jax.ffi.ffi_call("lie_jax_product", jax.ShapeDtypeStruct(shape, jnp.float32))
    return call(
        left,
        right,
        turn_left=np.int32(turn_left),
        turn_right=np.int32(turn_right),
        rounded=np.int32(rounded),
    )
