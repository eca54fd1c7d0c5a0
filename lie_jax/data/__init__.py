"""Data: where it comes from, in which units, and how it becomes batches of static shapes."""

from lie_jax.data.batching import Batch as Batch
from lie_jax.data.batching import Batches as Batches
from lie_jax.data.batching import bucket_edges as bucket_edges
