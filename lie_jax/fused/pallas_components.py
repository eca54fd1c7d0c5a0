"""Scores in a kernel for a TPU: every number of a pair is a whole tile (rows, lanes).

Mosaic has neither small axes nor reshapes. So the features of the pairs, the hidden layers and
the scores are each a list of tiles, made from what queries and keys hold as one number per point,
(rows, 1) or (1, lanes), and the small matrices of the MLPs are read as scalars.
"""

import functools
import math
import operator
from collections.abc import Iterator, Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax

from lie_jax.attention.activations import swish_in_kernel
from lie_jax.fused.assemble import assemble
from lie_jax.fused.componentwise import componentwise
from lie_jax.fused.pallas_plan import Plan
from lie_jax.fused.terms import Affine, ScoreTerms
from lie_jax.fused.tile import join_sides, split_sides
from lie_jax.typing import Array, Shape


class Components:
    """How a kernel for a TPU reads points and parameters, scores pairs and writes cotangents."""

    def __init__(self, plan: Plan):
        self.plan = plan

    def padded(self, shape: Shape) -> Shape:
        """The shape in which an array of a point, or a parameter, is stored."""
        return shape

    def read_rows(self, ref: Any, side: str) -> list[Array]:
        """The numbers of a tile's rows, (rows, 1) each."""
        return [ref[:, i : i + 1] for i in range(self._numbers(side))]

    def read_lanes(self, ref: Any, tile: Any, side: str) -> list[Array]:
        """The numbers of a tile's lanes, (1, lanes) each."""
        return [ref[tile, i : i + 1, :] for i in range(self._numbers(side))]

    def _numbers(self, side: str) -> int:
        shapes = self.plan.shapes[0 if side == "query" else 1]
        return sum(map(math.prod, shapes)) + self.plan.element_size

    def read_parameters(self, ref: Any) -> list[Array]:
        """The head's parameters as scalars."""
        return [ref[0, i] for i in range(sum(map(math.prod, self.plan.shapes[2])))]

    def gather(self, cotangents: Sequence[Array], shape: tuple[int, int]) -> Array:
        """Cotangents of what was read as one tile, to be added up; zeros where there are none.

        By choices, as Mosaic cannot concatenate so short pieces.
        """
        place = lax.broadcasted_iota(jnp.int32, shape, 1)
        whole = jnp.zeros(shape, self.plan.dtype)
        for i, x in enumerate(cotangents):
            whole = jnp.where(place == i, x, whole)
        return whole

    def start(self, _read: Sequence[Array], shape: tuple[int, int]) -> Array:
        """No cotangents yet."""
        return jnp.zeros(shape, self.plan.dtype)

    def store(self, ref: Any, total: Array) -> None:
        """Writes summed cotangents."""
        ref[:, :] = total

    def scores(
        self,
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
        plan = self.plan
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
        return jnp.broadcast_to(assemble(terms, self, product, features), shape)

    def affine(self, affine: Affine, features: Sequence[Any] | None) -> list[Any]:
        """Its outputs."""
        # The smaller parts are added to each other first.
        parts: list[Any] = [affine.bias, affine.query, affine.key]
        if affine.features is not None:
            parts.append([self.weigh(row, features) for row in affine.features])
        present = [part for part in parts if part is not None]
        return [functools.reduce(operator.add, xs) for xs in zip(*present, strict=True)]

    def layers(self, terms: ScoreTerms, x: list[Any], layers: Any) -> list[Any]:
        """An activation, and each layer with one behind it."""
        activate = swish_in_kernel if terms.is_swish else terms.activate
        x = [activate(y) for y in x]
        for kernel, bias in layers:
            columns = zip(*kernel, strict=True)
            x = [activate(self.weigh(k, x) + b) for k, b in zip(columns, bias, strict=True)]
        return x

    def weigh(self, weights: Sequence[Any], features: Sequence[Any] | None) -> Any:
        """The sum of weights times features."""
        assert features is not None
        return functools.reduce(operator.add, map(operator.mul, weights, features))

    def output(self, x: list[Any]) -> Any:
        """The first feature."""
        return x[0]

    def enter(self, x: list[Any], score: Any, kernel: Sequence[Any]) -> list[Any]:
        """``x`` plus the score times ``kernel``."""
        return [y + k * score for y, k in zip(x, kernel, strict=True)]


def _nested(source: Iterator[Any], shape: tuple[int, ...]) -> Any:
    return [_nested(source, shape[1:]) for _ in range(shape[0])] if shape else next(source)
