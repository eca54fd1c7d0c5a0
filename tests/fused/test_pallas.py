"""Pallas attention equals tiled attention, interpreted on the CPU; and lowers for accelerators."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import lie_jax as lj
from lie_jax import geometry
from lie_jax.fused.pallas_vjp import pallas_attention, pallas_tiling, unsupported
from lie_jax.fused.terms import score_terms
from lie_jax.fused.tiled import Tiling, tiled_attention

G = lj.groups
Config = lj.AttentionConfig
CASES = [
    (G.T(3), Config()),
    (G.T(2), Config("linear_concat", "mlp", "product", normalisation="mean", activation="relu")),
    (G.T(3), Config("linear_concat_linear", "mlp", "mlp", normalisation="exp_mean")),
    (G.T(2), Config("dot_product", "none", "none")),
    (G.SE2(), Config("relative_position", "mlp", "mlp", activation="tanh")),
    (G.SE2(), Config("linear_concat", "raw", "sum", normalisation="exp_mean")),
    (G.SO3(), Config("dot_product", "raw", "mlp", activation="softplus")),
    (G.SE3(), Config("none", "raw", "none")),
    (G.Trivial(2), Config("relative_position", "none", "none", activation="gelu")),
    (G.SE3(), Config()),
]
CASES = [(group, dataclasses.replace(config, location_hidden=3)) for group, config in CASES]


def cases(*quick):
    """Compiling kernels takes long: all but a few are for `make test-slow`."""
    marked = [
        case if i in quick else pytest.param(*case, marks=pytest.mark.slow)
        for i, case in enumerate(CASES)
    ]
    return pytest.mark.parametrize(("group", "config"), marked, ids=str)


TILING = Tiling(1, 4, 5)


def problem(group, config, *, n=7, dtype=jnp.float64):
    """Terms, values and pairs of 3 clouds: all real, some real, none real."""
    keys = jax.random.split(jax.random.key(0), 3)
    mask = jnp.ones((3, n), bool).at[1, n // 2 :].set(False).at[2].set(False)
    points = lj.PointSet(
        jax.random.normal(keys[0], (3, n, group.space_dim), dtype),
        jax.random.normal(keys[1], (3, n, 8), dtype),
        mask,
    )
    pairs = geometry.lazy_pairs(group, lj.lift(group, points, key=keys[2], samples=1))
    layer = lj.LieSelfAttention(
        8, 8, heads=2, pair_features=geometry.feature_dim(group), config=config,
        param_dtype=dtype, rngs=nnx.Rngs(0),
    )  # fmt: skip
    queries, content, values = layer._project(points.values)
    terms = score_terms(config, layer._weights(dtype), queries, content, pairs, dtype)
    return terms, jnp.moveaxis(values, -2, 0), pairs


def energy(attend, normalisation, tiling, terms, values, pairs):
    out = attend(terms, values, pairs, normalisation, tiling)
    cotangent = jnp.arange(out.size, dtype=out.dtype).reshape(out.shape) / out.size
    return jnp.sum(jnp.sin(out) * cotangent), out


def functions(config, tiling=TILING, backend="gpu"):
    """Of (terms, values, pairs): the energy and the output, tiled and by Pallas."""
    interpreted = functools.partial(pallas_attention, interpret=True, backend=backend)
    return [
        functools.partial(energy, attend, config.normalisation, tiling)
        for attend in (tiled_attention, interpreted)
    ]


def both_gradients(group, config, tiling=TILING, *, backend="gpu", **kwargs):
    terms, values, pairs = problem(group, config, **kwargs)

    def derivatives(function, terms, values, elements):
        def of_floats(terms, values, elements):
            return function(terms, values, dataclasses.replace(pairs, elements=elements))

        return jax.value_and_grad(of_floats, (0, 1, 2), has_aux=True)(terms, values, elements)

    return [
        _quick(functools.partial(derivatives, function))(terms, values, pairs.elements)
        for function in functions(config, tiling, backend)
    ]


def _quick(function):
    """Compiled without optimisation: the compiler would take most of the tests' time."""
    return jax.jit(function, compiler_options={"xla_backend_optimization_level": 0})


def assert_close(got, want, tolerance):
    for x, y in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        assert x.dtype == y.dtype
        atol = tolerance * max(1, np.max(np.abs(y), initial=0))
        np.testing.assert_allclose(x, y, rtol=0, atol=atol)


@pytest.mark.parametrize("backend", ["tpu", "gpu"])
@cases(0, 5)
def test_values_and_gradients(group, config, backend):
    want, got = both_gradients(group, config, backend=backend)
    assert_close(got, want, 1e-10)
    (_, out), gradients = got
    assert not out[:, 2].any()
    assert not gradients[1][:, 2].any()
    assert not gradients[2][2].any()


@pytest.mark.parametrize(
    ("n", "rows", "lanes"),
    [
        (1, 4, 8),
        pytest.param(8, 4, 8, marks=pytest.mark.slow),
        pytest.param(9, 8, 2, marks=pytest.mark.slow),
    ],
)
def test_any_number_of_points_in_float32(n, rows, lanes):
    group, config = CASES[0]
    want, got = both_gradients(group, config, Tiling(2, rows, lanes), n=n, dtype=jnp.float32)
    assert_close(got, want, 1e-5)


@pytest.mark.slow
def test_bfloat16_values_are_accumulated_in_float32():
    group, config = CASES[0]
    terms, values, pairs = problem(group, config, dtype=jnp.float32)
    low, low_values = jax.tree.map(lambda x: x.astype(jnp.bfloat16), (terms, values))
    exact = jax.tree.map(lambda x: x.astype(jnp.float32), (low, low_values))
    _, run = functions(config)
    (_, got), (_, want) = run(low, low_values, pairs), run(*exact, pairs)
    assert got.dtype == jnp.bfloat16
    np.testing.assert_array_equal(got, want.astype(jnp.bfloat16))


@pytest.mark.slow
def test_second_derivatives():
    group, config = CASES[0]
    terms, values, pairs = problem(group, config, n=3)

    def slope(function, terms, values):
        def gradient(*args):
            return jax.grad(lambda *xs: function(*xs, pairs)[0], (0, 1))(*args)

        def along(*args):
            return sum(jnp.sum(jnp.cos(g)) for g in jax.tree.leaves(gradient(*args)))

        return jax.grad(along, (0, 1))(terms, values)

    want, got = (
        _quick(functools.partial(slope, function))(terms, values) for function in functions(config)
    )
    assert_close(got, want, 1e-10)


@pytest.mark.parametrize("backend", ["tpu", "gpu"])
@cases(0)
def test_lowers_for_accelerators(group, config, backend, as_if_on):
    # Down to what is handed to the accelerator's own compiler, which is not on this machine.
    with jax.enable_x64(False), as_if_on(backend):
        arguments = jax.eval_shape(functools.partial(problem, group, config, dtype=jnp.float32))
        attend = functools.partial(pallas_attention, backend=backend)
        function = functools.partial(energy, attend, config.normalisation, pallas_tiling(backend))
        gradient = jax.jit(jax.grad(function, (0, 1, 2), has_aux=True, allow_int=True))
        platform = "cuda" if backend == "gpu" else backend
        text = gradient.trace(*arguments).lower(lowering_platforms=(platform,)).as_text()
    names = ("forward", "backward_query", "backward_key")
    assert all(f"lie_attention_{name}" in text for name in names)


def test_what_cannot_be_done_is_said():
    terms, values, pairs = problem(*CASES[0], dtype=jnp.float32)
    assert unsupported(terms, pairs, jnp.float32, "gpu") is None
    assert unsupported(terms, pairs, jnp.bfloat16, "tpu") is None
    assert "float64" in unsupported(terms, pairs, jnp.float64, "gpu")
    assert "GPU or TPU" in unsupported(terms, pairs, jnp.float32, "cpu")
    few = dataclasses.replace(
        pairs,
        neighbourhood=geometry.Neighbourhood(jnp.zeros((3, 7, 2), int), jnp.ones((3, 7, 2), bool)),
    )
    assert "neighbourhood" in unsupported(terms, few, jnp.float32, "gpu")
    wide = dataclasses.replace(CASES[0][1], location_hidden=2000)
    assert "parameters" in unsupported(*_float32(wide), jnp.float32, "gpu")
    with pytest.raises(NotImplementedError, match=r"pallas_attention: .* GPU or TPU"):
        pallas_attention(terms, values, pairs, "softmax", TILING)
    with pytest.raises(ValueError, match=r"powers of two from 16, got \(4, 5\)"):
        pallas_attention(terms, values, pairs, "softmax", TILING, backend="gpu")
    with pytest.raises(ValueError, match=r"multiples of 8 and 128, got \(4, 5\)"):
        pallas_attention(terms, values, pairs, "softmax", TILING, backend="tpu")


def _float32(config):
    terms, _, pairs = problem(G.T(3), config, dtype=jnp.float32)
    return terms, pairs
