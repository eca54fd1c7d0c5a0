"""Flax NNX modules: parameters around the pure functions of the layers above."""

from lie_jax.attention import AttentionConfig as AttentionConfig
from lie_jax.nn.attention import LieSelfAttention as LieSelfAttention
from lie_jax.nn.block import Block as Block
from lie_jax.nn.lie_conv import LieConvBlock as LieConvBlock
from lie_jax.nn.lie_conv import LieConvLayer as LieConvLayer
from lie_jax.nn.norm import MaskedBatchNorm as MaskedBatchNorm
from lie_jax.nn.set_attention import AttentionPooling as AttentionPooling
from lie_jax.nn.set_attention import InducedSetAttention as InducedSetAttention
from lie_jax.nn.set_attention import SetCrossAttention as SetCrossAttention
from lie_jax.nn.set_attention import SetSelfAttention as SetSelfAttention
