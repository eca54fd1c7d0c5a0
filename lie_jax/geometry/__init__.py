"""Geometry of lifted points: lifting, pairs, distance, neighbourhoods."""

from lie_jax.geometry.distance import pair_distance as pair_distance
from lie_jax.geometry.frames import FrameRule as FrameRule
from lie_jax.geometry.frames import Frames as Frames
from lie_jax.geometry.frames import cloud_frames as cloud_frames
from lie_jax.geometry.frames import register_frames as register_frames
from lie_jax.geometry.lift import LiftMethod as LiftMethod
from lie_jax.geometry.lift import lift as lift
from lie_jax.geometry.lift import lift_in_frames as lift_in_frames
from lie_jax.geometry.neighbours import ball as ball
from lie_jax.geometry.neighbours import nearest as nearest
from lie_jax.geometry.neighbours import random_subset as random_subset
from lie_jax.geometry.pairs import EmbeddingName as EmbeddingName
from lie_jax.geometry.pairs import LazyPairs as LazyPairs
from lie_jax.geometry.pairs import Neighbourhood as Neighbourhood
from lie_jax.geometry.pairs import PairEmbedding as PairEmbedding
from lie_jax.geometry.pairs import PairSet as PairSet
from lie_jax.geometry.pairs import feature_dim as feature_dim
from lie_jax.geometry.pairs import lazy_pairs as lazy_pairs
from lie_jax.geometry.pairs import location_features as location_features
from lie_jax.geometry.pairs import pair_elements as pair_elements
from lie_jax.geometry.pairs import pair_set as pair_set
from lie_jax.geometry.search import search_ball as search_ball
from lie_jax.geometry.search import search_nearest as search_nearest
from lie_jax.geometry.vectors import linear_part as linear_part
from lie_jax.geometry.vectors import to_space as to_space
