"""Frames move with the cloud, whatever the cloud; weighted ones do so continuously."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lie_jax as lj
from lie_jax import geometry
from lie_jax.geometry import poses
from lie_jax.groups import (
    E2,
    E3,
    O2,
    O3,
    SE2,
    SE3,
    SO2,
    SO3,
    Discrete,
    Galilei,
    Lorentz,
    Poincare,
    Similarity,
    T,
)
from lie_jax.testing._compile import compiled_fast

GROUPS = [
    O2(),
    SE2(),
    E2(),
    SO3(),
    O3(),
    SE3(),
    E3(),
    Lorentz(),
    Poincare(),
    Similarity(3),
    Galilei(),
]
METHODS = ["frame", "weighted_frame", "local_frame", "canonical"]


def cloud(group, n=5, seed=0, absent=0):
    keys = jax.random.split(jax.random.key(seed))
    coords = jax.random.normal(keys[0], (n, group.space_dim), jnp.float64)
    if group in (Lorentz(), Poincare()):  # momenta of mass 1
        momenta = coords[:, -3:]
        coords = coords.at[:, -4].set(jnp.sqrt(1 + jnp.sum(momenta**2, axis=-1)))
    values = jax.random.normal(keys[1], (n, 3), jnp.float64)
    return lj.PointSet(coords, values, jnp.arange(n) < n - absent)


def element(group, seed=3):
    keys = jax.random.split(jax.random.key(seed))
    g = group.exp(jax.random.normal(keys[0], (group.algebra_dim,), jnp.float64))
    return group.compose(g, group.stabiliser(keys[1], (), jnp.float64))


def frames_of(group, points, method):
    return compiled_fast(geometry.cloud_frames, static=(0, 2))(group, points, method)


def average(group, points, method):
    """A function of the canonical coordinates, averaged over frames: invariant if they are."""
    found = geometry.cloud_frames(group, points, method)
    seen = group.act(group.inverse(found.elements), points.coords)
    c = jnp.arange(1.0, 1 + seen[0].size).reshape(seen.shape[1:]) / seen[0].size
    each = jnp.where(points.mask[:, None], jnp.sin(c * seen + seen**2), 0)
    return jnp.sum(found.weights * jnp.sum(each, axis=(-2, -1)))


@pytest.mark.parametrize("group", GROUPS, ids=str)
@pytest.mark.parametrize("method", METHODS)
def test_frames_move_with_the_cloud(group, method):
    points, g = cloud(group, absent=1), element(group)
    moved = dataclasses.replace(points, coords=group.act(g, points.coords))
    here, there = (frames_of(group, p, method) for p in (points, moved))
    np.testing.assert_allclose(jnp.sum(here.weights), 1, atol=1e-14)
    # As sets: each frame that counts, moved by g, is found again with its weight.
    wanted = group.to_matrix(group.compose(g, here.elements))
    got = group.to_matrix(there.elements)
    for weight, frame in zip(here.weights, wanted, strict=True):
        if weight > 0:
            real = slice(None) if method != "local_frame" else slice(4)
            same = np.abs(got - frame)[:, real].max((1, 2, 3)) < 1e-10
            np.testing.assert_allclose(jnp.sum(there.weights, where=same), weight, rtol=1e-8)


@pytest.mark.parametrize("group", [SE2(), SO3(), SE3(), E3()], ids=str)
@pytest.mark.parametrize("method", METHODS)
def test_lifts_in_frames_carry_the_representative_to_the_point(group, method):
    points = cloud(group)
    lifted = jax.jit(partial(lj.lift, group, method=method))(points)
    assert lifted.elements.shape == (*lifted.frame_weights.shape, 5, *group.element_shape)
    start = group.act(group.inverse(group.section(points.coords)), points.coords)
    back = group.act(lifted.elements, start)
    np.testing.assert_allclose(back, jnp.broadcast_to(points.coords, back.shape), atol=1e-12)


def test_how_many_frames():
    counts = {
        (SE2(), "frame"): 2, (E2(), "frame"): 4, (SE3(), "frame"): 4, (E3(), "frame"): 8,
        (SE2(), "weighted_frame"): 5, (E2(), "weighted_frame"): 10,
        (SE3(), "weighted_frame"): 25, (SE3(), "canonical"): 1, (E3(), "local_frame"): 2,
    }  # fmt: skip
    for (group, method), count in counts.items():
        lifted = jax.eval_shape(partial(lj.lift, group, method=method), cloud(group))
        assert lifted.frame_weights.shape == (count,)
    few = partial(lj.lift, SE3(), method="weighted_frame", samples=2)
    assert jax.eval_shape(few, cloud(SE3())).frame_weights.shape == (4,)


def test_absent_points_change_nothing():
    group, points = SE3(), cloud(SE3(), absent=2)
    less = jax.tree.map(lambda x: x[:3], points)
    for method in METHODS:
        found, wanted = (frames_of(group, p, method) for p in (points, less))
        counts = found.weights > 0
        np.testing.assert_allclose(found.weights[counts], wanted.weights[wanted.weights > 0])
        elements = found.elements[:, :3] if method == "local_frame" else found.elements
        np.testing.assert_allclose(
            elements[counts], wanted.elements[wanted.weights > 0], atol=1e-12
        )


@pytest.mark.parametrize("group", [Discrete(SE3(), "T"), Discrete(E2(), "D3")], ids=str)
def test_frames_of_a_discrete_group(group):
    points = cloud(group, absent=1)
    g = group.compose(group.section(jnp.arange(1.0, 1 + group.space_dim)), group.elements()[4])
    moved = dataclasses.replace(points, coords=group.act(g, points.coords))
    here, there = (frames_of(group, p, "frame") for p in (points, moved))
    assert here.elements.shape == (group.order, 1, *group.element_shape)
    np.testing.assert_allclose(here.weights, 1 / group.order)
    wanted = group.to_matrix(group.compose(g, here.elements))
    difference = np.abs(group.to_matrix(there.elements) - wanted[:, None]).max((2, 3, 4))
    assert (np.sum(difference < 1e-12, axis=1) == 1).all()
    with pytest.raises(NotImplementedError, match=r'must be "frame" for .*canonical'):
        geometry.cloud_frames(group, points, "canonical")


# --- some of the frames -------------------------------------------------------------------------


def test_frames_are_drawn_by_their_weights(key):
    weights = jnp.array([[0.0, 0.5, 0.0, 0.3, 0.2, 0.0], [1.0, 0, 0, 0, 0, 0]])
    frames = geometry.Frames(jnp.arange(12.0).reshape(2, 6, 1, 1), weights)
    draw = jax.jit(lambda key, count: geometry.draw_frames(key, frames, count), static_argnums=1)
    for count in (1, 3):
        drawn = jax.vmap(lambda k, c=count: draw(k, c))(jax.random.split(key, 4000))
        assert drawn.elements.shape == (4000, 2, count, 1, 1)
        np.testing.assert_array_equal(drawn.weights, np.float64(1 / count))
        share = (drawn.elements[..., 0, :] == frames.elements[None, :, None, :, 0, 0]).mean((0, 2))
        np.testing.assert_allclose(share, weights, atol=0.03)
        np.testing.assert_array_equal(share[weights == 0], 0)


def test_draws_of_two_batch_axes(key):
    elements = jnp.arange(2 * 3 * 4, dtype=jnp.float64).reshape(2, 3, 4, 1, 1)
    drawn = geometry.draw_frames(key, geometry.Frames(elements, jnp.full((2, 3, 4), 0.25)), 2)
    assert drawn.elements.shape == (2, 3, 2, 1, 1)
    cloud_of = drawn.elements[..., 0, 0] // 4
    assert cloud_of.tolist() == [[[0, 0], [1, 1], [2, 2]], [[3, 3], [4, 4], [5, 5]]]


def test_frames_that_weigh_nothing_are_not_drawn_by_rounding(key, monkeypatch):
    last = jnp.float32(1 - 2**-24)  # of what jax.random.uniform gives; (last + 2) / 3 rounds to 1
    monkeypatch.setattr(geometry.sampling, "per_index", lambda *_: last)
    elements = jnp.arange(3.0, dtype=jnp.float32).reshape(3, 1, 1)
    drawn = geometry.draw_frames(key, geometry.Frames(elements, jnp.float32([0.5, 0.5, 0])), 3)
    assert drawn.elements.ravel().tolist() == [0, 1, 1]
    none = geometry.draw_frames(key, geometry.Frames(elements, jnp.zeros(3, jnp.float32)), 1)
    assert none.elements.ravel().tolist() == [2]


def test_as_many_as_there_are_are_all(key):
    points = cloud(SE3())
    every = jax.jit(partial(lj.lift, SE3(), method="frame"))(points)
    drawn = jax.jit(partial(lj.lift, SE3(), method="frame", frames=4, key=key))(points)
    np.testing.assert_array_equal(drawn.elements, every.elements)
    np.testing.assert_array_equal(drawn.frame_weights, every.frame_weights)


def test_a_draw_does_not_see_padding_and_batch_mates(key):
    group, points = SE3(), cloud(SE3(), absent=2)
    lift = jax.jit(partial(lj.lift, group, method="weighted_frame", frames=2, key=key))
    mates = jax.tree.map(lambda x: jnp.stack([x, x]), points)
    wanted = lift(jax.tree.map(lambda x: x[None, :3], points)).elements[0]
    np.testing.assert_allclose(lift(mates).elements[0, :, :3], wanted, atol=1e-12)


# --- degenerate clouds ---------------------------------------------------------------------------

TETRAHEDRON = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1], [0, 0, 0]], float)
DEGENERATE = {
    "line": np.outer([0, 1, -2, 0.4, 3], [1, 2, 3]),
    "coincident": np.full((5, 3), 0.3),
    "tetrahedron": TETRAHEDRON,
    "square": np.array([[1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0], [0, 0, 0]], float),
    "two places": np.array([[0, 0, 0], [0, 0, 1]] * 2 + [[0, 0, 0]], float),
    "one point": np.array([[1.0, 2.0, 3.0]] + [[9.0, 9.0, 9.0]] * 4),  # the others are absent
}
# Principal axes are not determined by a body whose moments agree.
OPEN = {("tetrahedron", m) for m in METHODS} | {("square", m) for m in METHODS}
OPEN -= {(name, "weighted_frame") for name in DEGENERATE}


def degenerate(group, method, coords, mask, g):
    """The average here and there, and whether its derivatives of first and second order exist."""
    points = lj.PointSet(coords, coords, mask)
    moved = lj.PointSet(group.act(g, coords), coords, mask)

    def of_coords(x):
        return average(group, lj.PointSet(x, x, mask), method)

    slope, curve = jax.jvp(jax.grad(of_coords), (moved.coords,), (moved.coords,))
    finite = jnp.isfinite(slope).all() & jnp.isfinite(curve).all()
    return average(group, points, method), average(group, moved, method), finite


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_clouds(name, method):
    group = E3()
    coords, mask = jnp.asarray(DEGENERATE[name]), np.arange(5) < (1 if name == "one point" else 5)
    run = compiled_fast(degenerate, static=(0, 1))
    here, there, finite = run(group, method, coords, jnp.asarray(mask), element(group))
    assert finite
    if (name, method) not in OPEN:
        np.testing.assert_allclose(here, there, atol=1e-10)


def averages(group, method, clouds):
    return jax.vmap(lambda x: average(group, lj.PointSet(x, x), method))(clouds)


def largest_step(method, path, group, width):
    """The largest difference between neighbours of 41 points on a path of a width around 0."""
    t = width * jnp.linspace(-1, 1, 41)
    values = compiled_fast(averages, static=(0, 1))(group, method, jax.vmap(path)(t))
    return float(jnp.abs(jnp.diff(values)).max())


BEND = np.random.default_rng(0).normal(size=(5, 3))
PATHS = {
    "through a line": lambda t: DEGENERATE["line"] + t * BEND,
    "through equal moments": lambda t: TETRAHEDRON + t * BEND,
    "through one place": lambda t: t * BEND,
    "an anchor through the centre": lambda t: jnp.asarray(
        [[1, 0, 0.3], [-1, 0.5, 0], [0, -0.5, -0.3], [0, 0, 0], [0, 0, 0]]
    ) + jnp.array([[0], [0], [0], [1], [-1]]) * t * jnp.array([0.3, 0.5, 0.7]),
}  # fmt: skip


@pytest.mark.parametrize("name", PATHS)
def test_weighted_frames_are_continuous(name):
    """Where the step along the path is 100 times shorter, so is the change, or more."""
    wide, narrow = (
        largest_step("weighted_frame", PATHS[name], SE3(), width) for width in (1e-3, 1e-5)
    )
    assert narrow < 0.02 * wide


def test_plain_frames_jump():
    path = PATHS["through equal moments"]
    wide, narrow = (largest_step("frame", path, SE3(), width) for width in (1e-3, 1e-5))
    assert narrow > 0.5 * wide > 1e-3


def test_few_anchors_are_continuous_where_two_change_places():
    """The second and third heaviest of 5 anchors change places at t = 0."""
    angle = jnp.array([0.1, 1.3, 2.9, 4.0, 5.2])

    def path(t):
        radius = jnp.array([3.0, 2 + t, 2 - t, 1, 0.5])
        return radius[:, None] * jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=-1)

    def step(width):
        y = jax.vmap(path)(width * jnp.linspace(-1, 1, 40))
        found = poses.weighted(y, jnp.ones(y.shape[:-1], bool), False, 2)
        mean = jnp.einsum("ts,tsij->tij", found.weights, found.rotations[:, :, 0])
        return float(jnp.abs(jnp.diff(mean, axis=0)).max())

    assert step(1e-5) < 0.02 * step(1e-3)


# --- arguments -----------------------------------------------------------------------------------


def test_a_group_without_frames_is_named():
    @dataclasses.dataclass(frozen=True)
    class Own(SE3):
        pass

    points = cloud(SE3())
    with pytest.raises(NotImplementedError, match=r"no frames are known for .*Own"):
        lj.lift(Own(), points, method="frame")
    geometry.register_frames(Own, geometry.frames_of_motions(reflects=False))
    np.testing.assert_allclose(
        lj.lift(Own(), points, method="frame").elements,
        lj.lift(SE3(), points, method="frame").elements,
    )


@pytest.mark.parametrize("group", [T(3), SO2()], ids=str)
def test_where_a_point_has_one_lift_frames_have_nothing_to_do(group):
    points = cloud(group)
    lifted = lj.lift(group, points, method="frame")
    assert lifted.frame_weights is None
    np.testing.assert_array_equal(lifted.elements, lj.lift(group, points).elements)


def test_samples_are_left_to_the_method():
    with pytest.raises(ValueError, match="samples must be left out with method='frame'"):
        lj.lift(SE3(), cloud(SE3()), method="frame", samples=3)


def test_how_many_are_drawn_is_checked():
    points = cloud(SE3())
    with pytest.raises(ValueError, match="frames must be an integer of at least 1, got 0"):
        lj.lift(SE3(), points, method="frame", frames=0)
    with pytest.raises(ValueError, match=r"frames needs a method of .*, got method='grid'"):
        lj.lift(SE3(), points, method="grid", frames=1)
    with pytest.raises(ValueError, match=r"key must be a jax\.random\.key, got None"):
        lj.lift(SE3(), points, method="frame", frames=1)
