"""SetTransformer: attention between the points of a cloud, invariant to their order only.

Source: Lee et al., Set Transformer: A Framework for Attention-based Permutation-Invariant Neural
Networks (2019); the baseline for constellations of Hutchinson et al., LieTransformer (2021).
"""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx

from lie_jax.attention.config import check_positive
from lie_jax.models.lifting import check_points
from lie_jax.nn.layers import linear
from lie_jax.nn.set_attention import AttentionPooling, InducedSetAttention, SetSelfAttention
from lie_jax.points import PointSet
from lie_jax.typing import Array, Float, PRNGKey, Validated, unchecked


@unchecked
@dataclasses.dataclass(frozen=True)
class SetTransformerConfig:
    """Sizes and options of a `SetTransformer`.

    Args:
        space_dim: d.
        in_channels: features of a point beside its coordinates; 0: there are none.
        outputs: numbers that come out of a cloud, in all; a multiple of ``seeds``.
        seeds: vectors that a cloud is pooled to, each of which gives ``outputs / seeds`` numbers.
        width: features of a point; a multiple of ``heads``.
        heads: h.
        encoder_layers: attention between points, before the pooling.
        decoder_layers: attention between the pooled vectors; may be 0.
        inducing_points: learnt points through which the encoder's points see each other, for
            large clouds; 0: they see each other directly.
        layer_norm: after attention and after the linear map behind it.
        dtype: dtype to compute in; None follows input and parameters.
        param_dtype: dtype of the parameters.

    Raises:
        ValueError: a size that does not fit.
    """

    space_dim: int
    in_channels: int = 0
    outputs: int = 1
    seeds: int = 1
    width: int = 128
    heads: int = 4
    encoder_layers: int = 4
    decoder_layers: int = 4
    inducing_points: int = 0
    layer_norm: bool = False
    dtype: jax.typing.DTypeLike | None = None
    param_dtype: jax.typing.DTypeLike = jnp.float32

    def __post_init__(self):
        where = "SetTransformerConfig"
        check_positive(
            where,
            space_dim=self.space_dim,
            outputs=self.outputs,
            seeds=self.seeds,
            width=self.width,
            heads=self.heads,
            encoder_layers=self.encoder_layers,
        )
        for name in ("in_channels", "decoder_layers", "inducing_points"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                raise ValueError(f"{where}: {name} must be an integer of at least 0, got {value!r}")
        for name, of in (("outputs", "seeds"), ("width", "heads")):
            value, divisor = getattr(self, name), getattr(self, of)
            if value % divisor:
                raise ValueError(
                    f"{where}: {name} must be a multiple of {of} = {divisor}, got {value}"
                )


class SetTransformer(nnx.Module):
    """Attention between points, pooling by attention, attention between the pooled vectors.

    A point enters as its coordinates and features. No motion of the points is respected: what a
    symmetry is compared to.

    Args:
        config: sizes and options.
        rngs: source of the initial parameters.
    """

    def __init__(self, config: SetTransformerConfig, *, rngs: nnx.Rngs):
        self.config = config
        width = config.width
        kwargs = {"dtype": config.dtype, "param_dtype": config.param_dtype, "rngs": rngs}
        block = {"heads": config.heads, "layer_norm": config.layer_norm, **kwargs}

        def encoder_layer(channels: int) -> nnx.Module:
            if not config.inducing_points:
                return SetSelfAttention(channels, width, **block)
            return InducedSetAttention(
                channels, width, inducing_points=config.inducing_points, **block
            )

        inputs = [config.space_dim + config.in_channels, *[width] * (config.encoder_layers - 1)]
        self.encoder = nnx.List([encoder_layer(channels) for channels in inputs])
        self.pooling = AttentionPooling(width, seeds=config.seeds, **block)
        self.decoder = nnx.List(
            [SetSelfAttention(width, width, **block) for _ in range(config.decoder_layers)]
        )
        self.head = linear(width, config.outputs // config.seeds, **kwargs)

    def __call__(
        self,
        points: PointSet,
        *,
        key: Validated[PRNGKey | None] = None,  # noqa: ARG002 (the call of every model)
        train: bool = False,  # noqa: ARG002
    ) -> Float[Array, "*b o"]:
        """Outputs of every cloud.

        Args:
            points: coords (\\*b, n, d), values (\\*b, n, in_channels), mask (\\*b, n).
            key, train: not used.

        Returns:
            (\\*b, outputs): the numbers of the first seed, those of the second, and so on. The
            dtype is that of ``points.values``.

        Raises:
            ValueError: shapes do not fit or, outside jit, a real point is not finite.
        """
        config, mask = self.config, points.mask
        check_points("SetTransformer", points, config.in_channels)
        if points.coords.shape[-1] != config.space_dim:
            raise ValueError(
                f"SetTransformer: points.coords must have shape (*b, n, {config.space_dim}), "
                f"got {points.coords.shape}"
            )
        x = jnp.concatenate([points.coords, points.values], axis=-1)
        x = jnp.where(mask[..., None], x, 0)
        for layer in self.encoder:
            x = layer(x, mask)
        x = self.pooling(x, mask)
        for layer in self.decoder:
            x = layer(x)
        y = self.head(x)
        return y.reshape(*mask.shape[:-1], config.outputs).astype(points.values.dtype)
