"""One run on springs: data, training, and the one reading of the test systems."""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.optimizer import adam
from experiments.springs.models import Model, build
from experiments.springs.recipe import Recipe
from lie_jax import dynamics, training
from lie_jax.data import springs
from lie_jax.dynamics.systems import Springs
from lie_jax.typing import Array, PRNGKey, PyTree

SYSTEM = Springs(centre="systems")
"""As in the published data, momenta are centred over systems."""
DT = springs.PUBLISHED_DT
SOLVERS = {
    "leapfrog": dynamics.Leapfrog(),
    "yoshida4": dynamics.Yoshida4(),
    "nystrom4": dynamics.Nystrom4(),
    "rk38": dynamics.RK38(),
}
_TEST_BATCH = 100


class Chunks(NamedTuple):
    """Pieces of trajectories: q, p (b, t, n, d), particles (b, n, 2)."""

    q: Array
    p: Array
    particles: Array

    @classmethod
    def of(cls, found: springs.Trajectories) -> "Chunks":
        """On the device."""
        return cls(jnp.asarray(found.q), jnp.asarray(found.p), jnp.asarray(found.params))


@dataclasses.dataclass(frozen=True)
class RandomBatches:
    """Rows of the systems of each update; an epoch is the time between two validations."""

    size: int
    batch_size: int
    per_epoch: int
    seed: int

    def __len__(self) -> int:
        return self.per_epoch

    def epoch(self, number: int) -> Iterator[np.ndarray]:
        """Batches without repetition inside."""
        random = np.random.default_rng((self.seed, number))
        for _ in range(self.per_epoch):
            yield random.permutation(self.size)[: self.batch_size].astype(np.int32)


def load(
    recipe: Recipe, split: springs.SplitName, count: int, **options: Any
) -> springs.Trajectories:
    """Systems of a split; each seed of a run has its own training systems."""
    seed = recipe.seed if split == "train" else 0
    return springs.load_springs(count, split, seed, system=SYSTEM, dt=DT, **options)


class Run:
    """A model and its state, ready to train, in a run folder."""

    def __init__(self, recipe: Recipe, folder: training.RunFolder):
        self.recipe, self.folder = recipe, folder
        self.solver = SOLVERS[recipe.solver or ("leapfrog" if recipe.is_separable else "rk38")]
        self.model: Model = build(recipe)
        self.epochs = -(-recipe.steps // min(recipe.evaluate_every, recipe.steps))
        per_epoch = -(-recipe.steps // self.epochs)
        self.batches = RandomBatches(recipe.train_size, recipe.batch_size, per_epoch, recipe.seed)
        steps = self.epochs * per_epoch
        optimizer = adam(
            recipe.highest_rate, steps,
            warmup=recipe.warmup, clip=recipe.clip, weight_decay=recipe.decay,
        )  # fmt: skip
        self.state = training.create_state(self.model.weights, optimizer, ema=recipe.ema_decay > 0)
        self.key = jax.random.key(recipe.seed)
        self.step = training.make_train_step(self._loss, optimizer, ema_decay=recipe.ema_decay)
        self.parameters = sum(x.size for x in jax.tree.leaves(self.model.weights))

    def error(self, weights: PyTree, chunks: Chunks, key: PRNGKey) -> Array:
        """Mean squared error of (q, p) at each time, (t,)."""
        ts = DT * jnp.arange(chunks.q.shape[1], dtype=chunks.q.dtype)
        state = (chunks.q[:, 0], chunks.p[:, 0])
        params = self.model.params(weights, chunks.particles, key)
        found = dynamics.rollout(self.model.system, state, ts, params, solver=self.solver)
        return dynamics.rollout_error(found, (chunks.q, chunks.p))

    def _loss(self, params, model_state, data: Chunks, batch, key):
        chunks = jax.tree.map(lambda x: x[batch], data)
        return jnp.mean(self.error(params, chunks, key)), model_state

    @functools.cached_property
    def _error(self):
        return jax.jit(self.error)

    def mean_error(self, weights: PyTree, chunks: Chunks) -> float:
        """Over all systems, times and coordinates; in batches of one shape where they divide."""
        parts = []
        for start in range(0, len(chunks.q), _TEST_BATCH):
            part = jax.tree.map(lambda x, s=start: x[s : s + _TEST_BATCH], chunks)
            parts.append((len(part.q), float(jnp.mean(self._error(weights, part, self.key)))))
        return sum(n * error for n, error in parts) / len(chunks.q)

    def restore(self) -> training.Checkpoints:
        """Takes the state of the last checkpoint, if there is one."""
        checkpoints = training.Checkpoints(self.folder.checkpoints)
        if checkpoints.steps:
            self.state = checkpoints.restore(self.state)
        return checkpoints

    def train(self, *, stop_after: int | None = None) -> None:
        """Trains from the last checkpoint, or from the start, to the end."""
        recipe = self.recipe
        checkpoints = self.restore()
        chunk = {"chunk": recipe.chunk}
        data = Chunks.of(load(recipe, "train", recipe.train_size, **chunk))
        held = Chunks.of(load(recipe, "validation", recipe.validation_size, **chunk))

        def evaluate(state):
            return {"validation_mse": self.mean_error(state.averaged, held)}

        columns = {"loss": "loss {:.2e}", "validation_mse": "validation {:.2e}"}
        title = f"{recipe.model}, {recipe.train_size} systems"
        with training.rich_progress(title, columns) as progress:
            self.state = training.fit(
                self.state,
                step=self.step,
                data=data,
                batches=self.batches,
                epochs=self.epochs,
                key=self.key,
                evaluate=evaluate,
                log=self.folder.log,
                checkpoints=checkpoints,
                progress=progress,
                stop_after=stop_after,
            )
        checkpoints.close()

    def test(self) -> dict[str, Any]:
        """Errors on the test systems, which nothing else reads; test.json and rollouts.npz."""
        recipe, weights = self.recipe, self.state.averaged
        chunks = Chunks.of(load(recipe, "test", recipe.test_size, chunk=recipe.chunk))
        still = dynamics.rollout_error(
            jax.tree.map(lambda x: jnp.broadcast_to(x[:, :1], x.shape), (chunks.q, chunks.p)),
            (chunks.q, chunks.p),
        )
        result: dict[str, Any] = {
            "model": recipe.model,
            "parameters": self.parameters,
            "train_size": recipe.train_size,
            "test_systems": recipe.test_size,
            "mse": self.mean_error(weights, chunks),
            "mse_if_nothing_moved": float(jnp.mean(still)),
            "step": int(self.state.step),
        } | self._long(weights)
        self.folder.write("test", result)
        return result

    def _long(self, weights: PyTree) -> dict[str, Any]:
        """Long rollouts: error along time, and how the true energy and momenta change."""
        recipe = self.recipe
        found = load(recipe, "test", recipe.test_size, length=recipe.rollout_length + 1)
        true = Chunks.of(found.take(slice(recipe.rollout_systems)))
        params = self.model.params(weights, true.particles, self.key)
        ts = DT * jnp.arange(recipe.rollout_length + 1, dtype=jnp.float32)
        state = (true.q[:, 0], true.p[:, 0])
        chunk = min(recipe.rollout_length, 50)
        found = dynamics.rollout_in_chunks(
            self.model.system, state, ts, params, solver=self.solver, chunk=chunk
        )
        q, p = (jnp.asarray(x) for x in found)
        error = np.asarray(dynamics.rollout_error((q, p), (true.q, true.p)))
        H, particles = SYSTEM.hamiltonian, true.particles[:, None]
        energy = H(q, p, particles)
        np.savez(
            self.folder.path / "rollouts.npz",
            ts=ts, q=q[:8], p=p[:8], true_q=true.q[:8], true_p=true.p[:8], error=error,
            energy=np.asarray(energy), true_energy=np.asarray(H(true.q, true.p, particles)),
            angular_momentum=np.asarray(dynamics.angular_momentum(q, p)),
            true_angular_momentum=np.asarray(dynamics.angular_momentum(true.q, true.p)),
        )  # fmt: skip
        steps = {f"mse_at_step_{k}": float(error[k]) for k in (20, 100) if k < len(error)}
        drift = jnp.max(dynamics.relative_drift(energy), axis=-1)
        return steps | {"energy_drift": float(jnp.median(drift))}
