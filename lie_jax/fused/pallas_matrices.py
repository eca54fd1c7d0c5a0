"""Scores in a kernel for a GPU: a hidden layer of a tile's pairs is one matrix (pairs, features).

So the layers of the MLPs, and the gradients of their weights, are matrix products, for which a
GPU has units of their own. Spelled out number by number, as a TPU needs it
(`lie_jax.fused.pallas_components`), Triton takes minutes to compile them, and every weight's
gradient would be a sum over the tile.

Triton's tensors have powers of two for sizes, its products at least 16: feature axes are filled
up with zeros.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax

from lie_jax.fused.assemble import assemble
from lie_jax.fused.componentwise import broadcast_components, componentwise
from lie_jax.fused.pallas_plan import Plan
from lie_jax.fused.terms import Affine, ScoreTerms
from lie_jax.fused.tile import join_sides
from lie_jax.typing import Array, Shape


class Matrices:
    """How a kernel for a GPU reads points and parameters, scores pairs and writes cotangents.

    Of every point it reads arrays (rows, 1, features) or (1, lanes, features), and the components
    of its group element as (rows, 1) or (1, lanes).
    """

    def __init__(self, plan: Plan):
        self.plan = plan

    def padded(self, shape: Shape) -> Shape:
        """The shape in which an array of a point, or a parameter, is stored."""
        return tuple(1 if d == 1 else max(16, 1 << (d - 1).bit_length()) for d in shape)

    def _slices(self, side: int) -> list[tuple[slice, Shape]]:
        """Where each array is stored, and its shape."""
        found, start = [], 0
        for shape in map(self.padded, self.plan.shapes[side]):
            end = start + math.prod(shape)
            found.append((slice(start, end), shape))
            start = end
        return found

    def _columns(self, side: int) -> list[slice]:
        """Where the components of the group element are."""
        start = sum(math.prod(shape) for _, shape in self._slices(side))
        return [slice(start + i, start + i + 1) for i in range(self.plan.element_size)]

    def read_rows(self, ref: Any, side: str) -> list[Array]:
        """The arrays of a tile's rows, and their elements."""
        index = 0 if side == "query" else 1
        arrays = [ref[:, where][:, None, :] for where, _ in self._slices(index)]
        return [*arrays, *(ref[:, where] for where in self._columns(index))]

    def read_lanes(self, ref: Any, tile: Any, side: str) -> list[Array]:
        """The arrays of a tile's lanes, and their elements."""
        index = 0 if side == "query" else 1
        arrays = [ref[tile, where, :].T[None] for where, _ in self._slices(index)]
        return [*arrays, *(ref[tile, where, :] for where in self._columns(index))]

    def read_parameters(self, ref: Any) -> list[Array]:
        """The head's parameters, matrices or vectors."""
        return [ref[0, where].reshape(shape) for where, shape in self._slices(2)]

    def gather(self, cotangents: Sequence[Array], _shape: tuple[int, int]) -> list[Array]:
        """Cotangents of what was read, to be added up."""
        return list(cotangents)

    def start(self, read: Sequence[Array], _shape: tuple[int, int]) -> list[Array]:
        """No cotangents yet."""
        return [jnp.zeros(x.shape, x.dtype) for x in read]

    def store(self, ref: Any, total: Sequence[Array]) -> None:
        """Writes summed cotangents, one array beside the other."""
        start = 0
        for x in total:
            if ref.shape[0] == 1:  # of parameters
                ref[0, start : start + x.size] = x.reshape(-1)
                start += x.size
            else:
                ref[:, start : start + x.shape[-1]] = x.reshape(x.shape[0], -1)
                start += x.shape[-1]

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
            query, key: as read.
            parameters: as read.
            shape: of the tile.
        """
        plan = self.plan
        counts = [len(x) for x in plan.shapes[:2]]
        sides = [list(query[: counts[0]]), list(key[: counts[1]]), list(parameters)]
        terms: Any = join_sides(plan.structure, *sides)
        features = None
        if plan.element_size:
            features = self._features(query[counts[0] :], key[counts[1] :], shape)
        return assemble(terms, _Layers(plan, shape), product, features)

    def _features(self, query: Sequence[Array], key: Sequence[Array], shape) -> Array:
        """The features of all pairs, (pairs, features)."""
        size = self.plan.element_size
        embed = componentwise(self.plan.embedding, (size,), (size,), dtype=self.plan.dtype)
        columns = broadcast_components(embed(query, key), shape)
        width = self.padded((len(columns),))[0]
        place = lax.broadcasted_iota(jnp.int32, (math.prod(shape), width), 1)
        whole = jnp.zeros(place.shape, self.plan.dtype)
        for i, x in enumerate(columns):
            whole = jnp.where(place == i, x.reshape(-1, 1), whole)
        return whole


@dataclasses.dataclass(frozen=True)
class _Layers:
    """Arithmetic of hidden features (pairs, features); scores are tiles of ``shape``."""

    plan: Plan
    shape: tuple[int, int]

    def affine(self, affine: Affine, features: Array | None) -> Array:
        total = None
        if affine.features is not None:
            assert features is not None
            total = self._times(features, affine.features.T)
        # The smaller parts are added to each other first.
        bias = None if affine.bias is None else affine.bias[None, None]
        per_point = [x for x in (bias, affine.query, affine.key) if x is not None]
        if per_point:
            known = _pairs(sum(per_point[1:], per_point[0]), self.shape)
            total = known if total is None else total + known
        assert total is not None
        return total

    def layers(self, terms: ScoreTerms, x: Array, layers: Any) -> Array:
        activate = swish if terms.is_swish else terms.activate
        x = activate(x)
        for kernel, bias in layers:
            x = activate(self._times(x, kernel) + bias[None])
        return x

    def weigh(self, weights: Array, features: Array) -> Array:
        return jnp.sum(_pairs(weights, self.shape) * features, axis=1).reshape(self.shape)

    def output(self, x: Array) -> Array:
        return x.reshape(self.shape)

    def enter(self, x: Array, score: Array, kernel: Array) -> Array:
        return x + score.reshape(-1, 1) * kernel[None]

    def _times(self, x: Array, kernel: Array) -> Array:
        """x @ kernel, whose sizes may be 1, which Triton's products cannot be."""
        if kernel.shape[0] == 1:
            return x * kernel
        if kernel.shape[1] == 1:
            return jnp.sum(x * kernel.reshape(1, -1), axis=1, keepdims=True)
        return dot(self.plan, x, kernel)


def _pairs(x: Array, shape: tuple[int, int]) -> Array:
    """What a pair's query or key has, for all pairs: (pairs, features)."""
    return jnp.broadcast_to(x, (*shape, x.shape[2])).reshape(math.prod(shape), x.shape[2])


def swish(x: Array) -> Array:
    """x times the logistic function of x, of primitives that Triton has."""
    return x * lax.logistic(x)


def dot(plan: Plan, x: Array, y: Array, axes: tuple[int, int] = (1, 0)) -> Array:
    """A matrix product as good as one in ``plan.dtype``.

    On a GPU by three products of what TensorFloat-32 holds of the factors: the matrix units have
    no float32, and the sum of the three has its error.
    """
    precision = lax.Precision.HIGHEST
    if plan.target == "gpu" and not plan.interpret:
        precision = lax.DotAlgorithmPreset.TF32_TF32_F32_X3
    numbers = (((axes[0],), (axes[1],)), ((), ()))
    return lax.dot_general(x, y, numbers, precision, preferred_element_type=x.dtype)
