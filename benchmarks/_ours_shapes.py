"""Trains lie_jax on shapes: ``python -m benchmarks._ours_shapes CASE DATA``."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

import lie_jax as lj
from benchmarks._cases import CASES, LARGEST_SHAPES, Shapes
from benchmarks._ours import serve_training
from lie_jax.data.constellations import PATTERNS, feature_count

CLASSES = 3
"""A shape is there not at all, once or twice."""


def build(case: Shapes) -> lj.LieTransformer:
    """The network of the case, in float32."""
    config = lj.LieTransformerConfig(
        in_channels=feature_count("distances", LARGEST_SHAPES),
        outputs=len(PATTERNS) * CLASSES,
        width=case.width,
        layers=case.layers,
        heads=case.heads,
        lift_samples=case.lifts,
        attention=lj.AttentionConfig(location_hidden=case.location_hidden, normalisation="softmax"),
    )
    return lj.LieTransformer(config, group=lj.groups.SE2(), rngs=nnx.Rngs(0))


def load(path: str) -> list[tuple[lj.PointSet, jax.Array]]:
    """All batches, on the device."""
    with np.load(path) as file:
        data = dict(file)
    batches = []
    for rows, padded in zip(data["rows"], data["padded"], strict=True):
        arrays = (jnp.asarray(data[k][rows, :padded]) for k in ("coords", "values", "mask"))
        batches.append((lj.PointSet(*arrays), jnp.asarray(data["counts"][rows])))
    return batches


def main(name: str, path: str) -> None:
    case = CASES[name]
    assert isinstance(case, Shapes)

    def prepare():
        apply, weights = lj.functional(build(case))

        def loss(weights, key, points, counts):
            logits = apply(weights, points, key=key).reshape(*counts.shape, CLASSES)
            return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, counts))

        return loss, weights

    serve_training(prepare, load(path))


if __name__ == "__main__":
    main(*sys.argv[1:])
