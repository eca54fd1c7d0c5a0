"""The typed front of the implementations of attention."""

import math
from collections.abc import Callable
from typing import Literal, get_args

import jax
import jax.numpy as jnp

from lie_jax.attention import AttentionConfig, ScoreWeights, reference_attention
from lie_jax.fused.neighbours import neighbour_attention
from lie_jax.fused.terms import score_terms
from lie_jax.fused.tiled import Tiling, tiled_attention
from lie_jax.geometry.pairs import LazyPairs, PairSet
from lie_jax.typing import Array, Float, Validated

Implementation = Literal["reference", "tiled", "pallas", "auto"]


def lie_attention(
    config: AttentionConfig,
    weights: ScoreWeights,
    queries: Validated[Float[Array, "*b m h c"] | None],
    keys: Validated[Float[Array, "*b m h c"] | None],
    values: Validated[Float[Array, "*b m h o"]],
    pairs: LazyPairs | PairSet,
    *,
    implementation: Validated[Implementation] = "auto",
    tiling: Tiling | None = None,
) -> Float[Array, "*b m h o"]:
    """Attention between lifted points.

    out[q, h] = sum_k normalise(score[h, q, k]) values[k, h], the score made of content (queries
    and keys) and location (``inverse(g_query) @ g_key``) as ``config`` says.

    Args:
        config: which score and normalisation.
        weights: parameters of the score.
        queries, keys: projected features; None where ``config.content`` is ``"none"``.
        values: projected features to be mixed.
        pairs: of the m lifted points. A `PairSet` is in memory already: only the reference
            implementation takes it.
        implementation: ``"reference"`` has all pairs in memory at once. ``"tiled"`` goes through
            them tile by tile, with memory linear in m, in XLA on any device; it has derivatives
            of every order. ``"pallas"`` does so in one kernel, on a GPU or TPU. ``"auto"`` takes
            what is fastest for the device and size.
        tiling: sizes of the tiles; None chooses them.

    Raises:
        ValueError: unknown implementation, or shapes that do not fit.
        NotImplementedError: ``implementation`` names one that has not got this case; the message
            says what it lacks.
    """
    if implementation not in get_args(Implementation):
        raise ValueError(
            f"lie_attention: implementation must be one of {get_args(Implementation)}, "
            f"got {implementation!r}"
        )
    _check_shapes(config, queries, keys, values, pairs)
    if not values.size:  # an empty batch
        return values
    if isinstance(pairs, PairSet):
        if implementation not in ("reference", "auto"):
            raise NotImplementedError(
                f'lie_attention: implementation="{implementation}" must compute the pairs itself: '
                "give pairs as LazyPairs, not as a PairSet"
            )
        return reference_attention(config, weights, queries, keys, values, pairs)
    if implementation == "auto":
        implementation = choose(pairs)
    if implementation == "reference":
        materialised = pairs.materialise()
        return reference_attention(config, weights, queries, keys, values, materialised)
    return _blockwise(implementation, config, weights, queries, keys, values, pairs, tiling)


def _blockwise(
    implementation: Implementation,
    config: AttentionConfig,
    weights: ScoreWeights,
    queries: Array | None,
    keys: Array | None,
    values: Array,
    pairs: LazyPairs,
    tiling: Tiling | None,
) -> Array:
    """The implementations that never have all pairs in memory; any number of batch axes."""
    batch = pairs.mask.shape[:-1]
    flat = _one_batch_axis(len(batch))
    queries, keys, values = jax.tree.map(flat, (queries, keys, values))
    pairs = jax.tree.map(flat, pairs)
    is_whole = implementation != "pallas"
    terms = score_terms(
        config, weights, queries, keys, pairs, values.dtype, whole_location=is_whole
    )
    values = jnp.moveaxis(values, -2, 0)  # (h, b, m, o)
    if implementation == "pallas":
        # Imported here: importing Pallas takes longer than all the rest of the library.
        from lie_jax.fused import pallas_vjp as kernels

        backend = jax.default_backend()
        if reason := kernels.unsupported(terms, pairs, values.dtype, backend):
            raise NotImplementedError(
                f'lie_attention: implementation="pallas" has not got this case: {reason}'
            )
        attend, default = kernels.pallas_attention, kernels.pallas_tiling(backend)
    else:
        attend = tiled_attention if pairs.neighbourhood is None else neighbour_attention
        default = choose_tiling(pairs)
    out = attend(terms, values, pairs, config.normalisation, tiling or default)
    out = jnp.moveaxis(out, 0, -2)
    return out.reshape(*batch, *out.shape[1:])


def choose(pairs: LazyPairs) -> Implementation:
    """What ``"auto"`` means for these pairs on the default device.

    The reference below 64 lifted points, where the pairs of all layers fit in the cache together,
    the tiled form beyond. Never ``"pallas"``: on the GPU on which they have run, its kernels took
    longer for forward and backward together, and no TPU has run them.
    """
    points = pairs.mask.shape[-1]
    return "reference" if points < 64 else "tiled"


def choose_tiling(pairs: LazyPairs) -> Tiling:
    """Sizes of the tiles for the default device.

    On a CPU those whose activations, of one head, stay in the cache. A GPU or TPU wants few large
    steps instead; the sizes are measured on one H200 (benchmarks/README.md), 0.3 GB per hidden
    layer of 8 heads with 16 features.
    """
    clouds = math.prod(pairs.mask.shape[:-1])
    m = pairs.mask.shape[-1]
    if jax.default_backend() == "cpu":
        at_once = max(1, min(clouds, (64 // m) ** 2))
        return Tiling(at_once, _equal_parts(m, 128), _equal_parts(m, 256))
    queries, keys = min(512, m), min(1024, m)
    at_once = max(1, min(clouds, 512 * 1024 // (queries * keys)))
    return Tiling(at_once, queries, keys, all_heads=True)


def _equal_parts(m: int, most: int) -> int:
    """Size of the fewest equal parts of m that are at most so large.

    What a last part lacks is filled up and computed like the rest: 136 points in parts of 128
    would cost as much as 256.
    """
    return -(-m // -(-m // most))


def _one_batch_axis(batch: int) -> Callable[[Array], Array]:
    return lambda x: x.reshape(math.prod(x.shape[:batch]), *x.shape[batch:])


def _check_shapes(config, queries, keys, values, pairs) -> None:
    *lead, _, _ = values.shape
    if isinstance(pairs, LazyPairs) and pairs.mask.shape != tuple(lead):
        raise ValueError(
            "lie_attention: values must have shape (*b, m, h, o) with (*b, m) = "
            f"{pairs.mask.shape} as in pairs, got {values.shape}"
        )
    # Batch axes of pairs in memory may be broadcast.
    if isinstance(pairs, PairSet) and pairs.features.shape[-3] != lead[-1]:
        raise ValueError(
            "lie_attention: values must have shape (*b, m, h, o) with m = "
            f"{pairs.features.shape[-3]} as in pairs, got {values.shape}"
        )
    for name, x in (("queries", queries), ("keys", keys)):
        if (x is None) != (config.content == "none"):
            wanted = "None" if config.content == "none" else "an array"
            raise ValueError(
                f"lie_attention: {name} must be {wanted} for content={config.content!r}, got "
                f"{'None' if x is None else x.shape}"
            )
        if x is not None and x.shape[:-1] != values.shape[:-1]:
            raise ValueError(
                f"lie_attention: {name} must have shape (*b, m, h, c) with the (*b, m, h) of "
                f"values {values.shape}, got {x.shape}"
            )
