"""A model on all lifts of a discrete group is exactly invariant; on other lifts it is not."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import lie_jax as lj
from lie_jax.groups import E2, E3, SE2, SE3, SO2, SO3, Discrete

CASES = [
    (Discrete(SE2(), "C8"), 1e-10),
    (Discrete(E2(), "D4"), 1e-10),
    (Discrete(SE3(), "O"), 1e-10),
    (Discrete(E3(), "Td"), 1e-10),
    (Discrete(SO2(), "C8"), 1e-10),
    (Discrete(SO3(), "I"), 1e-10),
]


def outputs(group, dtype, method, implementation="reference"):
    """Of a cloud moved by every element of the point group and a translation."""
    config = lj.LieTransformerConfig(
        in_channels=3, outputs=2, width=8, layers=2, heads=2, param_dtype=dtype,
        lift_method=method, implementation=implementation,
    )  # fmt: skip
    model = lj.LieTransformer(config, group=group, rngs=nnx.Rngs(0))
    keys = jax.random.split(jax.random.key(1), 3)
    x = jax.random.normal(keys[0], (4, group.space_dim), dtype)
    elements = group.elements(dtype)[::5]
    moved = group.act(elements[:, None], x)
    if group.has_stabiliser:
        moved = moved + jax.random.normal(keys[1], (len(elements), 1, group.space_dim), dtype)
    values = jnp.broadcast_to(jax.random.normal(keys[2], (4, 3), dtype), (*moved.shape[:2], 3))
    points = lj.PointSet(moved, values, jnp.ones(moved.shape[:2], bool))
    key = jax.random.key(2) if method == "random" else None
    return np.asarray(nnx.jit(lambda model, points: model(points, key=key))(model, points))


def spread(y):
    return np.max(np.abs(y - y[:1])) / np.max(np.abs(y))


@pytest.mark.no_cover
@pytest.mark.parametrize(("group", "allowed"), CASES, ids=str)
def test_all_lifts_are_exact(group, allowed):
    y = outputs(group, jnp.float64, "all")
    assert len(y) > 1
    assert spread(y) <= allowed


@pytest.mark.parametrize("group", [Discrete(SE3(), "O"), Discrete(E2(), "D4")], ids=str)
def test_frames_are_exact(group):
    assert spread(outputs(group, jnp.float64, "frame")) <= 1e-10
    assert spread(outputs(group, jnp.float32, "frame")) <= 1e-4


def test_all_lifts_are_exact_when_tiled():
    assert spread(outputs(Discrete(SE2(), "C8"), jnp.float64, "all", "tiled")) <= 1e-10


def test_all_lifts_in_float32():
    assert spread(outputs(Discrete(SE2(), "C8"), jnp.float32, "all")) <= 1e-4


def test_one_random_lift_is_not_exact():
    assert spread(outputs(Discrete(SE2(), "C8"), jnp.float64, "random")) > 1e-4


def test_a_rotation_outside_of_the_group_shows():
    group = Discrete(SE2(), "C4")
    finer = dataclasses.replace(group, point_group="C8")
    config = lj.LieTransformerConfig(
        in_channels=3, outputs=2, width=8, layers=2, heads=2, param_dtype=jnp.float64,
        lift_method="all",
    )  # fmt: skip
    model = lj.LieTransformer(config, group=group, rngs=nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(1), (4, 2))
    moved = group.act(finer.elements()[:, None], x)
    # With equal values softmax would mix the same whatever the scores.
    values = jnp.broadcast_to(jax.random.normal(jax.random.key(2), (4, 3)), (8, 4, 3))
    points = lj.PointSet(moved, values, jnp.ones((8, 4), bool))
    y = np.asarray(nnx.jit(lambda model, points: model(points))(model, points))
    scale = np.max(np.abs(y))
    is_in = np.max(np.abs(y - y[0]), axis=-1) <= 1e-10 * scale
    assert is_in.sum() == group.order
