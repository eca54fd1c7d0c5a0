"""Groups from generators: as exact as the ones written by hand, and clear about what is wrong."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lie_jax as lj
from lie_jax.groups import SE3, SO3, from_generators, with_lift
from lie_jax.groups.matrix_functions import expm, phi
from lie_jax.testing import assert_group_laws

SO3_BASIS = np.asarray(SO3().hat(jnp.eye(3)))
SE3_BASIS = np.asarray(SE3().hat(jnp.eye(6)))
SL2_BASIS = np.array([[[0, 1], [0, 0]], [[0, 0], [1, 0]], [[1, 0], [0, -1]]])
SHEAR = np.array([[0, 1], [0, 0]])
SPACE = from_generators("space", SO3_BASIS, form=np.eye(3), exp_is_surjective=True)
MOTION = from_generators("motion", SE3_BASIS, affine=True, form=np.eye(3), exp_is_surjective=True)
MIRROR = from_generators(
    "mirror", SO3_BASIS, form=np.eye(3), discrete=-np.eye(3)[None], exp_is_surjective=True
)


@pytest.mark.slow
@pytest.mark.no_cover
def test_laws(key):
    for place in ({}, {"angle": math.pi - 1e-3}):
        assert_group_laws(MIRROR, key=key, shape=(2,), dtype=jnp.float64, **place)


@pytest.mark.parametrize("dtype", [pytest.param(jnp.float32, marks=pytest.mark.slow), jnp.float64])
def test_equals_the_group_written_by_hand(dtype, key):
    group, exact = MOTION, SE3()
    angles = jnp.array([0, 1e-8, 1e-3, 0.5, 2, 3, math.pi - 0.02, math.pi - 1e-3], dtype)
    if dtype == jnp.float64:
        angles = jnp.append(angles, math.pi - 1e-9)
    a = jax.random.normal(key, (len(angles), exact.algebra_dim), dtype)
    a = a.at[:, :3].multiply((angles / jnp.linalg.norm(a[:, :3], axis=-1))[:, None])
    g, h = group.exp(a), exact.exp(a)
    allowed = 50 * float(jnp.finfo(dtype).eps)
    np.testing.assert_allclose(g, exact.to_matrix(h), atol=allowed)
    np.testing.assert_allclose(jax.jit(group.log)(g), a, atol=allowed)
    np.testing.assert_allclose(group.adjoint(g), exact.adjoint(h), atol=allowed)
    np.testing.assert_allclose(group.inverse(g), exact.to_matrix(exact.inverse(h)), atol=allowed)


@pytest.mark.slow
def test_derivatives_equal_those_of_the_group_written_by_hand(key):
    """First and second, of log(g exp(a)) where nothing is special, at 1, and next to the branch."""
    base = jnp.array([[0.3, -0.5, 1.0, 1, 2, 3], [0, 0, 0, 0, 0, 0], [0, 3.13, 0, 1, 1, 0]])
    direction = jax.random.normal(key, (6,))

    def second(group):
        def function(a, b):
            return jnp.sum(jnp.sin(group.log(group.compose(group.exp(b), group.exp(a)))))

        zero = jnp.zeros(6)
        slope = jax.grad(function)
        return jax.jit(
            jax.vmap(
                lambda b: (slope(zero, b), jax.jvp(lambda a: slope(a, b), (zero,), (direction,))[1])
            )
        )(base)

    for got, wanted in zip(second(MOTION), second(SE3()), strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-11, rtol=1e-11)


def test_half_turns_have_a_logarithm():
    """At π either sign of the axis is right; the residual tells."""
    axes = jax.random.normal(jax.random.key(1), (50, 3))
    g = SPACE.exp(math.pi * axes / jnp.linalg.norm(axes, axis=-1, keepdims=True))
    a = SPACE.log(jnp.concatenate([g, jnp.diag(jnp.array([1.0, -1, -1]))[None]]))
    np.testing.assert_allclose(jnp.linalg.norm(a, axis=-1), math.pi, atol=1e-13)
    np.testing.assert_allclose(SPACE.exp(a)[:50], g, atol=1e-13)


def test_log_is_nan_where_there_is_none():
    group = from_generators("SL2", SL2_BASIS)
    assert not group.exp_is_surjective
    assert jnp.isnan(group.log(jnp.diag(jnp.array([-2.0, -0.5])))).all()
    assert jnp.isfinite(group.log(jnp.diag(jnp.array([2.0, 0.5])))).all()
    assert SPACE.exp_is_surjective
    assert from_generators("space", SO3_BASIS).exp_is_surjective
    # What is not in the group has no logarithm either.
    assert jnp.isnan(SPACE.log(2 * jnp.eye(3))).all()


def test_components():
    lorentz = lj.groups.Lorentz().parent.generators
    parity, reversal = np.diag([1.0, -1, -1, -1]), np.diag([-1.0, 1, 1, 1])
    group = from_generators("O(1, 3)", lorentz, discrete=[parity, reversal], exp_is_surjective=True)
    a = jnp.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    other = jnp.array([np.eye(4), parity, reversal, parity @ reversal])
    g = jnp.concatenate([group.compose(group.exp(a), other), 2 * jnp.eye(4)[None]])
    labels = [[1, 1], [-1, 1], [1, -1], [-1, -1], [jnp.nan, jnp.nan]]
    np.testing.assert_array_equal(jax.jit(group.component)(g), labels)
    logs = jax.jit(group.log)(g)
    np.testing.assert_allclose(logs[:4], jnp.broadcast_to(a, (4, 6)), atol=1e-12)
    assert jnp.isnan(logs[4]).all()


def test_matrix_functions_at_zero_and_far_away():
    for function in (expm, phi):
        second = jax.jit(jax.hessian(lambda m, f=function: f(m).sum()))
        assert jnp.isfinite(second(jnp.zeros((3, 3)))).all()
    turn = 300 * jnp.array([[0.0, -1], [1, 0]])
    wanted = [[math.cos(300), -math.sin(300)], [math.sin(300), math.cos(300)]]
    np.testing.assert_allclose(expm(turn), wanted, atol=1e-12)


def test_copies_act_side_by_side(key):
    group = from_generators("pairs", SL2_BASIS, copies=2, exp_is_surjective=False)
    g, x = group.exp(jnp.array([0.3, 0.1, -0.2])), jax.random.normal(key, (5, 4))
    moved = group.act(g, x)
    np.testing.assert_allclose(moved[:, :2], x[:, :2] @ g.T, atol=1e-14)
    np.testing.assert_allclose(moved[:, 2:], x[:, 2:] @ g.T, atol=1e-14)


def test_translations_lift_by_themselves(key):
    moves = np.zeros((2, 3, 3))
    moves[[0, 1], [0, 1], 2] = 1
    group = from_generators("plane", moves, affine=True)
    assert group.has_lift
    assert group.is_abelian
    x = jax.random.normal(key, (4, 2))
    np.testing.assert_array_equal(group.act(group.section(x), jnp.zeros(2)), x)
    np.testing.assert_array_equal(MOTION.act(MOTION.section(x[:, [0, 1, 1]]), jnp.zeros(3)),
                                  x[:, [0, 1, 1]])  # fmt: skip
    assert not MOTION.has_lift
    with pytest.raises(NotImplementedError, match=r"motion.stabiliser: .*with_lift"):
        MOTION.stabiliser(key)
    with pytest.raises(NotImplementedError, match=r"space.section: .*with_lift"):
        SPACE.section(jnp.ones(3))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"generators": SO3_BASIS[:2]}, ValueError,
         r"from_generators\('G'\): .* closed .* but \[generators\[0\], generators\[1\]\] leaves"),
        ({"generators": [SHEAR, 2 * SHEAR]}, ValueError, "independent, got 2 of rank 1"),
        ({"generators": np.ones((2, 2, 3))}, ValueError, r"must have shape \(a, r, r\)"),
        ({"generators": SHEAR}, ValueError, r"must have 3 axes, got shape \(2, 2\)"),
        ({"generators": [[[math.nan]]]}, ValueError, "generators must be finite"),
        ({"generators": SO3_BASIS, "affine": True}, ValueError, "last row of zeros"),
        ({"generators": SO3_BASIS, "form": np.diag([1, 1, 2])}, ValueError, "kept by the group"),
        ({"generators": SO3_BASIS, "form": np.eye(2)}, ValueError, "form must be invertible"),
        ({"generators": SO3_BASIS, "copies": 0}, ValueError, "copies must be an integer"),
        ({"generators": SO3_BASIS, "discrete": np.diag([1, -1, -1])[None]}, ValueError,
         "outside of the identity component"),
        ({"generators": SO3_BASIS, "discrete": 2 * np.eye(3)[None]}, NotImplementedError,
         "involutions that commute"),
        ({"generators": [SHEAR], "discrete": [[[0, 1], [1, 0]]]}, ValueError,
         "must normalise the algebra"),
        ({"generators": SL2_BASIS, "discrete": [np.diag([1, -1])]}, NotImplementedError,
         "every element of the identity component has a logarithm"),
    ],
)  # fmt: skip
def test_bad_generators(options, error, message):
    with pytest.raises(error, match=message):
        from_generators("G", **options)


def test_groups_are_static_arguments():
    again = from_generators("space", SO3_BASIS.tolist(), form=np.eye(3), exp_is_surjective=True)
    assert again == SPACE
    assert hash(again) == hash(SPACE)
    assert repr(again) == "space"
    one = jax.jit(lambda group: group.identity((2,)), static_argnums=0)(again)
    assert one.shape == (2, 3, 3)
    with pytest.raises(ValueError, match=r"space.compose: g must have shape \(\.\.\., 3, 3\)"):
        again.compose(np.ones((2, 3)), np.eye(3))


def direction(x):
    return x[..., :1]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"group": SO3}, TypeError, "group must be a lie_jax.groups.Group, got <class"),
        ({"section": None}, TypeError, "section must be a function, got None"),
        ({"orbit": direction}, ValueError, "orbit_dim must be the size of orbit"),
        ({"orbit_dim": 1}, ValueError, "orbit_dim must be the size of orbit"),
        ({"stabiliser_order": 2}, ValueError, "stabiliser_order needs stabiliser"),
    ],
)
def test_bad_lifts(options, error, message):
    with pytest.raises(error, match=message):
        with_lift(**({"group": SPACE, "section": direction} | options))


def test_a_lift_without_a_grid_says_so():
    group = with_lift(SPACE, section=direction, stabiliser=lambda *_: SPACE.identity())
    with pytest.raises(NotImplementedError, match="was given no stabiliser_grid"):
        group.stabiliser_grid(3)
