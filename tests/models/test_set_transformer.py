"""SetTransformer: what it respects and what it does not, padding, derivatives, dtypes, errors."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import lie_jax as lj
from lie_jax.groups import SE2, T
from lie_jax.testing import assert_equivariant, assert_gradients_finite, assert_padding_free

SMALL = lj.SetTransformerConfig(
    2, 3, outputs=4, seeds=2, width=8, heads=2, encoder_layers=2, decoder_layers=1,
    param_dtype=jnp.float64,
)  # fmt: skip
LARGE_CLOUDS = {"inducing_points": 3, "layer_norm": True}
OPTIONS = pytest.mark.parametrize("options", [{}, LARGE_CLOUDS], ids=["plain", "inducing"])


def build(**changes):
    return lj.SetTransformer(dataclasses.replace(SMALL, **changes), rngs=nnx.Rngs(0))


def cloud(n=4, absent=1, batch=(2,), channels=3):
    keys = jax.random.split(jax.random.key(1))
    coords = jax.random.normal(keys[0], (*batch, n, 2), jnp.float64)
    values = jax.random.normal(keys[1], (*batch, n, channels), jnp.float64)
    return lj.PointSet(coords, values, jnp.broadcast_to(jnp.arange(n) < n - absent, (*batch, n)))


def compiled(model):
    run = nnx.jit(lambda model, points: model(points))
    return lambda points: run(model, points)


@OPTIONS
def test_padding_batch_mates_and_order(options, key):
    model, points = compiled(build(**options)), cloud()
    y = model(points)
    assert y.shape == (2, 4)
    assert_padding_free(model, points, key=key)
    for j in range(3):  # or else a model that sees no point would pass
        moved = dataclasses.replace(points, coords=points.coords.at[:, j].add(0.1))
        assert jnp.abs(model(moved) - y).max(1).min() > 1e-6
    nan = jnp.where(points.mask[..., None], points.coords, jnp.nan)
    np.testing.assert_array_equal(model(dataclasses.replace(points, coords=nan)), y)


@pytest.mark.parametrize("group", [T(2), SE2()], ids=str)
def test_no_motion_is_respected(group, key):
    with pytest.raises(AssertionError, match="assert_equivariant"):
        assert_equivariant(compiled(build()), group, cloud(), key=key)


@OPTIONS
def test_derivatives_are_finite(options, key):
    apply, params = lj.functional(build(**options))
    assert_gradients_finite(lambda points: apply(params, points), cloud(), key=key)


@OPTIONS
def test_cloud_without_points_gives_a_constant(options):
    # That its derivatives are 0 is part of the test above.
    model = compiled(build(**options))
    few, many = (model(cloud(n, absent=n)) for n in (1, 4))
    assert jnp.all(jnp.isfinite(few))
    np.testing.assert_allclose(few, many[::-1], atol=1e-14)


def test_queries_without_keys_keep_to_themselves():
    layer = lj.nn.SetCrossAttention(3, 2, 8, heads=2, param_dtype=jnp.float64, rngs=nnx.Rngs(0))
    queries, keys = cloud().values, cloud().coords
    y = layer.query(queries)
    wanted = y + jax.nn.relu(layer.output(y))
    none = jnp.zeros(keys.shape[:-1], bool)
    np.testing.assert_allclose(layer(queries, keys, none), wanted, atol=1e-14)
    assert jnp.abs(layer(queries, keys, ~none) - wanted).min() > 0
    np.testing.assert_array_equal(layer(queries, keys, ~none), layer(queries, keys))


def test_attention_is_the_formula():
    layer = lj.nn.SetCrossAttention(3, 2, 8, heads=2, param_dtype=jnp.float64, rngs=nnx.Rngs(0))
    queries, keys, mask = cloud().values[0], cloud().coords[0], np.arange(4) < 3
    q, k, v = (np.asarray(x) for x in (layer.query(queries), layer.key(keys), layer.value(keys)))
    y = np.array(q)
    for head in (slice(0, 4), slice(4, 8)):
        for i in range(4):
            weights = np.exp([q[i, head] @ k[j, head] / np.sqrt(8) for j in range(3)])
            y[i, head] += weights @ v[:3, head] / weights.sum()
    wanted = y + np.maximum(layer.output(jnp.asarray(y)), 0)
    np.testing.assert_allclose(layer(queries, keys, jnp.asarray(mask)), wanted, atol=1e-14)


def test_jit_and_vmap_change_nothing():
    model, points = build(**LARGE_CLOUDS), cloud()
    y = model(points)
    np.testing.assert_allclose(compiled(model)(points), y, atol=1e-13)
    apply, params = lj.functional(model)
    mapped = jax.jit(jax.vmap(apply, (None, 0)))(params, points)
    np.testing.assert_allclose(mapped, y, atol=1e-13)


@pytest.mark.parametrize("batch", [(), (2, 2)])
def test_any_leading_axes(batch):
    model, points = compiled(build(**LARGE_CLOUDS)), cloud(batch=batch)
    y = model(points)
    assert y.shape == (*batch, 4)
    flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[len(batch) :]), points)
    np.testing.assert_allclose(model(flat), y.reshape(-1, 4), atol=1e-13)


@OPTIONS
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_output_dtype_follows_input(dtype, options):
    half, options = dtype == jnp.bfloat16, {"param_dtype": jnp.float32, **options}
    low = build(dtype=dtype if half else None, **options)
    points = cloud()
    y = compiled(low)(jax.tree.map(lambda x: x if x.dtype == bool else x.astype(dtype), points))
    assert y.dtype == dtype
    exact = compiled(build(**options))(points)
    assert exact.dtype == jnp.float64
    np.testing.assert_allclose(y.astype(jnp.float64), exact, atol=0.05 if half else 1e-5)


def test_coordinates_alone_and_no_decoder():
    model = compiled(build(in_channels=0, decoder_layers=0))
    assert model(cloud(channels=0)).shape == (2, 4)


def test_initial_values():
    def spread(seeds):
        points = lj.nn.AttentionPooling(64, heads=4, seeds=seeds, rngs=nnx.Rngs(0)).seeds[...]
        return jnp.abs(points).max()

    # Xavier uniform, sqrt(6 / (fan_in + fan_out)), with the published fans seeds 64 and 64.
    np.testing.assert_allclose([spread(1), spread(5)], [(6 / 128) ** 0.5, 0.125], rtol=0.05)
    inducing = lj.nn.InducedSetAttention(2, 64, heads=4, inducing_points=5, rngs=nnx.Rngs(0))
    np.testing.assert_allclose(jnp.abs(inducing.inducing[...]).max(), 0.125, rtol=0.05)


def test_number_of_parameters():
    config = lj.SetTransformerConfig(2, outputs=12, seeds=4)
    model = nnx.eval_shape(lambda: lj.SetTransformer(config, rngs=nnx.Rngs(0)))
    count = sum(x.size for x in jax.tree.leaves(nnx.state(model)))
    square, first, head = 128 * 129, 3 * 128, 3 * 129
    assert count == 3 * first + (1 + 3 * 4 + 4 + 4 * 4) * square + 4 * 128 + head


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"space_dim": 0}, "SetTransformerConfig: space_dim must be"),
        ({"in_channels": -1}, "in_channels must be an integer of at least 0, got -1"),
        ({"outputs": 3}, "outputs must be a multiple of seeds = 2, got 3"),
        ({"width": 9}, "width must be a multiple of heads = 2, got 9"),
        ({"encoder_layers": 0}, "encoder_layers must be an integer of at least 1"),
        ({"decoder_layers": 1.0}, "decoder_layers must be an integer of at least 0"),
        ({"inducing_points": True}, "inducing_points must be an integer of at least 0"),
    ],
)
def test_bad_config_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SMALL, **changes)


def test_bad_input_is_named():
    model, points = build(), cloud()
    with pytest.raises(ValueError, match=r"SetTransformer: points\.values must have shape"):
        model(dataclasses.replace(points, values=points.values[..., :2]))
    with pytest.raises(ValueError, match=r"SetTransformer: points\.coords must have shape"):
        model(dataclasses.replace(points, coords=points.coords[..., :1]))
    nan = dataclasses.replace(points, coords=points.coords.at[0, 0, 0].set(jnp.nan))
    with pytest.raises(ValueError, match="coords must be finite"):
        model(nan)
    with pytest.raises(ValueError, match="SetCrossAttention: width must be a multiple of heads"):
        lj.nn.SetSelfAttention(3, 8, heads=3, rngs=nnx.Rngs(0))
