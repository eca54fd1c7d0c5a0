"""Models, each with its config."""

from lie_jax.models.functional import functional as functional
from lie_jax.models.functional import functional_with_state as functional_with_state
from lie_jax.models.graph_network import GraphNetwork as GraphNetwork
from lie_jax.models.graph_network import GraphNetworkConfig as GraphNetworkConfig
from lie_jax.models.lie_conv import LieConv as LieConv
from lie_jax.models.lie_conv import LieConvConfig as LieConvConfig
from lie_jax.models.lie_transformer import LieTransformer as LieTransformer
from lie_jax.models.lie_transformer import LieTransformerConfig as LieTransformerConfig
from lie_jax.models.mlp import MLP as MLP
from lie_jax.models.mlp import MLPConfig as MLPConfig
from lie_jax.models.neighbours import NeighbourConfig as NeighbourConfig
from lie_jax.models.set_transformer import SetTransformer as SetTransformer
from lie_jax.models.set_transformer import SetTransformerConfig as SetTransformerConfig
