"""A transformer block: attention, then an MLP, each with a residual and a norm."""

from typing import Any, Literal

import jax.numpy as jnp
from flax import nnx

from lie_jax.attention import AttentionConfig
from lie_jax.fused import Implementation
from lie_jax.geometry.pairs import LazyPairs, PairSet
from lie_jax.nn.attention import LieSelfAttention
from lie_jax.nn.layers import BlockMLP
from lie_jax.nn.norm import MaskedBatchNorm
from lie_jax.typing import Array, Bool, Float

BlockNorm = Literal["layer_pre", "layer_post", "batch_pre", "batch_post", "none"]


class Block(nnx.Module):
    """x + attention(norm x), then x + mlp(norm x); ``*_post`` norms what is added instead.

    Args:
        width: features of a point.
        heads: h.
        pair_features: f.
        block_norm: which norm, and before or after attention and MLP.
        config: see `AttentionConfig`.
        dtype, param_dtype, matmul_dtype, rngs: as in `LieSelfAttention`.
    """

    def __init__(
        self,
        width: int,
        *,
        heads: int,
        pair_features: int,
        block_norm: BlockNorm,
        config: AttentionConfig,
        dtype=None,
        param_dtype=jnp.float32,
        matmul_dtype=None,
        rngs: nnx.Rngs,
    ):
        norm: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        kwargs: dict[str, Any] = norm | {"matmul_dtype": matmul_dtype}
        self.attention = LieSelfAttention(
            width, width, heads=heads, pair_features=pair_features, config=config, **kwargs
        )
        self.mlp = BlockMLP(width, config.activation, **kwargs)
        self.block_norm = block_norm
        if block_norm.startswith("layer"):
            self.attention_norm = nnx.LayerNorm(width, epsilon=1e-5, **norm)
            self.mlp_norm = nnx.LayerNorm(width, epsilon=1e-5, **norm)
        elif block_norm.startswith("batch"):
            self.attention_norm = MaskedBatchNorm(width, param_dtype=param_dtype)
            self.mlp_norm = MaskedBatchNorm(width, param_dtype=param_dtype)

    def __call__(
        self,
        values: Float[Array, "*b p c"],
        pairs: PairSet | LazyPairs,
        mask: Bool[Array, "*b m"],
        *,
        lifts: int = 1,
        train: bool = False,
        implementation: Implementation = "auto",
    ) -> Float[Array, "*b m c"]:
        """New features of m lifted points.

        Args:
            values: features of p = m / lifts points.
            pairs, mask: of the lifted points.
            lifts: how many lifted points, one after the other, share each of these features: what
                can be is computed once for all of them. Results are those of features repeated.
            train: only matters to batch norm.
            implementation: only matters to speed.
        """
        if lifts > 1 and self.block_norm.startswith("batch"):  # its mask is of lifted points
            values, lifts = jnp.repeat(values, lifts, axis=-2), 1

        def norm(layer, x, when):
            if not self.block_norm.endswith(when):
                return x
            if isinstance(layer, MaskedBatchNorm):
                return layer(x, mask, train=train)
            return layer(x)

        attention_norm = getattr(self, "attention_norm", None)
        mlp_norm = getattr(self, "mlp_norm", None)
        update = self.attention(
            norm(attention_norm, values, "pre"),
            pairs,
            lifts=lifts,
            implementation=implementation,
        )
        if lifts > 1:
            values = jnp.repeat(values, lifts, axis=-2)
        values = values + norm(attention_norm, update, "post")
        update = self.mlp(norm(mlp_norm, values, "pre"))
        return values + norm(mlp_norm, update, "post")
