"""Functions with faster code on a CPU, for themselves and for some of their derivatives.

A custom VJP would have no forward mode, a custom JVP no code for its transpose. So a function is a
primitive: its tangent is one too, linear, whose transpose is the pullback, again such a function,
with code of its own or without. What has no code is the plain function's, derived by JAX; all
derivatives of every order, batching and every platform follow.
"""

import functools
from collections.abc import Callable, Sequence

import jax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from lie_jax.typing import Array

Function = Callable[..., Sequence[Array]]


class Code:
    """What stands in for a plain function on a CPU: takes the same arguments, gives the same.

    Where a method gives None, JAX derives the plain function instead.
    """

    def __call__(self, *arguments: Array) -> Sequence[Array]:
        raise NotImplementedError

    def tangent(self, moved: tuple[int, ...]) -> Function | None:
        """Changes of the results, from the arguments and the moved arguments' changes."""
        del moved

    def pullback(self, wanted: tuple[int, ...], given: tuple[int, ...]) -> "Code | None":
        """See `Accelerated.pullback`."""
        del wanted, given


class Accelerated:
    """A pure function of arrays to a tuple of arrays.

    Args:
        plain: the function in JAX; it defines the values and all derivatives.
        code: for a CPU; None without.
    """

    def __init__(self, plain: Function, code: Code | None = None):
        self.plain = plain
        self.code = code
        self._pullbacks: dict[tuple[tuple[int, ...], tuple[int, ...]], Accelerated] = {}

    def __call__(self, *arguments: Array) -> tuple[Array, ...]:
        """``plain(*arguments)``."""
        return tuple(_value.bind(*arguments, function=self))

    def pullback(self, wanted: tuple[int, ...], given: tuple[int, ...]) -> "Accelerated":
        """From arguments and the given results' cotangents to the wanted arguments' cotangents.

        The cotangents of the other results are 0.
        """
        if (wanted, given) not in self._pullbacks:
            plain = functools.partial(_plain_pullback, self.plain, wanted, given)
            code = self.code and self.code.pullback(wanted, given)
            self._pullbacks[wanted, given] = Accelerated(plain, code)
        return self._pullbacks[wanted, given]

    def tangent(self, moved: tuple[int, ...], *arguments: Array) -> tuple[Array, ...]:
        """Change of the results, from the arguments and the moved arguments' changes."""
        count = len(arguments) - len(moved)
        primals, changes = arguments[:count], arguments[count:]

        def of_moved(*values):
            return tuple(self.plain(*_with(primals, moved, values)))

        return jax.jvp(of_moved, tuple(primals[i] for i in moved), tuple(changes))[1]


def _with(
    arguments: Sequence[Array], places: Sequence[int], values: Sequence[Array]
) -> list[Array]:
    """The arguments, other values in these places."""
    complete = list(arguments)
    for i, value in zip(places, values, strict=True):
        complete[i] = value
    return complete


def _plain_pullback(plain: Function, wanted, given, *arguments: Array) -> tuple[Array, ...]:
    count = len(arguments) - len(given)
    primals, cotangents = arguments[:count], arguments[count:]

    def of_wanted(*values):
        results = tuple(plain(*_with(primals, wanted, values)))
        return tuple(results[i] for i in given)

    return jax.vjp(of_wanted, *(primals[i] for i in wanted))[1](tuple(cotangents))


def _plain_value(*arguments, function: Accelerated):
    return tuple(function.plain(*arguments))


def _fast_value(*arguments, function: Accelerated):
    return tuple((function.code or function.plain)(*arguments))


def _plain_tangent(*arguments, function: Accelerated, moved: tuple[int, ...]):
    return function.tangent(moved, *arguments)


def _fast_tangent(*arguments, function: Accelerated, moved: tuple[int, ...]):
    code = function.code and function.code.tangent(moved)
    return tuple(code(*arguments)) if code else function.tangent(moved, *arguments)


def _shapes(compute: Callable, *arguments, **parameters):
    structs = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in arguments]
    found = jax.eval_shape(functools.partial(compute, **parameters), *structs)
    like = arguments[0].update
    return [like(shape=x.shape, dtype=x.dtype, weak_type=False) for x in found]


def _batched(compute: Callable, arguments, axes, **parameters):
    found = jax.vmap(functools.partial(compute, **parameters), in_axes=tuple(axes))(*arguments)
    return found, (0,) * len(found)


def _primitive(name: str, compute: Callable) -> Primitive:
    made = Primitive(name)
    made.multiple_results = True

    @functools.partial(jax.jit, static_argnames=("function", "moved"))
    def evaluate(*arguments, **parameters):
        return made.bind(*arguments, **parameters)

    made.def_impl(evaluate)
    made.def_abstract_eval(functools.partial(_shapes, compute))
    batching.primitive_batchers[made] = functools.partial(_batched, compute)
    mlir.register_lowering(made, mlir.lower_fun(compute, multiple_results=True))
    return made


_value = _primitive("lie_jax_accelerated", _plain_value)
mlir.register_lowering(_value, mlir.lower_fun(_fast_value, multiple_results=True), platform="cpu")
_tangent = _primitive("lie_jax_accelerated_tangent", _plain_tangent)
mlir.register_lowering(
    _tangent, mlir.lower_fun(_fast_tangent, multiple_results=True), platform="cpu"
)


def _value_jvp(primals, tangents, *, function: Accelerated):
    results = _value.bind(*primals, function=function)
    moved = tuple(i for i, x in enumerate(tangents) if type(x) is not ad.Zero)
    changes = [tangents[i] for i in moved]
    return results, _tangent.bind(*primals, *changes, function=function, moved=moved)


def _tangent_jvp(primals, tangents, **parameters):
    tangents = [ad.instantiate_zeros(x) for x in tangents]
    return jax.jvp(functools.partial(_plain_tangent, **parameters), tuple(primals), tuple(tangents))


def _tangent_transpose(cotangents, *arguments, function: Accelerated, moved: tuple[int, ...]):
    primals = arguments[: len(arguments) - len(moved)]
    given = tuple(i for i, x in enumerate(cotangents) if type(x) is not ad.Zero)
    known = [cotangents[i] for i in given]
    found = function.pullback(moved, given)(*primals, *known)
    return [None] * len(primals) + list(found)


ad.primitive_jvps[_value] = _value_jvp
ad.primitive_jvps[_tangent] = _tangent_jvp
ad.primitive_transposes[_tangent] = _tangent_transpose
