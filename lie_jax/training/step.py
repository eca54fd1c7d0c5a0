"""One update, jitted."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from lie_jax.training.state import TrainState
from lie_jax.typing import Array, PRNGKey, PyTree

LossFn = Callable[[PyTree, PyTree, Any, Any, PRNGKey], tuple[Array, PyTree]]
"""(params, model_state, data, batch, key) -> (loss, model_state)."""

Step = Callable[[TrainState, Any, Any, PRNGKey], tuple[TrainState, dict[str, Array]]]
"""(state, data, batch, key) -> (state, metrics)."""

Found = tuple[tuple[Array, PyTree], PyTree]
"""((loss, model_state), gradient)."""

METRICS = ("loss", "grad_norm")
"""What every update measures, a number each."""


def make_train_step(
    loss_fn: LossFn, optimizer: optax.GradientTransformation, *, ema_decay: float = 0.999
) -> Step:
    """The jitted update ``step(state, data, batch, key) -> (state, metrics)``.

    ``data`` stays on the device and ``batch`` says which of it to take, so that a step moves
    a few indices only; the state's buffers are reused (donated). The key is that of the run: the
    step folds its own number into it, so that a resumed run draws what the uninterrupted one
    draws.

    Args:
        loss_fn: see `LossFn`; gathers its batch itself.
        optimizer: optax's.
        ema_decay: of the average of the parameters, where the state keeps one. It grows from
            1/10 as (1 + t) / (10 + t) at first, so that the start is forgotten.

    Returns:
        The step; its metrics are ``loss`` and ``grad_norm``, scalars on the device.

    Raises:
        ValueError: ema_decay lies outside [0, 1).
    """
    check_ema_decay("make_train_step", ema_decay)
    gradient, update = gradient_of(loss_fn), update_with(optimizer, ema_decay)

    @functools.partial(jax.jit, donate_argnums=0)
    def step(state: TrainState, data, batch, key):
        return update(state, gradient(state, data, batch, key))

    return step


def check_ema_decay(where: str, ema_decay: float) -> None:
    """Raises ValueError unless ``ema_decay`` lies in [0, 1)."""
    if not 0 <= ema_decay < 1:
        raise ValueError(f"{where}: ema_decay must lie in [0, 1), got {ema_decay}")


def gradient_of(loss_fn: LossFn) -> Callable[[TrainState, Any, Any, PRNGKey], Found]:
    """(state, data, batch, key of the run) -> loss and gradient of the step; not jitted."""

    def gradient(state: TrainState, data, batch, key) -> Found:
        own_key = jax.random.fold_in(key, state.step)

        def loss_of(params):
            return loss_fn(params, state.model_state, data, batch, own_key)

        return jax.value_and_grad(loss_of, has_aux=True)(state.params)

    return gradient


def update_with(
    optimizer: optax.GradientTransformation, ema_decay: float
) -> Callable[[TrainState, Found], tuple[TrainState, dict[str, Array]]]:
    """(state, loss and gradient) -> state and metrics of the step; not jitted."""

    def update(state: TrainState, found: Found):
        (loss, model_state), grads = found
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        decay = jnp.minimum(ema_decay, (1 + state.step) / (10 + state.step))
        ema = state.ema
        if jax.tree.leaves(ema):
            ema = optax.incremental_update(params, ema, 1 - decay)
        metrics = {"loss": loss, "grad_norm": optax.tree.norm(grads)}
        return TrainState(state.step + 1, params, model_state, opt_state, ema), metrics

    return update
