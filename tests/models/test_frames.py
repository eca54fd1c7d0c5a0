"""Models on frames are exactly invariant, and their vectors and tensors move with the points."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import lie_jax as lj
from lie_jax.groups import E2, E3, SE2, SE3, SO3, Discrete
from lie_jax.testing import assert_equivariant, assert_padding_free

EXACT = ["frame", "weighted_frame", "local_frame", "canonical"]


def build(group, method, dtype=jnp.float64, **changes):
    config = lj.LieTransformerConfig(
        in_channels=3, outputs=2, width=8, layers=2, heads=2, param_dtype=dtype,
        lift_method=method, pair_embedding="matrix", **changes,
    )  # fmt: skip
    return lj.LieTransformer(config, group=group, rngs=nnx.Rngs(0))


def cloud(group, dtype=jnp.float64, n=4, absent=1):
    keys = jax.random.split(jax.random.key(1))
    coords = jax.random.normal(keys[0], (2, n, group.space_dim), dtype)
    values = jax.random.normal(keys[1], (2, n, 3), dtype)
    return lj.PointSet(coords, values, jnp.broadcast_to(jnp.arange(n) < n - absent, (2, n)))


def compiled(model, key=None):
    run = nnx.jit(lambda model, points: model(points, key=key))
    return lambda points: run(model, points)


@pytest.mark.no_cover
@pytest.mark.parametrize("group", [SE2(), SO3(), E3()], ids=str)
@pytest.mark.parametrize("method", EXACT)
def test_frames_are_exact(group, method, key):
    assert_equivariant(compiled(build(group, method)), group, cloud(group), key=key)


@pytest.mark.parametrize("group", [SE3(), E2()], ids=str)
def test_frames_in_float32(group, key):
    points = cloud(group, jnp.float32)
    model = compiled(build(group, "frame", jnp.float32))
    g = group.exp(jax.random.normal(key, (group.algebra_dim,), jnp.float32))
    moved = model(dataclasses.replace(points, coords=group.act(g, points.coords)))
    here = model(points)
    assert jnp.abs(moved - here).max() <= 1e-4 * jnp.abs(here).max()


@pytest.mark.parametrize(("group", "method"), [(SE2(), "weighted_frame"), (SE3(), "frame")])
def test_outputs_of_drawn_frames_are_right_on_average(group, method, key):
    points = cloud(group)
    drawn = build(group, method, lift_frames=1)
    run = nnx.jit(lambda model, points, key: model(points, key=key))
    each = np.stack([run(drawn, points, k) for k in jax.random.split(key, 400)])
    wanted = compiled(build(group, method))(points)
    error = each.std(0) / np.sqrt(len(each))
    assert (each.std(0) > 1e-6).all()
    assert (np.abs(each.mean(0) - wanted) < 5 * error).all()


def test_gradients_of_a_convolution_on_a_drawn_frame(key):
    """In all parameters, and not of the frames that were not drawn."""
    config = lj.LieConvConfig(
        in_channels=3, width=8, layers=1, lift_method="frame", lift_frames=1,
        param_dtype=jnp.float64,
    )  # fmt: skip
    model = lj.LieConv(config, group=SE2(), rngs=nnx.Rngs(0))
    apply, params = lj.functional(model)
    points = cloud(SE2())

    @jax.jit
    def gradients(params, key):
        return jax.grad(lambda p: jnp.sum(apply(p, points, key=key) ** 2))(params)

    first, again = gradients(params, key), gradients(params, key)
    for x, y in zip(jax.tree.leaves(first), jax.tree.leaves(again), strict=True):
        assert jnp.isfinite(x).all()
        np.testing.assert_array_equal(x, y)
    assert any((x != 0).any() for x in jax.tree.leaves(first))


def test_a_random_lift_is_not_exact(key):
    model = compiled(build(SE3(), "random"), key)
    with pytest.raises(AssertionError, match="SE3"):
        assert_equivariant(model, SE3(), cloud(SE3()), key=key)


@pytest.mark.parametrize("method", ["weighted_frame", "local_frame"])
def test_frames_leave_out_padding_and_order(method, key):
    assert_padding_free(compiled(build(SE2(), method)), cloud(SE2()), key=key)


def test_neighbours_are_the_same_in_every_frame(key):
    near = lj.NeighbourConfig(method="nearest", count=2, algebra_weights=(0.0, 0, 0, 1, 1, 1))
    for neighbours in (near, lj.NeighbourConfig(method="random", count=2)):
        model = build(SE3(), "frame", neighbours=neighbours)
        assert_equivariant(compiled(model, key), SE3(), cloud(SE3()), key=key)


def act_on_vectors(group):
    def act(g, y):
        return jnp.einsum("ij,...j->...i", lj.geometry.linear_part(group, g), y)

    return act


def act_on_tensors(group):
    def act(g, y):
        a = lj.geometry.linear_part(group, g)
        return jnp.einsum("ij,...jk,lk->...il", a, y, a)

    return act


@pytest.mark.parametrize(
    ("group", "method", "pooling"),
    [
        (SE3(), "frame", "none"),
        (SE3(), "local_frame", "mean"),
        (E3(), "weighted_frame", "sum"),
        (SO3(), "frame", "mean"),
        (SE2(), "canonical", "none"),
    ],
    ids=str,
)
def test_vectors_and_tensors_move_with_the_points(group, method, pooling, key):
    for output, act in (("vector", act_on_vectors), ("tensor", act_on_tensors)):
        model = compiled(build(group, method, pooling=pooling, output=output))
        points = cloud(group)
        y = model(points)
        shape = (2, 4, 2) if pooling == "none" else (2, 2)
        assert y.shape == shape + (group.space_dim,) * (1 if output == "vector" else 2)
        assert jnp.abs(y).max() > 1e-5
        if pooling == "none":
            np.testing.assert_array_equal(y[:, 3], 0)
        assert_equivariant(model, group, points, key=key, act_on_output=act(group))
        with pytest.raises(AssertionError, match="assert_equivariant"):
            assert_equivariant(model, group, points, key=key)  # they are not invariant


def test_vectors_of_all_lifts_of_a_discrete_group():
    group = Discrete(SE3(), "T")
    model = compiled(build(group, "all", output="vector"))
    points = cloud(group)
    g = group.elements()[7]
    moved = model(dataclasses.replace(points, coords=group.act(g, points.coords) + 1.5))
    np.testing.assert_allclose(moved, act_on_vectors(group)(g, model(points)), atol=1e-12)


def test_largest_component_is_refused():
    with pytest.raises(ValueError, match="pooling must be"):
        build(SE3(), "frame", pooling="max", output="vector")


def test_forces_from_an_energy_on_weighted_frames(key):
    """The gradient of an invariant energy is an equivariant force field, and differentiable."""
    model, points = build(SE3(), "weighted_frame"), cloud(SE3())

    def forces(points):
        def energy(coords):
            return jnp.sum(model(dataclasses.replace(points, coords=coords)))

        return jax.grad(energy)(points.coords)

    run = jax.jit(forces)
    assert_equivariant(run, SE3(), points, key=key, act_on_output=act_on_vectors(SE3()))
