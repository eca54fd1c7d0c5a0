"""Trains one variant, and predicts with it."""

import dataclasses
import functools
import itertools
import time
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import lie_jax as lj
from experiments.compare.comparison import Examples, Task
from experiments.compare.settings import Settings
from experiments.compare.variant import Variant
from lie_jax import training
from lie_jax.data import Batch, Batches, bucket_edges
from lie_jax.typing import PRNGKey, unchecked


@dataclasses.dataclass(frozen=True)
class Steps:
    """So many batches as one epoch of `lie_jax.training.fit`, whatever the number of examples."""

    batches: Batches
    count: int

    def __len__(self) -> int:
        return self.count

    def epoch(self, number: int) -> Iterator[Batch]:
        del number  # there is one
        epochs = map(self.batches.epoch, itertools.count())
        return itertools.islice(itertools.chain.from_iterable(epochs), self.count)


def gather(examples: Examples, batch: Batch) -> Examples:
    """The examples of a batch, cut to its padded size; runs on the device, under jit."""
    points = jax.tree.map(lambda x: x[batch.indices, : batch.size], examples.points)
    return Examples(points, examples.targets[batch.indices])


@jax.tree_util.register_dataclass
@unchecked
@dataclasses.dataclass(frozen=True)
class CloudBatch(Batch):
    """A batch that holds its clouds, so that a program does not depend on how many others exist.

    Args:
        points: (b, size).
    """

    points: lj.PointSet = dataclasses.field(kw_only=True)


def sizes(points: lj.PointSet) -> np.ndarray:
    """(n,): number of points of each cloud, whose real points must come first.

    Raises:
        ValueError: an absent point stands before a real one.
    """
    mask = np.asarray(points.mask)
    if (mask[:, 1:] & ~mask[:, :-1]).any():
        raise ValueError("compare.sizes: the real points of a cloud must come first")
    return mask.sum(1)


class Network:
    """The network of a variant and its parameters.

    Args:
        variant: the symmetry.
        task: the data.
        settings: sizes.
    """

    def __init__(self, variant: Variant, task: Task, settings: Settings):
        self.variant, self.task, self.settings = variant, task, settings
        self._apply, self._params = lj.functional(variant.build(task.config, settings.seed))
        self._test, _ = lj.functional(variant.build_for_test(task.config, settings.seed))
        self._edges = bucket_edges(sizes(task.train.points), settings.buckets)[:-1]
        self._edges += (task.train.points.mask.shape[1],)

    @property
    def parameters(self) -> int:
        """Number of trained parameters."""
        return sum(x.size for x in jax.tree.leaves(self._params))

    def train(self, log: training.MetricsLog, progress: training.Progress) -> None:
        """Trains for the given number of steps."""
        settings, data = self.settings, self.task.train
        warmup = settings.steps // 20
        rate = optax.warmup_cosine_decay_schedule(
            0.0, settings.learning_rate, warmup_steps=warmup, decay_steps=max(settings.steps, 2)
        )
        optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate))
        step = training.make_train_step(self._loss, optimizer, ema_decay=settings.ema_decay)
        batches = Batches(sizes(data.points), settings.batch_size, self._edges, seed=settings.seed)
        state = training.fit(
            training.create_state(self._params, optimizer),
            step=step,
            data=data,
            batches=Steps(batches, settings.steps),
            epochs=1,
            key=jax.random.key(settings.seed),
            log=log,
            log_every=min(50, settings.steps),
            progress=progress,
        )
        self._params = state.averaged

    def predict(self, points: lj.PointSet, key: PRNGKey | None = None) -> np.ndarray:
        """Outputs (n, o); the key draws the lifts where any are drawn, that of the seed if None."""
        key = jax.random.key(self.settings.seed) if key is None else key
        points = jax.tree.map(np.asarray, points)
        batches = Batches(sizes(points), self.settings.batch_size, self._edges).epoch()
        rows, outputs = training.predict(
            self._predict_batch, (self._params, key), None, (_cut(points, b) for b in batches)
        )
        return outputs[np.argsort(rows)]

    def milliseconds_per_cloud(self, points: lj.PointSet) -> float:
        """Time of a prediction, compilation aside: the better of two."""
        self.predict(points)
        seconds = []
        for _ in range(2):
            start = time.perf_counter()
            self.predict(points)
            seconds.append(time.perf_counter() - start)
        return 1e3 * min(seconds) / len(points.mask)

    def _loss(self, params, model_state, data: Examples, batch: Batch, key):
        examples = gather(data, batch)
        motion_key, lift_key = jax.random.split(key)
        points = self.variant.augment(motion_key, examples.points)
        losses = self.task.loss(self._apply(params, points, key=lift_key), examples.targets)
        loss = training.masked_mean_loss(losses[:, None], jnp.asarray(batch.mask))
        return loss, model_state

    @functools.cached_property
    def _predict_batch(self) -> Any:
        # One function for all calls: `lie_jax.training.predict` compiles once for each.
        def apply(variables, data: None, batch: CloudBatch):
            del data
            params, key = variables
            return self._test(params, batch.points, key=key)

        return apply


def _cut(points: lj.PointSet, batch: Batch) -> CloudBatch:
    own = jax.tree.map(lambda x: x[batch.indices, : batch.size], points)
    return CloudBatch(batch.indices, batch.mask, batch.size, points=own)
