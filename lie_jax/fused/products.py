"""Batched products of small matrices, in the one form that XLA does fast on a CPU.

That form has the left factor contracted along its last axis; others run at two thirds of the speed
or less, or end in a transposition of the whole tile. JAX's own rule for the transpose of a product
always puts the cotangent on the left, which gives the slow forms. So `times` and `times_transposed`
are one primitive whose transposes are again these two: what has to be turned is always the small
factor (a tile's queries or values), never the pairs.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from lie_jax.numerics import full_along
from lie_jax.typing import Array, Float


def times(left: Float[Array, "*b i j"], right: Float[Array, "*b j k"], dtype=None) -> Array:
    """left @ right, (\\*b, i, k), accumulated and given in ``dtype`` (that of ``left`` if None)."""
    dtype = left.dtype if dtype is None else jnp.dtype(dtype)
    return _product.bind(*_alike(left, right), is_transposed=False, dtype=dtype)


def times_transposed(
    left: Float[Array, "*b i j"], right: Float[Array, "*b k j"], dtype=None
) -> Array:
    """left @ right^T, (\\*b, i, k), accumulated and given in ``dtype``."""
    dtype = left.dtype if dtype is None else jnp.dtype(dtype)
    return _product.bind(*_alike(left, right), is_transposed=True, dtype=dtype)


def _alike(left: Array, right: Array) -> tuple[Array, Array]:
    """The factors as different between devices as each other, which `jax.shard_map` wants."""
    if not jax.sharding.get_abstract_mesh().manual_axes:
        return left, right
    return left + full_along(right, (), 0, left.dtype), right + full_along(left, (), 0, right.dtype)


def _compute(left: Array, right: Array, *, is_transposed: bool, dtype) -> Array:
    last = left.ndim - 1
    batch = tuple(range(last - 1))
    contracted = ((last,), (last if is_transposed else last - 1,))
    return lax.dot_general(left, right, (contracted, (batch, batch)), preferred_element_type=dtype)


def _abstract(left, right, *, is_transposed: bool, dtype):
    kept = right.shape[-2 if is_transposed else -1]
    return left.update(shape=(*left.shape[:-1], kept), dtype=dtype, weak_type=False)


def _of_left(cotangent, left, right, *, is_transposed: bool, dtype):
    del dtype
    wanted = left.aval.dtype
    other = times if is_transposed else times_transposed
    return other(cotangent.astype(right.dtype), right, wanted)


def _of_right(cotangent, left, right, *, is_transposed: bool, dtype):
    del dtype
    wanted, cotangent = right.aval.dtype, cotangent.astype(left.dtype)
    if is_transposed:
        return times(jnp.swapaxes(cotangent, -1, -2), left, wanted)
    return times(jnp.swapaxes(left, -1, -2), cotangent, wanted)


def _batched(arguments, axes, **parameters):
    size = next(x.shape[i] for x, i in zip(arguments, axes, strict=True) if i is not None)
    moved = [
        jnp.broadcast_to(x, (size, *x.shape)) if i is None else jnp.moveaxis(x, i, 0)
        for x, i in zip(arguments, axes, strict=True)
    ]
    return _product.bind(*moved, **parameters), 0


_product = Primitive("lie_jax_product")
_product.def_impl(jax.jit(_compute, static_argnames=("is_transposed", "dtype")))
_product.def_abstract_eval(_abstract)
ad.defbilinear(_product, _of_left, _of_right)
batching.primitive_batchers[_product] = _batched
mlir.register_lowering(_product, mlir.lower_fun(_compute, multiple_results=False))
