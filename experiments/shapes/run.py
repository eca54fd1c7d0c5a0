"""One run on constellations: data, training, and the one reading of the test clouds."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

import lie_jax as lj
from experiments.optimizer import adam
from experiments.shapes.models import CLASSES, POINTS, REPEATS, build, parameters
from experiments.shapes.recipe import MOTIONS, Recipe
from lie_jax import training
from lie_jax.data import Batch, Batches, bucket_edges
from lie_jax.data.constellations import (
    PATTERNS,
    Constellations,
    SplitName,
    constellations,
    point_set,
)
from lie_jax.typing import Array, PRNGKey

SHIFT = 1.0
"""Of translations of clouds, of the data and of augmentation."""
AUGMENT: dict[str, Callable[[PRNGKey, lj.PointSet], lj.PointSet]] = {
    "none": lambda _, points: points,
    "T2": functools.partial(training.random_translation, scale=SHIFT),
    "SE2": functools.partial(training.random_rotation_translation, scale=SHIFT),
}
_TEST_BATCH = 100


def load(recipe: Recipe, split: SplitName, data: str, count: int) -> Constellations:
    """Clouds of a split; each seed of a run has its own training clouds."""
    seed = recipe.seed if split == "train" else 0
    return constellations(count, split, seed, motion=MOTIONS[data], repeats=REPEATS, shift=SHIFT)


class Examples(NamedTuple):
    """Clouds on the device: coords (n, p, 2), mask (n, p), counts (n, patterns)."""

    coords: Array
    mask: Array
    counts: Array

    @classmethod
    def of(cls, clouds: Constellations) -> "Examples":
        """On the device."""
        return cls(*map(jnp.asarray, (clouds.coords, clouds.mask, clouds.counts)))


class Run:
    """A model and its state, ready to train, in a run folder."""

    def __init__(self, recipe: Recipe, folder: training.RunFolder):
        self.recipe, self.folder = recipe, folder
        self._apply, params = lj.functional(build(recipe))
        self.clouds = load(recipe, "train", recipe.data, recipe.train_size)
        sizes = self.clouds.sizes
        self._edges = (*bucket_edges(sizes, recipe.buckets)[:-1], POINTS)
        self.batches = Batches(sizes, recipe.batch_size, self._edges, seed=recipe.seed)
        steps = recipe.epochs * len(self.batches)
        warmup = min(recipe.warmup, steps // 5)
        optimizer = adam(recipe.learning_rate, steps, warmup=warmup, clip=recipe.clip)
        self.state = training.create_state(params, optimizer, ema=recipe.ema_decay > 0)
        self.key = jax.random.key(recipe.seed)
        self.step = training.make_train_step(self._loss, optimizer, ema_decay=recipe.ema_decay)
        self.parameters = parameters(params)

    def _seen(self, clouds: lj.PointSet) -> lj.PointSet:
        """Coordinates and features that the network gets."""
        return point_set(
            self.recipe.zoom * clouds.coords, clouds.mask, self.recipe.features, count=POINTS - 1
        )

    def logits(self, params, clouds: lj.PointSet, key) -> Array:
        """Of clouds whose coordinates are in the data's units; (b, patterns, classes)."""
        y = self._apply(params, self._seen(clouds), key=key)
        return y.reshape(*y.shape[:-1], len(PATTERNS), CLASSES)

    def _loss(self, params, model_state, data: Examples, batch: Batch, key):
        motion_key, lift_key = jax.random.split(key)
        clouds, counts = _gather(data, batch)
        clouds = AUGMENT[self.recipe.augment](motion_key, clouds)
        logits = self.logits(params, clouds, lift_key)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, counts)
        return training.masked_mean_loss(losses, jnp.asarray(batch.mask)), model_state

    @functools.cached_property
    def _predict_batch(self) -> Any:
        # One function for all calls: `lie_jax.training.predict` compiles once for each.
        def apply(variables, data: Examples, batch: Batch) -> Array:
            params, key = variables
            logits = self.logits(params, _gather(data, batch)[0], key)
            return logits.reshape(len(logits), -1)

        return apply

    def predict(self, params, clouds: Constellations) -> np.ndarray:
        """Counts that are found most likely, (n, patterns)."""
        batches = Batches(clouds.sizes, _TEST_BATCH, self._edges).epoch()
        rows, logits = training.predict(
            self._predict_batch, (params, self.key), Examples.of(clouds), batches
        )
        logits = logits[np.argsort(rows)].reshape(len(clouds), len(PATTERNS), CLASSES)
        return logits.argmax(axis=-1)

    def accuracy(self, params, clouds: Constellations) -> np.ndarray:
        """Share of the clouds in which a pattern is counted rightly, (patterns,)."""
        return (self.predict(params, clouds) == clouds.counts).mean(axis=0)

    def restore(self) -> training.Checkpoints:
        """Takes the state of the last checkpoint, if there is one."""
        checkpoints = training.Checkpoints(self.folder.checkpoints)
        if checkpoints.steps:
            self.state = checkpoints.restore(self.state)
        return checkpoints

    def network(self) -> nnx.Module:
        """The network with the weights that are tested."""
        model = build(self.recipe)
        state = nnx.state(model, nnx.Param)
        nnx.replace_by_pure_dict(state, self.state.averaged)
        nnx.update(model, state)
        return model

    def points(self, clouds: Constellations, row: int) -> lj.PointSet:
        """One cloud as the network sees it, cut to the points that are there, (n)."""
        n = int(clouds.sizes[row])
        coords, mask = jnp.asarray(clouds.coords[row, :n]), jnp.asarray(clouds.mask[row, :n])
        return self._seen(lj.PointSet(coords, coords, mask))

    def train(self, *, stop_after: int | None = None) -> None:
        """Trains from the last checkpoint, or from the start, to the end."""
        recipe = self.recipe
        checkpoints = self.restore()
        held = load(recipe, "validation", recipe.data, recipe.validation_size)

        def evaluate(state):
            return {"validation_accuracy": float(self.accuracy(state.averaged, held).mean())}

        columns = {"loss": "loss {:.3f}", "validation_accuracy": "validation {:.3f}"}
        title = f"{recipe.model} on {recipe.data}, {recipe.features}"
        with training.rich_progress(title, columns) as progress:
            self.state = training.fit(
                self.state,
                step=self.step,
                data=Examples.of(self.clouds),
                batches=self.batches,
                epochs=recipe.epochs,
                key=self.key,
                evaluate=evaluate,
                evaluate_every=recipe.evaluate_every,
                log=self.folder.log,
                checkpoints=checkpoints,
                progress=progress,
                stop_after=stop_after,
            )
        checkpoints.close()

    def test(self) -> dict[str, Any]:
        """Accuracies on the test clouds, which nothing else reads; test.json."""
        recipe, params = self.recipe, self.state.averaged
        found = {
            data: self.accuracy(params, load(recipe, "test", data, recipe.test_size))
            for data in MOTIONS
        }
        test = load(recipe, "test", "D", recipe.test_size).counts
        commonest = np.array([np.bincount(counts).argmax() for counts in self.clouds.counts.T])
        result: dict[str, Any] = {
            "model": recipe.model,
            "features": recipe.features,
            "parameters": self.parameters,
            "data": recipe.data,
            "test_clouds": recipe.test_size,
            "accuracy": {data: float(x.mean()) for data, x in found.items()},
            "accuracy_of_pattern": {
                data: dict(zip(PATTERNS, x.tolist(), strict=True)) for data, x in found.items()
            },
            "accuracy_of_commonest": float((test == commonest).mean()),
            "step": int(self.state.step),
        }
        self.folder.write("test", result)
        return result


def _gather(data: Examples, batch: Batch) -> tuple[lj.PointSet, Array]:
    """Clouds of a batch, cut to its size, without features, and counts; under jit."""
    coords, mask, counts = (x[batch.indices] for x in (data.coords, data.mask, data.counts))
    coords, mask = coords[:, : batch.size], mask[:, : batch.size]
    return point_set(coords, mask, "constant"), counts
