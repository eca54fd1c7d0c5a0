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
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, jaxpr_as_fun

from lie_jax.numerics import full_along
from lie_jax.typing import PyTree, Shape

Entry = int | np.generic
"""The register that holds a component, or the value of a constant one."""

_NAMES = {
    "call": """jit pjit closed_call core_call custom_jvp_call custom_vjp_call checkpoint remat
        remat2""",
    "identity": "copy copy_p stop_gradient name optimization_barrier pvary",
    "elementwise": """abs acos acosh add add_any and asin asinh atan atan2 atanh cbrt ceil clamp
        convert_element_type cos cosh div eq erf erf_inv erfc exp exp2 expm1 floor ge gt
        integer_pow is_finite le log log1p logistic lt max min mul ne neg nextafter not or pow
        reduce_precision rem round rsqrt select_n sign sin sinh sqrt square sub tan tanh xor""",
}
_KINDS = {name: kind for kind, names in _NAMES.items() for name in names.split()}
_REDUCTIONS = {
    "reduce_sum": lax.add,
    "reduce_prod": lax.mul,
    "reduce_max": lax.max,
    "reduce_min": lax.min,
    "reduce_and": lax.bitwise_and,
    "reduce_or": lax.bitwise_or,
}
# x op neutral = x, and for "both" neutral op x = x. As in XLA, -0 + 0 becomes -0. Nothing is done
# about x * 0, which is not 0 where x is infinite or NaN.
_NEUTRAL = {
    "add": (0, "both"),
    "add_any": (0, "both"),
    "sub": (0, "right"),
    "mul": (1, "both"),
    "div": (1, "right"),
}


def _reshape(params, shape: Shape, x: np.ndarray) -> np.ndarray:
    order = params["dimensions"]
    return (x if order is None else x.transpose(order)).reshape(shape)


def _broadcast_in_dim(params, shape: Shape, x: np.ndarray) -> np.ndarray:
    sizes = [1] * len(shape)
    for axis, size in zip(params["broadcast_dimensions"], x.shape, strict=True):
        sizes[axis] = size
    return np.broadcast_to(x.reshape(sizes), shape)


def _slice(params, _, x: np.ndarray) -> np.ndarray:
    strides = params["strides"] or (1,) * x.ndim
    return x[tuple(map(slice, params["start_indices"], params["limit_indices"], strides))]


def _unstack(params, shape: Shape, x: np.ndarray) -> list[np.ndarray]:
    parts = np.split(x, x.shape[params["axis"]], params["axis"])
    return [part.reshape(shape) for part in parts]


# Moves of entries: (parameters, shape of the first result, operands) -> result or results.
_MOVES: dict[str, Callable[..., np.ndarray | list[np.ndarray]]] = {
    "reshape": _reshape,
    "squeeze": lambda _, shape, x: x.reshape(shape),
    "broadcast_in_dim": _broadcast_in_dim,
    "transpose": lambda params, _, x: x.transpose(params["permutation"]),
    "rev": lambda params, _, x: np.flip(x, params["dimensions"]),
    "slice": _slice,
    "concatenate": lambda params, _, *xs: np.concatenate(xs, params["dimension"]),
    "stack": lambda params, _, *xs: np.stack(xs, params["axis"]),
    "unstack": _unstack,
    "split": lambda p, _, x: np.split(x, np.cumsum(p["sizes"])[:-1], p["axis"]),
}
# Rarer moves, and which of their operands hold entries; the others are indices.
_INDEXED_MOVES = {
    "pad": (0, 1),
    "gather": (0,),
    "scatter": (0, 2),
    "dynamic_slice": (0,),
    "dynamic_update_slice": (0, 1),
}


class _Operation(NamedTuple):
    """A scalar operation; ``params`` tells operations of one name apart."""

    name: str
    function: Callable[..., Any]
    params: tuple = ()


class _Program(NamedTuple):
    """Scalar operations in order: (operation, operands, register of the result)."""

    steps: list[tuple[_Operation, tuple[Entry, ...], int]]
    dtypes: list[Any]  # of the registers, inputs first

    def run(self, inputs: Sequence[Any]) -> dict[int, Any]:
        """All registers, where the inputs are arrays that broadcast."""
        registers: dict[int, Any] = dict(enumerate(inputs))
        for operation, operands, register in self.steps:
            values = [_read(registers, x) for x in operands]
            shape = np.broadcast_shapes(*map(np.shape, values))
            # A primitive broadcasts scalars, with these exceptions, and nothing else.
            is_strict = operation.name in ("select_n", "clamp")
            values = _vary_alike(values)
            values = [_spread(x, shape) if is_strict or np.shape(x) else x for x in values]
            registers[register] = operation.function(*values)
        return registers


class _Builder:
    """Interprets jaxprs on arrays of entries and writes down the scalar operations, each once."""

    def __init__(self, name: str, dtypes: Sequence[Any] = ()):
        self.name = name
        self.dtypes = list(dtypes)
        self.steps: list[tuple[_Operation, tuple[Entry, ...], int]] = []
        self.known: dict[Hashable, int] = {}

    def new(self, struct: Any) -> np.ndarray:
        """An array of new registers, for an array of that shape and dtype."""
        first, count = len(self.dtypes), math.prod(struct.shape)
        self.dtypes += [struct.dtype] * count
        return np.array(range(first, first + count), object).reshape(struct.shape)

    def program(self, outputs: Iterable[np.ndarray]) -> _Program:
        """What has been written down, less what the outputs do not need."""
        needed, steps = set(_live(outputs)), []
        for operation, operands, register in reversed(self.steps):
            if register in needed:
                needed.update(x for x in operands if isinstance(x, int))
                steps.append((operation, operands, register))
        return _Program(steps[::-1], self.dtypes)

    def jaxpr(self, jaxpr: Jaxpr, args: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The results; ``args`` are the constants' entries, then the arguments'."""
        found = dict(zip([*jaxpr.constvars, *jaxpr.invars], args, strict=True))

        def read(atom: Any) -> np.ndarray:
            if isinstance(atom, Literal):
                aval: Any = atom.aval
                return _constants(np.asarray(atom.val, aval.dtype))
            return found[atom]

        for eqn in jaxpr.eqns:
            results = self.equation(eqn, [read(atom) for atom in eqn.invars])
            found.update(zip(eqn.outvars, results, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def equation(self, eqn: JaxprEqn, args: list[np.ndarray]) -> Sequence[np.ndarray]:
        name, params = eqn.primitive.name, eqn.params
        kind = _KINDS.get(name)
        if kind == "call":
            inner = params["call_jaxpr"] if "call_jaxpr" in params else params["jaxpr"]
            if isinstance(inner, ClosedJaxpr):
                return self.jaxpr(inner.jaxpr, [*map(_constants, inner.consts), *args])
            return self.jaxpr(inner, args)
        if kind == "identity":
            return args
        out, *avals = (v.aval for v in [eqn.outvars[0], *eqn.invars])
        if name in _MOVES:
            moved = _MOVES[name](params, out.shape, *args)
            return moved if isinstance(moved, list) else [moved]
        bind = functools.partial(eqn.primitive.bind, **params)
        if not _live(args):
            values = [x.astype(v.dtype) for x, v in zip(args, avals, strict=True)]
            return [_constants(x) for x in _evaluate(bind, values)]
        if kind == "elementwise":
            return [self.each(_Operation(name, bind, tuple(sorted(params.items()))), args, out)]
        if name in _REDUCTIONS:
            rest = [axis for axis in range(args[0].ndim) if axis not in params["axes"]]
            rows = args[0].transpose([*params["axes"], *rest])
            return [self.fold(_REDUCTIONS[name], rows, out)]
        if name == "dot_general":
            return [self.dot_general(params["dimension_numbers"], args, out)]
        held = (0, 2) if name == "scatter-add" else _INDEXED_MOVES.get(name)
        if held is None or _live(x for i, x in enumerate(args) if i not in held):
            where = " with indices that depend on the arguments" if held else ""
            raise NotImplementedError(
                f"fused.componentwise: {self.name} uses the primitive {name!r}{where}, which has "
                "no form component by component"
            )
        if name == "scatter-add":
            return [self.scatter_add(bind, args, out)]
        return [self.indexed_move(bind, args, held)]

    def each(self, operation: _Operation, args: Iterable[np.ndarray], out: Any) -> np.ndarray:
        """An elementwise operation on arrays of entries that broadcast to the result's shape."""
        args, result = [np.broadcast_to(x, out.shape) for x in args], np.empty(out.shape, object)
        for i in np.ndindex(*out.shape):
            result[i] = self.scalar(operation, tuple(x[i] for x in args), out.dtype)
        return result

    def scalar(self, operation: _Operation, operands: tuple[Any, ...], dtype) -> Any:
        """The entry that holds an operation's result."""
        name, x, y = operation.name, operands[0], operands[-1]
        is_constant = [isinstance(operand, np.generic) for operand in operands]
        if name == "select_n" and is_constant[0]:
            return operands[1 + int(x)]
        if all(is_constant):
            return _evaluate(operation.function, operands)[0][()]
        if name == "convert_element_type" and self.dtypes[x] == dtype:
            return x
        neutral, sides = _NEUTRAL.get(name, (None, ""))
        if sides and is_constant[1] and y == neutral and self.dtypes[x] == dtype:
            return x
        if sides == "both" and is_constant[0] and x == neutral and self.dtypes[y] == dtype:
            return y
        if name == "atan":
            # The same number, and what XLA makes of it; Pallas TPU knows atan2 only.
            operation, operands = _Operation("atan2", lax.atan2), (x, np.dtype(dtype).type(1))
        # Constants by their bits: 1.0 == 1 is also the number of a register, and 0 == -0.
        bits = [(v.dtype, v.tobytes()) if isinstance(v, np.generic) else v for v in operands]
        key = (name, operation.params, *bits)
        if key not in self.known:
            self.known[key] = len(self.dtypes)
            self.steps.append((operation, operands, len(self.dtypes)))
            self.dtypes.append(dtype)
        return self.known[key]

    def fold(self, function: Callable, rows: np.ndarray, out: Any) -> np.ndarray:
        """rows[0] op rows[1] op ...; the leading axes are rows, those of the result the rest."""
        operation = _Operation(function.__name__, function)
        rows = rows.reshape(-1, *out.shape)
        parts = [rows[i : i + 1].reshape(out.shape) for i in range(len(rows))]
        return functools.reduce(lambda x, y: self.each(operation, (x, y), out), parts)

    def dot_general(self, dimensions, args: list[np.ndarray], out: Any) -> np.ndarray:
        """A sum of products, so that no reduced matmul precision comes in."""
        sides = []
        for x, contracted, batch in zip(args, *dimensions, strict=True):
            free = [axis for axis in range(x.ndim) if axis not in (*contracted, *batch)]
            groups = (contracted, batch, free)
            sizes = [math.prod(x.shape[axis] for axis in axes) for axes in groups]
            sides.append(x.transpose([*contracted, *batch, *free]).reshape(sizes))
        left, right = sides[0][:, :, :, None], sides[1][:, :, None, :]
        product = jax.ShapeDtypeStruct(np.broadcast_shapes(left.shape, right.shape), out.dtype)
        bind = functools.partial(lax.convert_element_type, new_dtype=out.dtype)
        convert = _Operation("convert_element_type", bind, (("new_dtype", out.dtype),))
        wide = [self.each(convert, (x,), product) for x in (left, right)]
        return self.fold(lax.add, self.each(_Operation("mul", lax.mul), wide, product), out)

    def indexed_move(self, bind, args: list[np.ndarray], held: tuple[int, ...]) -> np.ndarray:
        """A move by the primitive itself, applied to the numbers of the entries."""
        entries, operands = [], []
        for i, x in enumerate(args):
            if i in held:
                x, first = np.arange(x.size).reshape(x.shape) + len(entries), x
                entries += first.flat
            operands.append(x.astype(np.int32))
        (places,) = _evaluate(bind, operands)
        return _constants(places, lambda place: entries[place])

    def scatter_add(self, bind, args: list[np.ndarray], out: Any) -> np.ndarray:
        """Where an update goes is seen by scattering a 1 in its place, 0 in the others'."""
        array, indices, updates = args
        zeros, ones = np.zeros(out.shape, out.dtype), np.eye(updates.size, dtype=out.dtype)
        scatter = jax.vmap(functools.partial(bind, zeros, indices.astype(np.int32)))
        (places,) = _evaluate(scatter, [ones.reshape(-1, *updates.shape)])
        rows = [array]
        for place, update in zip(places, updates.flat, strict=True):
            rows.append(_constants(zeros))
            rows[-1][place != 0] = update
        return self.fold(lax.add, np.stack(rows), out)


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
        builder = _Builder(name)
        args = [builder.new(x) for x in self._structs]
        results = builder.jaxpr(jaxpr.jaxpr, [*map(_constants, jaxpr.consts), *args])
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
                dout.append(_spread(_read(found, changes[i]), y.shape))
        return out, dout

    @functools.cached_property
    def _derivative(self) -> tuple["Componentwise", _Program, list[Any]]:
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
        builder = _Builder(
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
    return [_spread(x, shape) for x in components]


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


def _live(arrays: Iterable[np.ndarray]) -> list[int]:
    """The registers among the entries."""
    return sorted({x for array in arrays for x in array.flat if isinstance(x, int)})


def _read(registers: dict[int, Any], entry: Entry) -> Any:
    return registers[entry] if isinstance(entry, int) else entry


def _spread(x: Any, shape: Shape) -> Any:
    """``x`` in that shape; a constant becomes a literal of the program, not an array it holds."""
    if np.shape(x) == shape:
        return x
    return lax.full(shape, x, x.dtype) if np.shape(x) == () else jnp.broadcast_to(x, shape)


def _vary_alike(values: list[Any]) -> list[Any]:
    """In `jax.shard_map` a primitive takes no constant beside what differs between devices."""
    if not jax.sharding.get_abstract_mesh().manual_axes:
        return values
    arrays = [x for x in values if isinstance(x, jax.Array)]
    return [
        x if isinstance(x, jax.Array) else full_along(arrays, np.shape(x), x, x.dtype)
        for x in values
    ]


def _constants(array: Any, entry: Callable[[Any], Any] = lambda x: x) -> np.ndarray:
    """The array of entries that are the numbers of an array, or what ``entry`` makes of them."""
    array = np.asarray(array)
    result = np.empty(array.shape, object)
    for i in np.ndindex(*array.shape):
        result[i] = entry(array[i])
    return result


def _evaluate(function: Callable[..., Any], operands: Sequence[Any]) -> list[np.ndarray]:
    """The results, now, whatever is being traced around it."""
    with jax.ensure_compile_time_eval():
        return [np.asarray(x) for x in jax.tree.leaves(function(*operands))]
