"""Trains lie_jax on springs: ``python -m benchmarks._ours_springs CASE DATA``."""

import sys

import jax.numpy as jnp
import numpy as np
from flax import nnx

import lie_jax as lj
from benchmarks._cases import CASES, Springs
from benchmarks._ours import serve_training
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


def main(name: str, path: str) -> None:
    case = CASES[name]
    assert isinstance(case, Springs)
    with np.load(path) as file:
        dt = float(file["dt"])
        arrays = [jnp.asarray(file[k]) for k in ("q", "p", "particles")]
    parts = [jnp.split(x, case.batches) for x in arrays]

    def prepare():
        apply, weights = lj.functional(build(case))
        H = dynamics.learned_hamiltonian(apply)

        def loss(weights, key, q, p, particles):
            ts = dt * jnp.arange(q.shape[1], dtype=q.dtype)
            params = dynamics.Learned(weights, particles, key=key)
            found = dynamics.rollout(H, (q[:, 0], p[:, 0]), ts, params, solver=dynamics.RK38())
            return jnp.mean(dynamics.rollout_error(found, (q, p)))

        return loss, weights

    serve_training(prepare, list(zip(*parts, strict=True)))


if __name__ == "__main__":
    main(*sys.argv[1:])
