"""Predictions of many batches, and their error."""

import functools
from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np

from lie_jax.data.batching import Batch
from lie_jax.typing import Array, PRNGKey, PyTree


def predict(
    apply: Callable[[PyTree, Any, Batch], Array],
    params: PyTree,
    data: Any,
    batches: Iterable[Batch],
) -> tuple[np.ndarray, np.ndarray]:
    """Outputs for every real example of some batches.

    Args:
        apply: (params, data, batch) -> (b, outputs); jitted here.
        params: parameters.
        data: what ``apply`` gathers from.
        batches: each gives rows, padding and mask.

    Returns:
        Rows of the data (n,), and outputs (n, outputs) in the same order.

    Raises:
        FloatingPointError: an output is not finite.
    """
    run = _jitted(apply)
    rows, outputs = [], []
    for batch in batches:
        rows.append(np.asarray(batch.indices)[np.asarray(batch.mask)])
        outputs.append((run(params, data, batch), np.asarray(batch.mask)))
    joined = np.concatenate([np.asarray(y)[mask] for y, mask in outputs])
    indices = np.concatenate(rows)
    if not np.isfinite(joined).all():
        bad = indices[~np.isfinite(joined).all(-1)]
        raise FloatingPointError(
            f"predict: outputs must be finite, got NaN or infinity for {len(bad)} examples, "
            f"first in row {bad[0]}"
        )
    return indices, joined


def average_predictions(
    apply: Callable[[PyTree, Any, Batch, PRNGKey], Array],
    params: PyTree,
    data: Any,
    batches: Iterable[Batch],
    keys: Iterable[PRNGKey],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean and spread of what a model with random lifts or motions says of the same examples.

    Args:
        apply: (params, data, batch, key) -> (b, t); jitted here.
        params: parameters.
        data: what ``apply`` gathers from.
        batches: see `predict`.
        keys: one for each prediction, for instance ``jax.random.split(key, 8)``.

    Returns:
        Rows of the data (n,), mean over the keys (n, t), and their standard deviation (n, t), which
        is 0 if there is one key only; float64.

    Raises:
        ValueError: there are no keys.
        FloatingPointError: an output is not finite.
    """
    keys, batches = list(keys), list(batches)
    if not keys:
        raise ValueError("average_predictions: keys must not be empty, got none")
    found = [predict(_keyed(apply), (params, key), data, batches) for key in keys]
    outputs = np.stack([y for _, y in found]).astype(np.float64)
    spread = outputs.std(axis=0, ddof=1) if len(keys) > 1 else np.zeros_like(outputs[0])
    return found[0][0], outputs.mean(axis=0), spread


@functools.cache
def _keyed(apply):
    # Kept like `_jitted`, which knows it by this function.
    return lambda variables, data, batch: apply(variables[0], data, batch, variables[1])


@functools.cache
def _jitted(apply):
    # Kept per function: a new jit at every evaluation would compile at every evaluation.
    return jax.jit(apply)


def mean_absolute_error(prediction: np.ndarray, target: np.ndarray) -> np.ndarray | np.floating:
    """Mean over examples of |prediction - target|, one number per output.

    Raises:
        ValueError: shapes differ.
    """
    if prediction.shape != target.shape:
        raise ValueError(
            f"mean_absolute_error: prediction must have the target's shape {target.shape}, got "
            f"{prediction.shape}"
        )
    return np.abs(np.asarray(prediction, np.float64) - target).mean(axis=0)
