"""Whole models: symmetry, padding, dtypes, errors."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import lie_jax as lj

SMALL = lj.LieTransformerConfig(
    in_channels=3, outputs=2, width=8, layers=2, heads=2, param_dtype=jnp.float64
)
GROUPS = [
    lj.groups.T(2),
    lj.groups.SO2(),
    lj.groups.SE2(),
    lj.groups.SO3(),
    lj.groups.SE3(),
    lj.groups.E3(),
    lj.groups.RxSO2(),
    lj.groups.Squeeze(),
]
WITH_STABILISER = {"SE2", "SO3", "SE3", "E3"}


def config_for(group, **changes):
    samples = 2 if type(group).__name__ in WITH_STABILISER else 1
    return dataclasses.replace(SMALL, lift_samples=samples, **changes)


def build(group, **changes):
    return lj.LieTransformer(config_for(group, **changes), group=group, rngs=nnx.Rngs(0))


def cloud(group, n=5, batch=(2,), seed=0, absent=1):
    keys = jax.random.split(jax.random.key(seed))
    coords = jax.random.normal(keys[0], (*batch, n, group.space_dim), jnp.float64)
    values = jax.random.normal(keys[1], (*batch, n, 3), jnp.float64)
    mask = jnp.broadcast_to(jnp.arange(n) < n - absent, (*batch, n))
    return lj.PointSet(coords, values, mask)


def element(group, seed=3):
    a = jax.random.normal(jax.random.key(seed), (group.algebra_dim,), jnp.float64)
    return group.exp(a)


@pytest.mark.no_cover
@pytest.mark.parametrize("group", GROUPS, ids=str)
@pytest.mark.parametrize("normalisation", ["softmax", "mean"])
def test_moved_lifts_give_the_same_output(group, normalisation, key):
    attention = lj.AttentionConfig(normalisation=normalisation)
    model = build(group, attention=attention)
    run = nnx.jit(lambda model, lifted: model.from_lifted(lifted))
    lifted = lj.lift(group, cloud(group), key=key, samples=model.config.lift_samples)
    g = element(group)
    moved = dataclasses.replace(lifted, elements=group.compose(g, lifted.elements))
    here, there = run(model, lifted), run(model, moved)
    np.testing.assert_allclose(here, there, atol=1e-10, rtol=0)
    # Negative control: moving one point alone is no symmetry and must show.
    one = lifted.elements.at[..., 0, :].set(moved.elements[..., 0, :])
    assert jnp.abs(run(model, dataclasses.replace(lifted, elements=one)) - here).max() > 1e-6


@pytest.mark.parametrize("n", [1, 2, 3])
def test_translation_invariance(n):
    group = lj.groups.T(n)
    model = build(group)
    points = cloud(group)
    moved = dataclasses.replace(points, coords=points.coords + jnp.arange(1.0, n + 1))
    np.testing.assert_allclose(model(points), model(moved), atol=1e-12, rtol=0)
    scaled = dataclasses.replace(points, coords=points.coords * 1.1)
    assert jnp.abs(model(points) - model(scaled)).max() > 1e-6  # the control that must fail


def test_trivial_group_is_not_invariant():
    group = lj.groups.Trivial(2)
    points = cloud(group)
    moved = dataclasses.replace(points, coords=points.coords + 1.0)
    model = build(group)
    assert jnp.abs(model(points) - model(moved)).max() > 1e-6


OPTIONS = [
    {},
    {"pooling": "sum"},
    {"pooling": "max"},
    {"pooling": "none"},
    {"head": "linear_pool"},
    {"head": "linear_pool", "pooling": "none"},
    {"block_norm": "layer_post"},
    {"block_norm": "batch_pre"},
    {"block_norm": "batch_post"},
    {"block_norm": "none", "pair_norm_bound": 2.0, "pair_embedding": "matrix"},
    {"neighbours": lj.NeighbourConfig("nearest", count=3)},
    {"neighbours": lj.NeighbourConfig("ball", count=3, radius=1.5)},
    {"attention": lj.AttentionConfig(normalisation="mean")},
    {"attention": lj.AttentionConfig(normalisation="exp_mean")},
    {"attention": lj.AttentionConfig(content="linear_concat", combination="product")},
    {"attention": lj.AttentionConfig(content="linear_concat", location="raw")},
    {"attention": lj.AttentionConfig(content="linear_concat_linear", combination="mlp")},
    {"attention": lj.AttentionConfig("relative_position", "none", "none")},
    {"attention": lj.AttentionConfig("none", "mlp", "none")},
    {"attention": lj.AttentionConfig("none", "raw", "none")},
]


GRID = {"lift_method": "grid"}
CASES = [(lj.groups.SE2(), options) for options in OPTIONS]
CASES += [(group, {}) for group in (lj.groups.SO2(), lj.groups.SO3())]
CASES += [(group, GRID) for group in (lj.groups.SE2(), lj.groups.SE3())]
CASES += [pytest.param(lj.groups.E3(), x, marks=pytest.mark.slow) for x in ({}, GRID)]
CASES += [
    (lj.groups.SE3(), {"neighbours": lj.NeighbourConfig("nearest", count=3)}),
    pytest.param(lj.groups.SE3(), {"implementation": "tiled"}, marks=pytest.mark.slow),
    (lj.groups.T(2), {}),
]
CASES += [
    pytest.param(lj.groups.T(2), options, marks=pytest.mark.slow) for options in OPTIONS if options
]


@pytest.mark.no_cover
@pytest.mark.parametrize(("group", "options"), CASES, ids=str)
def test_padding_batch_mates_and_order(group, options, key):
    model = build(group, **{"lift_method": "shared", **options})
    apply, params = lj.functional(model)
    per_point = model.config.pooling == "none"

    def outputs(points):
        def total(coords, values):
            y = apply(params, dataclasses.replace(points, coords=coords, values=values), key=key)
            return jnp.sum(jnp.sin(y[0])), y

        (_, y), grads = jax.value_and_grad(total, (0, 1), has_aux=True)(
            points.coords, points.values
        )
        return y, grads

    outputs = jax.jit(outputs)
    points = cloud(group, n=4, absent=0, batch=(1,))
    y, (dcoords, dvalues) = outputs(points)
    assert jnp.all(jnp.isfinite(dcoords))

    # Two more absent points with junk inside, a batch mate, and another order.
    order = jnp.array([2, 0, 3, 1])
    junk = cloud(group, n=2, batch=(1,), seed=7)
    grown = lj.PointSet(
        jnp.concatenate([points.coords[:, order], 9 * junk.coords], axis=1),
        jnp.concatenate([points.values[:, order], 9 * junk.values], axis=1),
        jnp.arange(6)[None] < 4,
    )
    grown = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), grown, cloud(group, 6, (1,), 5))
    y2, (dcoords2, dvalues2) = outputs(grown)
    close = lambda a, b: np.testing.assert_allclose(a, b, atol=1e-12, rtol=0)  # noqa: E731
    close(y2[0][:4] if per_point else y2[0], y[0][order] if per_point else y[0])
    close(dcoords2[0, :4], dcoords[0, order])
    close(dvalues2[0, :4], dvalues[0, order])
    close(dcoords2[0, 4:], 0)
    close(dvalues2[0, 4:], 0)
    if per_point:
        close(y2[0, 4:], 0)


@pytest.mark.parametrize("implementation", ["reference", "tiled"])
@pytest.mark.parametrize("options", [{}, GRID | OPTIONS[10]], ids=["all", "nearest"])
def test_an_empty_batch_gives_an_empty_output(implementation, options, key):
    group = lj.groups.SE2()
    model = build(group, implementation=implementation, **options)
    assert model(cloud(group, batch=(0,)), key=key).shape == (0, 2)


def test_absent_cloud_has_no_gradient(key):
    group = lj.groups.SE2()
    apply, params = lj.functional(build(group))
    points = dataclasses.replace(cloud(group), mask=jnp.zeros((2, 5), bool))

    def total(coords):
        return apply(params, dataclasses.replace(points, coords=coords), key=key).sum()

    np.testing.assert_array_equal(jax.grad(total)(points.coords), 0)


def test_random_lifts_ignore_padding(key):
    group = lj.groups.SE3()
    model = build(group)
    points = cloud(group, n=4, absent=0)
    wider = jax.tree.map(lambda x: jnp.concatenate([x, jnp.zeros_like(x[:, :2])], axis=1), points)
    run = nnx.jit(lambda model, points: model(points, key=key))
    np.testing.assert_allclose(run(model, points), run(model, wider), atol=1e-12)


def test_coincident_points_have_finite_derivatives(key):
    group = lj.groups.SE3()
    apply, params = lj.functional(build(group))
    points = cloud(group, n=3, absent=0, batch=())
    coords = jnp.zeros_like(points.coords)

    def energy(coords):
        return apply(params, dataclasses.replace(points, coords=coords), key=key).sum()

    assert jnp.all(jnp.isfinite(jax.jit(jax.grad(energy))(coords)))
    assert jnp.all(jnp.isfinite(jax.jit(jax.hessian(energy))(coords)))


@pytest.mark.parametrize(
    "group",
    [lj.groups.T(2), pytest.param(lj.groups.SE3(), marks=pytest.mark.slow)],
    ids=str,
)
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32, jnp.float64])
def test_output_dtype_follows_input(dtype, group, key):
    half = dtype == jnp.bfloat16
    config = dataclasses.replace(
        config_for(group, lift_method="grid"),
        dtype=dtype if half else None,
        param_dtype=jnp.float32 if half else dtype,
    )
    model = lj.LieTransformer(config, group=group, rngs=nnx.Rngs(0))
    points = cloud(group)
    exact = model(points, key=key)
    low = jax.tree.map(lambda x: x if x.dtype == bool else x.astype(dtype), points)
    y = model(low, key=key)
    assert y.dtype == dtype
    tolerance = {jnp.bfloat16: 0.05, jnp.float32: 1e-5, jnp.float64: 1e-12}[dtype]
    np.testing.assert_allclose(y.astype(jnp.float64), exact, atol=tolerance)


@pytest.mark.parametrize("batch", [(), (3,), (2, 2)])
def test_any_leading_axes(batch):
    group = lj.groups.T(2)
    model = build(group)
    points = cloud(group, batch=batch)
    y = model(points)
    assert y.shape == (*batch, 2)
    if batch:
        one = jax.tree.map(lambda x: x.reshape(-1, *x.shape[len(batch) :])[0], points)
        np.testing.assert_allclose(model(one), y.reshape(-1, 2)[0], atol=1e-12)


@pytest.mark.parametrize("block_norm", ["layer_pre", "batch_pre"])
def test_lifts_share_what_can_be_shared(block_norm, key):
    """The first block's norm and projections, once per point: as of features repeated."""
    group = lj.groups.SE2()
    model = build(group, block_norm=block_norm)
    points = cloud(group)
    lifted = lj.lift(group, points, key=key, samples=2)
    repeated = lambda model: model.from_lifted(lifted, train=True)  # noqa: E731
    found = nnx.grad(lambda model: jnp.sum(model(points, key=key, train=True) ** 2))(model)
    want = nnx.grad(lambda model: jnp.sum(repeated(model) ** 2))(model)
    chex.assert_trees_all_close(found, want, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(model(points, key=key, train=True), repeated(model), rtol=1e-10)
    # Negative control: features of lifts that differ are not shared.
    first = lifted.values.at[..., 0, :].add(1.0)
    other = model.from_lifted(dataclasses.replace(lifted, values=first), train=True)
    second = lifted.values.at[..., 1, :].add(1.0)
    assert jnp.abs(other - repeated(model)).max() > 1e-6
    another = model.from_lifted(dataclasses.replace(lifted, values=second), train=True)
    assert jnp.abs(other - another).max() > 1e-6


def test_functional_is_the_model_and_compiles_once(key):
    group = lj.groups.SE2()
    model = build(group)
    apply, params = lj.functional(model)
    run = jax.jit(chex.assert_max_traces(apply, n=1))
    for seed in range(3):
        points = cloud(group, seed=seed)
        np.testing.assert_allclose(run(params, points, key=key), model(points, key=key), atol=1e-12)
    chex.clear_trace_counter()
    with pytest.raises(ValueError, match="own structure"):
        apply({"embedding": params["embedding"]}, cloud(group), key=key)


def test_batch_norm_state_moves_only_in_training():
    group = lj.groups.T(2)
    apply, params, state = lj.functional_with_state(build(group, block_norm="batch_pre"))
    points = cloud(group)
    _, same = apply(params, state, points)
    chex.assert_trees_all_equal(same, state)
    _, moved = apply(params, state, points, train=True)
    stats = moved["blocks"][0]["attention_norm"]
    assert jnp.abs(stats["mean"]).max() > 0
    # Absent points do not count: junk in them changes nothing.
    junk = dataclasses.replace(points, values=jnp.where(points.mask[..., None], points.values, 99))
    chex.assert_trees_all_close(apply(params, state, junk, train=True)[1], moved)


def test_bad_input_is_named(key):
    group = lj.groups.SE2()
    model = build(group)
    points = cloud(group)
    with pytest.raises(ValueError, match=r"points.values must have shape \(\*b, n, 3\)"):
        model(dataclasses.replace(points, values=points.values[..., :2]), key=key)
    with pytest.raises(ValueError, match=r"points.coords must have shape \(\*b, n, 2\)"):
        model(dataclasses.replace(points, coords=jnp.ones((2, 5, 3))), key=key)
    with pytest.raises(ValueError, match=r"key must be a jax\.random\.key, got None"):
        model(points)
    with pytest.raises(TypeError, match="typed key"):
        model(points, key=jax.random.PRNGKey(0))
    nan = dataclasses.replace(points, coords=points.coords.at[1, 2, 0].set(jnp.nan))
    with pytest.raises(ValueError, match=r"coords must be finite .* index \(1, 2\)"):
        model(nan, key=key)
    with pytest.raises(TypeError, match="group must be"):
        lj.LieTransformer(SMALL, group=lj.groups.SE2, rngs=nnx.Rngs(0))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 9}, "multiple of heads"),
        ({"layers": 0}, "layers must be"),
        ({"block_norm": "rms"}, "block_norm must be one of"),
        ({"head": "x"}, "head must be one of"),
        ({"pooling": "min"}, "pooling must be one of"),
        ({"lift_method": "x"}, "lift_method must be one of"),
        ({"pair_embedding": "x"}, "pair_embedding must be one of"),
        ({"pair_norm_bound": -1.0}, "pair_norm_bound must be positive"),
    ],
)
def test_bad_config_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SMALL, **changes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"content": "x"}, "content must be one of"),
        ({"normalisation": "dot_product"}, "normalisation must be one of"),
        ({"content": "none", "location": "none"}, "must not both"),
        ({"content": "none"}, "combination must be"),
        ({"combination": "none"}, "combination must be"),
        ({"content": "linear_concat", "content_features": 3}, "even"),
        ({"location_hidden": 0}, "location_hidden"),
    ],
)
def test_bad_attention_config_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        lj.AttentionConfig(**options)


def test_bad_neighbour_config_is_named():
    with pytest.raises(ValueError, match="radius must be given"):
        lj.NeighbourConfig("ball")
    with pytest.raises(ValueError, match="radius must be given"):
        lj.NeighbourConfig("nearest", radius=1.0)


def test_random_neighbours(key):
    group = lj.groups.T(2)
    model = build(group, neighbours=lj.NeighbourConfig("random", count=3))
    points = cloud(group)
    np.testing.assert_array_equal(model(points, key=key), model(points, key=key))
    assert jnp.abs(model(points, key=key) - model(points, key=jax.random.key(1))).max() > 0


def test_transformations_of_values_or_mask_alone():
    """The coordinates stay concrete, the check of finite points must see that the rest is not."""
    apply, params = lj.functional(build(lj.groups.T(2)))
    points = cloud(lj.groups.T(2))
    wanted = apply(params, points)

    def of_values(values):
        return apply(params, dataclasses.replace(points, values=values))

    def of_mask(mask):
        return apply(params, dataclasses.replace(points, mask=mask))

    def close(got):
        np.testing.assert_allclose(got, wanted, atol=1e-12)

    close(jax.jit(of_values)(points.values))
    close(jax.jit(of_mask)(points.mask))
    many = jax.vmap(of_values)(jnp.stack([points.values, 2 * points.values]))
    close(many[0])
    gradient = jax.grad(lambda values: of_values(values).sum())(points.values)
    assert jnp.all(jnp.isfinite(gradient))
    assert jnp.abs(gradient).max() > 0
