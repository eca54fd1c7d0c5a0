"""Attention between lifted points, as pure functions of arrays."""

from lie_jax.attention.combine import combine_mlp as combine_mlp
from lie_jax.attention.config import AttentionConfig as AttentionConfig
from lie_jax.attention.content import dot_product as dot_product
from lie_jax.attention.content import linear_concat as linear_concat
from lie_jax.attention.content import relative_position as relative_position
from lie_jax.attention.functional import aggregate as aggregate
from lie_jax.attention.functional import reference_attention as reference_attention
from lie_jax.attention.location import location_mlp as location_mlp
from lie_jax.attention.normalise import Normalisation as Normalisation
from lie_jax.attention.normalise import normalise as normalise
from lie_jax.attention.scores import ScoreWeights as ScoreWeights
from lie_jax.attention.scores import scores as scores
