"""LieConv: lift, embed, convolve on the group, pool.

Source: Finzi et al., Generalizing Convolutional Neural Networks for Equivariance to Lie Groups
on Arbitrary Continuous Data (2020), figure 5.
"""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx

from lie_jax import geometry
from lie_jax.attention.activations import ACTIVATIONS
from lie_jax.attention.config import ActivationName, check_option, check_positive
from lie_jax.geometry import EmbeddingName, LiftMethod, Neighbourhood, PairEmbedding
from lie_jax.geometry.embeddings import resolve_embedding
from lie_jax.groups import Group
from lie_jax.models.lifting import check_group, lift_points, run_lifted
from lie_jax.models.neighbours import NeighbourConfig
from lie_jax.models.pooling import PoolingName, pool
from lie_jax.nn.layers import linear
from lie_jax.nn.lie_conv import LieConvBlock
from lie_jax.nn.norm import MaskedBatchNorm
from lie_jax.points import LiftedSet, PointSet
from lie_jax.typing import Array, Float, PRNGKey, Validated, unchecked


@unchecked
@dataclasses.dataclass(frozen=True)
class LieConvConfig:
    """Sizes and options of a `LieConv`.

    The default sizes are those of the published networks of dynamics (T(2): 895,297 parameters
    with two features); those of molecules have ``width=1536, layers=6, batch_norm=True``.

    Args:
        in_channels: features of a point.
        outputs: numbers that come out.
        width: features between the blocks, a multiple of 4; convolutions have a quarter of it.
        layers: number of blocks.
        kernel_features, kernel_hidden: see `lie_jax.nn.LieConvLayer`.
        activation: of all parts.
        batch_norm: whether there are batch norms, over real points and over real pairs.
            Recommended except for dynamics.
        neighbour_mean: convolutions are means over the neighbours, not sums.
        pooling: ``"mean"``, ``"sum"`` or ``"max"`` over real lifted points; ``"none"`` gives one
            output per point, the mean over its lifts.
        lift_samples, lift_method, lift_random_offset, lift_frames: see `lie_jax.geometry.lift`.
        pair_embedding: see `lie_jax.geometry.PairEmbedding`.
        pair_norm_bound: see `lie_jax.geometry.pairs.bound_norm`; None leaves pairs as they are.
        neighbours: see `NeighbourConfig`.
        dtype: dtype to compute in (e.g. ``jnp.bfloat16``); None follows input and parameters.
        param_dtype: dtype of the parameters.
        matmul_dtype: of the factors of dense layers' products, see `lie_jax.nn.dense`.

    Raises:
        ValueError: an unknown option or a size that does not fit.
    """

    in_channels: int
    outputs: int = 1
    width: int = 384
    layers: int = 4
    kernel_features: int = 16
    kernel_hidden: int = 32
    activation: ActivationName = "swish"
    batch_norm: bool = False
    neighbour_mean: bool = True
    pooling: PoolingName = "mean"
    lift_samples: int | None = None
    lift_method: LiftMethod = "random"
    lift_random_offset: bool = False
    lift_frames: int | None = None
    pair_embedding: EmbeddingName | PairEmbedding = "log"
    pair_norm_bound: float | None = None
    neighbours: NeighbourConfig = NeighbourConfig()  # noqa: RUF009 (frozen)
    dtype: jax.typing.DTypeLike | None = None
    param_dtype: jax.typing.DTypeLike = jnp.float32
    matmul_dtype: jax.typing.DTypeLike | None = None

    def __post_init__(self):
        where = "LieConvConfig"
        check_positive(
            where,
            in_channels=self.in_channels,
            outputs=self.outputs,
            width=self.width,
            layers=self.layers,
            kernel_features=self.kernel_features,
            kernel_hidden=self.kernel_hidden,
        )
        if self.lift_samples is not None:
            check_positive(where, lift_samples=self.lift_samples)
        if self.lift_frames is not None:
            check_positive(where, lift_frames=self.lift_frames)
        check_option(where, "activation", self.activation, ActivationName)
        check_option(where, "pooling", self.pooling, PoolingName)
        check_option(where, "lift_method", self.lift_method, LiftMethod)
        resolve_embedding(self.pair_embedding)
        if self.width % 4:
            raise ValueError(f"{where}: width must be a multiple of 4, got {self.width}")
        if self.pair_norm_bound is not None and not self.pair_norm_bound > 0:
            raise ValueError(
                f"{where}: pair_norm_bound must be positive or None, got {self.pair_norm_bound!r}"
            )


class LieConv(nnx.Module):
    """Residual network of group convolutions, invariant to a group (per point: equivariant).

    Args:
        config: sizes and options.
        group: the symmetry.
        rngs: source of the initial parameters.

    Raises:
        TypeError: ``group`` is not a Group, for instance a class instead of an instance.
        ValueError: the config needs logarithms, and not every element of ``group`` has one.
    """

    def __init__(self, config: LieConvConfig, *, group: Validated[Group], rngs: nnx.Rngs):
        check_group("LieConv", group, config)
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
                LieConvBlock(
                    config.width,
                    batch_norm=config.batch_norm,
                    activation=config.activation,
                    pair_features=geometry.feature_dim(group, config.pair_embedding),
                    mean=config.neighbour_mean,
                    kernel_features=config.kernel_features,
                    kernel_hidden=config.kernel_hidden,
                    **kwargs,
                )
                for _ in range(config.layers)
            ]
        )
        if config.batch_norm:
            self.norm = MaskedBatchNorm(config.width, clamp=True, param_dtype=config.param_dtype)
        self.head = linear(config.width, config.outputs, **kwargs)

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
            The dtype is that of ``points.values``.

        Raises:
            ValueError: shapes do not fit, no key where one is needed, or, outside jit, a real
                point that is not finite.
        """
        lifted, key = lift_points("LieConv", self.group, points, self.config, key)
        return self.from_lifted(lifted, key=key, train=train)

    def from_lifted(
        self, lifted: LiftedSet, *, key: Validated[PRNGKey | None] = None, train: bool = False
    ) -> Float[Array, "*b o"]:
        """As the model itself, after the lift: exactly invariant to ``elements -> g elements``."""
        config = self.config

        def network(lifted: LiftedSet, neighbourhood: Neighbourhood | None) -> Array:
            pairs = geometry.pair_set(
                self.group,
                lifted,
                neighbourhood=neighbourhood,
                embedding=config.pair_embedding,
                norm_bound=config.pair_norm_bound,
            )
            x = self.embedding(lifted.values)
            for block in self.blocks:
                x = block(x, pairs, lifted.mask, train=train)
            if config.batch_norm:
                x = self.norm(x, lifted.mask, train=train)
            return pool(self.head(ACTIVATIONS[config.activation](x)), lifted, config.pooling)

        return run_lifted("LieConv", self.group, lifted, config, key, network)
