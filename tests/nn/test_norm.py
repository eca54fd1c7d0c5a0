"""Masked batch norm against NumPy's mean and variance of the real points."""

import jax
import jax.numpy as jnp
import numpy as np

import lie_jax as lj

MOMENTUM, EPSILON = 0.75, 1e-3


def test_masked_batch_norm():
    rng = np.random.default_rng(0)
    x = rng.normal(2, 3, size=(3, 5, 4))
    mask = np.arange(5) < np.array([[5], [2], [0]])
    norm = lj.nn.MaskedBatchNorm(4, momentum=MOMENTUM, epsilon=EPSILON, param_dtype=jnp.float64)
    norm.scale[...], norm.bias[...] = jnp.arange(1.0, 5), jnp.arange(4.0)
    real = x[mask]
    mean, var = real.mean(0), real.var(0)

    def normalised(x, mean, var):
        return (x - mean) / np.sqrt(var + EPSILON) * np.arange(1.0, 5) + np.arange(4.0)

    got = norm(jnp.asarray(x), jnp.asarray(mask), train=True)
    np.testing.assert_allclose(got[mask], normalised(real, mean, var), rtol=1e-12)
    unbiased = real.var(0, ddof=1)
    moved = (1 - MOMENTUM) * mean, MOMENTUM + (1 - MOMENTUM) * unbiased
    np.testing.assert_allclose(norm.mean[...], moved[0], rtol=1e-12)
    np.testing.assert_allclose(norm.var[...], moved[1], rtol=1e-12)
    got = norm(jnp.asarray(x), jnp.asarray(mask), train=False)
    np.testing.assert_allclose(got, normalised(x, *moved), rtol=1e-12)
    np.testing.assert_allclose(norm.mean[...], moved[0], rtol=1e-12)  # evaluation moves nothing


def test_clamped_variance():
    norm = lj.nn.MaskedBatchNorm(2, epsilon=1e-3, clamp=True, param_dtype=jnp.float64)
    x = jnp.array([[2.0, 1e-3], [-2.0, -1e-3]], jnp.float64)
    got = norm(x, jnp.ones(2, bool), train=True)
    np.testing.assert_allclose(got, x / np.sqrt([4, 1e-3]), rtol=1e-12)


def test_a_batch_without_points_has_no_nan():
    x, mask = jnp.ones((1, 3, 2)), jnp.zeros((1, 3), bool)

    def total(x):
        norm = lj.nn.MaskedBatchNorm(2)
        return norm(x, mask, train=True).sum() + norm.mean[...].sum() + norm.var[...].sum()

    assert jnp.isfinite(total(x))
    assert jnp.isfinite(jax.grad(total)(x)).all()
