"""LieSelfAttention: parameters around the pure functions of ``lie_jax.attention``."""

import jax.numpy as jnp
from flax import nnx

from lie_jax import attention
from lie_jax.attention import AttentionConfig, ScoreWeights
from lie_jax.fused import Implementation, lie_attention
from lie_jax.geometry.pairs import LazyPairs, PairSet, gather_keys
from lie_jax.nn.layers import PerHeadMLP, fan_in_uniform, linear
from lie_jax.typing import Array, Float


class LieSelfAttention(nnx.Module):
    """Multi-head attention between lifted points, from their features and pair features.

    Args:
        in_channels: features of a point.
        out_channels: features of the result; a multiple of ``heads``.
        heads: h.
        pair_features: f, see `lie_jax.geometry.feature_dim`.
        config: see `AttentionConfig`.
        dtype: dtype to compute in; None follows inputs and parameters.
        param_dtype: dtype of the parameters.
        matmul_dtype: of the factors of dense layers' products, see `lie_jax.nn.dense`.
        rngs: source of the initial values.

    Raises:
        ValueError: channels are not a multiple of heads.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        heads: int,
        pair_features: int,
        config: AttentionConfig = AttentionConfig(),  # noqa: B008 (frozen)
        dtype=None,
        param_dtype=jnp.float32,
        matmul_dtype=None,
        rngs: nnx.Rngs,
    ):
        if out_channels % heads:
            raise ValueError(
                f"LieSelfAttention: out_channels must be a multiple of heads = {heads}, "
                f"got {out_channels}"
            )
        self.config = config
        self.heads = heads
        self.in_channels = in_channels
        kwargs = {
            "dtype": dtype, "param_dtype": param_dtype, "matmul_dtype": matmul_dtype, "rngs": rngs
        }  # fmt: skip
        self.value = linear(in_channels, out_channels, **kwargs)
        self.output = linear(out_channels, out_channels, **kwargs)

        size = self._projection_size(in_channels)
        if size:
            self.query = linear(in_channels, heads * size, **kwargs)
            self.key = linear(in_channels, heads * size, **kwargs)
        if config.content == "linear_concat_linear":
            self.content_map = linear(2 * size, size, **kwargs)
        if config.content == "relative_position":
            self.location_map = linear(pair_features, heads * size, **kwargs)
            init = fan_in_uniform(size)
            self.content_bias = nnx.Param(init(rngs.params(), (heads, size), param_dtype))
            self.location_bias = nnx.Param(init(rngs.params(), (heads, size), param_dtype))

        hidden = config.location_hidden
        if config.location == "mlp":
            self.location_mlp = PerHeadMLP(
                (pair_features, hidden, hidden, 1), heads, param_dtype=param_dtype, rngs=rngs
            )
        content_size = {"linear_concat": 2 * size, "linear_concat_linear": size}.get(
            config.content, 1
        )
        location_size = pair_features if config.location == "raw" else 1
        if config.combination == "mlp":
            self.combine_mlp = PerHeadMLP(
                (content_size + location_size, hidden, hidden, 1),
                heads,
                param_dtype=param_dtype,
                rngs=rngs,
            )
        else:
            # A vector must become one number before it can be added, multiplied or normalised.
            if config.content in ("linear_concat", "linear_concat_linear"):
                init = fan_in_uniform(content_size)
                self.content_readout = nnx.Param(
                    init(rngs.params(), (heads, content_size), param_dtype)
                )
            if config.location == "raw":
                init = fan_in_uniform(max(pair_features, 1))
                self.location_readout = nnx.Param(
                    init(rngs.params(), (heads, pair_features), param_dtype)
                )

    def _projection_size(self, in_channels: int) -> int:
        """Size per head of the projections of query and key."""
        name = self.config.content
        if name in ("dot_product", "relative_position"):
            if in_channels % self.heads:
                raise ValueError(
                    f"LieSelfAttention: in_channels must be a multiple of heads = {self.heads}, "
                    f"got {in_channels}"
                )
            return in_channels // self.heads
        if name == "linear_concat":
            return self.config.content_features // 2
        return self.config.content_features if name == "linear_concat_linear" else 0

    def scores(self, values: Float[Array, "*b m c"], pairs: PairSet) -> Float[Array, "*b h q k"]:
        """Scores before masking and normalisation."""
        queries, keys, _ = self._project(values)
        if pairs.indices is not None and keys is not None:
            keys = gather_keys(keys, pairs.indices, 2)
        dtype = self.value(values[..., :0, :]).dtype
        features = pairs.features.astype(dtype)
        weights = self._weights(dtype)
        return attention.scores(self.config, weights, queries, keys, features, self.heads)

    def __call__(
        self,
        values: Float[Array, "*b p c"],
        pairs: PairSet | LazyPairs,
        *,
        lifts: int = 1,
        implementation: Implementation = "auto",
    ) -> Float[Array, "*b m o"]:
        """New features of every lifted point.

        Args:
            values: (\\*b, p, in_channels), p = m / lifts.
            lifts: how many lifted points, one after the other, share each of these features.
            pairs: of the same m points, see `lie_jax.geometry.pair_set`; as `LazyPairs` they
                need not be in memory all at once.
            implementation: see `lie_jax.fused.lie_attention`.

        Returns:
            (\\*b, m, out_channels).

        Raises:
            ValueError: values have another number of channels.
        """
        queries, keys, v = self._project(values, lifts)
        mixed = lie_attention(
            self.config, self._weights(v.dtype), queries, keys, v, pairs,
            implementation=implementation,
        )  # fmt: skip
        return self.output(mixed.reshape((*v.shape[:-2], v.shape[-2] * v.shape[-1])))

    def _project(self, values: Array, lifts: int = 1) -> tuple[Array | None, Array | None, Array]:
        """Queries, keys and values of the lifted points, (\\*b, m, h, c) each."""
        if values.shape[-1] != self.in_channels:
            raise ValueError(
                f"LieSelfAttention: values must have shape (*b, m, {self.in_channels}), "
                f"got {values.shape}"
            )

        def split(x: Array) -> Array:
            x = x.reshape(*x.shape[:-1], self.heads, x.shape[-1] // self.heads)
            return x if lifts == 1 else jnp.repeat(x, lifts, axis=-3)

        v = split(self.value(values))
        if self.config.content == "none":
            return None, None, v
        return split(self.query(values)), split(self.key(values)), v

    def _weights(self, dtype) -> ScoreWeights:
        """The parameters of the scores as arrays of ``dtype``."""
        config = self.config

        def array(name: str) -> Array | None:
            param = getattr(self, name, None)
            return None if param is None else param[...].astype(dtype)

        def mlp(name: str):
            module = getattr(self, name, None)
            if module is None:
                return None
            kernels, biases = module.arrays(dtype)
            return tuple(kernels), tuple(biases)

        content_map = location_map = None
        if config.content == "linear_concat_linear":
            content_map = _kernel_and_bias(self.content_map, dtype)
        if config.content == "relative_position":
            kernel, bias = _kernel_and_bias(self.location_map, dtype)
            size = kernel.shape[-1] // self.heads
            location_map = (
                kernel.reshape(-1, self.heads, size),
                bias.reshape(self.heads, size),
            )
        return ScoreWeights(
            location_mlp=mlp("location_mlp"),
            combine_mlp=mlp("combine_mlp"),
            content_map=content_map,
            location_map=location_map,
            content_bias=array("content_bias"),
            location_bias=array("location_bias"),
            content_readout=array("content_readout"),
            location_readout=array("location_readout"),
        )


def _kernel_and_bias(layer: nnx.Linear, dtype) -> tuple[Array, Array]:
    assert layer.bias is not None
    return layer.kernel[...].astype(dtype), layer.bias[...].astype(dtype)
