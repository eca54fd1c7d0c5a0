"""Random motions keep shapes and are spread as they say."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lie_jax as lj
from lie_jax import training


@pytest.mark.parametrize("d", [2, 3])
def test_random_rotation(d, key):
    coords = jax.random.normal(jax.random.key(1), (4000, 3, d))
    points = lj.PointSet(coords, coords)
    turned = jax.jit(training.random_rotation)(key, points)

    def gram(x):
        return jnp.einsum("bid,bjd->bij", x, x)

    np.testing.assert_allclose(gram(turned.coords), gram(coords), atol=1e-12)
    assert turned.values is not None
    np.testing.assert_array_equal(turned.values, coords)
    # Haar: a fixed vector goes to a uniform direction, and clouds turn independently.
    fixed = lj.PointSet(jnp.broadcast_to(jnp.eye(1, d), (4000, 1, d)), coords[:, :1])
    direction = training.random_rotation(key, fixed).coords[:, 0]
    np.testing.assert_allclose(direction.mean(0), 0, atol=0.05)
    np.testing.assert_allclose(jnp.cov(direction.T), jnp.eye(d) / d, atol=0.03)


def test_random_translation(key):
    coords = jax.random.normal(jax.random.key(1), (2000, 3, 2))
    moved = training.random_translation(key, lj.PointSet(coords, coords), scale=2.0).coords
    shift = moved - coords
    np.testing.assert_allclose(shift, np.broadcast_to(shift[:, :1], shift.shape), atol=1e-12)
    np.testing.assert_allclose(jnp.cov(shift[:, 0].T), 4 * jnp.eye(2), atol=0.4)


def test_random_rotation_translation(key):
    coords = jax.random.normal(jax.random.key(1), (2000, 3, 3))
    points = lj.PointSet(coords, coords)
    moved = training.random_rotation_translation(key, points, scale=2.0).coords

    def distance(x):
        return jnp.linalg.norm(x[:, 0] - x[:, 1], axis=-1)

    np.testing.assert_allclose(distance(moved), distance(coords), atol=1e-12)
    np.testing.assert_allclose(moved.mean(1).std(), (4 + 1 / 3) ** 0.5, rtol=0.05)
    with pytest.raises(ValueError, match="coords must have 2 or 3 coordinates, got 4"):
        training.random_rotation(key, lj.PointSet(jnp.ones((1, 2, 4)), jnp.ones((1, 2, 1))))
