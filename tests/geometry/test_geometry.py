"""Lifting, pairs, distances, neighbourhoods."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lie_jax as lj
from lie_jax import geometry
from lie_jax.geometry.pairs import bound_norm

SE3 = lj.groups.SE3()


def cloud(n=4, d=3, batch=(2,), seed=0):
    coords = jax.random.normal(jax.random.key(seed), (*batch, n, d), jnp.float64)
    return lj.PointSet(coords, coords)


@pytest.mark.parametrize("method", ["random", "shared", "grid"])
@pytest.mark.parametrize(
    "group",
    [
        SE3, lj.groups.E2(),
        *(pytest.param(x, marks=pytest.mark.slow) for x in (lj.groups.SE2(), lj.groups.SO3())),
    ],
    ids=str,
)  # fmt: skip
def test_lifts_carry_the_representative_to_the_point(group, method, key):
    points = cloud(d=group.space_dim)
    offset = method == "grid"
    lifted = lj.lift(group, points, key=key, samples=3, method=method, random_offset=offset)
    assert lifted.elements.shape == (2, 12, *group.element_shape)
    repeated = jnp.repeat(points.coords, 3, axis=1)
    section = group.section(repeated)
    origin = group.act(group.inverse(section), repeated)
    np.testing.assert_allclose(group.act(lifted.elements, origin), repeated, atol=1e-12)
    np.testing.assert_array_equal(lifted.values, repeated)
    spread = lifted.elements.reshape(2, 4, 3, -1)
    assert jnp.abs(spread[:, :, 0] - spread[:, :, 1]).max() > 1e-3


def test_shared_lifts_are_one_set_per_cloud(key):
    lifted = lj.lift(lj.groups.SE2(), cloud(d=2), key=key, samples=3, method="shared")
    rotations = lifted.elements.reshape(2, 4, 3, 4)[..., :2]
    np.testing.assert_array_equal(rotations[:, 0], rotations[:, 1])
    assert jnp.abs(rotations[0] - rotations[1]).max() > 1e-3


def test_grid_needs_no_key_and_is_deterministic():
    points = cloud()
    first, second = (lj.lift(SE3, points, samples=4, method="grid") for _ in range(2))
    np.testing.assert_array_equal(first.elements, second.elements)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "some"}, "method must be one of"),
        ({"samples": 0}, "samples must be an integer"),
        ({"random_offset": True}, "random_offset needs"),
        ({"key": None}, "key must be"),
        ({"key": None, "method": "grid", "random_offset": True}, "key must be"),
    ],
)
def test_bad_lift(options, message, key):
    with pytest.raises(ValueError, match=message):
        lj.lift(SE3, cloud(), **({"key": key} | options))


def test_one_lift_where_the_action_is_free():
    with pytest.raises(ValueError, match="samples must be 1"):
        lj.lift(lj.groups.T(3), cloud(), samples=2)


@pytest.mark.parametrize("group", [lj.groups.SE2(), SE3, lj.groups.SO3(), lj.groups.E3()], ids=str)
@pytest.mark.parametrize("embedding", ["log", "matrix"])
def test_pairs_are_invariant(group, embedding, key):
    lifted = lj.lift(group, cloud(d=group.space_dim), key=key, samples=2)
    g = group.exp(jnp.arange(1.0, group.algebra_dim + 1))
    moved = dataclasses.replace(lifted, elements=group.compose(g, lifted.elements))
    here, there = (geometry.pair_set(group, x, embedding=embedding) for x in (lifted, moved))
    assert here.features.shape[-1] == geometry.feature_dim(group, embedding)
    np.testing.assert_allclose(here.features, there.features, atol=1e-10)
    near, far = (geometry.pair_distance(group, x, x) for x in (lifted, moved))
    np.testing.assert_allclose(near, far, atol=1e-10)


def test_pair_convention_is_key_seen_from_query():
    points = cloud(n=3, batch=())
    pairs = geometry.pair_set(lj.groups.T(3), lj.lift(lj.groups.T(3), points))
    wanted = points.coords[None, :] - points.coords[:, None]
    np.testing.assert_array_equal(pairs.features, wanted)


def test_own_embedding():
    squared = geometry.PairEmbedding("square", lambda _: 1, lambda _, g: (g**2).sum(-1)[..., None])
    pairs = geometry.pair_set(lj.groups.T(3), lj.lift(lj.groups.T(3), cloud()), embedding=squared)
    assert pairs.features.shape == (2, 4, 4, 1)


def test_bound_norm():
    a = jnp.array([[0.0, 0, 0], [3e-9, 0, 0], [1, 2, 2], [300, 400, 0]])
    bounded = bound_norm(a, 2.0)
    assert jnp.linalg.norm(bounded, axis=-1).max() <= 2
    np.testing.assert_allclose(bounded[:2], a[:2])
    np.testing.assert_allclose(jnp.linalg.norm(bounded[2]), 2 * np.tanh(1.5))
    hessian = jax.vmap(jax.hessian(lambda x: bound_norm(x, 2.0).sum()))
    assert jnp.all(jnp.isfinite(hessian(a)))
    # a (1 - |a|²/(3 B²)) near 0: no rounding error is divided by a small norm.
    tiny = jnp.array([[1e-300, 0, 0], [1e-17, -1e-17, 0], [1e-15, 3e-16, 0], [0, 1e-12, 1e-13]])
    assert jnp.max(jnp.abs(hessian(tiny))) <= 1e-12


def test_weighted_distance():
    lifted = lj.lift(SE3, cloud(), samples=1, method="grid")
    only_position = geometry.pair_distance(SE3, lifted, lifted, algebra_weights=(0,) * 3 + (1,) * 3)
    coords = cloud().coords
    wanted = jnp.linalg.norm(coords[:, None] - coords[:, :, None], axis=-1)
    np.testing.assert_allclose(only_position, wanted, atol=1e-12)
    with pytest.raises(ValueError, match="must hold 6 numbers"):
        geometry.pair_distance(SE3, lifted, lifted, algebra_weights=(1.0,))


DISTANCE = jnp.abs(jnp.arange(6.0)[None, :] - jnp.arange(6.0)[:, None])
MASK = jnp.arange(6) < 4


def test_nearest():
    found = geometry.nearest(DISTANCE, MASK, 3)
    assert set(np.asarray(found.indices[0])) == {0, 1, 2}
    assert found.mask.all()
    few = geometry.nearest(DISTANCE, MASK, 5)
    np.testing.assert_array_equal(few.mask.sum(-1), 4)
    assert geometry.nearest(DISTANCE, MASK, 99).indices.shape == (6, 6)


def test_ball(key):
    for chosen in (None, key):
        found = geometry.ball(DISTANCE, MASK, 1.0, 3, key=chosen)
        inside = [
            {int(i) for i, ok in zip(*row, strict=True) if ok}
            for row in zip(found.indices, found.mask, strict=True)
        ]
        assert inside[:4] == [{0, 1}, {0, 1, 2}, {1, 2, 3}, {2, 3}]
    with pytest.raises(ValueError, match="radius must be positive"):
        geometry.ball(DISTANCE, MASK, 0.0, 3)


def test_random_subset_is_uniform_and_ignores_padding(key):
    found = geometry.random_subset(key, jnp.ones(4, bool), 2, queries=2000)
    counts = np.bincount(np.asarray(found.indices).ravel(), minlength=4)
    np.testing.assert_allclose(counts / 1000, 1, atol=0.1)
    assert (found.indices[:, 0] != found.indices[:, 1]).all()
    wider = geometry.random_subset(key, jnp.arange(9) < 4, 2, queries=2000)
    np.testing.assert_array_equal(found.indices, wider.indices)
    with pytest.raises(ValueError, match="count must be"):
        geometry.random_subset(key, MASK, 0, queries=2)
