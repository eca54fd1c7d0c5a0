"""The worker that runs a layer of lie_jax: ``... -m benchmarks._attention_ours CASE FACTS GIB``.

For the arguments see `serve_case`.
"""

import importlib.metadata
import sys

import jax
import jax.numpy as jnp
from flax import nnx

import lie_jax as lj
from benchmarks._attention_case import SPACE, AttentionCase, serve_case
from lie_jax import geometry

GROUPS = {"T3": lj.groups.T(3), "SE2": lj.groups.SE2(), "SE3": lj.groups.SE3()}


def make_layer(case: AttentionCase):
    """The layer as a function of (parameters, features, coordinates), and its parameters."""
    group = GROUPS[case.group]
    is_floor = case.implementation == "floor"
    if is_floor and case.neighbours is not None:
        raise NotImplementedError("floor: dot_product_attention has no neighbourhoods")
    config = lj.AttentionConfig(
        location="none" if is_floor else "mlp",
        combination="none" if is_floor else "sum",
        normalisation="softmax" if is_floor else case.normalisation,  # pyright: ignore
        location_hidden=case.location_hidden,
    )
    module = lj.LieSelfAttention(
        case.width,
        case.width,
        heads=case.heads,
        pair_features=geometry.feature_dim(group),
        config=config,
        rngs=nnx.Rngs(0),
    )
    graph, parameters = nnx.split(module)
    mask = jnp.ones((1, case.points), bool)

    def with_location(parameters, features, coordinates):
        points = lj.PointSet(coordinates, features, mask)
        key = jax.random.key(2) if group.has_stabiliser else None
        lifted = lj.lift(group, points, key=key, samples=case.lifts)
        near = None
        if case.neighbours is not None:
            near = geometry.search_nearest(group, lifted, case.neighbours)
        pairs = geometry.lazy_pairs(group, lifted, neighbourhood=near)
        layer = nnx.merge(graph, parameters)
        return layer(lifted.values, pairs, implementation=case.implementation)  # pyright: ignore

    def without_location(parameters, features, _coordinates):
        layer = nnx.merge(graph, parameters)
        queries, keys, values = layer._project(jnp.repeat(features, case.lifts, axis=-2))
        assert queries is not None
        assert keys is not None
        mixed = jax.nn.dot_product_attention(queries, keys, values)
        return layer.output(mixed.reshape(*mixed.shape[:-2], -1))

    return without_location if is_floor else with_location, parameters


def build(case: AttentionCase):
    """The compiled step and the number of parameters."""
    layer, parameters = make_layer(case)

    def loss(*arguments):
        return jnp.sum(jnp.square(layer(*arguments)))

    wanted = (0, 1, 2) if case.coordinates else (0, 1)
    function = jax.jit(jax.grad(loss, wanted) if case.backward else layer)
    keys = jax.random.split(jax.random.key(1))
    arguments = (
        parameters,
        jax.random.normal(keys[0], (1, case.points, case.width)),
        jax.random.normal(keys[1], (1, case.points, SPACE[case.group])),
    )
    compiled = function.lower(*arguments).compile()

    def step():
        return jax.block_until_ready(compiled(*arguments))

    return step, sum(leaf.size for leaf in jax.tree.leaves(parameters))


def device_peak_mib() -> float | None:
    """Largest memory in use on the accelerator so far."""
    stats = jax.devices()[0].memory_stats()
    return stats["peak_bytes_in_use"] / 2**20 if stats else None


def main(*arguments: str) -> None:
    device = jax.devices()[0]
    serve_case(
        arguments,
        build,
        facts={
            "device": device.platform,
            "device_kind": device.device_kind,
            "versions": {name: importlib.metadata.version(name) for name in ("jax", "flax")},
        },
        device_peak_mib=device_peak_mib,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
