"""How lie_jax's workers train: Adam on a loss, batch after batch."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks._protocol import serve
from lie_jax.training import keep_freed_memory
from lie_jax.typing import Array, PyTree

# As `experiments` does. On import: the workers put their batches on the device first.
keep_freed_memory()


def serve_training(
    build: Callable[[], tuple[Callable[..., Array], PyTree]], batches: Sequence[tuple[Any, ...]]
) -> None:
    """Serves rounds of one step per batch.

    Args:
        build: gives loss(weights, key, *batch) and the initial weights.
        batches: on the device; every shape among them is compiled before the first round.
    """

    def build_with_state():
        loss_of, weights = build()

        def loss(weights, state, key, *batch):
            return loss_of(weights, key, *batch), state

        return loss, weights, {}

    serve_training_with_state(build_with_state, batches)


def serve_training_with_state(
    build: Callable[[], tuple[Callable[..., tuple[Array, PyTree]], PyTree, PyTree]],
    batches: Sequence[tuple[Any, ...]],
) -> None:
    """As `serve_training`, of a network whose batch statistics move.

    Args:
        build: gives loss(weights, statistics, key, *batch), which returns the statistics beside
            its value, the initial weights and the initial statistics.
        batches: as there.
    """

    def prepare():
        loss_of, weights, statistics = build()
        value_and_grad = jax.value_and_grad(loss_of, has_aux=True)
        optimiser = optax.adam(1e-3)

        def step(state, batch):
            weights, statistics, moments, count = state
            key = jax.random.fold_in(jax.random.key(1), count)
            (value, statistics), grads = value_and_grad(weights, statistics, key, *batch)
            updates, moments = optimiser.update(grads, moments)
            weights = optax.apply_updates(weights, updates)
            return (weights, statistics, moments, count + 1), value

        step = jax.jit(step, donate_argnums=0)
        parameters = sum(leaf.size for leaf in jax.tree.leaves(weights))
        state = (weights, statistics, optimiser.init(weights), jnp.zeros((), jnp.int32))

        def run() -> int:
            nonlocal state
            loss = None
            for batch in batches:
                state, loss = step(state, batch)
            loss = float(jax.block_until_ready((state, loss))[1])
            if not np.isfinite(loss):
                raise FloatingPointError(f"benchmark: the loss became {loss}")
            return len(batches)

        for batch in {str(jax.tree.map(jnp.shape, batch)): batch for batch in batches}.values():
            state, _ = jax.block_until_ready(step(state, batch))
        return run, parameters

    serve(prepare)
