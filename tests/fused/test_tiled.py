"""Tiled attention equals the reference: values and derivatives, every option, any shape."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

import lie_jax as lj
from lie_jax import geometry
from lie_jax.fused import Tiling, lie_attention
from lie_jax.fused.api import choose_tiling

OPTIONS = {
    "published": lj.AttentionConfig(),
    "mean": lj.AttentionConfig(normalisation="mean"),
    "exp_mean": lj.AttentionConfig(normalisation="exp_mean"),
    "concat * mlp": lj.AttentionConfig("linear_concat", "mlp", "product"),
    "concat + raw": lj.AttentionConfig("linear_concat", "raw", "sum"),
    "mlp(concat linear, mlp)": lj.AttentionConfig("linear_concat_linear", "mlp", "mlp"),
    "mlp(dot, raw)": lj.AttentionConfig("dot_product", "raw", "mlp"),
    "relative": lj.AttentionConfig("relative_position", "none", "none"),
    "mlp(relative, mlp)": lj.AttentionConfig("relative_position", "mlp", "mlp"),
    "location": lj.AttentionConfig("none", "mlp", "none"),
    "raw location": lj.AttentionConfig("none", "raw", "none"),
    "content": lj.AttentionConfig("dot_product", "none", "none", activation="tanh"),
}
OPTIONS = {k: dataclasses.replace(v, location_hidden=5) for k, v in OPTIONS.items()}
GROUPS = [
    lj.groups.T(3),
    lj.groups.SE3(),
    lj.groups.SO2(),
    lj.groups.SO3(),
    lj.groups.E2(),
    lj.groups.Trivial(2),
    lj.groups.Squeeze(),
]
TILING = Tiling(2, 4, 5)
MANY_LIFTS = {"SE3", "SO3", "E2"}


def problem(group, config, *, n=7, batch=(2,), samples=None, neighbours=None, seed=0, dtype=float):
    """Arguments of `lie_attention`; the last cloud is all absent, the first all real."""
    keys = jax.random.split(jax.random.key(seed), 6)
    if samples is None:
        samples = 2 if type(group).__name__ in MANY_LIFTS else 1
    mask = jax.random.bernoulli(keys[0], 0.7, (*batch, n))
    if batch:
        mask = mask.at[0].set(True).at[-1].set(False)
    points = lj.PointSet(
        jax.random.normal(keys[1], (*batch, n, group.space_dim), dtype),
        jax.random.normal(keys[2], (*batch, n, 8), dtype),
        mask,
    )
    lifted = lj.lift(group, points, key=keys[3], samples=samples)
    chosen = None
    if neighbours:
        distance = geometry.pair_distance(group, lifted, lifted)
        chosen = geometry.nearest(distance, lifted.mask, neighbours)
    pairs = geometry.lazy_pairs(group, lifted, neighbourhood=chosen)
    layer = lj.LieSelfAttention(
        8, 8, heads=2, pair_features=geometry.feature_dim(group), config=config,
        param_dtype=dtype, rngs=nnx.Rngs(seed),
    )  # fmt: skip
    queries, content_keys, values = layer._project(lifted.values)
    cotangent = jax.random.normal(keys[4], values.shape, dtype)
    arguments = (
        layer._weights(values.dtype), queries, content_keys, values, pairs.elements, pairs.orbit
    )  # fmt: skip
    return config, pairs, cotangent, arguments


def contracted(config, pairs, cotangent, implementation, tiling, arguments):
    weights, queries, keys, values, elements, orbit = arguments
    pairs = dataclasses.replace(pairs, elements=elements, orbit=orbit)
    out = lie_attention(
        config, weights, queries, keys, values, pairs,
        implementation=implementation, tiling=tiling,
    )  # fmt: skip
    return jnp.sum(jnp.sin(out) * cotangent)


def functions(problem, tiling=TILING):
    config, pairs, cotangent, arguments = problem
    both = [
        functools.partial(contracted, config, pairs, cotangent, name, tiling)
        for name in ("reference", "tiled")
    ]
    return both, arguments


def assert_close(got, want, tolerance):
    for x, y in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_array_less(
            np.abs(x - y), tolerance * (1 + np.max(np.abs(y), initial=0)), strict=False
        )


GATHERED = ("published", "exp_mean", "concat * mlp", "mlp(dot, raw)", "relative")


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("options", "neighbours"), [(x, None) for x in OPTIONS] + [(x, 3) for x in GATHERED]
)
def test_every_option(options, neighbours):
    group = lj.groups.T(3) if options in ("mean", "content") else lj.groups.SO3()
    (reference, tiled), arguments = functions(
        problem(group, OPTIONS[options], n=5, neighbours=neighbours)
    )
    want = jax.jit(jax.value_and_grad(reference))(arguments)
    assert_close(jax.jit(jax.value_and_grad(tiled))(arguments), want, 1e-10)


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("group", "neighbours"), [(x, None) for x in GROUPS] + [(x, 3) for x in GROUPS[:2]], ids=str
)
def test_every_group(group, neighbours):
    (reference, tiled), arguments = functions(
        problem(group, OPTIONS["mlp(relative, mlp)"], n=5, neighbours=neighbours)
    )
    want = jax.jit(jax.value_and_grad(reference))(arguments)
    assert_close(jax.jit(jax.value_and_grad(tiled))(arguments), want, 1e-10)


@pytest.mark.no_cover
@given(
    n=st.integers(1, 11),
    batch=st.sampled_from([(), (1,), (3,), (2, 2)]),
    tiling=st.builds(
        Tiling, st.integers(1, 3), st.integers(1, 12), st.integers(1, 12), st.booleans()
    ),
    normalisation=st.sampled_from(["softmax", "mean", "exp_mean"]),
    dtype=st.sampled_from([jnp.float64, jnp.float32]),
    group=st.sampled_from([lj.groups.T(2), lj.groups.SE2()]),
    seed=st.integers(0, 99),
)
@settings(max_examples=12, deadline=None)
def test_any_shape_and_mask(n, batch, tiling, normalisation, dtype, group, seed):
    config = dataclasses.replace(OPTIONS["published"], normalisation=normalisation)
    (reference, tiled), arguments = functions(
        problem(group, config, n=n, batch=batch, seed=seed, dtype=dtype), tiling
    )
    want = jax.jit(jax.value_and_grad(reference))(arguments)
    tolerance = 1e-10 if dtype == jnp.float64 else 1e-5
    assert_close(jax.jit(jax.value_and_grad(tiled))(arguments), want, tolerance)


@pytest.mark.slow
@given(
    options=st.sampled_from(sorted(OPTIONS)),
    group=st.sampled_from(GROUPS),
    n=st.integers(1, 9),
    neighbours=st.sampled_from([None, 1, 3]),
    tiling=st.builds(
        Tiling, st.integers(1, 3), st.integers(1, 12), st.integers(1, 12), st.booleans()
    ),
    dtype=st.sampled_from([jnp.float64, jnp.float32]),
    seed=st.integers(0, 99),
)
@settings(max_examples=100, deadline=None)
def test_any_group_and_option(options, group, n, neighbours, tiling, dtype, seed):
    (reference, tiled), arguments = functions(
        problem(
            group, OPTIONS[options], n=n, neighbours=neighbours and min(neighbours, n),
            seed=seed, dtype=dtype,
        ),
        tiling,
    )  # fmt: skip
    want = jax.jit(jax.value_and_grad(reference))(arguments)
    tolerance = 1e-10 if dtype == jnp.float64 else 1e-5
    assert_close(jax.jit(jax.value_and_grad(tiled))(arguments), want, tolerance)


@pytest.mark.parametrize("neighbours", [None, 3])
def test_second_derivatives_in_both_modes(neighbours):
    (reference, tiled), arguments = functions(
        problem(lj.groups.SE2(), OPTIONS["published"], n=3, neighbours=neighbours)
    )
    direction = jax.tree.map(jnp.cos, arguments)

    def derivatives(function):
        def slope(arguments):
            grads = jax.grad(function)(arguments)
            leaves = map(jax.tree.leaves, (grads, direction))
            return sum(jnp.vdot(g, d) for g, d in zip(*leaves, strict=True))

        forward = jax.jvp(jax.grad(function), (arguments,), (direction,))[1]
        return jax.jvp(function, (arguments,), (direction,)), forward, jax.grad(slope)(arguments)

    want = jax.jit(functools.partial(derivatives, reference))()
    assert_close(jax.jit(functools.partial(derivatives, tiled))(), want, 1e-10)


def test_the_gradient_without_elements_is_part_of_the_gradient():
    (_, tiled), arguments = functions(problem(lj.groups.SE2(), OPTIONS["relative"], n=5))

    def of_rest(rest):
        return tiled((*rest, *arguments[4:]))

    whole = jax.jit(jax.grad(tiled))(arguments)
    assert_close(jax.jit(jax.grad(of_rest))(arguments[:4]), whole[:4], 1e-12)


def test_coincident_points_have_finite_derivatives():
    config, pairs, cotangent, arguments = problem(lj.groups.SE3(), OPTIONS["published"], n=3)
    elements = jnp.broadcast_to(arguments[4][..., :1, :], arguments[4].shape)
    (_, tiled), _ = functions((config, pairs, cotangent, arguments))

    def energy(elements):
        return tiled((*arguments[:4], elements, arguments[5]))

    gradient, second = jax.jit(lambda x: jax.jvp(jax.grad(energy), (x,), (x,)))(elements)
    assert jnp.all(jnp.isfinite(gradient))
    assert jnp.all(jnp.isfinite(second))


def test_absent_clouds_give_zeros_and_no_gradient():
    _, _, _, arguments = made = problem(lj.groups.T(3), OPTIONS["published"])
    (_, tiled), _ = functions(made)
    grads = jax.jit(jax.grad(tiled))(arguments)
    for leaf in jax.tree.leaves(grads[1:]):
        np.testing.assert_array_equal(leaf[-1], 0)


def test_low_precision_accumulates_in_float32():
    config, pairs, _, arguments = problem(lj.groups.T(3), OPTIONS["published"], n=40)
    exact = lie_attention(config, *arguments[:4], pairs, implementation="reference")
    low = jax.tree.map(lambda x: x.astype(jnp.bfloat16), arguments[:4])
    got = lie_attention(config, *low, pairs, implementation="tiled", tiling=Tiling(1, 8, 8))
    assert got.dtype == jnp.bfloat16
    np.testing.assert_allclose(got.astype(float), exact, atol=0.03)


def test_clouds_far_from_the_origin_keep_their_digits():
    config, pairs, _, arguments = problem(
        lj.groups.T(3), OPTIONS["published"], n=9, batch=(1,), dtype=jnp.float32
    )
    pairs = dataclasses.replace(pairs, mask=jnp.ones_like(pairs.mask))
    steps = jnp.round(pairs.elements * 64) / 64  # exact after the shift
    near = dataclasses.replace(pairs, elements=steps)
    far = dataclasses.replace(pairs, elements=steps + 4096)
    outs = [lie_attention(config, *arguments[:4], p, implementation="tiled") for p in (near, far)]
    np.testing.assert_allclose(*outs, atol=1e-6)


def test_memory_is_linear_in_the_number_of_points():
    config, layer = lj.AttentionConfig(), lj.groups.T(3)

    def temporary(n):
        values = jax.ShapeDtypeStruct((1, n, 8, 8), jnp.float32)
        coords = jax.ShapeDtypeStruct((1, n, 3), jnp.float32)
        module = lj.LieSelfAttention(64, 64, heads=8, pair_features=3, rngs=nnx.Rngs(0))
        weights = module._weights(jnp.float32)

        def loss(values, coords):
            pairs = geometry.LazyPairs(coords, coords[..., :0], jnp.ones((1, n), bool), group=layer)
            out = lie_attention(
                config, weights, values, values, values, pairs, implementation="tiled"
            )
            return jnp.sum(out**2)

        compiled = jax.jit(jax.grad(loss, (0, 1))).lower(values, coords).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    small, large = temporary(4096), temporary(16384)
    assert large < 4.5 * small
    assert large < 16384**2  # one number of 4 bytes per pair would be four times this


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"implementation": "x"}, ValueError, "implementation must be one of"),
        ({"queries": None}, ValueError, "queries must be an array"),
        ({"values": jnp.ones((3, 7, 2, 4))}, ValueError, "values must have shape"),
        ({"keys": jnp.ones((2, 7, 3, 4))}, ValueError, "keys must have shape"),
    ],
)
def test_bad_input_is_named(changes, error, message):
    config, pairs, _, arguments = problem(lj.groups.T(3), OPTIONS["published"])
    given = dict(zip(("weights", "queries", "keys", "values"), arguments[:4], strict=True))
    given |= {"config": config, "pairs": pairs} | changes
    with pytest.raises(error, match=message):
        lie_attention(**given)


def test_pairs_in_memory_are_for_the_reference():
    config, pairs, _, arguments = problem(lj.groups.T(3), OPTIONS["published"])
    ready = pairs.materialise()
    np.testing.assert_array_equal(
        lie_attention(config, *arguments[:4], ready),
        lie_attention(config, *arguments[:4], pairs, implementation="reference"),
    )
    with pytest.raises(NotImplementedError, match="LazyPairs"):
        lie_attention(config, *arguments[:4], ready, implementation="tiled")
    fewer = [x[:, :-1] for x in arguments[1:4]]
    with pytest.raises(ValueError, match=r"values must have .* m = \d+ as in pairs"):
        lie_attention(config, arguments[0], *fewer, ready)


def test_pallas_is_refused_by_name_where_it_cannot_run():
    config, pairs, _, arguments = problem(lj.groups.T(3), OPTIONS["published"])
    with pytest.raises(NotImplementedError, match="run on a GPU or TPU, got backend 'cpu'"):
        lie_attention(config, *arguments[:4], pairs, implementation="pallas")


def test_models_agree_whatever_the_implementation(key):
    group = lj.groups.SE2()
    config = lj.LieTransformerConfig(
        in_channels=3, width=8, layers=2, heads=2, lift_samples=2, param_dtype=jnp.float64
    )
    points = lj.PointSet(jax.random.normal(key, (2, 5, 2)), jax.random.normal(key, (2, 5, 3)))
    outs = [
        lj.LieTransformer(
            dataclasses.replace(config, implementation=name), group=group, rngs=nnx.Rngs(0)
        )(points, key=key)
        for name in ("reference", "tiled", "auto")
    ]
    np.testing.assert_allclose(outs[1], outs[0], atol=1e-12)
    np.testing.assert_allclose(outs[2], outs[0], atol=1e-12)


@pytest.mark.parametrize(
    ("m", "queries", "keys"), [(1, 1, 1), (100, 100, 100), (136, 68, 136), (512, 128, 256)]
)
def test_tiles_on_a_cpu_are_equal_parts(m, queries, keys):
    """136 points in parts of 128 would cost as much as 256."""
    points = lj.PointSet(jnp.zeros((2, m, 2)), jnp.zeros((2, m, 1)))
    pairs = geometry.lazy_pairs(lj.groups.T(2), lj.lift(lj.groups.T(2), points))
    found = choose_tiling(pairs)
    assert (found.queries, found.keys) == (queries, keys)
