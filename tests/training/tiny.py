"""A training that compiles in a second and has all that a resume could forget.

``python -m tests.training.tiny FOLDER`` runs it: goes on from what is in the folder, says
"started" after the first updates, and leaves its last state in final.npz.
"""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lie_jax import training
from lie_jax.data import Batch, Batches
from lie_jax.masking import masked_mean

SIZES = np.array([3, 4, 6] * 8)
BATCHES = Batches(SIZES, 5, (4, 6), seed=0)
OPTIMIZER = optax.adam(3e-3)


def data(dtype=None):
    x = jax.random.normal(jax.random.key(1), (len(SIZES), 6, 3), dtype)
    mask = jnp.arange(6) < SIZES[:, None]
    y = jnp.sum(jnp.where(mask, jnp.linalg.norm(x, axis=-1), 0), axis=1)[:, None]
    return x, mask, y


def loss_fn(params, model_state, data, batch: Batch, key):
    """Of a network with noise in its input and a running mean that stands for batch norm's."""
    x, mask, y = (a[batch.indices] for a in data)
    x, mask = x[:, : batch.size], mask[:, : batch.size]
    x = x + 0.1 * jax.random.normal(key, x.shape, x.dtype)
    hidden = jnp.tanh(x @ params["in"] - model_state)
    centre = 0.9 * model_state + 0.1 * jnp.mean(hidden, axis=(0, 1))
    out = masked_mean(hidden, mask[..., None], axis=1) @ params["out"]
    loss = training.masked_mean_loss(training.absolute_error(out, y), jnp.asarray(batch.mask))
    return loss, centre


def new_state(dtype=None):
    keys = jax.random.split(jax.random.key(2))
    params = {
        "in": jax.random.normal(keys[0], (3, 8), dtype),
        "out": jax.random.normal(keys[1], (8, 1), dtype),
    }
    return training.create_state(params, OPTIMIZER, model_state=jnp.zeros(8, dtype))


def fit(state, **kwargs):
    common = {"data": data(), "batches": BATCHES, "epochs": 3, "key": jax.random.key(7)}
    return training.fit(state, **(common | kwargs))


def timeless(log):
    return [{k: v for k, v in r.items() if "second" not in k} for r in log.read()]


def main(folder: Path) -> None:
    checkpoints = training.Checkpoints(folder / "checkpoints")
    state = new_state()
    if checkpoints.steps:
        state = checkpoints.restore(state)
    state = fit(
        state,
        step=training.make_train_scan(loss_fn, OPTIMIZER, ema_decay=0.9),
        epochs=12,
        evaluate=lambda state: {"norm": optax.tree.norm(state.averaged)},
        log=training.MetricsLog(folder / "metrics.jsonl"),
        log_every=2,
        checkpoints=checkpoints,
        checkpoint_every=3,
        progress=lambda *_: print("started", flush=True),
    )
    checkpoints.close()
    np.savez(folder / "final.npz", *map(np.asarray, jax.tree.leaves(state)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
