"""Attention in one Pallas kernel per tile of queries: the forward pass, and what both passes share.

A kernel works on tiles (rows, lanes) of pairs and on nothing larger: the features of the pairs,
the hidden layers and the scores are each a list of such tiles, made from what queries and keys
hold as one number per point, (rows, 1) or (1, lanes). The small matrices of the MLPs are read as
scalars. So the kernel needs neither small axes nor reshapes, which Triton (NVIDIA) and Mosaic
(TPU) do not have.

One side of the pairs is the rows' side, of which a program holds one tile; the other side's
tiles pass by in a loop. Forward the queries are rows. In `lie_jax.fused.pallas_vjp`, where
`pallas_attention` is, either side is.

Source: Dao et al., FlashAttention (2022); the running softmax as in `lie_jax.fused.tiled`.
"""

import dataclasses
import functools
import math
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jax.experimental.pallas import triton

from lie_jax.attention.activations import swish_in_kernel
from lie_jax.attention.normalise import Normalisation
from lie_jax.fused.componentwise import componentwise
from lie_jax.fused.features import Embedding
from lie_jax.fused.terms import Affine, ScoreTerms
from lie_jax.fused.tile import join_sides, split_sides
from lie_jax.fused.tiled import Tiling
from lie_jax.typing import Array, Float, PyTree

Target = Literal["gpu", "tpu", "interpret"]
Side = dict[str, Array]


@dataclasses.dataclass(frozen=True)
class Plan:
    """What decides the kernels; hashable.

    Args:
        structure: the terms without ``query`` and ``key``, each array's place taken by the shape
            of what a tile's point (or a head, for parameters) has of it.
        embedding: of the pairs.
        normalisation, tiling: as in `tiled_attention`; ``tiling.clouds`` is not used.
        element_size: numbers in a group element; 0 if no term needs the pairs' features.
        dtype: to compute in.
        target: what runs the kernels.
    """

    structure: ScoreTerms
    embedding: Embedding
    normalisation: Normalisation
    tiling: Tiling
    element_size: int
    dtype: np.dtype
    target: Target

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of `pallas_call` for the target."""
        if self.target == "gpu":
            return {"compiler_params": triton.CompilerParams(num_warps=4, num_stages=1)}
        if self.target == "tpu":
            return {"compiler_params": pltpu.CompilerParams(dimension_semantics=("parallel",) * 3)}
        return {"interpret": True}


def make_plan(
    terms: ScoreTerms,
    dtype: jax.typing.DTypeLike,
    elements: Float[Array, "b m g"],
    embedding: Embedding,
    normalisation: Normalisation,
    tiling: Tiling,
    target: Target,
) -> Plan:
    """The plan of a layer; ``dtype`` is that of the values."""
    rest = dataclasses.replace(terms, query=None, key=None)
    queries, keys, parameters = split_sides(rest)
    shapes: list[Any] = [
        [jax.ShapeDtypeStruct(x.shape[-1:], x.dtype) for x in queries],
        [jax.ShapeDtypeStruct(x.shape[-2:-1], x.dtype) for x in keys],
        [jax.ShapeDtypeStruct(x.shape[1:], x.dtype) for x in parameters],
    ]
    structure = join_sides(rest, *shapes)
    needed = [*jax.tree.leaves(terms), *([elements] if terms.needs_features else [])]
    wide = jnp.result_type(jnp.float32, dtype, *(x.dtype for x in needed))
    size = elements.shape[-1] if terms.needs_features else 0
    return Plan(structure, embedding, normalisation, tiling, size, np.dtype(wide), target)


# --- Layout ------------------------------------------------------------------------------------


def pack(
    plan: Plan, terms: ScoreTerms, values: Float[Array, "h b m o"], elements: Array
) -> tuple[Side, Side, Array]:
    """The arrays of the query side and of the key side, each (h, b, m, x), and the parameters.

    ``"numbers"`` are the single numbers of a point, element last; ``"dot"`` and ``"values"``
    enter matrix products. The last axes are filled up with zeros to powers of two.
    """
    lead = values.shape[:3]
    rest = dataclasses.replace(terms, query=None, key=None)
    queries, keys, parameters = split_sides(rest)
    keys = [jnp.swapaxes(x, 2, 3) for x in keys]
    if plan.element_size:
        queries, keys = [
            [*side, jnp.broadcast_to(elements, (*lead, plan.element_size))]
            for side in (queries, keys)
        ]
    query = {"numbers": _joined(plan, queries, lead)}
    key = {"numbers": _joined(plan, keys, lead), "values": _joined(plan, [values], lead, 16)}
    if terms.query is not None:
        assert terms.key is not None
        query["dot"] = _joined(plan, [terms.query], lead, 16)
        key["dot"] = _joined(plan, [jnp.swapaxes(terms.key, 2, 3)], lead, 16)
    heads = lead[:1]
    flat = [x.reshape(*heads, -1) for x in parameters]
    return query, key, _joined(plan, flat, heads)[:, None]


def _joined(plan: Plan, parts: Sequence[Array], lead: tuple[int, ...], least: int = 1) -> Array:
    parts = [x.astype(plan.dtype) for x in parts] or [jnp.zeros((*lead, 0), plan.dtype)]
    whole = jnp.concatenate(parts, axis=-1)
    size = whole.shape[-1]
    width = max(least, 1 << (size - 1).bit_length() if size else 1)
    return jnp.pad(whole, [(0, 0)] * (whole.ndim - 1) + [(0, width - size)])


def as_rows(plan: Plan, side: Side) -> tuple[Side, dict[str, pl.BlockSpec]]:
    """The side's arrays (h, b, m', x), and the blocks (rows, x) of them that a program gets."""
    rows = plan.tiling.queries
    arrays = {name: _filled(name, x, rows) for name, x in side.items()}
    return arrays, {name: row_spec(plan, x) for name, x in arrays.items()}


def as_lanes(plan: Plan, side: Side) -> tuple[Side, dict[str, pl.BlockSpec]]:
    """The side's arrays (h, b, tiles, x, lanes), and the blocks (tiles, x, lanes)."""
    arrays, lanes = {}, plan.tiling.keys
    for name, x in side.items():
        x = _filled(name, x, lanes)
        arrays[name] = x.reshape(*x.shape[:2], -1, lanes, x.shape[3]).swapaxes(3, 4)
    return arrays, {
        name: pl.BlockSpec((None, None, *x.shape[2:]), _place(x, lambda i: (_zero(i),) * 3))
        for name, x in arrays.items()
    }


def row_spec(plan: Plan, x: Any) -> pl.BlockSpec:
    """One tile of rows per program, of an array (h or 1, b, m, x)."""
    shape = (None, None, plan.tiling.queries, x.shape[3])
    return pl.BlockSpec(shape, _place(x, lambda i: (i, _zero(i))))


def sum_spec(x: Any) -> pl.BlockSpec:
    """One row per program, of an array (h, b, tiles, 1, x)."""
    shape = (None, None, None, 1, x.shape[4])
    return pl.BlockSpec(shape, _place(x, lambda i: (i, _zero(i), _zero(i))))


def parameter_spec(plan: Plan, x: Array) -> pl.BlockSpec:
    """One head's parameters (1, p); on a TPU they lie where scalars are read from."""
    space: dict[str, Any] = {"memory_space": pltpu.SMEM} if plan.target == "tpu" else {}
    shape = (None, 1, x.shape[2])
    return pl.BlockSpec(shape, lambda b, h, i: (h, _zero(b), _zero(i)), **space)


def _place(x: Any, rest: Callable[[Any], tuple]) -> Callable[..., tuple]:
    """Which block of an array (h or 1, b, ...) the program for a cloud, head and tile gets."""
    one = x.shape[0] == 1
    return lambda b, h, i: (_zero(h) if one else h, b, *rest(i))


def _zero(index: Any) -> Any:
    """0 in the dtype of the index: Mosaic has no 64-bit integers, which a plain 0 may become."""
    return jnp.zeros_like(index)


def _filled(name: str, x: Array, size: int) -> Array:
    """``x`` with points filled up to whole tiles: with the last one, which is as good as any, or
    with 0 where that keeps a point out of every sum."""
    widths = [(0, 0), (0, 0), (0, -x.shape[2] % size), (0, 0)]
    return jnp.pad(x, widths, mode="constant" if name in _ZERO_FILLED else "edge")


_ZERO_FILLED = ("mask", "cotangent", "shift")


def grid(plan: Plan, arrays: Side) -> tuple[int, int, int]:
    """Clouds, heads, tiles of rows."""
    heads, clouds, points, _ = arrays["numbers"].shape
    return clouds, heads, points // plan.tiling.queries


def mask_side(plan: Plan, mask: Array) -> Array:
    """The mask as numbers (1, b, m, 1)."""
    return mask.astype(plan.dtype)[None, :, :, None]


# --- In the kernel -----------------------------------------------------------------------------


_LISTS = ("numbers", "mask", "lse", "shift")


def read_rows(refs: dict[str, Any]) -> dict[str, Any]:
    """A tile of the rows' side: matrices (rows, x), and lists of numbers (rows, 1)."""
    found: dict[str, Any] = {}
    for name, ref in refs.items():
        columns = range(ref.shape[1])
        found[name] = [ref[:, i : i + 1] for i in columns] if name in _LISTS else ref[:, :]
    return found


def read_lanes(refs: dict[str, Any], tile: Any) -> dict[str, Any]:
    """A tile of the lanes' side: matrices (x, lanes), and lists of numbers (1, lanes)."""
    found: dict[str, Any] = {}
    for name, ref in refs.items():
        rows = range(ref.shape[1])
        found[name] = [ref[tile, i : i + 1, :] for i in rows] if name in _LISTS else ref[tile, :, :]
    return found


def read_parameters(plan: Plan, ref: Any) -> list[Array]:
    """The head's parameters as scalars."""
    shapes = [x.shape for x in split_sides(plan.structure)[2]]
    return [ref[0, i] for i in range(sum(map(math.prod, shapes)))]


def over_tiles(refs: dict[str, Any], body: Any, carry: PyTree) -> PyTree:
    """A loop over the tiles of the lanes' side."""
    tiles = next(iter(refs.values())).shape[0]
    return lax.fori_loop(np.int32(0), np.int32(tiles), body, carry)


def dot(x: Array, y: Array, axes: tuple[int, int] = (1, 0)) -> Array:
    """A matrix product in full precision."""
    numbers = (((axes[0],), (axes[1],)), ((), ()))
    return lax.dot_general(x, y, numbers, lax.Precision.HIGHEST, preferred_element_type=x.dtype)


def tile_dot(rows: dict[str, Any], lanes: dict[str, Any]) -> Array | None:
    """The dot products of the content, if it has them."""
    return dot(rows["dot"], lanes["dot"]) if "dot" in rows else None


def scores_on_tile(
    plan: Plan,
    product: Array | None,
    query: Sequence[Array],
    key: Sequence[Array],
    parameters: Sequence[Array],
    shape: tuple[int, int],
) -> Array:
    """The scores of a tile's pairs, as `lie_jax.fused.tile.tile_scores` has them.

    Args:
        product: the content's dot products, a tile.
        query, key: numbers of the points, which broadcast to ``shape``.
        parameters: scalars.
        shape: of the tile.
    """
    sources = [iter(x) for x in (query, key, parameters)]
    sides = [
        [_nested(source, x.shape) for x in side]
        for source, side in zip(sources, split_sides(plan.structure), strict=True)
    ]
    terms: Any = join_sides(plan.structure, *sides)  # lists in the place of arrays
    features = None
    if size := plan.element_size:
        embed = componentwise(plan.embedding, (size,), (size,), dtype=plan.dtype)
        features = embed(*([next(source) for _ in range(size)] for source in sources[:2]))
    content: Any = product
    location: Any = None
    if terms.seen is not None:
        content = _add(content, _weighted(terms.seen, features))
    if terms.content is not None:
        content = _add(content, _affine(terms.content, features)[0])
    if terms.location is not None:
        found = _affine(terms.location, features)
        if terms.has_location_mlp:
            found = _layers(terms, found, terms.location_layers)
        location = found[0]
    if terms.combine is not None:
        x = _affine(terms.combine, features)
        for score, kernel in (
            (content, terms.combine_content),
            (location, terms.combine_location),
        ):
            if kernel is not None:
                x = [y + k * score for y, k in zip(x, kernel, strict=True)]
        score = _layers(terms, x, terms.combine_layers)[0]
    elif content is None or location is None:
        score = location if content is None else content
    else:
        score = content + location if terms.combination == "sum" else content * location
    assert score is not None
    return jnp.broadcast_to(score, shape)


def _nested(source: Iterator[Any], shape: tuple[int, ...]) -> Any:
    return [_nested(source, shape[1:]) for _ in range(shape[0])] if shape else next(source)


def _add(x: Any, y: Any) -> Any:
    return y if x is None else x + y


def _weighted(weights: Sequence[Any], xs: Sequence[Any] | None) -> Any:
    assert xs is not None
    return functools.reduce(operator.add, map(operator.mul, weights, xs))


def _affine(affine: Affine, features: Sequence[Any] | None) -> list[Any]:
    # The smaller parts are added to each other first.
    parts: list[Any] = [affine.bias, affine.query, affine.key]
    if affine.features is not None:
        parts.append([_weighted(row, features) for row in affine.features])
    present = [part for part in parts if part is not None]
    return [functools.reduce(operator.add, xs) for xs in zip(*present, strict=True)]


def _layers(terms: ScoreTerms, xs: list[Any], layers: Any) -> list[Any]:
    activate = swish_in_kernel if terms.activation == "swish" else terms.activate
    xs = [activate(x) for x in xs]
    for kernel, bias in layers:
        columns = zip(*kernel, strict=True)
        xs = [activate(_weighted(k, xs) + b) for k, b in zip(columns, bias, strict=True)]
    return xs


# --- Forward -----------------------------------------------------------------------------------


def forward(plan: Plan, query: Side, key: Side, parameters: Array) -> tuple[Array, Array]:
    """Mixed values (h, b, m', o') and the logarithm of softmax's denominator (h, b, m', 1).

    Without softmax the former await the division by the number of keys and the latter is 0.
    """
    query, query_specs = as_rows(plan, query)
    key, key_specs = as_lanes(plan, key)
    heads, clouds, points, _ = query["numbers"].shape
    outs = [
        jax.ShapeDtypeStruct((heads, clouds, points, size), plan.dtype)
        for size in (key["values"].shape[3], 1)
    ]
    out, lse = pl.pallas_call(
        functools.partial(_kernel, plan),
        outs,
        grid=grid(plan, query),
        in_specs=[query_specs, key_specs, parameter_spec(plan, parameters)],
        out_specs=[row_spec(plan, x) for x in outs],
        name="lie_attention_forward",
        **plan.options,
    )(query, key, parameters)
    return out, lse


def _kernel(plan: Plan, query_refs, key_refs, parameter_ref, out_ref, lse_ref):
    query = read_rows(query_refs)
    parameters = read_parameters(plan, parameter_ref)
    shape = rows, _ = plan.tiling.queries, plan.tiling.keys
    lowest = float(jnp.finfo(plan.dtype).min)

    def body(tile, carry):
        total, largest, denominator = carry
        key = read_lanes(key_refs, tile)
        product = tile_dot(query, key)
        score = scores_on_tile(plan, product, query["numbers"], key["numbers"], parameters, shape)
        real = key["mask"][0] > 0.5
        if plan.normalisation != "softmax":
            mixing = jnp.where(real, unnormalised(plan, jnp.where(real, score, 0)), 0)
            return total + dot(mixing, key["values"], (1, 1)), largest, denominator
        shown = jnp.where(real, score, lowest)
        new = jnp.maximum(largest, jnp.max(shown, axis=1, keepdims=True))
        mixing = jnp.where(real, jnp.exp(shown - new), 0)
        old = jnp.exp(largest - new)
        total = total * old + dot(mixing, key["values"], (1, 1))
        return total, new, denominator * old + jnp.sum(mixing, axis=1, keepdims=True)

    total, largest, denominator = over_tiles(
        key_refs,
        body,
        (
            jnp.zeros((rows, out_ref.shape[1]), plan.dtype),
            jnp.full((rows, 1), lowest, plan.dtype),
            jnp.zeros((rows, 1), plan.dtype),
        ),
    )
    if plan.normalisation != "softmax":
        out_ref[:, :], lse_ref[:, :] = total, denominator
        return
    is_empty = denominator == 0
    filled = jnp.where(is_empty, 1, denominator)
    out_ref[:, :] = total / filled
    lse_ref[:, :] = jnp.where(is_empty, 0, largest + jnp.log(filled))


def unnormalised(plan: Plan, score: Array) -> Array:
    """Weights that only await the division by the number of keys."""
    return score if plan.normalisation == "mean" else jnp.exp(score)
