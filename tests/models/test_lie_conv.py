"""LieConv: symmetry, padding, derivatives, batch norm, neighbours, errors."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import lie_jax as lj
from lie_jax.groups import E3, SE2, SE3, SO2, SO3, Lorentz, RxSO2, T
from lie_jax.testing import assert_equivariant, assert_gradients_finite, assert_padding_free

SMALL = lj.LieConvConfig(
    in_channels=3, outputs=2, width=8, layers=2, kernel_features=4, kernel_hidden=8,
    param_dtype=jnp.float64,
)  # fmt: skip


def build(group, **changes):
    config = dataclasses.replace(SMALL, **changes)
    return lj.LieConv(config, group=group, rngs=nnx.Rngs(0))


def cloud(group, n=4, absent=1, dtype=jnp.float64):
    keys = jax.random.split(jax.random.key(1))
    coords = jax.random.normal(keys[0], (2, n, group.space_dim), dtype)
    values = jax.random.normal(keys[1], (2, n, 3), dtype)
    return lj.PointSet(coords, values, jnp.broadcast_to(jnp.arange(n) < n - absent, (2, n)))


def compiled(model, key=None):
    run = nnx.jit(lambda model, points: model(points, key=key))
    return lambda points: run(model, points)


NEAREST = {"neighbours": lj.NeighbourConfig("nearest", count=2)}
BALL = {"neighbours": lj.NeighbourConfig("ball", count=3, radius=1.5)}
RANDOM = {"neighbours": lj.NeighbourConfig("random", count=2)}
MATRIX_FRAMES = {"lift_method": "frame", "pair_embedding": "matrix"}


@pytest.mark.parametrize(
    ("group", "options"),
    [
        (T(3), {}),
        (T(2), NEAREST | {"batch_norm": True, "pooling": "sum"}),
        (SO2(), {"pooling": "none"}),
        (RxSO2(), BALL),
        (SE2(), MATRIX_FRAMES | NEAREST),
        (SO3(), MATRIX_FRAMES),
        (E3(), {"lift_method": "local_frame", "pair_embedding": "matrix", "pooling": "none"}),
        (Lorentz(), MATRIX_FRAMES),
    ],
    ids=str,
)
def test_moving_the_points_changes_nothing(group, options, key):
    model, points = compiled(build(group, **options), key), cloud(group)
    y = model(points)
    assert y.shape == ((2, 4, 2) if options.get("pooling") == "none" else (2, 2))
    assert_equivariant(model, group, points, key=key)
    # The control that must fail: no group here moves one point alone.
    moved = dataclasses.replace(points, coords=points.coords.at[:, 0].add(0.1))
    assert jnp.abs(model(moved) - y).max() > 1e-6


def test_a_larger_group_is_not_respected(key):
    model = compiled(build(T(2)))
    with pytest.raises(AssertionError, match="SE2"):
        assert_equivariant(model, SE2(), cloud(SE2()), key=key)


def test_moved_lifts_give_the_same_output(key):
    group = SE2()
    model = build(group, lift_samples=2)
    run = nnx.jit(lambda model, lifted: model.from_lifted(lifted))
    lifted = lj.lift(group, cloud(group), key=key, samples=2)
    g = group.exp(jnp.arange(1.0, 4) / 3)
    moved = dataclasses.replace(lifted, elements=group.compose(g, lifted.elements))
    np.testing.assert_allclose(run(model, lifted), run(model, moved), atol=1e-12)


@pytest.mark.parametrize(
    "options",
    [
        {"pooling": "none"},
        {"pooling": "sum", "neighbour_mean": False} | NEAREST,
        {"pooling": "max", "batch_norm": True} | BALL,
        {"lift_method": "shared", "lift_samples": 2},
    ],
    ids=str,
)
def test_padding_batch_mates_and_order(options, key):
    group = SE2() if "lift_samples" in options else T(2)
    model = compiled(build(group, **options), key)
    per_point = options.get("pooling") == "none"
    assert_padding_free(model, cloud(group), key=key, per_point=per_point)
    if per_point:
        np.testing.assert_array_equal(model(cloud(group))[:, 3], 0)


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("group", "options", "train"),
    [(T(2), {}, False), (T(2), NEAREST | {"batch_norm": True}, True), (SE3(), {}, False)],
    ids=str,
)
def test_derivatives_are_finite(group, options, train, key):
    apply, params, state = lj.functional_with_state(build(group, layers=1, **options))

    def outputs(points):
        return apply(params, state, points, key=key, train=train)[0]

    assert_gradients_finite(outputs, cloud(group, 3), key=key)


def test_a_cloud_without_points_has_the_output_zero():
    points = cloud(T(2))
    absent = dataclasses.replace(points, mask=points.mask & jnp.array([[True], [False]]))
    y = compiled(build(T(2)))(absent)
    assert jnp.abs(y[0]).min() > 0
    np.testing.assert_array_equal(y[1], 0)


def test_a_query_without_neighbours_has_zeros():
    layer = lj.nn.LieConvLayer(3, 2, pair_features=2, rngs=nnx.Rngs(0))
    pairs = lj.geometry.PairSet(jnp.ones((4, 4, 2)), jnp.eye(4, dtype=bool).at[1, 1].set(False))
    y = nnx.jit(lambda layer, *args: layer(*args))(
        layer, jnp.ones((4, 3)), pairs, jnp.arange(4) < 3
    )
    np.testing.assert_array_equal(jnp.any(y != 0, axis=-1), [True, False, True, False])


def test_batch_statistics_move_in_training_only_and_do_not_see_padding():
    apply, params, state = lj.functional_with_state(build(T(2), batch_norm=True))
    run = jax.jit(apply, static_argnames="train")
    points = cloud(T(2))
    chex.assert_trees_all_equal(run(params, state, points)[1], state)
    y, moved = run(params, state, points, train=True)
    assert all(jnp.any(a != b) for a, b in zip(*map(jax.tree.leaves, (state, moved)), strict=True))
    fewer = jax.tree.map(lambda x: x[:, :3], points)
    y2, moved2 = run(params, state, fewer, train=True)
    chex.assert_trees_all_close((y, moved), (y2, moved2), atol=1e-12)


def test_compiled_equals_eager_and_the_key_decides(key):
    model, points = build(T(2), layers=1, **RANDOM), cloud(T(2))
    y = model(points, key=key)
    np.testing.assert_allclose(compiled(model, key)(points), y, atol=1e-12)
    assert jnp.abs(compiled(model, jax.random.key(1))(points) - y).max() > 1e-6
    with pytest.raises(ValueError, match="LieConv: key must be"):
        model(points)


@pytest.mark.parametrize("batch", [(), (2, 1)])
def test_any_leading_axes(batch):
    points, model = cloud(T(2)), compiled(build(T(2)))
    count = 2 if batch else 1
    y = model(jax.tree.map(lambda x: x[:count].reshape(*batch, *x.shape[1:]), points))
    assert y.shape == (*batch, 2)
    np.testing.assert_allclose(y.reshape(-1, 2), model(points)[:count], atol=1e-12)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_output_dtype_follows_input(dtype):
    half = dtype == jnp.bfloat16
    options = {"param_dtype": jnp.float32, "batch_norm": True}
    low = build(T(2), dtype=dtype if half else None, **options)
    points = cloud(T(2))
    y = compiled(low)(jax.tree.map(lambda x: x if x.dtype == bool else x.astype(dtype), points))
    assert y.dtype == dtype
    exact = compiled(build(T(2), **options))(points)
    np.testing.assert_allclose(y.astype(jnp.float64), exact, atol=0.05 if half else 1e-5)


def test_published_sizes():
    def count(config, group):
        model = nnx.eval_shape(lambda: lj.LieConv(config, group=group, rngs=nnx.Rngs(0)))
        return sum(x.size for x in jax.tree.leaves(nnx.state(model, nnx.Param)))

    assert count(lj.LieConvConfig(in_channels=2), T(2)) == 895_297
    molecules = lj.LieConvConfig(in_channels=15, width=1536, layers=6, batch_norm=True)
    maps = 15 * 1536 + 1536 + 6 * (1536 * 384 + 384 + 384 * 1536 + 1536) + 1536 + 1
    kernels = 6 * (3 * 32 + 32 + 32 * 32 + 32 + 32 * 16 + 16 + 16 * 384 * 384 + 384)
    norms = 2 * (6 * (1536 + 384 + 384 + 32 + 32 + 16) + 1536)
    assert count(molecules, T(3)) == maps + kernels + norms


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 10}, "width must be a multiple of 4"),
        ({"layers": 0}, "layers must be"),
        ({"kernel_features": 0}, "kernel_features must be"),
        ({"lift_samples": 0}, "lift_samples must be"),
        ({"activation": "x"}, "activation must be one of"),
        ({"pooling": "min"}, "pooling must be one of"),
        ({"lift_method": "x"}, "lift_method must be one of"),
        ({"pair_embedding": "x"}, "pair_embedding must be one of"),
        ({"pair_norm_bound": 0.0}, "pair_norm_bound must be positive"),
    ],
)
def test_bad_config_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SMALL, **changes)


def test_bad_input_is_named():
    points = cloud(T(2))
    with pytest.raises(ValueError, match=r"LieConv: points.values must have shape \(\*b, n, 3\)"):
        build(T(2))(dataclasses.replace(points, values=points.values[..., :2]))
    with pytest.raises(TypeError, match="LieConv: group must be"):
        build(T)
    with pytest.raises(ValueError, match='LieConv: pair_embedding must not be "log"'):
        build(lj.groups.GL2())
    with pytest.raises(ValueError, match="LieConvBlock: width must be a multiple of 4, got 6"):
        lj.nn.LieConvBlock(6, pair_features=2, rngs=nnx.Rngs(0))
    layer = lj.nn.LieConvLayer(3, 2, pair_features=2, rngs=nnx.Rngs(0))
    pairs = lj.geometry.PairSet(jnp.ones((4, 4, 2)), jnp.ones((1, 4), bool))
    with pytest.raises(ValueError, match=r"values must have shape \(\*b, m, 3\), got \(4, 5\)"):
        layer(jnp.ones((4, 5)), pairs, jnp.ones(4, bool))
