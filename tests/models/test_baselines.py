"""MLP and graph network: what they respect and what they do not, padding, derivatives, errors."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import lie_jax as lj
from lie_jax.groups import SE2, T
from lie_jax.testing import assert_equivariant, assert_gradients_finite, assert_padding_free

GRAPH = lj.GraphNetworkConfig(2, 3, outputs=4, width=8, param_dtype=jnp.float64)
PLAIN = lj.MLPConfig(4, 2, 3, outputs=4, width=8, layers=2, param_dtype=jnp.float64)


def graph(**changes):
    return lj.GraphNetwork(dataclasses.replace(GRAPH, **changes), rngs=nnx.Rngs(0))


def plain(**changes):
    return lj.MLP(dataclasses.replace(PLAIN, **changes), rngs=nnx.Rngs(0))


def cloud(n=4, absent=1):
    keys = jax.random.split(jax.random.key(1))
    coords = jax.random.normal(keys[0], (2, n, 2), jnp.float64)
    values = jax.random.normal(keys[1], (2, n, 3), jnp.float64)
    return lj.PointSet(coords, values, jnp.broadcast_to(jnp.arange(n) < n - absent, (2, n)))


def compiled(model):
    run = nnx.jit(lambda model, points: model(points))
    return lambda points: run(model, points)


@pytest.mark.parametrize(
    ("position", "pooling"), [("relative", "sum"), ("relative", "none"), ("absolute", "mean")]
)
def test_graph_network_leaves_out_padding_and_order(position, pooling, key):
    model, per_point = compiled(graph(position=position, pooling=pooling)), pooling == "none"
    y = model(cloud())
    assert y.shape == ((2, 4, 4) if per_point else (2, 4))
    assert_padding_free(model, cloud(), key=key, per_point=per_point)
    if per_point:
        np.testing.assert_array_equal(y[:, 3], 0)


def test_graph_network_on_relative_positions_is_invariant_to_translations(key):
    assert_equivariant(compiled(graph()), T(2), cloud(), key=key)
    for model, group in ((graph(), SE2()), (graph(position="absolute"), T(2)), (plain(), T(2))):
        with pytest.raises(AssertionError, match="assert_equivariant"):
            assert_equivariant(compiled(model), group, cloud(), key=key)


def test_every_real_point_sends_to_every_other_one():
    model = compiled(graph(rounds=1, pooling="none"))
    points = cloud()
    y = model(points)
    for j in range(4):
        moved = dataclasses.replace(points, values=points.values.at[:, j].add(1.0))
        changed = jnp.any(model(moved) != y, axis=(0, 2))
        np.testing.assert_array_equal(changed, [j < 3] * 3 + [False])
    alone = model(jax.tree.map(lambda x: x[:, :1], points))  # no messages: only its own features
    features = points.values[:, :1]
    same = lj.PointSet(points.coords[:, 1:2], features)
    np.testing.assert_allclose(model(same), alone, atol=1e-14)


@pytest.mark.parametrize("per_point", [False, True])
def test_mlp_does_not_see_absent_points(per_point):
    model, points = compiled(plain(per_point=per_point)), cloud()
    y = model(points)
    assert y.shape == ((2, 4, 4) if per_point else (2, 4))
    junk = dataclasses.replace(
        points, coords=points.coords.at[:, 3].set(9), values=points.values.at[:, 3].set(9)
    )
    np.testing.assert_array_equal(model(junk), y)
    if per_point:
        np.testing.assert_array_equal(y[:, 3], 0)
    one = jax.tree.map(lambda x: x[0], points)
    np.testing.assert_allclose(plain(per_point=per_point)(one), y[0], atol=1e-14)  # eager


@pytest.mark.no_cover
@pytest.mark.parametrize("model", [graph(), plain()], ids=["graph", "mlp"])
def test_derivatives_are_finite(model, key):
    apply, params = lj.functional(model)
    assert_gradients_finite(lambda points: apply(params, points), cloud(), key=key)


@pytest.mark.parametrize("model", [graph, plain])
def test_output_dtype_follows_input(model):
    points = jax.tree.map(lambda x: x if x.dtype == bool else x.astype(jnp.float32), cloud())
    assert compiled(model(param_dtype=jnp.float32))(points).dtype == jnp.float32


def test_published_size():
    model = lj.MLP(lj.MLPConfig(6, 2, 4, outputs=4, per_point=True), rngs=nnx.Rngs(0))
    count = sum(x.size for x in jax.tree.leaves(nnx.state(model)))
    assert count == 36 * 300 + 3 * 300 * 300 + 4 * 300 + 300 * 24 + 24


@pytest.mark.parametrize(
    ("config", "changes", "message"),
    [
        (GRAPH, {"width": 0}, "GraphNetworkConfig: width must be"),
        (GRAPH, {"position": "x"}, "position must be one of"),
        (GRAPH, {"pooling": "max"}, "pooling must be one of"),
        (GRAPH, {"activation": "x"}, "activation must be one of"),
        (PLAIN, {"layers": 0}, "MLPConfig: layers must be"),
        (PLAIN, {"activation": "x"}, "activation must be one of"),
    ],
)
def test_bad_config_is_named(config, changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(config, **changes)


@pytest.mark.parametrize(("model", "name"), [(graph(), "GraphNetwork"), (plain(), "MLP")])
def test_bad_input_is_named(model, name):
    points = cloud()
    with pytest.raises(ValueError, match=rf"{name}: points\.values must have shape"):
        model(dataclasses.replace(points, values=points.values[..., :2]))
    with pytest.raises(ValueError, match=rf"{name}: points\.coords must have shape"):
        model(dataclasses.replace(points, coords=points.coords[..., :1]))
    nan = dataclasses.replace(points, coords=points.coords.at[0, 0, 0].set(jnp.nan))
    with pytest.raises(ValueError, match="coords must be finite"):
        model(nan)
