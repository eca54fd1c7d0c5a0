"""LieTransformer: lift, embed, attend, pool.

Source: Hutchinson et al., LieTransformer: Equivariant self-attention for Lie groups (2021).
"""

import dataclasses
import itertools
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx

from lie_jax import fused, geometry
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
from lie_jax.groups import Group
from lie_jax.models.lifting import check_group, lift_points, run_lifted
from lie_jax.models.neighbours import NeighbourConfig
from lie_jax.models.pooling import PoolingName, pool
from lie_jax.nn.block import Block, BlockNorm
from lie_jax.nn.layers import linear
from lie_jax.points import LiftedSet, PointSet
from lie_jax.typing import Array, Float, PRNGKey, Validated, unchecked

HeadName = Literal["pool_mlp", "linear_pool"]
OutputName = Literal["scalar", "vector", "tensor"]
_RANK: dict[str, int] = {"scalar": 0, "vector": 1, "tensor": 2}


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
        lift_samples, lift_method, lift_random_offset, lift_frames: see `lie_jax.geometry.lift`.
        pair_embedding: see `lie_jax.geometry.PairEmbedding`.
        pair_norm_bound: see `lie_jax.geometry.pairs.bound_norm`; None leaves pairs as they are.
        neighbours: see `NeighbourConfig`.
        implementation: of the attention, see `lie_jax.fused.lie_attention`.
        dtype: dtype to compute in (e.g. ``jnp.bfloat16``); None follows input and parameters.
        param_dtype: dtype of the parameters.
        matmul_dtype: ``jnp.bfloat16`` rounds what dense layers multiply, forward and backward, and
            leaves sums, features, norms, group elements and location MLPs as they are; None
            rounds nothing. See `lie_jax.nn.dense`.

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
    lift_frames: int | None = None
    pair_embedding: EmbeddingName | PairEmbedding = "log"
    pair_norm_bound: float | None = None
    neighbours: NeighbourConfig = NeighbourConfig()  # noqa: RUF009 (frozen)
    implementation: Implementation = "auto"
    dtype: jax.typing.DTypeLike | None = None
    param_dtype: jax.typing.DTypeLike = jnp.float32
    matmul_dtype: jax.typing.DTypeLike | None = None

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
        if self.lift_frames is not None:
            check_positive(where, lift_frames=self.lift_frames)
        check_option(where, "block_norm", self.block_norm, BlockNorm)
        check_option(where, "head", self.head, HeadName)
        check_option(where, "output", self.output, OutputName)
        check_option(where, "pooling", self.pooling, PoolingName)
        check_option(where, "lift_method", self.lift_method, LiftMethod)
        check_option(where, "implementation", self.implementation, Implementation)
        embedding = resolve_embedding(self.pair_embedding)
        if self.output != "scalar" and not embedding.sees_stabiliser:
            raise ValueError(
                f"{where}: pair_embedding must tell the lifts of a point apart for "
                f"output={self.output!r}, which needs directions, got {embedding.name}"
            )
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
        check_group("LieTransformer", group, config)
        self.config = config
        self.group = group
        kwargs = {
            "dtype": config.dtype,
            "param_dtype": config.param_dtype,
            "matmul_dtype": config.matmul_dtype,
            "rngs": rngs,
        }
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
        lifted, key = lift_points("LieTransformer", self.group, points, self.config, key)
        return self._from_lifted(lifted, key, train, lifts=lifted.samples)

    def from_lifted(
        self, lifted: LiftedSet, *, key: Validated[PRNGKey | None] = None, train: bool = False
    ) -> Float[Array, "*b o"]:
        """As the model itself, after the lift: exactly invariant to ``elements -> g elements``."""
        return self._from_lifted(lifted, key, train, lifts=1)

    def _from_lifted(
        self, lifted: LiftedSet, key: Validated[PRNGKey | None], train: bool, *, lifts: int
    ) -> Array:
        """Of lifted points, so many of which, one after the other, have the same values."""

        def network(lifted: LiftedSet, neighbourhood: Neighbourhood | None) -> Array:
            pairs = self._pairs(lifted, neighbourhood)
            x = self.embedding(lifted.values[..., ::lifts, :])
            options = {"train": train, "implementation": self.config.implementation}
            first, *others = self.blocks
            x = first(x, pairs, lifted.mask, lifts=lifts, **options)
            for block in others:
                x = block(x, pairs, lifted.mask, **options)
            return self._read_out(x, lifted)

        return run_lifted("LieTransformer", self.group, lifted, self.config, key, network)

    def _read_out(self, x: Array, lifted: LiftedSet) -> Array:
        """Outputs of every cloud, or every point, from the features of its lifted points."""
        config, act = self.config, ACTIVATIONS[self.config.attention.activation]
        if config.output != "scalar":
            for layer in self.head:
                x = layer(act(x))
            rank = _RANK[config.output]
            x = x.reshape(*x.shape[:-1], config.outputs, *[self.group.space_dim] * rank)
            return pool(
                geometry.to_space(self.group, lifted.elements, x, rank), lifted, config.pooling
            )
        if config.head == "linear_pool":
            return pool(self.head[0](act(x)), lifted, config.pooling)
        x = pool(x, lifted, config.pooling)
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
