"""Products of dense layers: of factors rounded to bfloat16, say, or in forms that a CPU is fast at.

Features, residuals, norms and group elements stay in float32; only what a matrix unit multiplies
is rounded, forward and backward, sums are not. JAX's own rule would multiply a float32 cotangent
with the rounded factor, in float32.

On a CPU large products in float32 are ours, too, in two dimensions. In the gradient of the weights
both factors are contracted along their first axis, a form that XLA's code is slower at than at any
other: there the left one is turned first, if it is rounded or short. And where the CPU has units
for it (AMX) they are machine code, as accurate as XLA's.
"""

import functools
import math
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from lie_jax import native
from lie_jax.typing import Array, Float

_LEAST, _LEAST_SIDE = 2**21, 128
"""Multiplications and width from which on products in float32 are ours; narrower ones were not
measured."""


def rounded_matmul(
    left: Float[Array, "n i"], right: Float[Array, "i o"], factor_dtype: jax.typing.DTypeLike
) -> Float[Array, "n o"]:
    """left @ right with both rounded to ``factor_dtype``; sums and result in that of ``left``.

    Its derivatives round likewise, but inside `jax.shard_map`.
    """
    flags = {"turn_left": False, "turn_right": False, "factor_dtype": jnp.dtype(factor_dtype)}
    right = right.astype(left.dtype)
    if jax.sharding.get_abstract_mesh().manual_axes:
        # Inside `jax.shard_map` results say between which devices they differ, as JAX's own do; the
        # derivatives there are JAX's too, whose cotangents are not rounded.
        return _compute(left, right, **flags)
    return _matmul.bind(left, right, **flags)


def dot_general(factor_dtype: jax.typing.DTypeLike | None):
    """What `flax.nnx.Linear` takes as its ``dot_general``; None rounds nothing."""

    def of_layer(x: Array, kernel: Array, dimension_numbers, **options) -> Array:
        assert dimension_numbers == (((x.ndim - 1,), (0,)), ((), ()))
        if factor_dtype is None and not _is_ours(x, kernel):
            return lax.dot_general(x, kernel, dimension_numbers, **options)
        flat = x.reshape(-1, x.shape[-1])
        out = rounded_matmul(flat, kernel, factor_dtype or jnp.float32)
        return out.reshape(*x.shape[:-1], kernel.shape[-1])

    return of_layer


def _is_ours(x: Array, kernel: Array) -> bool:
    """Whether a product that is not rounded is ours all the same."""
    is_usual = x.dtype == kernel.dtype == jnp.float32 and jax.default_backend() == "cpu"
    sizes = (*x.shape[:-1], *kernel.shape)
    if not is_usual or not _are_known(sizes):
        return False
    if jax.device_count() > 1 or not jax.sharding.get_abstract_mesh().empty:
        return False  # JAX's own knows how results are divided
    return min(kernel.shape) >= _LEAST_SIDE and math.prod(sizes) >= _LEAST


def _is_short(n: Any, k: Any, o: Any) -> bool:
    """Whether n rows are so few, for a result of (k, o), that a CPU gains by turning them."""
    return jax.default_backend() == "cpu" and _are_known((n, k, o)) and n <= min(k, o)


def _are_known(sizes: Iterable[Any]) -> bool:
    return all(isinstance(n, int) for n in sizes)  # else symbolic, in `jax.export`


def _compute(left: Array, right: Array, *, turn_left: bool, turn_right: bool, factor_dtype):
    dtype = left.dtype
    left, right = left.astype(factor_dtype), right.astype(factor_dtype)
    rows, columns = left.shape[0], right.shape[0 if turn_right else 1]
    if turn_left and (factor_dtype != dtype or _is_short(rows, left.shape[1], columns)):
        # Behind a barrier: XLA would make a contraction along the first axis of it again.
        left, turn_left = lax.optimization_barrier(left.T), False
    contracted = ((0 if turn_left else 1,), (1 if turn_right else 0,))
    return lax.dot_general(left, right, (contracted, ((), ())), preferred_element_type=dtype)


def _on_cpu(left: Array, right: Array, *, turn_left: bool, turn_right: bool, factor_dtype):
    flags = {"turn_left": turn_left, "turn_right": turn_right}
    n, k = left.shape[::-1] if turn_left else left.shape
    o = right.shape[0 if turn_right else 1]
    is_usual = left.dtype == right.dtype == jnp.float32
    if is_usual and factor_dtype in (jnp.bfloat16, jnp.float32):
        rounded = factor_dtype == jnp.bfloat16
        if native.has_product(n, k, o, rounded=rounded):
            return native.matmul(left, right, **flags, rounded=rounded)
    return _compute(left, right, **flags, factor_dtype=factor_dtype)


def _abstract(left, right, *, turn_left: bool, turn_right: bool, factor_dtype):
    del factor_dtype
    shape = (left.shape[1 if turn_left else 0], right.shape[0 if turn_right else 1])
    return left.update(shape=shape, weak_type=False)


def _of_left(cotangent, left, right, *, turn_left: bool, turn_right: bool, factor_dtype):
    del left
    bind = functools.partial(_matmul.bind, factor_dtype=factor_dtype)
    if turn_left:  # (left^T right)': right cotangent^T
        return bind(right, cotangent, turn_left=turn_right, turn_right=True)
    return bind(cotangent, right, turn_left=False, turn_right=not turn_right)


def _of_right(cotangent, left, right, *, turn_left: bool, turn_right: bool, factor_dtype):
    del right
    bind = functools.partial(_matmul.bind, factor_dtype=factor_dtype)
    if turn_right:  # (left right^T)': cotangent^T left
        return bind(cotangent, left, turn_left=True, turn_right=turn_left)
    return bind(left, cotangent, turn_left=not turn_left, turn_right=False)


def _batched(arguments, axes, **parameters):
    return jax.vmap(functools.partial(_compute, **parameters), in_axes=tuple(axes))(*arguments), 0


_matmul = Primitive("lie_jax_rounded_matmul")


@functools.partial(jax.jit, static_argnames=("turn_left", "turn_right", "factor_dtype"))
def _evaluate(left: Array, right: Array, **flags) -> Array:
    return _matmul.bind(left, right, **flags)


_matmul.def_impl(_evaluate)
_matmul.def_abstract_eval(_abstract)
ad.defbilinear(_matmul, _of_left, _of_right)
batching.primitive_batchers[_matmul] = _batched
mlir.register_lowering(_matmul, mlir.lower_fun(_compute, multiple_results=False))
mlir.register_lowering(_matmul, mlir.lower_fun(_on_cpu, multiple_results=False), platform="cpu")
