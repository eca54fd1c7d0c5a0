"""The public checks accept good models and refuse broken ones."""

import jax
import jax.numpy as jnp
import pytest

import lie_jax as lj
from lie_jax.testing import assert_equivariant, assert_padding_free, tolerance

GROUP = lj.groups.SE2()


@pytest.fixture
def points():
    coords = jax.random.normal(jax.random.key(1), (2, 4, 2), jnp.float64)
    return lj.PointSet(coords, coords[..., :1] + 1, jnp.arange(4) < jnp.array([[4], [3]]))


def mean(points):
    mask = points.mask[..., None]
    return jnp.where(mask, points.coords, 0).sum(1) / mask.sum(1)


def spread(points):
    mask = points.mask[..., None]
    return jnp.where(mask, (points.coords - mean(points)[:, None]) ** 2, 0).sum((1, 2))


def test_equivariance(points, key):
    assert_equivariant(spread, GROUP, points, key=key)
    assert_equivariant(mean, GROUP, points, key=key, act_on_output=GROUP.act)
    with pytest.raises(AssertionError, match="assert_equivariant: broken"):
        assert_equivariant(mean, GROUP, points, key=key)
    with pytest.raises(AssertionError, match="SE2"):
        assert_equivariant(lambda p: spread(p) * jnp.nan, GROUP, points, key=key)


def test_padding(points, key):
    assert_padding_free(spread, points, key=key)
    per_point = lambda p: p.coords - mean(p)[:, None]  # noqa: E731
    assert_padding_free(per_point, points, key=key, per_point=True)
    broken = {
        "padding": lambda p: p.coords.sum((1, 2)),
        "order": lambda p: p.coords[:, 0],
        "batch mates": lambda p: mean(p) - mean(p).mean(0),
    }
    for name, function in broken.items():
        with pytest.raises(AssertionError, match=f"{name}: error"):
            assert_padding_free(function, points, key=key)


def test_unknown_dtype():
    with pytest.raises(ValueError, match="dtype must be one of float64, float32, got bfloat16"):
        tolerance("laws", jnp.bfloat16)
