"""Neighbour search without the matrix of distances: the same neighbours as with it."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

import lie_jax as lj
from lie_jax import geometry
from lie_jax.geometry import search, tree

T1, T2, T3 = (lj.groups.T(n) for n in (1, 2, 3))
SE2, SE3, E3 = lj.groups.SE2(), lj.groups.SE3(), lj.groups.E3()
TREE = [T1, T3, SE2, SE3, E3, lj.groups.Scaling(2), lj.groups.Trivial(3)]
SCAN = [lj.groups.SO2(), lj.groups.SO3(), lj.groups.RxSO2()]

# Boxes so small that a cloud of some hundred points makes a deep tree.
SMALL = {"LEAF": 8, "VISITED": 3, "CONSIDERED": 6, "PAIRS": 1000, "SCANNED": 3000}
MODULES = {name: tree if hasattr(tree, name) else search for name in SMALL}
USUAL = {name: getattr(module, name) for name, module in MODULES.items()}


@pytest.fixture(scope="module", autouse=True)
def _small_boxes():
    with pytest.MonkeyPatch.context() as patch:
        for name, size in SMALL.items():
            patch.setattr(MODULES[name], name, size)
        search._search.clear_cache()
        yield
        search._search.clear_cache()


compiled_lift = jax.jit(lj.lift, static_argnums=0, static_argnames="samples")


def lifted_cloud(group, m, batch=(), spread=None, dtype=jnp.float64):
    """m lifted points, two lifts per point where a point has several."""
    samples = 2 if group.has_stabiliser else 1
    shape = (*batch, m // samples, group.space_dim)
    coords = jax.random.normal(jax.random.key(1), shape, dtype)
    if spread is not None:
        coords = spread(coords)
    points = lj.PointSet(coords, coords)
    return compiled_lift(group, points, key=jax.random.key(2), samples=samples)


def with_absent_points(lifted):
    mask = jax.random.bernoulli(jax.random.key(3), 0.7, lifted.mask.shape)
    return dataclasses.replace(lifted, mask=mask)


@functools.partial(jax.jit, static_argnums=(0, 2, 3), static_argnames=("weights",))
def expected(group, lifted, count, radius=math.inf, *, weights=()):
    """The matrix of distances, and the neighbours read off it."""
    distance = geometry.pair_distance(group, lifted, lifted, **dict(weights))
    return distance, geometry.ball(distance, lifted.mask, radius, count)


def assert_same(lifted, found, expected, atol=1e-12):
    """The neighbours found are real, distinct, and as near as those expected."""
    distance, wanted = jax.tree.map(np.asarray, expected)
    mask, found = np.asarray(lifted.mask), jax.tree.map(np.asarray, found)
    m = mask.shape[-1]
    assert found.indices.shape == wanted.indices.shape
    assert found.indices.dtype == wanted.indices.dtype
    assert ((found.indices >= 0) & (found.indices < m)).all()
    rows = [
        np.where(x.mask & mask[..., None], np.take_along_axis(distance, x.indices, axis=-1), np.inf)
        for x in (found, wanted)
    ]
    np.testing.assert_allclose(*rows, atol=atol)
    own = np.where(found.mask, found.indices, m + np.arange(found.indices.shape[-1]))
    assert (np.diff(np.sort(own, axis=-1), axis=-1) != 0).all()
    is_real = np.take_along_axis(
        np.broadcast_to(mask[..., None, :], distance.shape), found.indices, -1
    )
    assert (is_real | ~found.mask).all()
    assert not found.mask[~mask].any()


@pytest.mark.parametrize(
    "group",
    [pytest.param(x, marks=pytest.mark.slow if x in (T1, SE2, E3) else ()) for x in TREE + SCAN],
    ids=str,
)
def test_nearest(group):
    lifted = with_absent_points(lifted_cloud(group, 110, (2, 1), dtype=jnp.float32))
    assert (search.positions(group, lifted) is None) == (group in SCAN)
    found = geometry.search_nearest(group, lifted, 7)
    assert_same(lifted, found, expected(group, lifted, 7), atol=3e-6)
    assert found.mask.any()


@pytest.mark.parametrize("group", [T2, lj.groups.SO3()], ids=str)
def test_ball(group):
    lifted = with_absent_points(lifted_cloud(group, 110))
    radius = 0.4 if group == T2 else 0.8
    found = geometry.search_ball(group, lifted, radius, 7)
    assert_same(lifted, found, expected(group, lifted, 7, radius))
    assert 0 < found.mask.mean() < 1


@pytest.mark.parametrize(
    ("group", "last"), [(T2, 0), (SE3, 0.5), (SE3, 0), (lj.groups.Squeeze(), 0.5)], ids=str
)
def test_weights(group, last):
    lifted = lifted_cloud(group, 100)
    algebra = (*(-2.0 + 0.3 * i for i in range(group.algebra_dim - 1)), last)
    weights = {"algebra_weights": algebra, "orbit_weight": 0.7}
    # Motions have no positions if a direction of translation weighs nothing.
    is_scanned = last == 0 and group == SE3
    assert (search.positions(group, lifted, **weights) is None) == is_scanned
    found = geometry.search_nearest(group, lifted, 5, **weights)
    assert_same(lifted, found, expected(group, lifted, 5, weights=tuple(weights.items())))


@pytest.mark.parametrize("group", [SE2, SE3, E3], ids=str)
def test_positions_are_no_farther_apart_than_the_points(group):
    lifted = lifted_cloud(group, 110, (2,))
    weights = tuple(1.0 + 0.5 * i for i in range(group.algebra_dim))
    x = np.asarray(search.positions(group, lifted, algebra_weights=weights))
    apart = np.linalg.norm(x[:, :, None] - x[:, None], axis=-1)
    distance, _ = expected(group, lifted, 1, weights=(("algebra_weights", weights),))
    assert (apart <= distance + 1e-12).all()


CLOUDS = {
    "coincident": lambda x: jnp.zeros_like(x) + 3,
    "duplicates": lambda x: jnp.repeat(x[::10], 10, axis=0),
    "clusters": lambda x: x[:1] + x * 10.0 ** -(jnp.arange(len(x)) % 7)[:, None],
    "line": lambda x: x[:, :1] * jnp.ones(x.shape[-1]),
    "heavy tail": lambda x: jnp.sinh(4 * x),
    "far from the origin": lambda x: x + 1e6,
}


@pytest.mark.parametrize("spread", CLOUDS.values(), ids=CLOUDS)
@pytest.mark.parametrize("group", [T3, SE2], ids=str)
def test_uneven_clouds(group, spread):
    lifted = lifted_cloud(group, 200, spread=spread)
    found = geometry.search_nearest(group, lifted, 6)
    atol = 1e-8 if spread is CLOUDS["far from the origin"] else 1e-12
    assert_same(lifted, found, expected(group, lifted, 6), atol)


@pytest.mark.parametrize(("m", "count"), [(5, 9), (33, 40)])
def test_sizes(m, count):
    lifted = with_absent_points(lifted_cloud(T2, m))
    found = geometry.search_nearest(T2, lifted, count)
    assert_same(lifted, found, expected(T2, lifted, count))


def test_jit_vmap_and_no_gradient():
    lifted = with_absent_points(lifted_cloud(T2, 90, (3,)))
    eager = geometry.search_nearest(T2, lifted, 4)
    mapped = jax.vmap(lambda x: geometry.search_nearest(T2, x, 4))(lifted)
    jax.tree.map(np.testing.assert_array_equal, mapped, eager)

    @jax.jit
    @jax.grad
    def force(elements):
        moved = dataclasses.replace(lifted, elements=elements)
        chosen = geometry.search_nearest(T2, moved, 4)
        pairs = geometry.pair_set(T2, moved, neighbourhood=chosen)
        return jnp.sum(jnp.where(pairs.mask[..., None], pairs.features, 0) ** 2)

    gradient = force(lifted.elements)
    assert jnp.all(jnp.isfinite(gradient))
    assert jnp.any(gradient != 0)


def test_absent_points_are_free_to_hold_anything():
    lifted = with_absent_points(lifted_cloud(T3, 200))
    elsewhere = jnp.where(lifted.mask[:, None], lifted.elements, 1e30)
    moved = dataclasses.replace(lifted, elements=elsewhere)
    first, second = (geometry.search_nearest(T3, x, 6) for x in (lifted, moved))
    np.testing.assert_array_equal(first.indices, second.indices)
    none = dataclasses.replace(lifted, mask=jnp.zeros_like(lifted.mask))
    assert not geometry.search_nearest(T3, none, 6).mask.any()


def test_approximate_scan_finds_most():
    group = lj.groups.SO3()
    lifted = lifted_cloud(group, 200)
    exact = geometry.search_nearest(group, lifted, 8)
    found = geometry.search_nearest(group, lifted, 8, recall_target=0.9)
    hits = (found.indices[:, :, None] == exact.indices[:, None, :]).any(-1)
    assert hits.mean() > 0.8


def largest_intermediate(jaxpr):
    sizes = [0]
    for eqn in jaxpr.eqns:
        sizes += [math.prod(v.aval.shape) for v in eqn.outvars]
        sizes += map(largest_intermediate, jaxprs_in_params(eqn.params))
    return max(sizes)


@pytest.mark.parametrize("group", [T3, SE3, lj.groups.SO3()], ids=str)
def test_memory_is_not_quadratic(group, monkeypatch):
    for name, size in USUAL.items():
        monkeypatch.setattr(MODULES[name], name, size)
    m = 5000
    lifted = jax.eval_shape(lambda: lifted_cloud(group, m, dtype=jnp.float32))

    def find(lifted):
        return geometry.search_nearest(group, lifted, 16)

    assert largest_intermediate(jax.make_jaxpr(find)(lifted).jaxpr) < m * m / 4
    if group == T3:
        memory = jax.jit(find).lower(lifted).compile().memory_analysis()
        assert memory.temp_size_in_bytes < m * m / 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 0}, "search_ball: count must be an integer of at least 1, got 0"),
        ({"count": 2.0}, "count must be an integer of at least 1, got 2.0"),
        ({"radius": 0.0}, "search_ball: radius must be positive, got 0.0"),
        ({"recall_target": 0.0}, r"recall_target must be in \(0, 1\] or None, got 0.0"),
        ({"recall_target": 1.5}, r"recall_target must be in \(0, 1\] or None, got 1.5"),
        ({"orbit_weight": -1.0}, "orbit_weight must be at least 0, got -1.0"),
        ({"algebra_weights": (1.0,)}, r"algebra_weights must hold 2 numbers for T\(n=2\), got 1"),
    ],
)
def test_bad_arguments(options, message):
    options = {"radius": 1.0, "count": 2} | options
    with pytest.raises(ValueError, match=message):
        geometry.search_ball(T2, lifted_cloud(T2, 4), **options)


def test_not_lifted():
    with pytest.raises(TypeError, match="search_nearest: lifted must be a LiftedSet, got PointSet"):
        geometry.search_nearest(T2, lj.PointSet(jnp.zeros((3, 2)), jnp.zeros((3, 2))), 2)
