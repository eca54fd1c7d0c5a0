"""Functions with faster code on a CPU or GPU, for themselves and for some of their derivatives.

A custom VJP would have no forward mode, a custom JVP no code for its transpose. So a function is a
primitive: its tangent is one too, linear, whose transpose is the pullback, again such a function,
with code of its own or without. What has no code is the plain function's, derived by JAX; all
derivatives of every order, batching and every platform follow.
"""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from lie_jax.typing import Array

Function = Callable[..., Sequence[Array]]
_PLATFORMS = ("cpu", "cuda")


class Code:
    """What stands in for a plain function on a platform: takes the same arguments, gives the same.

    Where a method gives None, JAX derives the plain function instead.
    """

    def __call__(self, *arguments: Array) -> Sequence[Array]:
        raise NotImplementedError

    def is_there(self, *arguments: Array) -> bool:
        """Whether it can be called with these."""
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
        shared: the places of arguments that all heads share. Every other argument and every result
            has heads as its first axis, each computed by itself, so that a batch of heads is more
            heads. None where it is not so.
        codes: for ``cpu`` and ``cuda``.
    """

    def __init__(self, plain: Function, shared: tuple[int, ...] | None = None, **codes: Code):
        if unknown := set(codes) - set(_PLATFORMS):
            raise ValueError(f"Accelerated: codes must be of {_PLATFORMS}, got {sorted(unknown)}")
        self.plain = plain
        self.shared = shared
        self.codes = codes
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
            found = {name: code.pullback(wanted, given) for name, code in self.codes.items()}
            codes = {name: code for name, code in found.items() if code is not None}
            # The gradient of what heads share is a sum over them.
            is_by_head = self.shared is not None and not set(self.shared) & set(wanted)
            self._pullbacks[wanted, given] = Accelerated(
                plain, self.shared if is_by_head else None, **codes
            )
        return self._pullbacks[wanted, given]

    def code(self, platform: str, arguments: Sequence[Array]) -> Code | None:
        """Of the platform, if it can be called with these."""
        code = self.codes.get(platform)
        return code if code and code.is_there(*arguments) else None

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


def _fast_value(platform: str, *arguments, function: Accelerated):
    return tuple((function.code(platform, arguments) or function.plain)(*arguments))


def _plain_tangent(*arguments, function: Accelerated, moved: tuple[int, ...]):
    return function.tangent(moved, *arguments)


def _fast_tangent(platform: str, *arguments, function: Accelerated, moved: tuple[int, ...]):
    code = function.code(platform, arguments)
    code = code and code.tangent(moved)
    return tuple(code(*arguments)) if code else function.tangent(moved, *arguments)


def _shapes(compute: Callable, *arguments, **parameters):
    structs = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in arguments]
    found = jax.eval_shape(functools.partial(compute, **parameters), *structs)
    like = arguments[0].update
    return [like(shape=x.shape, dtype=x.dtype, weak_type=False) for x in found]


def _batched(compute: Callable, made: Primitive, arguments, axes, **parameters):
    function, moved = parameters["function"], parameters.get("moved", ())
    count = len(arguments) - len(moved)
    places = [*range(count), *moved]
    shared = function.shared
    sizes = {x.shape[i] for x, i in zip(arguments, axes, strict=True) if i is not None}
    if (
        shared is not None
        and sizes != {0}
        and all(axis is None for place, axis in zip(places, axes, strict=True) if place in shared)
    ):
        return _with_more_heads(made, places, arguments, axes, parameters)
    found = jax.vmap(functools.partial(compute, **parameters), in_axes=tuple(axes))(*arguments)
    return found, (0,) * len(found)


def _with_more_heads(made: Primitive, places, arguments, axes, parameters):
    """A batch of the arguments that are not shared, as one call."""
    shared = parameters["function"].shared
    size = next(x.shape[i] for x, i in zip(arguments, axes, strict=True) if i is not None)

    def merged(x, axis):
        x = jnp.broadcast_to(x, (size, *x.shape)) if axis is None else jnp.moveaxis(x, axis, 0)
        return x.reshape(size * x.shape[1], *x.shape[2:])

    whole = [
        x if place in shared else merged(x, axis)
        for place, x, axis in zip(places, arguments, axes, strict=True)
    ]
    found = made.bind(*whole, **parameters)
    split = [x.reshape(size, x.shape[0] // size, *x.shape[1:]) for x in found]
    return split, (0,) * len(split)


def _primitive(name: str, compute: Callable, fast: Callable) -> Primitive:
    made = Primitive(name)
    made.multiple_results = True

    @functools.partial(jax.jit, static_argnames=("function", "moved"))
    def evaluate(*arguments, **parameters):
        return made.bind(*arguments, **parameters)

    made.def_impl(evaluate)
    made.def_abstract_eval(functools.partial(_shapes, compute))
    batching.primitive_batchers[made] = functools.partial(_batched, compute, made)
    mlir.register_lowering(made, mlir.lower_fun(compute, multiple_results=True))
    for platform in _PLATFORMS:
        lowered = mlir.lower_fun(functools.partial(fast, platform), multiple_results=True)
        mlir.register_lowering(made, lowered, platform=platform)
    return made


_value = _primitive("lie_jax_accelerated", _plain_value, _fast_value)
_tangent = _primitive("lie_jax_accelerated_tangent", _plain_tangent, _fast_tangent)


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
