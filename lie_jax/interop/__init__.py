"""Weights of other implementations."""

from lie_jax.interop.torch_lie_conv import load_torch_lieconv as load_torch_lieconv
from lie_jax.interop.torch_lie_conv import load_torch_lieconv_layer as load_torch_lieconv_layer
from lie_jax.interop.torch_reference import load_torch_attention as load_torch_attention
from lie_jax.interop.torch_reference import load_torch_reference as load_torch_reference
from lie_jax.interop.torch_set_transformer import (
    load_torch_set_transformer as load_torch_set_transformer,
)
