"""Functions of small arrays as programs over their components, each a whole tile of numbers.

A group map works on elements whose 1 to 8 components lie along the last axis. In a tile of pairs
that axis must go: on a CPU the pairs, not the components, should fill the vector lanes, and a
Pallas kernel can neither stack nor slice along so short an axis. So the function is traced once,
for a single item. Whatever only moves components about (slices, concatenations, gathers) is done
there and then, in Python; a straight line of scalar operations is left. Applied to whole arrays,
they are the function at every item, and what depends on the query alone keeps the query's shape.

Derivatives are those of the function, its custom rules included, not those of the scalar
operations: a program is a ``jax.custom_jvp`` whose rule is again a program, that of
``jax.linearize`` of the function. So it is in every order, forward and reverse. Two limits: a
function with a ``custom_vjp`` has no other derivative than `componentwise_vjp`, and a custom rule
under ``jax.checkpoint`` is honoured in the first derivative only.
"""

import functools
import itertools
import math
from collections.abc import Callable, Collection, Hashable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

from lie_jax.fused.straight_line import Builder, Program, constants, read_entry, spread
from lie_jax.typing import PyTree, Shape


class Componentwise:
    """A function of component arrays, see `componentwise`.

    Attributes:
        shapes, out_shapes: of the function's arguments and results, for one item.
        operations: how many scalar operations a call costs.
    """

    def __init__(self, name: str, jaxpr: ClosedJaxpr, out_tree: PyTree):
        if any(isinstance(x, Tracer) for x in jaxpr.consts):
            raise ValueError(
                f"fused.componentwise: {name} must not close over traced values, got one; make "
                "it an argument"
            )
        self._name, self._jaxpr, self._out_tree = name, jaxpr, out_tree
        self._structs = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in jaxpr.in_avals]
        builder = Builder(name)
        args = [builder.new(x) for x in self._structs]
        results = builder.jaxpr(jaxpr.jaxpr, [*map(constants, jaxpr.consts), *args])
        self._program = builder.program(results)
        self._entries = [x for array in results for x in array.flat]
        # Equal registers stay apart here: with stop_gradient they differ in their derivatives.
        self._places = [i for i, x in enumerate(self._entries) if isinstance(x, int)]
        self._run = jax.custom_jvp(self._run_places)
        self._run.defjvp(self._jvp)

        self.shapes = tuple(x.shape for x in self._structs)
        self.out_shapes = tuple(x.shape for x in results)
        self.operations = len(self._program.steps)

    def __call__(self, *args: Collection[Any]) -> PyTree:
        counts, wanted = tuple(map(len, args)), tuple(map(math.prod, self.shapes))
        if counts != wanted:
            raise ValueError(
                f"fused.componentwise: {self._name} must get {wanted} components, got {counts}"
            )
        inputs = []
        for components, struct in zip(args, self._structs, strict=True):
            for x in components:
                inputs.append(x if hasattr(x, "dtype") else np.dtype(struct.dtype).type(x))
                if inputs[-1].dtype != struct.dtype:
                    raise TypeError(
                        f"fused.componentwise: {self._name} must get components of dtype "
                        f"{struct.dtype}, got {inputs[-1].dtype}"
                    )
        values = self._values(inputs)
        results = [[values.pop(0) for _ in range(math.prod(shape))] for shape in self.out_shapes]
        return jax.tree.unflatten(self._out_tree, results)

    def _values(self, inputs: Sequence[Any]) -> list[Any]:
        """All results' components."""
        # Constants stay out of custom_jvp, from which they would come back as arrays.
        arrays = iter(self._run(*inputs) if self._places else ())
        return [next(arrays) if isinstance(x, int) else x for x in self._entries]

    def _run_places(self, *inputs):
        registers = self._program.run(inputs)
        return [registers[self._entries[i]] for i in self._places]

    def _jvp(self, primals, tangents):
        forward, push, changes = self._derivative
        values = forward._values(primals)
        found = push.run([*(values[i] for i in forward._places), *tangents])
        out, dout = [values[i] for i in self._places], []
        for i, y in zip(self._places, out, strict=True):
            if changes[i] is None:
                dout.append(np.zeros(y.shape, jax.dtypes.float0))
            else:
                dout.append(spread(read_entry(found, changes[i]), y.shape))
        return out, dout

    @functools.cached_property
    def _derivative(self) -> tuple["Componentwise", Program, list[Any]]:
        """What is differentiated by its own rule, the linear rest, and its results.

        The first gives our results, then what else the rest needs of the arguments. The rest
        takes what is not constant of that, then the tangents. It is linear in either, so it may
        be differentiated as it stands. The last has, per component of our results, the entry of
        the rest that holds the tangent, or None where that is float0.
        """
        function, linear = jaxpr_as_fun(self._jaxpr), []
        is_float = [jnp.issubdtype(x.dtype, jnp.floating) for x in self._jaxpr.out_avals]

        def floats(*xs):
            ys = function(*xs)
            return list(itertools.compress(ys, is_float)), ys

        def results_and_residuals(*xs):
            _, push, ys = jax.linearize(floats, *xs, has_aux=True)
            traced = jax.make_jaxpr(push)(*self._structs)
            linear.append(traced.jaxpr)
            return [*ys, *traced.consts]

        jaxpr, out = jax.make_jaxpr(results_and_residuals, return_shape=True)(*self._structs)
        forward = Componentwise(self._name, jaxpr, jax.tree.structure(out))
        builder = Builder(
            self._name, [forward._program.dtypes[forward._entries[i]] for i in forward._places]
        )
        entries = np.array(forward._entries, object)
        entries[forward._places] = range(len(forward._places))
        ends = np.cumsum([math.prod(shape) for shape in forward.out_shapes])
        parts = zip(np.split(entries, ends[:-1]), forward.out_shapes, strict=True)
        known = [part.reshape(shape) for part, shape in parts]
        tangents = [builder.new(x) for x in self._structs]
        results = builder.jaxpr(linear[0], [*known[len(is_float) :], *tangents])
        left, changes = iter(results), []
        for shape, keep in zip(self.out_shapes, is_float, strict=True):
            changes += next(left).flat if keep else [None] * math.prod(shape)
        return forward, builder.program(results), changes


def componentwise(
    fun: Callable[..., PyTree], *shapes: Shape, dtype: jax.typing.DTypeLike
) -> Componentwise:
    """``fun`` of small arrays as a function of their components, each an array of any shape.

    ``fun_c(*arguments)`` takes, per argument, the sequence of its components in C order: arrays,
    or numbers, that broadcast against each other, such as (queries, 1) for those of a query's
    element and (1, keys) for a key's. It makes elementwise operations between them only, works
    under jit, vmap and grad to every order and inside Pallas kernels, and gives the list of the
    result's components in C order (for a tuple of results, a tuple of lists). A component has
    the shape of what it depends on, which may be less than all of the arguments; one that is
    constant is a NumPy scalar. See `broadcast_components`.

    Args:
        fun: takes one array of each shape, without batch axes; gives one array or a tree of
            them. It must be pure and close over no traced value. Traced once for each function
            object, shapes and dtype; a new lambda is a new function.
        shapes: of the arguments, for one item.
        dtype: of the arguments, floating.

    Raises:
        ValueError: dtype is not floating; ``fun`` closes over a traced value; in a call, wrong
            numbers of components.
        TypeError: in a call, a component of another dtype.
        NotImplementedError: ``fun`` uses a primitive that is neither elementwise, nor a
            reduction, nor a move of entries to places known beforehand.
    """
    return _cached(_componentwise, fun, shapes, dtype)


def componentwise_vjp(
    fun: Callable[..., PyTree], *shapes: Shape, dtype: jax.typing.DTypeLike
) -> Callable[..., tuple[list[Any], ...]]:
    """The pullback of ``fun`` component by component, for kernels, where nothing is transposed.

    The function returned takes the arguments' components as `componentwise` does, then, for each
    result of ``fun``, the components of its cotangent. It gives, per argument, the list of its
    cotangent's components, all of the full shape that the components given broadcast to: where
    an argument was broadcast, the caller has yet to sum.

    Args:
        fun, shapes, dtype: see `componentwise`; the results must be floating.

    Raises:
        ValueError, TypeError, NotImplementedError: see `componentwise`.
    """
    return _cached(_componentwise_vjp, fun, shapes, dtype)


def broadcast_components(components: Sequence[Any], shape: Shape) -> list[Any]:
    """The components as arrays that all have ``shape``, constants too."""
    return [spread(x, shape) for x in components]


def _cached(make: Any, fun: Callable, shapes: Sequence[Shape], dtype):
    dtype = np.dtype(dtype)
    if not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(f"fused.componentwise: dtype must be floating, got {dtype}")
    structs = tuple(jax.ShapeDtypeStruct(tuple(shape), dtype) for shape in shapes)
    return make(fun, structs) if isinstance(fun, Hashable) else make.__wrapped__(fun, structs)


@functools.lru_cache(maxsize=256)
def _componentwise(fun: Callable, structs: tuple[jax.ShapeDtypeStruct, ...]) -> Componentwise:
    jaxpr, out = jax.make_jaxpr(fun, return_shape=True)(*structs)
    name = getattr(fun, "__qualname__", repr(fun))
    return Componentwise(name, jaxpr, jax.tree.structure(out))


@functools.lru_cache(maxsize=256)
def _componentwise_vjp(fun: Callable, structs: tuple[jax.ShapeDtypeStruct, ...]) -> Callable:
    cotangents, tree = jax.tree.flatten(jax.eval_shape(fun, *structs))

    def pullback(*args):
        xs, dys = args[: len(structs)], args[len(structs) :]
        return jax.vjp(fun, *xs)[1](jax.tree.unflatten(tree, dys))

    pullback.__qualname__ = f"the pullback of {getattr(fun, '__qualname__', repr(fun))}"
    pulled = _componentwise.__wrapped__(pullback, (*structs, *cotangents))

    def vjp(*args: Collection[Any]) -> tuple[list[Any], ...]:
        shape = np.broadcast_shapes(*(np.shape(x) for components in args for x in components))
        return tuple(broadcast_components(components, shape) for components in pulled(*args))

    return vjp
