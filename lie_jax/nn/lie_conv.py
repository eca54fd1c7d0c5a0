"""Convolution on a group, as in LieConv, and the residual block around it.

Source: Finzi et al., Generalizing Convolutional Neural Networks for Equivariance to Lie Groups
on Arbitrary Continuous Data (2020), appendix A.1 (the trick of PointConv) and figure 5.
"""

import itertools

import jax
import jax.numpy as jnp
from flax import nnx

from lie_jax.attention.activations import ACTIVATIONS
from lie_jax.attention.config import ActivationName
from lie_jax.geometry.pairs import PairSet, gather_keys
from lie_jax.nn.layers import linear
from lie_jax.nn.norm import MaskedBatchNorm
from lie_jax.typing import Array, Bool, Float


def _norm(features: int, param_dtype) -> MaskedBatchNorm:
    return MaskedBatchNorm(features, clamp=True, param_dtype=param_dtype)


class WeightNet(nnx.Module):
    """The kernels of pairs: act(norm(linear)), three times, of their location features.

    Args:
        pair_features: f.
        hidden: features between the layers.
        kernel_features: r, numbers per kernel.
        activation: after every layer, the last one too.
        batch_norm: whether each layer has a norm; its statistics are those of real pairs.
        dtype, param_dtype, matmul_dtype, rngs: as in `LieConvLayer`.
    """

    def __init__(
        self,
        pair_features: int,
        hidden: int,
        kernel_features: int,
        *,
        activation: ActivationName,
        batch_norm: bool,
        dtype,
        param_dtype,
        matmul_dtype=None,
        rngs: nnx.Rngs,
    ):
        sizes = (pair_features, hidden, hidden, kernel_features)
        kwargs = {
            "dtype": dtype, "param_dtype": param_dtype, "matmul_dtype": matmul_dtype, "rngs": rngs
        }  # fmt: skip
        self.layers = nnx.List([linear(a, b, **kwargs) for a, b in itertools.pairwise(sizes)])
        if batch_norm:
            self.norms = nnx.List([_norm(size, param_dtype) for size in sizes[1:]])
        self.activation = activation

    def __call__(
        self, features: Float[Array, "*b q k f"], mask: Bool[Array, "*b q k"], *, train: bool
    ) -> Float[Array, "*b q k r"]:
        """One kernel per pair; those of absent pairs are not zero."""
        act = ACTIVATIONS[self.activation]
        norms = getattr(self, "norms", None)
        if norms is not None:
            for layer, norm in zip(self.layers, norms, strict=True):
                features = act(norm(layer(features), mask, train=train))
            return features

        def kernels(features: Array) -> Array:
            for layer in self.layers:
                features = act(layer(features))
            return features

        # The backward pass recomputes the hidden features: at n points they are n^2 of 80 numbers.
        return jax.checkpoint(kernels)(features)


def convolve(
    kernels: Float[Array, "*b q k r"],
    values: Float[Array, "*b m c"],
    pairs: PairSet,
    mask: Bool[Array, "*b q k"],
) -> Float[Array, "*b q r_c"]:
    """``sum_j kernel_ij[r] value_j[c]`` over real neighbours j, flattened over (r, c)."""
    kernels = jnp.where(mask[..., None], kernels, 0)
    *batch, queries, keys, numbers = kernels.shape
    if pairs.indices is None:
        # One product of two matrices per cloud: as an einsum of four axes a training step takes
        # 2 to 3 % longer on a CPU (alone, its gradients take 5 times as long).
        rows = kernels.swapaxes(-2, -1).reshape(*batch, queries * numbers, keys)
        moments = rows @ values
    else:
        neighbours = gather_keys(values, pairs.indices, 1)
        moments = jnp.einsum("...qkr,...qkc->...qrc", kernels, neighbours)
    return moments.reshape(*batch, queries, numbers * values.shape[-1])


class LieConvLayer(nnx.Module):
    """out_i = W sum_j k(g_i^-1 g_j) (x) x_j + b, over the neighbours j of i; their mean if asked.

    The kernel k of a pair is a vector of ``kernel_features`` numbers, the same for all channels;
    the linear map after the sum mixes them. A query without neighbours has 0.

    Args:
        in_channels: c, features of a point.
        out_channels: o, features of the result.
        pair_features: f, see `lie_jax.geometry.feature_dim`.
        mean: divide by the number of neighbours; the bias too, as published.
        batch_norm: whether the weight net has one after each linear map.
        kernel_features, kernel_hidden: numbers per kernel, and inside the weight net.
        activation: of the weight net.
        dtype: dtype to compute in; None follows inputs and parameters.
        param_dtype: dtype of the parameters.
        matmul_dtype: of the factors of dense layers' products, see `lie_jax.nn.dense`.
        rngs: source of the initial values.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        pair_features: int,
        mean: bool = True,
        batch_norm: bool = False,
        kernel_features: int = 16,
        kernel_hidden: int = 32,
        activation: ActivationName = "swish",
        dtype=None,
        param_dtype=jnp.float32,
        matmul_dtype=None,
        rngs: nnx.Rngs,
    ):
        kwargs = {
            "dtype": dtype, "param_dtype": param_dtype, "matmul_dtype": matmul_dtype, "rngs": rngs
        }  # fmt: skip
        self.weight_net = WeightNet(
            pair_features,
            kernel_hidden,
            kernel_features,
            activation=activation,
            batch_norm=batch_norm,
            **kwargs,
        )
        self.output = linear(in_channels * kernel_features, out_channels, **kwargs)
        self.in_channels = in_channels
        self.mean = mean

    def __call__(
        self,
        values: Float[Array, "*b m c"],
        pairs: PairSet,
        mask: Bool[Array, "*b m"],
        *,
        train: bool = False,
    ) -> Float[Array, "*b m o"]:
        """New features of every lifted point, 0 at absent ones.

        Args:
            values: (\\*b, m, in_channels).
            pairs: of the same m points, see `lie_jax.geometry.pair_set`.
            mask: real points, (\\*b, m).
            train: batch norm takes the batch's statistics and moves its running averages.

        Raises:
            ValueError: values have another number of channels.
        """
        if values.shape[-1] != self.in_channels:
            raise ValueError(
                f"LieConvLayer: values must have shape (*b, m, {self.in_channels}), "
                f"got {values.shape}"
            )
        real = pairs.mask & mask[..., :, None]
        kernels = self.weight_net(pairs.features.astype(values.dtype), real, train=train)

        def mixed(kernels: Array, values: Array) -> Array:
            return self.output(convolve(kernels, values, pairs, real))

        # The backward pass repeats the sum over neighbours, which is cheap beside the linear map
        # (n against o products), and need not keep its result, r times as large as the values.
        out = jax.checkpoint(mixed)(kernels, values)
        count = jnp.sum(real, axis=-1, dtype=out.dtype)[..., None]
        if self.mean:
            out = out / jnp.maximum(count, 1)
        return jnp.where(count > 0, out, 0)


class LieConvBlock(nnx.Module):
    """x + up(act norm conv(act norm down(act norm x))), the convolution at a quarter of the width.

    Args:
        width: features of a point, a multiple of 4.
        batch_norm: whether ``norm`` is a batch norm over real points, or nothing.
        activation: act.
        options: of the `LieConvLayer`.
        dtype, param_dtype, matmul_dtype, rngs: as there.

    Raises:
        ValueError: width is not a multiple of 4.
    """

    def __init__(
        self,
        width: int,
        *,
        batch_norm: bool = False,
        activation: ActivationName = "swish",
        dtype=None,
        param_dtype=jnp.float32,
        matmul_dtype=None,
        rngs: nnx.Rngs,
        **options,
    ):
        if width % 4:
            raise ValueError(f"LieConvBlock: width must be a multiple of 4, got {width}")
        narrow = width // 4
        kwargs = {
            "dtype": dtype, "param_dtype": param_dtype, "matmul_dtype": matmul_dtype, "rngs": rngs
        }  # fmt: skip
        shared = {"batch_norm": batch_norm, "activation": activation}
        self.down = linear(width, narrow, **kwargs)
        self.conv = LieConvLayer(narrow, narrow, **shared, **kwargs, **options)
        self.up = linear(narrow, width, **kwargs)
        self.activation = activation
        if batch_norm:
            sizes = (width, narrow, narrow)
            self.norms = nnx.List([_norm(size, param_dtype) for size in sizes])

    def __call__(
        self,
        values: Float[Array, "*b m c"],
        pairs: PairSet,
        mask: Bool[Array, "*b m"],
        *,
        train: bool = False,
    ) -> Float[Array, "*b m c"]:
        """New features; the arguments are those of `LieConvLayer`."""
        act = ACTIVATIONS[self.activation]
        norms = getattr(self, "norms", None)

        def ready(x: Array, place: int) -> Array:
            return act(x if norms is None else norms[place](x, mask, train=train))

        x = self.down(ready(values, 0))
        x = self.conv(ready(x, 1), pairs, mask, train=train)
        return values + self.up(ready(x, 2))
