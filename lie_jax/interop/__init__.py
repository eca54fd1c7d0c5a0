"""Weights of other implementations."""

from lie_jax.interop.torch_reference import load_torch_attention as load_torch_attention
from lie_jax.interop.torch_reference import load_torch_reference as load_torch_reference
