"""One of the networks that a comparison trains: a symmetry, and how it is brought in."""

import dataclasses
from collections.abc import Callable

from flax import nnx

import lie_jax as lj
from lie_jax.geometry import EmbeddingName, LiftMethod, PairEmbedding
from lie_jax.typing import PRNGKey

Motion = Callable[[PRNGKey, lj.PointSet], lj.PointSet]
"""A random motion of each cloud, (key, points) -> points."""


def unmoved(key: PRNGKey, points: lj.PointSet) -> lj.PointSet:
    """The points as they are."""
    del key
    return points


@dataclasses.dataclass(frozen=True)
class Variant:
    """A symmetry, by the group of the network or by augmentation.

    Args:
        name: in tables, pictures and on the command line.
        group: of the network.
        lift_method, lift_samples, pair_embedding: see `lie_jax.LieTransformerConfig`.
        train_frames: how many frames of a cloud each training step draws, see
            `lie_jax.geometry.lift`; None takes all, as tests do.
        augment: of the training clouds, drawn anew at every step.
    """

    name: str
    group: lj.groups.Group
    lift_method: LiftMethod = "random"
    lift_samples: int | None = None
    pair_embedding: EmbeddingName | PairEmbedding = "log"
    train_frames: int | None = None
    augment: Motion = unmoved

    def build(self, config: lj.LieTransformerConfig, seed: int) -> lj.LieTransformer:
        """The network to train, whose sizes and other options are those of ``config``."""
        return self._build(config, seed, self.train_frames)

    def build_for_test(self, config: lj.LieTransformerConfig, seed: int) -> lj.LieTransformer:
        """The network to test, with the same parameters and all frames."""
        return self._build(config, seed, None)

    def _build(self, config, seed, frames) -> lj.LieTransformer:
        config = dataclasses.replace(
            config,
            lift_method=self.lift_method,
            lift_samples=self.lift_samples,
            lift_frames=frames,
            pair_embedding=self.pair_embedding,
        )
        return lj.LieTransformer(config, group=self.group, rngs=nnx.Rngs(seed))
