"""What decides the Pallas kernels of a layer."""

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.pallas import tpu as pltpu
from jax.experimental.pallas import triton

from lie_jax.attention.normalise import Normalisation
from lie_jax.fused.features import Embedding
from lie_jax.fused.terms import ScoreTerms
from lie_jax.fused.tile import join_sides, split_sides
from lie_jax.fused.tiled import Tiling
from lie_jax.typing import Array, Float, Shape

Target = Literal["gpu", "tpu"]


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
        target: what the kernels are made for.
        interpret: run their operations one by one in XLA instead.
    """

    structure: ScoreTerms
    embedding: Embedding
    normalisation: Normalisation
    tiling: Tiling
    element_size: int
    dtype: np.dtype
    target: Target
    interpret: bool

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of `pallas_call` for the target."""
        if self.interpret:
            return {"interpret": True}
        if self.target == "gpu":
            warps = self.tiling.warps
            return {"compiler_params": triton.CompilerParams(num_warps=warps, num_stages=1)}
        return {"compiler_params": pltpu.CompilerParams(dimension_semantics=("parallel",) * 3)}

    @property
    def shapes(self) -> list[list[Shape]]:
        """Of a point's arrays on the query side, on the key side, and of the parameters."""
        return [[x.shape for x in side] for side in split_sides(self.structure)]


def make_plan(
    terms: ScoreTerms,
    dtype: jax.typing.DTypeLike,
    elements: Float[Array, "b m g"],
    embedding: Embedding,
    normalisation: Normalisation,
    tiling: Tiling,
    target: Target,
    interpret: bool,
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
    return Plan(
        structure, embedding, normalisation, tiling, size, np.dtype(wide), target, interpret
    )
