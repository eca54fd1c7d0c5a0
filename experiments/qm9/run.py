"""One run on QM9: data, training, and the one reading of the test molecules."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import lie_jax as lj
from experiments.qm9.baselines import mean_error, ridge_error
from experiments.qm9.recipe import Recipe, build_model, build_optimizer
from lie_jax import training
from lie_jax.data import Batch, Batches, bucket_edges, qm9

AUGMENT = {
    "none": lambda _, points: points,
    "SO3": training.random_rotation,
    "SE3": training.random_rotation_translation,
}


@dataclasses.dataclass(frozen=True)
class Task:
    """The molecules of a run and what is to be predicted, in reported units."""

    recipe: Recipe
    molecules: qm9.Molecules
    rows: Mapping[str, np.ndarray]

    @classmethod
    def load(cls, recipe: Recipe) -> "Task":
        """Reads the molecules; training and validation are cut to the recipe's sizes."""
        molecules = qm9.load()
        rows = dict(qm9.split_rows(recipe.split, len(molecules)))
        rows["train"] = rows["train"][: recipe.train_size]
        rows["validation"] = rows["validation"][: recipe.validation_size]
        return cls(recipe, molecules, rows)

    @property
    def property(self) -> qm9.Property:
        return qm9.PROPERTIES[self.recipe.target]

    @functools.cached_property
    def targets(self) -> np.ndarray:
        """(n,) in reported units."""
        return self.molecules.values[self.property.field] * self.property.scale

    @functools.cached_property
    def scaling(self) -> tuple[float, float]:
        """Mean and standard deviation of the training targets."""
        train = self.targets[self.rows["train"]]
        return float(train.mean()), float(train.std())

    def arrays(self, *splits: str) -> qm9.MoleculeArrays:
        """Molecules of some splits, one after the other, on the device; standardised targets."""
        rows = np.concatenate([self.rows[split] for split in splits])
        mean, std = self.scaling
        return qm9.to_device(self.molecules.take(rows), (self.targets[rows] - mean) / std)

    @functools.cached_property
    def edges(self) -> tuple[int, ...]:
        """Padded sizes; the last holds the largest molecule of all."""
        sizes = self.molecules.num_atoms[self.rows["train"]]
        inner = bucket_edges(sizes, self.recipe.buckets)[:-1]
        return (*inner, int(self.molecules.num_atoms.max()))

    def batches(self, split: str, *, start: int = 0, shuffle: bool = False) -> Batches:
        """Batches of a split whose molecules begin at row ``start`` of the device arrays."""
        sizes = self.molecules.num_atoms[self.rows[split]]
        return Batches(
            sizes,
            self.recipe.batch_size,
            self.edges,
            seed=self.recipe.seed if shuffle else None,
            rows=start + np.arange(len(sizes)),
        )


class Run:
    """A task, its model and its state, ready to train, in a run folder."""

    def __init__(self, task: Task, folder: training.RunFolder):
        recipe = task.recipe
        self.task, self.folder = task, folder
        model = build_model(recipe)
        self._apply, params, model_state = lj.functional_with_state(model)
        self.batches = task.batches("train", shuffle=True)
        steps = recipe.epochs * len(self.batches)
        optimizer = build_optimizer(recipe, steps)
        self.state = training.create_state(
            params, optimizer, model_state=model_state, ema=recipe.ema_decay > 0
        )
        self.key = jax.random.key(recipe.seed)
        self.step = training.make_train_step(self._loss, optimizer, ema_decay=recipe.ema_decay)
        self.parameters = sum(x.size for x in jax.tree.leaves(params))

    def _loss(self, params, model_state, data, batch: Batch, key):
        points, targets = qm9.gather(data, batch)
        motion_key, lift_key = jax.random.split(key)
        points = AUGMENT[self.task.recipe.augment](motion_key, points)
        y, model_state = self._apply(params, model_state, points, key=lift_key, train=True)
        errors = training.absolute_error(y, targets)
        return training.masked_mean_loss(errors, jnp.asarray(batch.mask)), model_state

    def predict_batch(self, variables, data, batch: Batch):
        """Standardised predictions of a batch; variables are (params, model_state, key)."""
        params, model_state, key = variables
        points, _ = qm9.gather(data, batch)
        return self._apply(params, model_state, points, key=key)[0]

    def predict(self, state: training.TrainState, data, batches: Batches) -> Any:
        """Rows and predictions in reported units."""
        variables = (state.averaged, state.model_state, self.key)
        rows, y = training.predict(self.predict_batch, variables, data, batches.epoch())
        mean, std = self.task.scaling
        return rows, y[:, 0].astype(np.float64) * std + mean

    def train(self, *, checkpoint_every: int = 500, stop_after: int | None = None) -> None:
        """Trains from the last checkpoint, or from the start, to the end."""
        task, recipe = self.task, self.task.recipe
        checkpoints = training.Checkpoints(self.folder.checkpoints)
        if checkpoints.steps:
            self.state = checkpoints.restore(self.state)
        data = task.arrays("train", "validation")
        offset = len(task.rows["train"])
        validation = task.batches("validation", start=offset)
        wanted = task.targets[task.rows["validation"]]

        def evaluate(state):
            rows, y = self.predict(state, data, validation)
            error = training.mean_absolute_error(y, wanted[rows - offset])
            return {"validation_mae": float(error)}

        unit = task.property.unit
        columns = {"loss": "loss {:.3f}", "validation_mae": f"validation {{:.4g}} {unit}"}
        with training.rich_progress(f"{recipe.target} on {recipe.group}", columns) as progress:
            self.state = training.fit(
                self.state,
                step=self.step,
                data=data,
                batches=self.batches,
                epochs=recipe.epochs,
                key=self.key,
                evaluate=evaluate,
                evaluate_every=recipe.evaluate_every,
                log=self.folder.log,
                checkpoints=checkpoints,
                checkpoint_every=checkpoint_every,
                progress=progress,
                stop_after=stop_after,
            )
        checkpoints.close()

    def test(self) -> dict[str, Any]:
        """Errors on the test molecules, which nothing else reads; written to test.json."""
        task = self.task
        rows, y = self.predict(self.state, task.arrays("test"), task.batches("test"))
        wanted = task.targets[task.rows["test"]]
        order = np.argsort(rows)
        train_rows = qm9.split_rows(task.recipe.split, len(task.molecules))["train"]
        train, counts = task.targets[train_rows], qm9.atom_counts(task.molecules)
        result = {
            "target": task.recipe.target,
            "unit": task.property.unit,
            "test_molecules": len(wanted),
            "mae": float(training.mean_absolute_error(y[order], wanted)),
            "mean_mae": mean_error(train, wanted),
            "ridge_mae": ridge_error(counts[train_rows], train, counts[task.rows["test"]], wanted),
            "parameters": self.parameters,
            "step": int(self.state.step),
        }
        np.savez(self.folder.path / "test_predictions.npz", prediction=y[order], target=wanted)
        self.folder.write("test", result)
        return result
