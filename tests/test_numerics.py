"""Norms, quotients and masked reductions: values, and derivatives where others have NaN."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lie_jax import masking, numerics
from lie_jax.masking import masked_max, masked_mean, masked_softmax, masked_sum


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64], ids=["float32", "float64"])
def test_safe_norm(dtype):
    x = jnp.array([[3.0, 4.0], [0.0, 0.0], [1e-18, 0.0]], dtype)
    np.testing.assert_allclose(numerics.safe_norm(x), [5, 0, 1e-18], rtol=1e-6)
    assert numerics.safe_norm(x, keepdims=True).shape == (3, 1)
    assert numerics.safe_norm(x, axis=0).shape == (2,)
    for derivative in (jax.jacrev, jax.jacfwd, jax.hessian):
        assert jnp.isfinite(jax.vmap(derivative(numerics.safe_norm))(x)).all()
    np.testing.assert_allclose(jax.grad(numerics.safe_norm)(x[0]), [0.6, 0.8], rtol=1e-6)
    np.testing.assert_array_equal(jax.grad(numerics.safe_norm)(x[1]), [0, 0])


def test_safe_divide():
    x, y = jnp.array([1.0, 2.0, 0.0]), jnp.array([0.0, 4.0, 0.0])
    np.testing.assert_array_equal(numerics.safe_divide(x, y), [0, 0.5, 0])
    slopes = jax.grad(lambda x, y: numerics.safe_divide(x, y).sum(), (0, 1))(x, y)
    np.testing.assert_array_equal(slopes[0], [0, 0.25, 0])
    np.testing.assert_array_equal(slopes[1], [0, -0.125, 0])


def test_unit_vector():
    x = jnp.array([[0.0, 3.0], [0.0, 0.0], [1e-300, 0.0]])
    got = numerics.unit_vector(x, (1.0, 0.0))
    np.testing.assert_allclose(got, [[0, 1], [1, 0], [1, 0]])
    hessians = jax.vmap(jax.hessian(lambda x: numerics.unit_vector(x, (1.0, 0.0))))(x)
    assert jnp.isfinite(hessians).all()


X = jnp.array([[1.0, 5.0, 3.0], [7.0, 8.0, 9.0]])
MASK = jnp.array([[True, False, True], [False, False, False]])


@pytest.mark.parametrize(
    ("reduce", "wanted"), [(masked_sum, [4, 0]), (masked_mean, [2, 0]), (masked_max, [3, 0])]
)
def test_masked_reductions(reduce, wanted):
    np.testing.assert_array_equal(reduce(X, MASK, axis=1), wanted)
    slope = jax.grad(lambda x: reduce(x, MASK, axis=1).sum())(X)
    assert jnp.isfinite(slope).all()
    np.testing.assert_array_equal(jnp.where(MASK, 0, slope), jnp.zeros_like(X))


def test_masked_softmax():
    got = masked_softmax(X, MASK)
    np.testing.assert_allclose(got[0, jnp.array([0, 2])], jax.nn.softmax(X[0, jnp.array([0, 2])]))
    np.testing.assert_array_equal(got[1], 0)
    assert got[0, 1] == 0
    slope = jax.grad(lambda x: (masked_softmax(x, MASK) ** 2).sum())(X)
    assert jnp.isfinite(slope).all()
    np.testing.assert_array_equal(jnp.where(MASK, 0, slope), jnp.zeros_like(X))
    large = masking.masked_softmax(jnp.array([1e4, 1e4 + 1]), jnp.array([True, True]))
    np.testing.assert_allclose(large.sum(), 1)
