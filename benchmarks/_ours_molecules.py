"""Trains lie_jax on molecules: ``python -m benchmarks._ours_molecules CASE DATA``."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

import lie_jax as lj
from benchmarks._cases import CASES, Convolutions, Molecules
from benchmarks._ours import serve_training_with_state
from lie_jax.data import qm9
from lie_jax.data.qm9.features import atom_features

GROUPS = {"T3": lj.groups.T(3), "SE3": lj.groups.SE3()}


def build(case: Molecules | Convolutions) -> lj.LieTransformer | lj.LieConv:
    """The network of the case, in float32."""
    if isinstance(case, Convolutions):
        config = lj.LieConvConfig(
            in_channels=qm9.CHANNELS, width=case.width, layers=case.layers, batch_norm=True
        )
        return lj.LieConv(config, group=GROUPS["T3"], rngs=nnx.Rngs(0))
    config = lj.LieTransformerConfig(
        in_channels=qm9.CHANNELS,
        width=case.width,
        layers=case.layers,
        heads=case.heads,
        lift_samples=case.lifts,
        attention=lj.AttentionConfig(location_hidden=case.location_hidden, normalisation="mean"),
        matmul_dtype=jnp.bfloat16 if case.rounded else None,
    )
    return lj.LieTransformer(config, group=GROUPS[case.group], rngs=nnx.Rngs(0))


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
    case = CASES[name]
    assert isinstance(case, Molecules | Convolutions)
    options = {"train": True} if isinstance(case, Convolutions) else {}

    def prepare():
        apply, weights, statistics = lj.functional_with_state(build(case))

        def loss(weights, statistics, key, points, targets):
            outputs, statistics = apply(weights, statistics, points, key=key, **options)
            return jnp.mean(jnp.abs(outputs[:, 0] - targets)), statistics

        return loss, weights, statistics

    serve_training_with_state(prepare, load(path))


if __name__ == "__main__":
    main(*sys.argv[1:])
