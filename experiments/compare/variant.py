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
        test_lift_method: where the trained network lifts by another one; parameters do not know
            by which lifts they were found.
        augment: of the training clouds, drawn anew at every step.
    """

    name: str
    group: lj.groups.Group
    lift_method: LiftMethod = "random"
    lift_samples: int | None = None
    pair_embedding: EmbeddingName | PairEmbedding = "log"
    test_lift_method: LiftMethod | None = None
    augment: Motion = unmoved

    def build(self, config: lj.LieTransformerConfig, seed: int) -> lj.LieTransformer:
        """The network to train, whose sizes and other options are those of ``config``."""
        return self._build(config, seed, self.lift_method, self.lift_samples)

    def build_for_test(self, config: lj.LieTransformerConfig, seed: int) -> lj.LieTransformer:
        """The network to test: with the same parameters, but with its own lifts if it has any."""
        if self.test_lift_method is None:
            return self.build(config, seed)
        return self._build(config, seed, self.test_lift_method, None)

    def _build(self, config, seed, method, samples) -> lj.LieTransformer:
        config = dataclasses.replace(
            config,
            lift_method=method,
            lift_samples=samples,
            pair_embedding=self.pair_embedding,
        )
        return lj.LieTransformer(config, group=self.group, rngs=nnx.Rngs(seed))
