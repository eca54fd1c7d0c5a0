"""Functions of small arrays written down as a straight line of scalar operations.

A jaxpr is interpreted on arrays of entries, each the register that holds a component or the value
of a constant one. What only moves components about (slices, concatenations, gathers) is done there
and then; of the rest every operation is written down once.
"""

import functools
import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal

from lie_jax.numerics import full_along
from lie_jax.typing import Shape

Entry = int | np.generic
"""The register that holds a component, or the value of a constant one."""

_NAMES = {
    "call": """jit pjit closed_call core_call custom_jvp_call custom_vjp_call checkpoint remat
        remat2""",
    "identity": "copy copy_p stop_gradient name optimization_barrier pvary",
    "elementwise": """abs acos acosh add add_any and asin asinh atan atan2 atanh cbrt ceil clamp
        convert_element_type cos cosh div eq erf erf_inv erfc exp exp2 expm1 floor ge gt
        integer_pow is_finite le log log1p log2 logistic lt max min mul ne neg nextafter not
        one_minus_square or pow reduce_precision rem round rsqrt select_n sign sin sinh sqrt square
        sub tan tanh xor""",
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


class Operation(NamedTuple):
    """A scalar operation; ``params`` tells operations of one name apart."""

    name: str
    function: Callable[..., Any]
    params: tuple = ()


class Program(NamedTuple):
    """Scalar operations in order: (operation, operands, register of the result)."""

    steps: list[tuple[Operation, tuple[Entry, ...], int]]
    dtypes: list[Any]  # of the registers, inputs first

    def run(self, inputs: Sequence[Any]) -> dict[int, Any]:
        """All registers, where the inputs are arrays that broadcast."""
        registers: dict[int, Any] = dict(enumerate(inputs))
        for operation, operands, register in self.steps:
            values = [read_entry(registers, x) for x in operands]
            shape = np.broadcast_shapes(*map(np.shape, values))
            # A primitive broadcasts scalars, with these exceptions, and nothing else.
            is_strict = operation.name in ("select_n", "clamp")
            values = _vary_alike(values)
            values = [spread(x, shape) if is_strict or np.shape(x) else x for x in values]
            registers[register] = operation.function(*values)
        return registers


class Builder:
    """Interprets jaxprs on arrays of entries and writes down the scalar operations, each once."""

    def __init__(self, name: str, dtypes: Sequence[Any] = ()):
        self.name = name
        self.dtypes = list(dtypes)
        self.steps: list[tuple[Operation, tuple[Entry, ...], int]] = []
        self.known: dict[Hashable, int] = {}

    def new(self, struct: Any) -> np.ndarray:
        """An array of new registers, for an array of that shape and dtype."""
        first, count = len(self.dtypes), math.prod(struct.shape)
        self.dtypes += [struct.dtype] * count
        return np.array(range(first, first + count), object).reshape(struct.shape)

    def program(self, outputs: Iterable[np.ndarray]) -> Program:
        """What has been written down, less what the outputs do not need."""
        needed, steps = set(live(outputs)), []
        for operation, operands, register in reversed(self.steps):
            if register in needed:
                needed.update(x for x in operands if isinstance(x, int))
                steps.append((operation, operands, register))
        return Program(steps[::-1], self.dtypes)

    def jaxpr(self, jaxpr: Jaxpr, args: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The results; ``args`` are the constants' entries, then the arguments'."""
        found = dict(zip([*jaxpr.constvars, *jaxpr.invars], args, strict=True))

        def read(atom: Any) -> np.ndarray:
            if isinstance(atom, Literal):
                aval: Any = atom.aval
                return constants(np.asarray(atom.val, aval.dtype))
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
                return self.jaxpr(inner.jaxpr, [*map(constants, inner.consts), *args])
            return self.jaxpr(inner, args)
        if kind == "identity":
            return args
        out, *avals = (v.aval for v in [eqn.outvars[0], *eqn.invars])
        if name in _MOVES:
            moved = _MOVES[name](params, out.shape, *args)
            return moved if isinstance(moved, list) else [moved]
        bind = functools.partial(eqn.primitive.bind, **params)
        if not live(args):
            values = [x.astype(v.dtype) for x, v in zip(args, avals, strict=True)]
            return [constants(x) for x in evaluate(bind, values)]
        if kind == "elementwise":
            return [self.each(Operation(name, bind, tuple(sorted(params.items()))), args, out)]
        if name in _REDUCTIONS:
            rest = [axis for axis in range(args[0].ndim) if axis not in params["axes"]]
            rows = args[0].transpose([*params["axes"], *rest])
            return [self.fold(_REDUCTIONS[name], rows, out)]
        if name == "dot_general":
            return [self.dot_general(params["dimension_numbers"], args, out)]
        held = (0, 2) if name == "scatter-add" else _INDEXED_MOVES.get(name)
        if held is None or live(x for i, x in enumerate(args) if i not in held):
            where = " with indices that depend on the arguments" if held else ""
            raise NotImplementedError(
                f"fused.componentwise: {self.name} uses the primitive {name!r}{where}, which has "
                "no form component by component"
            )
        if name == "scatter-add":
            return [self.scatter_add(bind, args, out)]
        return [self.indexed_move(bind, args, held)]

    def each(self, operation: Operation, args: Iterable[np.ndarray], out: Any) -> np.ndarray:
        """An elementwise operation on arrays of entries that broadcast to the result's shape."""
        args, result = [np.broadcast_to(x, out.shape) for x in args], np.empty(out.shape, object)
        for i in np.ndindex(*out.shape):
            result[i] = self.scalar(operation, tuple(x[i] for x in args), out.dtype)
        return result

    def scalar(self, operation: Operation, operands: tuple[Any, ...], dtype) -> Any:
        """The entry that holds an operation's result."""
        name, x, y = operation.name, operands[0], operands[-1]
        is_constant = [isinstance(operand, np.generic) for operand in operands]
        if name == "select_n" and is_constant[0]:
            return operands[1 + int(x)]
        if all(is_constant):
            return evaluate(operation.function, operands)[0][()]
        if name == "convert_element_type" and self.dtypes[x] == dtype:
            return x
        neutral, sides = _NEUTRAL.get(name, (None, ""))
        if sides and is_constant[1] and y == neutral and self.dtypes[x] == dtype:
            return x
        if sides == "both" and is_constant[0] and x == neutral and self.dtypes[y] == dtype:
            return y
        if name == "atan":
            # The same number, and what XLA makes of it; Pallas TPU knows atan2 only.
            operation, operands = Operation("atan2", lax.atan2), (x, np.dtype(dtype).type(1))
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
        operation = Operation(function.__name__, function)
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
        convert = Operation("convert_element_type", bind, (("new_dtype", out.dtype),))
        wide = [self.each(convert, (x,), product) for x in (left, right)]
        return self.fold(lax.add, self.each(Operation("mul", lax.mul), wide, product), out)

    def indexed_move(self, bind, args: list[np.ndarray], held: tuple[int, ...]) -> np.ndarray:
        """A move by the primitive itself, applied to the numbers of the entries."""
        entries, operands = [], []
        for i, x in enumerate(args):
            if i in held:
                x, first = np.arange(x.size).reshape(x.shape) + len(entries), x
                entries += first.flat
            operands.append(x.astype(np.int32))
        (places,) = evaluate(bind, operands)
        return constants(places, lambda place: entries[place])

    def scatter_add(self, bind, args: list[np.ndarray], out: Any) -> np.ndarray:
        """Where an update goes is seen by scattering a 1 in its place, 0 in the others'."""
        array, indices, updates = args
        zeros, ones = np.zeros(out.shape, out.dtype), np.eye(updates.size, dtype=out.dtype)
        scatter = jax.vmap(functools.partial(bind, zeros, indices.astype(np.int32)))
        (places,) = evaluate(scatter, [ones.reshape(-1, *updates.shape)])
        rows = [array]
        for place, update in zip(places, updates.flat, strict=True):
            rows.append(constants(zeros))
            rows[-1][place != 0] = update
        return self.fold(lax.add, np.stack(rows), out)


def live(arrays: Iterable[np.ndarray]) -> list[int]:
    """The registers among the entries."""
    return sorted({x for array in arrays for x in array.flat if isinstance(x, int)})


def read_entry(registers: dict[int, Any], entry: Entry) -> Any:
    return registers[entry] if isinstance(entry, int) else entry


def spread(x: Any, shape: Shape) -> Any:
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


def constants(array: Any, entry: Callable[[Any], Any] = lambda x: x) -> np.ndarray:
    """The array of entries that are the numbers of an array, or what ``entry`` makes of them."""
    array = np.asarray(array)
    result = np.empty(array.shape, object)
    for i in np.ndindex(*array.shape):
        result[i] = entry(array[i])
    return result


def evaluate(function: Callable[..., Any], operands: Sequence[Any]) -> list[np.ndarray]:
    """The results, now, whatever is being traced around it."""
    with jax.ensure_compile_time_eval():
        return [np.asarray(x) for x in jax.tree.leaves(function(*operands))]
