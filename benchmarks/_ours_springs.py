"""Trains lie_jax on springs: ``python -m benchmarks._ours_springs CASE DATA``."""

import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

import lie_jax as lj
from benchmarks._cases import CASES, Springs
from benchmarks._protocol import serve
from lie_jax import dynamics

GROUPS = {"T2": lj.groups.T(2), "SE2": lj.groups.SE2()}


def build(case: Springs) -> lj.LieTransformer:
    """The potential of the case, in float32."""
    config = lj.LieTransformerConfig(
        in_channels=2,
        width=case.width,
        layers=case.layers,
        heads=case.heads,
        lift_samples=case.lifts,
        lift_method="grid" if case.group == "SE2" else "random",
        attention=lj.AttentionConfig(location_hidden=case.location_hidden, normalisation="mean"),
    )
    return lj.LieTransformer(config, group=GROUPS[case.group], rngs=nnx.Rngs(0))


def make_step(apply, optimiser, dt):
    """One step of Adam on the mean squared error of rollouts."""
    H = dynamics.learned_hamiltonian(apply)

    def loss(weights, q, p, particles, key):
        ts = dt * jnp.arange(q.shape[1], dtype=q.dtype)
        params = dynamics.Learned(weights, particles, key=key)
        found = dynamics.rollout(H, (q[:, 0], p[:, 0]), ts, params, solver=dynamics.RK38())
        return jnp.mean(dynamics.rollout_error(found, (q, p)))

    def step(state, q, p, particles):
        weights, moments, count = state
        key = jax.random.fold_in(jax.random.key(1), count)
        value, grads = jax.value_and_grad(loss)(weights, q, p, particles, key)
        updates, moments = optimiser.update(grads, moments)
        return (optax.apply_updates(weights, updates), moments, count + 1), value

    return jax.jit(step, donate_argnums=0)


def main(name: str, path: str) -> None:
    case = CASES[name]
    assert isinstance(case, Springs)
    with np.load(path) as file:
        data: dict[str, Any] = dict(file)
    dt = float(data.pop("dt"))
    data = {k: jnp.asarray(x).reshape(-1, case.batch, *x.shape[1:]) for k, x in data.items()}

    def prepare():
        apply, weights = lj.functional(build(case))
        optimiser = optax.adam(1e-3)
        step = make_step(apply, optimiser, dt)
        parameters = sum(leaf.size for leaf in jax.tree.leaves(weights))
        state = (weights, optimiser.init(weights), jnp.zeros((), jnp.int32))

        def batch(i):
            return data["q"][i], data["p"][i], data["particles"][i]

        def run() -> int:
            nonlocal state
            loss = None
            for i in range(case.batches):
                state, loss = step(state, *batch(i))
            loss = float(jax.block_until_ready((state, loss))[1])
            if not np.isfinite(loss):
                raise FloatingPointError(f"benchmark: the loss became {loss}")
            return case.batches

        state, _ = jax.block_until_ready(step(state, *batch(0)))
        return run, parameters

    serve(prepare)


if __name__ == "__main__":
    main(*sys.argv[1:])
