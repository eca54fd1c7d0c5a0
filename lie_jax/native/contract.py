"""The products of attention in clouds of few points: three bilinear maps, closed under derivatives.

    scores  S[b, h, q, k] = sum_c X[b, q, h, c] Y[b, k, h, c]
    mix     X[b, q, h, c] = sum_k S[b, h, q, k] Y[b, k, h, c]
    spread  Y[b, k, h, c] = sum_q S[b, h, q, k] X[b, q, h, c]

XLA runs a batch of products of a few numbers one by one and transposes their factors in memory
first. The gradients of each of the three are the other two, so that all derivatives have the same
machine code, see ``contract.cc``. Elsewhere, and where code is missing, they are `jnp.einsum`.
"""

import functools
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from lie_jax.native.build import is_alone, library
from lie_jax.typing import Array, Float

Form = Literal["scores", "mix", "spread"]
_FORMULAS = {
    "scores": "...qhc,...khc->...hqk",
    "mix": "...hqk,...khc->...qhc",
    "spread": "...hqk,...qhc->...khc",
}
_MOST = 64  # kMost


def contract(form: Form, left: Float[Array, "..."], right: Float[Array, "..."]) -> Array:
    """One of the three products, for the arguments in the order of its formula."""
    batch = left.shape[:-3]
    if not batch or batch != right.shape[:-3] or not _has_code(form, left, right):
        return jnp.einsum(_FORMULAS[form], left, right)
    flat = [x.reshape(-1, *x.shape[-3:]) for x in (left, right)]
    found = _contract.bind(*flat, form=form)
    return found.reshape(*batch, *found.shape[1:])


def _has_code(form: Form, left: Array, right: Array) -> bool:
    if jax.default_backend() != "cpu" or not left.dtype == right.dtype == jnp.float32:
        return False
    points = (left.shape[-3] if form == "scores" else max(left.shape[-2:]), right.shape[-3])
    return max(*points, right.shape[-1]) <= _MOST and is_alone() and library("contract") is not None


def _plain(left: Array, right: Array, *, form: Form) -> Array:
    return jnp.einsum(_FORMULAS[form], left, right)


def _fast(left: Array, right: Array, *, form: Form) -> Array:
    result = jax.eval_shape(functools.partial(_plain, form=form), left, right)
    number = np.int32(list(_FORMULAS).index(form))
    return jax.ffi.ffi_call("lie_jax_contract", result)(left, right, form=number)


def _abstract(left, right, *, form: Form):
    # By einsum, which refuses shapes that do not fit: the machine code reads what it is told.
    structs = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in (left, right)]
    result = jax.eval_shape(functools.partial(_plain, form=form), *structs)
    return left.update(shape=result.shape, weak_type=False)


def _of_left(cotangent, left, right, *, form: Form):
    del left
    if form == "scores":
        return _contract.bind(cotangent, right, form="mix")
    if form == "mix":
        return _contract.bind(cotangent, right, form="scores")
    return _contract.bind(right, cotangent, form="scores")


def _of_right(cotangent, left, right, *, form: Form):
    del right
    if form == "scores":
        return _contract.bind(cotangent, left, form="spread")
    return _contract.bind(left, cotangent, form="spread" if form == "mix" else "mix")


def _batched(arguments, axes, *, form: Form):
    """A batch is more clouds."""
    size = next(x.shape[i] for x, i in zip(arguments, axes, strict=True) if i is not None)
    moved = [
        jnp.broadcast_to(x, (size, *x.shape)) if i is None else jnp.moveaxis(x, i, 0)
        for x, i in zip(arguments, axes, strict=True)
    ]
    flat = [x.reshape(-1, *x.shape[2:]) for x in moved]
    found = _contract.bind(*flat, form=form)
    return found.reshape(size, -1, *found.shape[1:]), 0


_contract = Primitive("lie_jax_contract")
_contract.def_impl(jax.jit(lambda *x, form: _contract.bind(*x, form=form), static_argnames="form"))
_contract.def_abstract_eval(_abstract)
ad.defbilinear(_contract, _of_left, _of_right)
batching.primitive_batchers[_contract] = _batched
mlir.register_lowering(_contract, mlir.lower_fun(_plain, multiple_results=False))
mlir.register_lowering(_contract, mlir.lower_fun(_fast, multiple_results=False), platform="cpu")
