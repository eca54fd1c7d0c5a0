"""One run on QM9: data, training, and the one reading of the test molecules."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import lie_jax as lj
from experiments.qm9.baselines import mean_error, ridge, ridge_error
from experiments.qm9.models import (
    build_model,
    build_optimizer,
    is_pooled_inside,
    poolings,
)
from experiments.qm9.recipe import Recipe
from lie_jax import masking, training
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
    def properties(self) -> tuple[qm9.Property, ...]:
        return tuple(qm9.PROPERTIES[name] for name in self.recipe.targets)

    @functools.cached_property
    def targets(self) -> np.ndarray:
        """(n, t) in reported units."""
        columns = [self.molecules.values[p.field] * p.scale for p in self.properties]
        return np.stack(columns, axis=1)

    @functools.cached_property
    def references(self) -> np.ndarray:
        """(5, t), what an atom of each element adds to a property; zeros without references."""
        train = self.rows["train"]
        if not self.recipe.atom_references:
            return np.zeros((len(qm9.CHARGES), len(self.properties)))
        return ridge(self.counts[train], self.targets[train])[0]

    @functools.cached_property
    def counts(self) -> np.ndarray:
        """(n, 5), atoms of each element."""
        return qm9.atom_counts(self.molecules)

    @functools.cached_property
    def scaling(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of the training targets less their references, (t,)."""
        train = self.rows["train"]
        rest = self.targets[train] - self.counts[train] @ self.references
        return rest.mean(0), rest.std(0)

    def standardised(self, rows: np.ndarray) -> np.ndarray:
        """What the network shall give for some molecules, (n, t)."""
        mean, std = self.scaling
        return (self.targets[rows] - self.counts[rows] @ self.references - mean) / std

    def reported(self, y: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """The network's outputs (n, t) in reported units."""
        mean, std = self.scaling
        return y.astype(np.float64) * std + mean + self.counts[rows] @ self.references

    def arrays(self, *splits: str) -> qm9.MoleculeArrays:
        """Molecules of some splits, one after the other, on the device; standardised targets."""
        rows = np.concatenate([self.rows[split] for split in splits])
        return qm9.to_device(self.molecules.take(rows), self.standardised(rows))

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
        self.model = build_model(recipe)
        self._apply, params, model_state = lj.functional_with_state(self.model)
        self._apply_in_training = self._apply
        if recipe.train_frames is not None:
            trained = build_model(recipe, lift_frames=recipe.train_frames)
            self._apply_in_training, *_ = lj.functional_with_state(trained)
        self.batches = task.batches("train", shuffle=True)
        steps = recipe.epochs * len(self.batches)
        optimizer = build_optimizer(recipe, steps)
        self.state = training.create_state(
            params, optimizer, model_state=model_state, ema=recipe.ema_decay > 0
        )
        self.key = jax.random.key(recipe.seed)
        # Whole stretches of an epoch are one call, without work of the host in between.
        self.step = training.make_train_scan(self.loss, optimizer, ema_decay=recipe.ema_decay)
        self.parameters = sum(x.size for x in jax.tree.leaves(params))

    def _outputs(self, y, points: lj.PointSet):
        """Targets (b, t), and the noise of every atom (b, n, 3) or None."""
        recipe = self.task.recipe
        if is_pooled_inside(recipe):
            return y, None
        t = len(recipe.targets)
        real = points.mask[..., None]
        mean = masking.masked_mean(y[..., :t], real, axis=1)
        size = jnp.sum(points.mask, axis=1, dtype=y.dtype)[:, None]
        is_sum = jnp.asarray([pooling == "sum" for pooling in poolings(recipe)])
        return mean * jnp.where(is_sum, size, 1), y[..., t:] if recipe.noise else None

    def loss(self, params, model_state, data, batch: Batch, key):
        """That of a batch, and the batch statistics, see `lie_jax.training.make_train_step`."""
        recipe = self.task.recipe
        points, targets = qm9.gather(data, batch)
        motion_key, lift_key = jax.random.split(key)
        points = AUGMENT[recipe.augment](motion_key, points)
        shift = None
        if recipe.noise:
            noise_key = jax.random.fold_in(motion_key, 1)
            shift = jax.random.normal(noise_key, points.coords.shape, points.coords.dtype)
            points = dataclasses.replace(points, coords=points.coords + recipe.noise * shift)
        y, model_state = self._apply_in_training(
            params, model_state, points, key=lift_key, train=True
        )
        y, told = self._outputs(y, points)
        present = jnp.asarray(batch.mask)
        loss = training.masked_mean_loss(training.absolute_error(y, targets), present)
        if shift is not None:
            assert told is not None
            # A shift of the whole molecule is not to be seen: it is taken out.
            shift -= masking.masked_mean(shift, points.mask[..., None], axis=1)[:, None]
            real = (points.mask & present[:, None])[..., None]
            squares = jnp.sum(jnp.where(real, jnp.square(told - shift), 0))
            loss += recipe.noise_weight * squares / jnp.sum(real)
        return loss, model_state

    def weights(self, state: training.TrainState) -> Any:
        """The parameters to evaluate with."""
        if self.task.recipe.optimizer == "schedule_free" and not self.task.recipe.ema_decay:
            return optax.contrib.schedule_free_eval_params(state.opt_state[-1], state.params)
        return state.averaged

    def predict_batch(self, variables, data, batch: Batch, key):
        """Standardised predictions of a batch; variables are (params, model_state)."""
        params, model_state = variables
        points, _ = qm9.gather(data, batch)
        if self.task.recipe.test_samples > 1:
            points = training.random_rotation(jax.random.fold_in(key, 1), points)
        return self._outputs(self._apply(params, model_state, points, key=key)[0], points)[0]

    def predict(self, state: training.TrainState, data, batches: Batches, samples: int = 1) -> Any:
        """Rows of the data, outputs (n, t), and their spread over rotations and lifts."""
        variables = (self.weights(state), state.model_state)
        keys = [jax.random.fold_in(self.key, i) for i in range(1, samples)]
        return training.average_predictions(
            self.predict_batch, variables, data, batches.epoch(), [self.key, *keys]
        )

    def predict_split(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """Predictions in reported units (n, t) and their spread, in the order of the split.

        With one sample nothing is turned, and the spread is 0.
        """
        task, rows = self.task, self.task.rows[split]
        found, y, spread = self.predict(
            self.state, task.arrays(split), task.batches(split), task.recipe.test_samples
        )
        order = np.argsort(found)
        return task.reported(y[order], rows), spread[order] * task.scaling[1]

    def restore(self) -> training.Checkpoints:
        """Takes the state of the last checkpoint, if there is one."""
        checkpoints = training.Checkpoints(self.folder.checkpoints)
        if checkpoints.steps:
            self.state = checkpoints.restore(self.state)
        return checkpoints

    def train(
        self,
        *,
        checkpoint_every: int | None = 500,
        stop_after: int | None = None,
        deadline: float | None = None,
    ) -> bool:
        """Trains from the last checkpoint, or from the start; gives whether the end is reached.

        Args:
            checkpoint_every: steps; on an accelerator only ends of epochs count.
            stop_after, deadline: see `lie_jax.training.fit`.
        """
        task, recipe = self.task, self.task.recipe
        checkpoints = self.restore()
        data = task.arrays("train", "validation")
        offset = len(task.rows["train"])
        validation = task.batches("validation", start=offset)
        targets, scale = np.asarray(data.targets), task.scaling[1]

        def evaluate(state):
            rows, y, _ = self.predict(state, data, validation)
            errors = np.asarray(training.mean_absolute_error(y, targets[rows])) * scale
            if len(errors) == 1:
                return {"validation_mae": float(errors[0])}
            # Several units: the mean in standard deviations, then each in its own.
            each = {
                f"validation_{t}": float(e) for t, e in zip(recipe.targets, errors, strict=True)
            }
            return {"validation_mae": float(np.mean(errors / scale)), **each}

        log_every = 50
        if jax.default_backend() != "cpu":
            # An epoch takes seconds there: within one, nothing is asked of the host.
            log_every, checkpoint_every = len(self.batches), None
        unit = task.properties[0].unit if len(recipe.targets) == 1 else "of the deviation"
        columns = {
            "loss": "loss {:.3f}",
            "validation_mae": f"validation {{:.4g}} {unit}",
            "examples_per_second": "{:,.0f} molecules/s",
        }
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
                log_every=log_every,
                checkpoints=checkpoints,
                checkpoint_every=checkpoint_every,
                progress=progress,
                stop_after=stop_after,
                deadline=deadline,
            )
        checkpoints.close()
        return int(self.state.step) == recipe.epochs * len(self.batches)

    def test(self) -> dict[str, Any]:
        """Errors on the test molecules, which nothing else reads; written to test.json."""
        task, targets = self.task, self.task.recipe.targets
        y, spread = self.predict_split("test")
        wanted = task.targets[task.rows["test"]]
        train_rows = qm9.split_rows(task.recipe.split, len(task.molecules))["train"]
        train, counts = task.targets[train_rows], task.counts
        errors = [
            {
                "target": name,
                "unit": task.properties[i].unit,
                "mae": float(np.abs(y[:, i] - wanted[:, i]).mean()),
                "mean_mae": mean_error(train[:, i], wanted[:, i]),
                "ridge_mae": ridge_error(
                    counts[train_rows], train[:, i], counts[task.rows["test"]], wanted[:, i]
                ),
            }
            for i, name in enumerate(targets)
        ]
        result = {
            "errors": errors,
            "test_molecules": len(wanted),
            "test_samples": task.recipe.test_samples,
            "spread": [float(s) for s in spread.mean(0)],
            "parameters": self.parameters,
            "step": int(self.state.step),
        }
        np.savez(
            self.folder.path / "test_predictions.npz", prediction=y, target=wanted, spread=spread
        )
        self.folder.write("test", result)
        return result
