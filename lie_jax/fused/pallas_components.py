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
