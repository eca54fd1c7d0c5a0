"""The logistic function of our own is as accurate as stated, derivatives and special values too."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import lie_jax as lj
from lie_jax.attention.activations import ACTIVATIONS, _logistic, swish, swish_in_kernel

X = np.concatenate([np.linspace(-120, 120, 240_001), np.geomspace(1e-30, 1, 1000)]).astype("f4")
EXACT = 1 / (1 + np.exp(-X.astype("f8")))


def test_logistic_is_off_by_as_much_as_stated():
    y = np.asarray(jax.jit(_logistic)(jnp.asarray(X)), np.float64)
    np.testing.assert_allclose(y, EXACT, rtol=0, atol=1.1e-7)
    for bound, tolerance in ((10, 6e-7), (87, 4e-6)):
        inside = np.abs(X) < bound
        np.testing.assert_allclose(y[inside], EXACT[inside], rtol=tolerance, atol=0)


def test_derivatives_of_logistic():
    first = jax.jit(jax.vmap(jax.grad(_logistic)))(jnp.asarray(X))
    second = jax.jit(jax.vmap(jax.grad(jax.grad(_logistic))))(jnp.asarray(X))
    np.testing.assert_allclose(first, EXACT * (1 - EXACT), rtol=0, atol=2e-7)
    np.testing.assert_allclose(second, EXACT * (1 - EXACT) * (1 - 2 * EXACT), rtol=0, atol=4e-7)


def test_derivatives_of_swish():
    x = X.astype("f8")
    first = jax.jit(jax.vmap(jax.grad(swish)))(jnp.asarray(X))
    second = jax.jit(jax.vmap(jax.grad(jax.grad(swish))))(jnp.asarray(X))
    third = jax.jit(jax.vmap(jax.grad(jax.grad(jax.grad(swish)))))(jnp.asarray(X))
    slope = EXACT * (1 - EXACT)
    np.testing.assert_allclose(first, EXACT + x * slope, rtol=0, atol=4e-7)
    np.testing.assert_allclose(second, slope * (2 + x * (1 - 2 * EXACT)), rtol=0, atol=1e-6)
    wanted = slope * (3 * (1 - 2 * EXACT) + x * (1 - 6 * slope))
    np.testing.assert_allclose(third, wanted, rtol=0, atol=4e-6)


def test_slope_of_swish_far_out():
    x = jnp.array([jnp.nan, jnp.inf, 3e38, 1e4, 0.0, -1e4, -3e38, -jnp.inf], jnp.float32)
    slope = jax.jit(jax.vmap(jax.grad(swish)))(x)
    np.testing.assert_allclose(slope, [jnp.nan, 1, 1, 1, 0.5, 0, 0, 0], atol=1e-6)


def test_special_values_of_logistic():
    x = jnp.array([jnp.nan, -jnp.nan, jnp.inf, -jnp.inf, 0.0, 3e38, -3e38], jnp.float32)
    np.testing.assert_array_equal(_logistic(x), [jnp.nan, jnp.nan, 1, 0, 0.5, 1, 0])
    np.testing.assert_array_equal(jax.jit(_logistic)(x), [jnp.nan, jnp.nan, 1, 0, 0.5, 1, 0])


def test_exact_swish_is_that_of_jax():
    found = jax.jit(ACTIVATIONS["exact_swish"])(jnp.asarray(X))
    np.testing.assert_array_equal(found, jax.jit(jax.nn.swish)(jnp.asarray(X)))


@pytest.mark.parametrize(
    "implementation", [pytest.param("reference", marks=pytest.mark.slow), "tiled"]
)
def test_exact_swish_in_a_model(implementation):
    """No approximation anywhere: no bits of exponents, no machine code; scores hardly change."""
    x = lj.PointSet(
        jax.random.normal(jax.random.key(0), (2, 5, 3), jnp.float32),
        jnp.ones((2, 5, 1), jnp.float32),
    )
    out = {}
    for name in ("swish", "exact_swish"):
        config = lj.LieTransformerConfig(
            in_channels=1,
            width=8,
            layers=1,
            heads=2,
            attention=lj.AttentionConfig(activation=name),
            implementation=implementation,
        )
        apply, params = lj.functional(
            lj.LieTransformer(config, group=lj.groups.T(3), rngs=nnx.Rngs(0))
        )
        program = jax.jit(lambda p, x: apply(p, x))  # noqa: B023
        text = program.lower(params, x).as_text()
        ours = "bitcast_convert" in text or "lie_jax_location" in text
        assert ours == (name == "swish" and jax.default_backend() == "cpu")
        out[name] = program(params, x)
    np.testing.assert_allclose(out["exact_swish"], out["swish"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("function", [swish, swish_in_kernel])
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32, jnp.float64])
def test_swish(function, dtype):
    x = jnp.linspace(-20, 20, 401, dtype=dtype)
    y = function(x)
    assert y.dtype == dtype
    tolerance = {jnp.bfloat16: 0.1, jnp.float32: 3e-6, jnp.float64: 1e-14}[dtype]
    wanted = jax.nn.swish(x.astype(jnp.float64))
    np.testing.assert_allclose(y.astype(jnp.float64), wanted, rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_has_finite_derivatives(name):
    x = jnp.array([-1e4, -90.0, -1.0, 0.0, 1.0, 90.0, 1e4], jnp.float32)
    for function in (ACTIVATIONS[name], jax.grad(ACTIVATIONS[name])):
        assert jnp.isfinite(jax.vmap(jax.grad(function))(x)).all()
