"""Attention that never has all pairs in memory, behind one function."""

from lie_jax.fused.api import Implementation as Implementation
from lie_jax.fused.api import choose as choose
from lie_jax.fused.api import lie_attention as lie_attention
from lie_jax.fused.tiled import Tiling as Tiling
