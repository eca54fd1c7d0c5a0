"""LieTransformer: lift, embed, attend, pool.

Source: Hutchinson et al., LieTransformer: Equivariant self-attention for Lie groups (2021).
"""

import dataclasses
import itertools
import math
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jax.core import Tracer

from lie_jax import fused, geometry, masking
from lie_jax.attention.activations import ACTIVATIONS
from lie_jax.attention.config import AttentionConfig, check_option, check_positive
from lie_jax.fused import Implementation
from lie_jax.geometry import (
    EmbeddingName,
    LazyPairs,
    LiftMethod,
    Neighbourhood,
    PairEmbedding,
    PairSet,
)
from lie_jax.geometry.embeddings import resolve_embedding
from lie_jax.geometry.sampling import check_key
from lie_jax.groups import Group
from lie_jax.nn.block import Block, BlockNorm
from lie_jax.nn.layers import linear
from lie_jax.points import LiftedSet, PointSet
from lie_jax.typing import Array, Float, PRNGKey, Validated, unchecked

HeadName = Literal["pool_mlp", "linear_pool"]
PoolingName = Literal["mean", "sum", "max", "none"]
NeighbourName = Literal["all", "nearest", "ball", "random"]
OutputName = Literal["scalar", "vector", "tensor"]
_RANK: dict[str, int] = {"scalar": 0, "vector": 1, "tensor": 2}


@unchecked
@dataclasses.dataclass(frozen=True)
class NeighbourConfig:
    """Which keys each query attends to.

    Args:
        method: ``"all"``; the ``"nearest"`` ``count``; at most ``count`` within ``radius``
            (``"ball"``, the nearest of them); or ``count`` drawn at ``"random"`` with the
            model's key.
        count: k.
        radius: of the ball, in the unit of `lie_jax.geometry.pair_distance`.
        algebra_weights, orbit_weight: of that distance.
    """

    method: NeighbourName = "all"
    count: int = 32
    radius: float | None = None
    algebra_weights: tuple[float, ...] | None = None
    orbit_weight: float = 1.0

    def __post_init__(self):
        check_option("NeighbourConfig", "method", self.method, NeighbourName)
        check_positive("NeighbourConfig", count=self.count)
        if (self.method == "ball") != (self.radius is not None):
            raise ValueError(
                'NeighbourConfig: radius must be given for method="ball" and only for it, got '
                f"radius={self.radius!r} with method={self.method!r}"
            )


@unchecked
@dataclasses.dataclass(frozen=True)
class LieTransformerConfig:
    """Sizes and options of a `LieTransformer`.

    Args:
        in_channels: features of a point.
        outputs: numbers that come out; vectors or tensors, if that is the ``output``.
        output: ``"scalar"``, invariant; ``"vector"`` of space or ``"tensor"`` of rank 2, which
            move with the points. Exact where the lifts are (see `lie_jax.geometry.lift`), else
            in expectation. Vectors and tensors are found per lifted point, then pooled.
        width: features inside.
        layers: number of blocks.
        heads: attention heads; ``width`` is a multiple of it.
        attention: see `AttentionConfig`.
        block_norm: norm of the blocks.
        head: ``"pool_mlp"`` pools, then maps through three layers (published for QM9 and
            shapes); ``"linear_pool"`` maps each point linearly, then pools (LieConv's).
        pooling: ``"mean"``, ``"sum"`` or ``"max"`` over real lifted points; ``"none"`` gives one
            output per point, the mean over its lifts.
        lift_samples, lift_method, lift_random_offset: see `lie_jax.geometry.lift`.
        pair_embedding: see `lie_jax.geometry.PairEmbedding`.
        pair_norm_bound: see `lie_jax.geometry.pairs.bound_norm`; None leaves pairs as they are.
        neighbours: see `NeighbourConfig`.
        implementation: of the attention, see `lie_jax.fused.lie_attention`.
        dtype: dtype to compute in (e.g. ``jnp.bfloat16``); None follows input and parameters.
        param_dtype: dtype of the parameters.

    Raises:
        ValueError: an unknown option or a size that does not fit.
    """

    in_channels: int
    outputs: int = 1
    output: OutputName = "scalar"
    width: int = 128
    layers: int = 4
    heads: int = 8
    attention: AttentionConfig = AttentionConfig()  # noqa: RUF009 (frozen)
    block_norm: BlockNorm = "layer_pre"
    head: HeadName = "pool_mlp"
    pooling: PoolingName = "mean"
    lift_samples: int | None = None
    lift_method: LiftMethod = "random"
    lift_random_offset: bool = False
    pair_embedding: EmbeddingName | PairEmbedding = "log"
    pair_norm_bound: float | None = None
    neighbours: NeighbourConfig = NeighbourConfig()
    implementation: Implementation = "auto"
    dtype: jax.typing.DTypeLike | None = None
    param_dtype: jax.typing.DTypeLike = jnp.float32

    def __post_init__(self):
        where = "LieTransformerConfig"
        check_positive(
            where,
            in_channels=self.in_channels,
            outputs=self.outputs,
            width=self.width,
            layers=self.layers,
            heads=self.heads,
        )
        if self.lift_samples is not None:
            check_positive(where, lift_samples=self.lift_samples)
        check_option(where, "block_norm", self.block_norm, BlockNorm)
        check_option(where, "head", self.head, HeadName)
        check_option(where, "output", self.output, OutputName)
        check_option(where, "pooling", self.pooling, PoolingName)
        check_option(where, "lift_method", self.lift_method, LiftMethod)
        check_option(where, "implementation", self.implementation, Implementation)
        resolve_embedding(self.pair_embedding)
        if self.width % self.heads:
            raise ValueError(
                f"{where}: width must be a multiple of heads = {self.heads}, got {self.width}"
            )
        if self.output != "scalar" and self.pooling == "max":
            raise ValueError(
                f'{where}: pooling must be "mean", "sum" or "none" for output={self.output!r}, '
                "because the largest component depends on the axes, got 'max'"
            )
        if self.pair_norm_bound is not None and not self.pair_norm_bound > 0:
            raise ValueError(
                f"{where}: pair_norm_bound must be positive or None, got {self.pair_norm_bound!r}"
            )


class LieTransformer(nnx.Module):
    """Transformer on point clouds, invariant to a group (per point: equivariant).

    Args:
        config: sizes and options.
        group: the symmetry.
        rngs: source of the initial parameters.

    Raises:
        TypeError: ``group`` is not a Group, for instance a class instead of an instance.
        ValueError: the config needs logarithms, and not every element of ``group`` has one.
    """

    def __init__(self, config: LieTransformerConfig, *, group: Validated[Group], rngs: nnx.Rngs):
        if not isinstance(group, Group):
            raise TypeError(
                f"LieTransformer: group must be a lie_jax.groups.Group such as T(3), got {group!r}"
            )
        if not group.exp_is_surjective:
            _check_needs_no_log(config, group)
        self.config = config
        self.group = group
        kwargs = {"dtype": config.dtype, "param_dtype": config.param_dtype, "rngs": rngs}
        self.embedding = linear(config.in_channels, config.width, **kwargs)
        self.blocks = nnx.List(
            [
                Block(
                    config.width,
                    heads=config.heads,
                    pair_features=geometry.feature_dim(group, config.pair_embedding),
                    block_norm=config.block_norm,
                    config=config.attention,
                    **kwargs,
                )
                for _ in range(config.layers)
            ]
        )
        hidden = 2 if config.head == "pool_mlp" else 0
        numbers = config.outputs * group.space_dim ** _RANK[config.output]
        sizes = [config.width] * (hidden + 1) + [numbers]
        self.head = nnx.List([linear(a, b, **kwargs) for a, b in itertools.pairwise(sizes)])

    def __call__(
        self, points: PointSet, *, key: Validated[PRNGKey | None] = None, train: bool = False
    ) -> Float[Array, "*b o"]:
        """Outputs of every cloud, or of every point where nothing is pooled.

        Args:
            points: coords (\\*b, n, d), values (\\*b, n, in_channels), mask (\\*b, n).
            key: typed key of the lifts and random neighbours; may be None where neither is
                drawn. The same key gives the same lifts in training and in evaluation.
            train: batch norm takes the batch's statistics and moves its running averages.

        Returns:
            (\\*b, outputs); (\\*b, n, outputs) with ``pooling="none"``, 0 at absent points.
            Vectors have an axis d more, tensors two. The dtype is that of ``points.values``.

        Raises:
            ValueError: shapes do not fit, no key where one is needed, or, outside jit, a real
                point that is not finite.
        """
        if points.values.shape[-1] != self.config.in_channels:
            raise ValueError(
                f"LieTransformer: points.values must have shape (*b, n, {self.config.in_channels})"
                f", got {points.values.shape}"
            )
        if not any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(points)):
            points.check_finite()
        config = self.config
        lift_key = neighbour_key = key
        if key is not None and config.neighbours.method == "random":
            lift_key, neighbour_key = jax.random.split(key)
        lifted = geometry.lift(
            self.group,
            points,
            key=lift_key,
            samples=config.lift_samples,
            method=config.lift_method,
            random_offset=config.lift_random_offset,
        )
        return self.from_lifted(lifted, key=neighbour_key, train=train)

    def from_lifted(
        self, lifted: LiftedSet, *, key: Validated[PRNGKey | None] = None, train: bool = False
    ) -> Float[Array, "*b o"]:
        """As the model itself, after the lift: exactly invariant to ``elements -> g elements``."""
        batch, weights, dtype = lifted.mask.shape[:-1], lifted.frame_weights, lifted.values.dtype
        neighbourhood = self._neighbourhood(lifted, key)
        lifted = dataclasses.replace(lifted, frame_weights=None)
        if len(batch) > 1:
            # One batch axis: XLA lays out what has more of them worse (10 % of a training step).
            lifted, neighbourhood = jax.tree.map(
                lambda x: x.reshape(math.prod(batch), *x.shape[len(batch) :]),
                (lifted, neighbourhood),
            )
        # Or else XLA would compute a point's elements anew for each of its pairs.
        lifted = jax.lax.optimization_barrier(lifted)
        pairs = self._pairs(lifted, neighbourhood)
        x = self.embedding(lifted.values)
        for block in self.blocks:
            x = block(x, pairs, lifted.mask, train=train, implementation=self.config.implementation)
        y = self._read_out(x, lifted)
        y = y.reshape(*batch, *y.shape[1:]) if len(batch) > 1 else y
        if weights is not None:
            axis = weights.ndim - 1
            weights = jnp.expand_dims(weights, tuple(range(axis + 1, y.ndim)))
            y = jnp.sum(weights.astype(y.dtype) * y, axis=axis)
        return y.astype(dtype)

    def _read_out(self, x: Array, lifted: LiftedSet) -> Array:
        """Outputs of every cloud, or every point, from the features of its lifted points."""
        config, act = self.config, ACTIVATIONS[self.config.attention.activation]
        if config.output != "scalar":
            for layer in self.head:
                x = layer(act(x))
            rank = _RANK[config.output]
            x = x.reshape(*x.shape[:-1], config.outputs, *[self.group.space_dim] * rank)
            return self._pool(geometry.to_space(self.group, lifted.elements, x, rank), lifted)
        if config.head == "linear_pool":
            return self._pool(self.head[0](act(x)), lifted)
        x = self._pool(x, lifted)
        for layer in self.head:
            x = layer(act(x))
        if config.pooling == "none":
            x = jnp.where(lifted.mask[..., :: lifted.samples, None], x, 0)
        return x

    def _pairs(self, lifted: LiftedSet, neighbourhood: Neighbourhood | None) -> PairSet | LazyPairs:
        """The pairs that every block sees, in memory already if the reference shall use them."""
        config = self.config
        pairs = geometry.lazy_pairs(
            self.group,
            lifted,
            neighbourhood=neighbourhood,
            embedding=config.pair_embedding,
            norm_bound=config.pair_norm_bound,
        )
        chosen = config.implementation
        if chosen == "auto":
            chosen = fused.choose(pairs)
        return pairs.materialise() if chosen == "reference" else pairs

    def _neighbourhood(
        self, lifted: LiftedSet, key: Validated[PRNGKey | None]
    ) -> Neighbourhood | None:
        choice = self.config.neighbours
        if choice.method == "all":
            return None
        if lifted.frame_weights is not None:
            # The same for every frame: only rounding, or another draw, could tell them apart.
            axis, count = lifted.frame_weights.ndim - 1, lifted.frame_weights.shape[-1]
            one = jax.tree.map(lambda x: jnp.take(x, 0, axis=axis), lifted)
            found = self._neighbourhood(dataclasses.replace(one, frame_weights=None), key)
            return jax.tree.map(lambda x: jnp.stack([x] * count, axis=axis), found)
        if choice.method == "random":
            key = check_key("LieTransformer", key)
            queries = lifted.mask.shape[-1]
            return geometry.random_subset(key, lifted.mask, choice.count, queries)
        distance = {
            "algebra_weights": choice.algebra_weights,
            "orbit_weight": choice.orbit_weight,
        }
        if choice.method == "nearest":
            return geometry.search_nearest(self.group, lifted, choice.count, **distance)
        assert choice.radius is not None
        return geometry.search_ball(self.group, lifted, choice.radius, choice.count, **distance)

    def _pool(self, x: Array, lifted: LiftedSet) -> Array:
        """(\\*b, m, ...) to (\\*b, ...), or (\\*b, n, ...) where nothing is pooled."""
        axis = lifted.mask.ndim - 1
        mask = jnp.expand_dims(lifted.mask, tuple(range(axis + 1, x.ndim)))
        match self.config.pooling:
            case "mean":
                return masking.masked_mean(x, mask, axis=axis)
            case "sum":
                # The lifts of a point are samples of one integral: they are averaged, so that
                # the sum counts points and does not grow with the number of lifts.
                return masking.masked_sum(x, mask, axis=axis) / lifted.samples
            case "max":
                return masking.masked_max(x, mask, axis=axis)
        shape = (*x.shape[:axis], x.shape[axis] // lifted.samples, lifted.samples)
        per_point = jnp.mean(x.reshape(*shape, *x.shape[axis + 1 :]), axis=axis + 1)
        is_real = jnp.take(mask, jnp.arange(0, x.shape[axis], lifted.samples), axis=axis)
        return jnp.where(is_real, per_point, 0)


def _check_needs_no_log(config: LieTransformerConfig, group: Group):
    reason = f"not every element of {group} has a logarithm (exp_is_surjective is False)"
    if config.pair_embedding == "log":
        raise ValueError(
            'LieTransformer: pair_embedding must not be "log", for '
            f'{reason}: take pair_embedding="matrix"'
        )
    if config.neighbours.method in ("nearest", "ball"):
        raise ValueError(
            'LieTransformer: neighbours must have method "all" or "random", got '
            f'"{config.neighbours.method}", whose distances are lengths of logarithms, and {reason}'
        )
