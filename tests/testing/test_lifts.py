"""The check of lifts accepts right ones and names what is wrong with others."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

import lie_jax as lj
from lie_jax.groups import SE2, SO3, Discrete, from_generators, with_lift
from lie_jax.testing import assert_gradients_finite, assert_lift

PLANE = from_generators("plane", [[[0, -1], [1, 0]]], form=[[1, 0], [0, 1]], exp_is_surjective=True)


def turned(x):
    """The rotation that carries (|x|, 0) to x."""
    norm = radius(x)
    unit = jnp.where(norm == 0, jnp.array([1.0, 0]), x / jnp.where(norm == 0, 1, norm))
    return jnp.stack([unit, jnp.stack([-unit[..., 1], unit[..., 0]], axis=-1)], axis=-1)


def radius(x):
    squared = jnp.sum(x * x, axis=-1, keepdims=True)
    return jnp.where(squared == 0, 0, jnp.sqrt(jnp.where(squared == 0, 1, squared)))


def mirrored(x):
    return turned(x * jnp.array([1, -1]))


def stretched(x):
    return 2 * turned(x)


def kinked(x):
    unit = x / jnp.linalg.norm(x, axis=-1, keepdims=True)
    return jnp.stack([unit, jnp.stack([-unit[..., 1], unit[..., 0]], axis=-1)], axis=-1)


def rough(x):
    return jnp.sqrt(jnp.abs(radius(x) - jax.lax.stop_gradient(radius(x))))


def first(x):
    return x[..., :1]


GOOD = {"section": turned, "orbit": radius, "orbit_dim": 1}


@pytest.mark.parametrize("group", [with_lift(PLANE, **GOOD), Discrete(SE2(), "C4")], ids=str)
def test_right_lifts_are_accepted(group, key):
    assert_lift(group, key=key, shape=(2, 3), dtype=jnp.float64)


@pytest.mark.parametrize(
    ("wrong", "messages"),
    [
        ({"section": mirrored, "orbit": first},
         ["section starts at one point of the orbit", "orbit is invariant"]),
        ({"section": stretched, "orbit": rough},
         ["section is in the group", "section and orbit have finite derivatives: error nan"]),
        ({"section": kinked}, ["section and orbit are finite at the origin: error nan"]),
    ],
    ids=["values", "group and derivatives", "origin"],
)  # fmt: skip
def test_wrong_sections_and_orbits_are_named(wrong, messages, key):
    with pytest.raises(AssertionError) as caught:
        assert_lift(with_lift(PLANE, **(GOOD | wrong)), key=key, dtype=jnp.float64)
    for message in messages:
        assert message in str(caught.value)


@dataclasses.dataclass(frozen=True)
class WrongStabiliser(SO3):
    def stabiliser(self, key, shape=(), dtype=None):
        return self.haar(key, shape, dtype)

    def stabiliser_grid(self, count, dtype=None):
        return super().stabiliser_grid(count + 1, dtype)[1:]


def test_wrong_stabilisers_are_named(key):
    with pytest.raises(AssertionError) as caught:
        assert_lift(WrongStabiliser(), key=key, dtype=jnp.float64)
    assert "stabiliser fixes the representative" in str(caught.value)
    assert "stabiliser_grid begins with the identity" in str(caught.value)


def test_gradients(key):
    coords = jax.random.normal(jax.random.key(1), (2, 4, 2), jnp.float64)
    mask = jnp.arange(4) < jnp.array([[4], [3]])
    points = lj.PointSet(coords, coords[..., :1], mask)

    def smooth(p):
        return jnp.where(p.mask[..., None], jnp.sin(p.coords) * p.values, 0).sum((1, 2))

    def norm(p):
        return jnp.where(p.mask, jnp.sqrt(jnp.sum(p.coords**2, -1)), 0).sum(1)

    assert_gradients_finite(smooth, points, key=key)
    with pytest.raises(AssertionError, match="first derivatives are finite at the origin"):
        assert_gradients_finite(norm, points, key=key)
    with pytest.raises(AssertionError, match="absent points have no gradient"):
        assert_gradients_finite(lambda p: p.coords.sum((1, 2)), points, key=key)
