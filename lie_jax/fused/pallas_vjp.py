"""Attention in Pallas kernels with its derivatives: `pallas_attention` and the backward kernels.

Backward there are two kernels, one whose rows are queries and one whose rows are keys: each sums
over the tiles of the other side that pass by, so that no two programs add to the same number.
Both make the scores of a tile anew and pull their cotangents back by `jax.vjp` inside the kernel.

A second derivative is that of `tiled_attention`'s gradient.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

from lie_jax.attention.normalise import Normalisation
from lie_jax.fused.componentwise import componentwise
from lie_jax.fused.features import Embedding
from lie_jax.fused.pallas import (
    Form,
    Side,
    as_lanes,
    as_rows,
    form_of,
    forward,
    grid,
    mask_side,
    over_tiles,
    pack,
    parameter_spec,
    read_lanes,
    read_rows,
    row_spec,
    sum_spec,
    tile_dot,
    unnormalised,
)
from lie_jax.fused.pallas_matrices import dot
from lie_jax.fused.pallas_plan import Plan, Target, make_plan
from lie_jax.fused.terms import ScoreTerms
from lie_jax.fused.tile import split_sides
from lie_jax.fused.tiled import Tiling, tiled_attention
from lie_jax.geometry.pairs import LazyPairs
from lie_jax.typing import Array, Bool, Float


def pallas_attention(
    terms: ScoreTerms,
    values: Float[Array, "h b m o"],
    pairs: LazyPairs,
    normalisation: Normalisation,
    tiling: Tiling,
    *,
    interpret: bool = False,
    backend: str | None = None,
) -> Float[Array, "h b m o"]:
    """Attention of all points to all points of their cloud, in Pallas kernels.

    It has reverse derivatives of every order, from the second on through `tiled_attention`, and
    no forward mode. It accumulates in at least float32.

    Args:
        terms, values, pairs, normalisation: see `tiled_attention`.
        tiling: queries and keys of a tile, see `pallas_tiling`.
        interpret: run the kernels' operations one by one in XLA, on any device.
        backend: ``"gpu"`` or ``"tpu"``, what to make kernels for; None for the default backend
            (interpreted on a CPU: those for a TPU).

    Raises:
        NotImplementedError: see `unsupported`.
        ValueError: the tiling does not fit the backend.
    """
    backend = backend or jax.default_backend()
    if not interpret:
        if reason := unsupported(terms, pairs, values.dtype, backend):
            raise NotImplementedError(f"pallas_attention: {reason}")
        _check_tiling(tiling, backend)
    target: Target = "gpu" if backend in _GPUS else "tpu"
    clouds, m = pairs.mask.shape
    elements = pairs.elements.reshape(clouds, m, -1)
    embedding = Embedding.of(pairs)
    plan = make_plan(
        terms, values.dtype, elements, embedding, normalisation, tiling, target, interpret
    )
    found: Any = _attend(plan, terms, values, elements, pairs.mask)
    return found[0]


def pallas_tiling(backend: str) -> Tiling:
    """Tiles whose hidden layers fit the registers.

    Of a GPU the fastest that an H200 was tried with; of a TPU a guess.
    """
    if backend == "tpu":
        return Tiling(queries=8, keys=128)
    return Tiling(queries=16, keys=16, warps=8)


def unsupported(
    terms: ScoreTerms, pairs: LazyPairs, dtype: jax.typing.DTypeLike, backend: str
) -> str | None:
    """Why `pallas_attention` cannot do this on the backend; None if it can.

    Args:
        terms, pairs: see `pallas_attention`.
        dtype: of the values.
        backend: as `jax.default_backend` names it.
    """
    if backend not in (*_GPUS, "tpu"):
        return f"the kernels run on a GPU or TPU, got backend {backend!r}"
    if pairs.neighbourhood is not None:
        return "the kernels attend to all points of a cloud, not to a neighbourhood"
    dtypes = [jnp.dtype(dtype), *(x.dtype for x in jax.tree.leaves(terms))]
    if terms.needs_features:
        dtypes.append(pairs.elements.dtype)
        size = pairs.elements[0, 0].size
        try:
            componentwise(Embedding.of(pairs), (size,), (size,), dtype=jnp.float32)
        except NotImplementedError as error:
            return str(error)
    if jnp.float64 in dtypes:
        return "the kernels compute in float32, got float64"
    parameters = sum(x[0].size for x in split_sides(terms)[2])
    if parameters > _MOST_PARAMETERS:
        return (
            f"the kernels spell out the MLPs' products, at most {_MOST_PARAMETERS} parameters per "
            f"head, got {parameters}"
        )
    if backend == "tpu" and (needed := _vmem(terms, pairs)) > _MOST_VMEM:
        return (
            f"the kernels hold one side of a cloud in a TPU's vector memory, {needed / 2**20:.1f} "
            f"MiB of {_MOST_VMEM / 2**20:.0f} for {pairs.mask.shape[-1]} points"
        )
    return None


_GPUS = ("gpu", "cuda")
_MOST_PARAMETERS = 1024
_MOST_VMEM = 12 * 2**20
"""Of the 16 MiB that a kernel gets by default."""


def _vmem(terms: ScoreTerms, pairs: LazyPairs) -> int:
    """Bytes of the larger side of a cloud, twice: the next one comes in meanwhile.

    An estimate, values and what else comes to it taken as 64 numbers.
    """
    queries, keys, _ = split_sides(terms)
    widths = sum(x.shape[3] for x in queries), sum(x.shape[2] for x in keys)
    clouds, m = pairs.mask.shape
    element = pairs.elements.size // (clouds * m) if terms.needs_features else 0
    return 2 * 4 * m * (max(widths) + element + 64)


def _check_tiling(tiling: Tiling, backend: str) -> None:
    sizes = (tiling.queries, tiling.keys)
    if backend == "tpu":
        fits, wanted = not (sizes[0] % 8 or sizes[1] % 128), "multiples of 8 and 128"
    else:
        fits, wanted = all(x >= 16 and not x & (x - 1) for x in sizes), "powers of two from 16"
    if not fits:
        raise ValueError(
            f"pallas_attention: tiling must have queries and keys that are {wanted}, got {sizes}"
        )


# --- Derivatives -------------------------------------------------------------------------------


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _attend(plan: Plan, terms: ScoreTerms, values: Array, elements: Array, mask: Array):
    """The output, and what the backward pass wants to know of it, which has no derivative."""
    query, key, parameters = pack(plan, terms, values, elements)
    out, lse = forward(plan, query, key | {"mask": mask_side(plan, mask)}, parameters)
    _, _, m, size = values.shape
    out = out[:, :, :m, :size] * _share(plan, mask)
    return out.astype(values.dtype), (out, lse[:, :, :m])


def _attend_fwd(plan: Plan, *inputs):
    # Through the rule again, so that it can be differentiated once more.
    found: Any = _attend(plan, *inputs)
    return found, (inputs, found[1])


def _attend_bwd(plan: Plan, residuals, cotangents):
    inputs, saved = residuals
    found: Any = _pullback(plan, inputs, saved, cotangents[0])
    return (*found, None)


_attend.defvjp(_attend_fwd, _attend_bwd)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _pullback(plan: Plan, inputs: Any, saved, cotangent):
    """The cotangents of terms, values and elements."""
    *arguments, mask = inputs
    (query, key, parameters), unpack = jax.vjp(functools.partial(pack, plan), *arguments)
    return unpack(backward(plan, query, key, parameters, mask, saved, cotangent))


def _pullback_fwd(plan: Plan, inputs, saved, cotangent):
    return _pullback(plan, inputs, saved, cotangent), (inputs, cotangent)


def _pullback_bwd(plan: Plan, residuals: Any, change):
    """The derivative of the tiled implementation's gradient, which is the same function.

    It is a function of the inputs alone; nothing is left for what was saved of them.
    """
    (*arguments, mask), cotangent = residuals

    def gradient(arguments, cotangent):
        return jax.vjp(functools.partial(_tiled, plan, mask), *arguments)[1](cotangent)

    of_arguments, of_cotangent = jax.vjp(gradient, tuple(arguments), cotangent)[1](change)
    return (*of_arguments, None), None, of_cotangent


_pullback.defvjp(_pullback_fwd, _pullback_bwd)


def _tiled(plan: Plan, mask, terms, values, elements) -> Array:
    e = plan.embedding
    elements = elements.reshape(*elements.shape[:2], *e.group.element_shape)
    pairs = LazyPairs(
        elements, elements[..., :0], mask, group=e.group, embedding=e.embedding,
        norm_bound=e.norm_bound,
    )  # fmt: skip
    return tiled_attention(terms, values, pairs, plan.normalisation, plan.tiling)


def _share(plan: Plan, mask: Bool[Array, "b m"]) -> Array:
    """1 / number of keys where the normalisation asks for it: (b or 1, 1, 1)."""
    if plan.normalisation == "softmax":
        return jnp.ones((1, 1, 1), plan.dtype)
    return (1 / jnp.maximum(jnp.sum(mask, axis=-1), 1).astype(plan.dtype))[:, None, None]


def backward(
    plan: Plan, query: Side, key: Side, parameters: Array, mask: Array, saved, cotangent: Array
) -> tuple[Side, Side, Array]:
    """The cotangents of what `pack` gave.

    Args:
        query, key, parameters: what `pack` gave.
        mask: of the points, (b, m).
        saved: the output (h, b, m, o) and the log of softmax's denominator (h, b, m, 1).
        cotangent: of the output.
    """
    out, lse = saved
    cotangent = cotangent.astype(plan.dtype) * _share(plan, mask)
    shift = jnp.zeros_like(lse)
    if plan.normalisation == "softmax":
        shift = jnp.sum(cotangent * out, axis=-1, keepdims=True)
    unused = key["values"].shape[3] - cotangent.shape[3]
    cotangent = jnp.pad(cotangent, [(0, 0)] * 3 + [(0, unused)])
    query = query | {"cotangent": cotangent, "lse": lse, "shift": shift}
    key = key | {"mask": mask_side(plan, mask)}
    dquery, dparameters = _side(plan, query, key, parameters, rows="query")
    dkey, _ = _side(plan, key, query, parameters, rows="key")
    return dquery, dkey, dparameters


_DIFFERENTIABLE = {"query": ("numbers", "dot"), "key": ("numbers", "dot", "values")}


def _side(
    plan: Plan, row_side: Side, lane_side: Side, parameters: Array, *, rows: str
) -> tuple[Side, Array]:
    """Cotangents of the rows' side (h, b, m, x), and with queries as rows of the parameters."""
    m = row_side["numbers"].shape[2]
    row_side, row_specs = as_rows(plan, row_side)
    lane_side, lane_specs = as_lanes(plan, lane_side)
    outs: dict[str, Any] = {
        name: jax.ShapeDtypeStruct(x.shape, x.dtype)
        for name, x in row_side.items()
        if name in _DIFFERENTIABLE[rows]
    }
    specs = {name: row_spec(plan, x) for name, x in outs.items()}
    clouds, heads, tiles = programs = grid(plan, row_side)
    if rows == "query":
        shape = (heads, clouds, tiles, 1, parameters.shape[2])
        outs["parameters"] = jax.ShapeDtypeStruct(shape, plan.dtype)
        specs["parameters"] = sum_spec(outs["parameters"])
    found = pl.pallas_call(
        functools.partial(_kernel, plan, rows),
        outs,
        grid=programs,
        in_specs=[row_specs, lane_specs, parameter_spec(plan, parameters)],
        out_specs=specs,
        name=f"lie_attention_backward_{rows}",
        **plan.options,
    )(row_side, lane_side, parameters)
    if "parameters" in found:
        parameters = jnp.sum(found.pop("parameters"), axis=(1, 2))
    return {name: x[:, :, :m] for name, x in found.items()}, parameters


def _kernel(plan: Plan, rows: str, row_refs, lane_refs, parameter_ref, out_refs):
    form, lanes = form_of(plan), "key" if rows == "query" else "query"
    row = read_rows(form, row_refs, rows)
    parameters = form.read_parameters(parameter_ref)
    read = {"numbers": row["numbers"], "parameters": parameters}

    def body(tile, sums):
        lane = read_lanes(form, lane_refs, tile, lanes)
        query, key = (row, lane) if rows == "query" else (lane, row)
        score, pull = _scores(plan, form, rows, tile_dot(plan, row, lane), query, key, parameters)
        real = key["mask"][0] > 0.5
        (lse,), (shift,) = query["lse"], query["shift"]
        exponent = score if plan.normalisation == "mean" else jnp.where(real, score - lse, 0)
        weight = jnp.where(real, unnormalised(plan, exponent), 0)
        along = (
            dot(plan, row["cotangent"], lane["values"])
            if rows == "query"
            else dot(plan, row["values"], lane["cotangent"])
        )
        slope = along if plan.normalisation == "mean" else weight * (along - shift)
        dproduct, dnumbers, *rest = pull(jnp.where(real, slope, 0))
        terms = {"numbers": form.gather(dnumbers, out_refs["numbers"].shape)}
        if dproduct is not None:
            terms["dot"] = dot(plan, dproduct, lane["dot"], (1, 1))
        if rows == "key":
            terms["values"] = dot(plan, weight, lane["cotangent"], (1, 1))
        else:
            terms["parameters"] = form.gather(rest[0], out_refs["parameters"].shape)
        return jax.tree.map(jnp.add, sums, terms)

    start = {
        name: form.start(read[name], ref.shape)
        if name in read
        else jnp.zeros(ref.shape, plan.dtype)
        for name, ref in out_refs.items()
    }
    for name, x in over_tiles(lane_refs, body, start).items():
        if name in read:
            form.store(out_refs[name], x)
        else:
            out_refs[name][:, :] = x


def _scores(plan: Plan, form: Form, rows: str, product, query, key, parameters):
    """The scores, and their pullback to the product, the rows' numbers and, if these are
    queries', the parameters."""
    shape = plan.tiling.queries, plan.tiling.keys
    queries, keys = query["numbers"], key["numbers"]
    if rows == "query":
        return jax.vjp(
            lambda p, q, w: form.scores(p, q, keys, w, shape), product, queries, parameters
        )
    return jax.vjp(lambda p, k: form.scores(p, queries, k, parameters, shape), product, keys)
