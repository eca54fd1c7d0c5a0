"""Attention in one Pallas kernel per tile of queries: the forward pass, and what both passes share.

A kernel works on tiles (rows, lanes) of pairs and makes their scores from what queries and keys
hold per point. How, depends on what the accelerator is good at: see
`lie_jax.fused.pallas_matrices` for Triton (GPU), `lie_jax.fused.pallas_components` for Mosaic
(TPU).

One side of the pairs is the rows' side, of which a program holds one tile; the other side's
tiles pass by in a loop. Forward the queries are rows. In `lie_jax.fused.pallas_vjp`, where
`pallas_attention` is, either side is.

Source: Dao et al., FlashAttention (2022); the running softmax as in `lie_jax.fused.tiled`.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from lie_jax.fused.pallas_components import Components
from lie_jax.fused.pallas_matrices import Matrices, dot
from lie_jax.fused.pallas_plan import Plan
from lie_jax.fused.terms import ScoreTerms
from lie_jax.fused.tile import split_sides
from lie_jax.typing import Array, Float, PyTree, Shape

Side = dict[str, Array]
Form = Components | Matrices


def form_of(plan: Plan) -> Form:
    """How kernels for the target see a tile."""
    return Matrices(plan) if plan.target == "gpu" else Components(plan)


# --- Layout ------------------------------------------------------------------------------------


def pack(
    plan: Plan, terms: ScoreTerms, values: Float[Array, "h b m o"], elements: Array
) -> tuple[Side, Side, Array]:
    """The arrays of the query side and of the key side, each (h, b, m, x), and the parameters.

    ``"numbers"`` are the arrays of a point one behind the other, element last; ``"dot"`` and
    ``"values"`` enter matrix products. The last axes are filled up with zeros to powers of two.
    """
    lead, form = values.shape[:3], form_of(plan)
    rest = dataclasses.replace(terms, query=None, key=None)
    queries, keys, parameters = split_sides(rest)
    queries = [_widened(x, form.padded(x.shape[3:])) for x in queries]
    keys = [_widened(jnp.swapaxes(x, 2, 3), form.padded(x.shape[2:3])) for x in keys]
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
    wide = [_widened(x, form.padded(x.shape[1:])) for x in parameters]
    flat = [x.reshape(*heads, -1) for x in wide]
    return query, key, _joined(plan, flat, heads)[:, None]


def _joined(plan: Plan, parts: Sequence[Array], lead: tuple[int, ...], least: int = 1) -> Array:
    parts = [x.astype(plan.dtype) for x in parts] or [jnp.zeros((*lead, 0), plan.dtype)]
    whole = jnp.concatenate(parts, axis=-1)
    size = whole.shape[-1]
    width = max(least, 1 << (size - 1).bit_length() if size else 1)
    return jnp.pad(whole, [(0, 0)] * (whole.ndim - 1) + [(0, width - size)])


def _widened(x: Array, shape: Shape) -> Array:
    """``x`` with its last axes filled up with zeros to ``shape``."""
    new = (*x.shape[: x.ndim - len(shape)], *shape)
    return jnp.pad(x, [(0, size - old) for old, size in zip(x.shape, new, strict=True)])


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


_LISTS = ("mask", "lse", "shift")


def read_rows(form: Form, refs: dict[str, Any], side: str) -> dict[str, Any]:
    """A tile of the rows' side, which is ``side``: matrices (rows, x), lists of columns."""
    found: dict[str, Any] = {}
    for name, ref in refs.items():
        if name == "numbers":
            found[name] = form.read_rows(ref, side)
        else:
            found[name] = [ref[:, 0:1]] if name in _LISTS else ref[:, :]
    return found


def read_lanes(form: Form, refs: dict[str, Any], tile: Any, side: str) -> dict[str, Any]:
    """A tile of the lanes' side, which is ``side``: matrices (x, lanes), lists of rows."""
    found: dict[str, Any] = {}
    for name, ref in refs.items():
        if name == "numbers":
            found[name] = form.read_lanes(ref, tile, side)
        else:
            found[name] = [ref[tile, 0:1, :]] if name in _LISTS else ref[tile, :, :]
    return found


def over_tiles(refs: dict[str, Any], body: Any, carry: PyTree) -> PyTree:
    """A loop over the tiles of the lanes' side."""
    tiles = next(iter(refs.values())).shape[0]
    return lax.fori_loop(np.int32(0), np.int32(tiles), body, carry)


def tile_dot(plan: Plan, rows: dict[str, Any], lanes: dict[str, Any]) -> Array | None:
    """The dot products of the content, if it has them."""
    return dot(plan, rows["dot"], lanes["dot"]) if "dot" in rows else None


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
    form = form_of(plan)
    query = read_rows(form, query_refs, "query")
    parameters = form.read_parameters(parameter_ref)
    shape = rows, _ = plan.tiling.queries, plan.tiling.keys
    lowest = float(jnp.finfo(plan.dtype).min)

    def body(tile, carry):
        total, largest, denominator = carry
        key = read_lanes(form, key_refs, tile, "key")
        product = tile_dot(plan, query, key)
        score = form.scores(product, query["numbers"], key["numbers"], parameters, shape)
        real = key["mask"][0] > 0.5
        if plan.normalisation != "softmax":
            mixing = jnp.where(real, unnormalised(plan, jnp.where(real, score, 0)), 0)
            return total + dot(plan, mixing, key["values"], (1, 1)), largest, denominator
        shown = jnp.where(real, score, lowest)
        new = jnp.maximum(largest, jnp.max(shown, axis=1, keepdims=True))
        mixing = jnp.where(real, jnp.exp(shown - new), 0)
        old = jnp.exp(largest - new)
        total = total * old + dot(plan, mixing, key["values"], (1, 1))
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
