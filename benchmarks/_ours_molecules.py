"""Trains lie_jax on molecules: ``python -m benchmarks._ours_molecules CASE DATA``."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

import lie_jax as lj
from benchmarks._cases import CASES, Molecules
from benchmarks._protocol import serve
from lie_jax.data import qm9
from lie_jax.data.qm9.features import atom_features

GROUPS = {"T3": lj.groups.T(3), "SE3": lj.groups.SE3()}


def build(case: Molecules) -> lj.LieTransformer:
    """The network of the case, in float32."""
    config = lj.LieTransformerConfig(
        in_channels=qm9.CHANNELS,
        width=case.width,
        layers=case.layers,
        heads=case.heads,
        lift_samples=case.lifts,
        attention=lj.AttentionConfig(location_hidden=case.location_hidden, normalisation="mean"),
    )
    return lj.LieTransformer(config, group=GROUPS[case.group], rngs=nnx.Rngs(0))


def make_step(apply, optimiser):
    """One step of Adam on the L1 loss."""

    def loss(params, points, targets, key):
        return jnp.mean(jnp.abs(apply(params, points, key=key)[:, 0] - targets))

    def step(state, points, targets):
        params, moments, count = state
        key = jax.random.fold_in(jax.random.key(1), count)
        value, grads = jax.value_and_grad(loss)(params, points, targets, key)
        updates, moments = optimiser.update(grads, moments)
        return (optax.apply_updates(params, updates), moments, count + 1), value

    return jax.jit(step, donate_argnums=0)


def load(path: str) -> list[tuple[lj.PointSet, jax.Array]]:
    """All batches, on the device."""
    with np.load(path) as file:
        data = dict(file)
    batches = []
    for rows, padded in zip(data["rows"], data["padded"], strict=True):
        charges = data["charges"][rows, :padded]
        points = lj.PointSet(
            jnp.asarray(data["positions"][rows, :padded]),
            atom_features(jnp.asarray(charges)),
            jnp.asarray(charges > 0),
        )
        batches.append((points, jnp.asarray(data["targets"][rows])))
    return batches


def main(name: str, path: str) -> None:
    case, batches = CASES[name], load(path)
    assert isinstance(case, Molecules)

    def prepare():
        apply, params = lj.functional(build(case))
        optimiser = optax.adam(1e-3)
        step = make_step(apply, optimiser)
        parameters = sum(leaf.size for leaf in jax.tree.leaves(params))
        state = (params, optimiser.init(params), jnp.zeros((), jnp.int32))

        def run() -> int:
            nonlocal state
            loss = None
            for points, targets in batches:
                state, loss = step(state, points, targets)
            loss = float(jax.block_until_ready((state, loss))[1])
            if not np.isfinite(loss):
                raise FloatingPointError(f"benchmark: the loss became {loss}")
            return len(batches)

        for points, targets in {b[0].mask.shape: b for b in batches}.values():
            state, _ = jax.block_until_ready(step(state, points, targets))
        return run, parameters

    serve(prepare)


if __name__ == "__main__":
    main(*sys.argv[1:])
