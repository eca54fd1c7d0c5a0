"""Every group obeys the laws; a group that breaks one is refused, with the law's name."""

import dataclasses
import math

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

import lie_jax as lj
from lie_jax.groups import E2, E3, O2, O3, SE2, SE3, SO2, SO3, RxSO2, Scaling, Squeeze, T, Trivial
from lie_jax.testing import assert_group_laws

GROUPS = [
    T(1), T(2), T(3), Trivial(2), SO2(), SE2(), SO3(), SE3(), Scaling(1), Scaling(2), Scaling(3),
    Squeeze(), RxSO2(), O2(), O3(), E2(), E3(),
]  # fmt: skip
ROTATING = [SO2(), SE2(), SO3(), SE3(), RxSO2(), O2(), O3(), E2(), E3()]
# Made of the others' code, with reflections or in another number of axes. What takes long of them
# is left to `make test-slow`.
MADE_OF_OTHERS = (T(1), T(3), Scaling(1), Scaling(3), O2(), O3(), E2(), E3())


def others_slow(groups, made_of_others=MADE_OF_OTHERS):
    """Parameters of which those made of others are slow tests."""
    marks = {group: pytest.mark.slow if group in made_of_others else () for group in groups}
    return [pytest.param(group, marks=mark) for group, mark in marks.items()]


LAWS = [
    pytest.param(
        group,
        jnp.float64,
        id=f"float64-{group}",
        # E(2) has the code of the others with reflections, T(2) and scalings of R^2 that of theirs.
        marks=pytest.mark.slow if group in MADE_OF_OTHERS and group != E2() else (),
    )
    for group in GROUPS
]
LAWS += [
    pytest.param(*param.values, jnp.float32, marks=param.marks, id=f"float32-{param.values[0]}")
    for param in others_slow(GROUPS, (*MADE_OF_OTHERS, SO3()))  # SE(3) has its code
]


# One example: anything; elements next to the identity; elements turned by pi minus a little.
PLACES = st.one_of(
    st.just({}),
    st.integers(-12, 1).map(lambda power: {"scale": 10.0**power}),
    st.integers(1, 16).map(lambda power: {"angle": math.pi - 10.0**-power}),
    st.just({"angle": math.pi}),
)


# One compilation per group, dtype and shape serves every example: compiling takes longer than
# trying the laws at many elements.
@pytest.mark.no_cover
@pytest.mark.parametrize(("group", "dtype"), LAWS)
@hypothesis.settings(max_examples=12, deadline=None, derandomize=True, database=None)
@hypothesis.given(seed=st.integers(0, 2**31 - 1), place=PLACES)
@hypothesis.example(seed=0, place={"angle": math.pi})
@hypothesis.example(seed=1, place={"angle": math.pi - 1e-10})
@hypothesis.example(seed=2, place={"scale": 1e-7})
def test_laws(group, dtype, seed, place):
    if group not in ROTATING:
        place = {name: value for name, value in place.items() if name != "angle"}
    assert_group_laws(group, key=jax.random.key(seed), shape=(2, 3), dtype=dtype, **place)


@pytest.mark.parametrize("group", [T(2), SE2()], ids=str)
def test_laws_without_a_batch(group, key):
    assert_group_laws(group, key=key, shape=(), dtype=jnp.float64)


class WrongInverse(T):
    def inverse(self, g):
        return super().inverse(g) + 1e-6


class WrongOrder(SO3):
    def compose(self, g, h):
        return super().compose(h, g)


class WrongAdjoint(SE3):
    def adjoint(self, g):
        return jnp.swapaxes(super().adjoint(g), -1, -2)


class WrongLog(SE2):
    def log(self, g):
        return super().log(g) + 1e-8


class KinkedDistance(SO3):
    def distance(self, g, h):
        return jnp.sqrt(jnp.sum(self.log(self.compose(self.inverse(g), h)) ** 2, -1))


class WrongStabiliser(SO3):
    def stabiliser(self, key, shape=(), dtype=None):
        return self.haar(key, shape, dtype)


class WrongShape(T):
    def orbit(self, x):
        return x[..., :1]


@pytest.mark.parametrize(
    ("group", "law"),
    [
        (WrongInverse(2), "inverse: error 1e-06"),
        pytest.param(WrongOrder(), "action of a product", marks=pytest.mark.slow),
        pytest.param(WrongAdjoint(), "adjoint", marks=pytest.mark.slow),
        (WrongLog(), r"log\(exp\(a\)\) = a"),
        (KinkedDistance(), "derivatives are finite at coinciding elements"),
        (WrongStabiliser(), "stabiliser fixes the representative"),
        (WrongShape(2), r"orbit must give float64\[2, 3, 0\]"),
    ],
    ids=lambda x: type(x).__name__,
)
def test_broken_groups_are_refused(group, law, key):
    with pytest.raises(AssertionError, match=law):
        assert_group_laws(group, key=key, shape=(2, 3), dtype=jnp.float64)


@pytest.mark.parametrize("group", GROUPS, ids=str)
def test_groups_are_static_arguments(group):
    assert hash(group) == hash(dataclasses.replace(group))
    assert group == dataclasses.replace(group)
    one = jax.jit(lambda group: group.identity((2,), jnp.float32), static_argnums=0)(group)
    assert one.shape == (2, *group.element_shape)
    assert one.dtype == jnp.float32


@pytest.mark.parametrize("group", GROUPS, ids=str)
def test_wrong_shapes_are_named(group):
    g = np.asarray(group.identity((2,)))
    bad_g = np.ones((2, *group.element_shape[:-1], group.element_shape[-1] + 1))
    bad_a, bad_x = np.ones((2, group.algebra_dim + 1)), np.ones((2, group.space_dim + 1))
    bad_m, x = np.ones((2, group.matrix_dim, group.matrix_dim + 1)), np.ones((2, group.space_dim))
    calls = [
        ("exp", (bad_a,)), ("log", (bad_g,)), ("inverse", (bad_g,)), ("adjoint", (bad_g,)),
        ("compose", (bad_g, g)), ("compose", (g, bad_g)), ("act", (bad_g, x)), ("act", (g, bad_x)),
        ("section", (bad_x,)), ("orbit", (bad_x,)), ("to_matrix", (bad_g,)),
        ("from_matrix", (bad_m,)), ("hat", (bad_a,)), ("vee", (bad_m,)), ("distance", (bad_g, g)),
    ]  # fmt: skip
    for name, arguments in calls:
        with pytest.raises(ValueError, match=r"must have shape \(\.\.\., "):
            getattr(group, name)(*arguments)
    with pytest.raises(TypeError, match="must be real, got dtype complex"):
        group.section(x + 1j)


@pytest.mark.parametrize("make", [T, Trivial, Scaling])
@pytest.mark.parametrize("n", [0, 1.5, "2"])
def test_dimensions_are_checked(make, n):
    with pytest.raises(ValueError, match="n must be an integer of at least 1"):
        make(n)


@pytest.mark.parametrize("group", [g for g in GROUPS if g.is_compact], ids=str)
def test_haar_is_invariant(group, key):
    """Moments of g x are those of h g x; and a fixed vector goes everywhere on its sphere."""
    count = 20_000
    g = group.haar(key, (count,), jnp.float64)
    assert g.shape == (count, *group.element_shape)
    if isinstance(group, Trivial):
        return
    x = jnp.eye(1, group.space_dim)[0]
    images = np.asarray(group.act(g, x))
    d = group.space_dim
    np.testing.assert_allclose(images.mean(0), 0, atol=0.03)
    np.testing.assert_allclose(images.T @ images / count, np.eye(d) / d, atol=0.02)
    signs = np.sign(np.linalg.det(np.asarray(group.to_matrix(g[:2000]))))
    np.testing.assert_allclose(signs.mean(), 0 if group.component_dim else 1, atol=0.1)


@pytest.mark.parametrize("group", [g for g in GROUPS if not g.is_compact], ids=str)
def test_groups_that_are_not_compact_have_no_haar_measure_to_sample(group, key):
    with pytest.raises((NotImplementedError, ValueError, TypeError)):
        group.haar(key, (2,))


@pytest.mark.parametrize("group", [SE2(), SE3(), SO3(), E3()], ids=str)
def test_stabiliser_is_uniform(group, key):
    h = group.stabiliser(key, (20_000,), jnp.float64)
    x = group.act(
        group.inverse(group.section(jnp.ones(group.space_dim))), jnp.ones(group.space_dim)
    )
    np.testing.assert_allclose(group.act(h, x), jnp.broadcast_to(x, (20_000, x.size)), atol=1e-9)
    matrices = np.asarray(group.to_matrix(h))[:, : group.space_dim, : group.space_dim]
    mean = matrices.mean(0)
    # The mean of a Haar measure is the projection to what it fixes: z for SO(3), nothing else.
    wanted = np.diag([0.0, 0.0, 1.0]) if isinstance(group, SO3) else np.zeros_like(mean)
    np.testing.assert_allclose(mean, wanted, atol=0.03)


def test_section_at_the_singular_places_of_so3():
    group = SO3()
    z = jnp.array([0.0, 0.0, 1.0])
    x = jnp.array([[0.0, 0, -2], [1e-9, 0, -1], [1e-200, 0, -1], [0, 0, 3], [1, 2, -2], [0, 0, 0]])
    lifted = group.act(group.section(x), jnp.linalg.norm(x, axis=-1, keepdims=True) * z)
    np.testing.assert_allclose(lifted, x, atol=1e-14)
    first = jax.vmap(jax.jacfwd(group.section))(x)
    second = jax.vmap(jax.jacfwd(jax.jacrev(group.section)))(x)
    assert jnp.isfinite(first).all()
    assert jnp.isfinite(second).all()


@pytest.mark.no_cover
@pytest.mark.parametrize("group", others_slow([g for g in GROUPS if g.algebra_dim]), ids=str)
def test_derivatives_equal_finite_differences(group, key):
    """First and second, at elements turned by little, by much, and by nearly pi."""
    d = group.algebra_dim
    directions = jax.random.normal(key, (6, d), jnp.float64)
    turn = jnp.abs(jnp.linalg.eigvals(group.hat(directions)).imag).max(-1)
    turns = jnp.abs(jnp.linalg.eigvals(group.hat(jnp.eye(d))).imag).max(-1) > 0
    angles = jnp.array([1e-3, 0.1, 0.7, 1.5, 2.2, 3.0])
    a = jnp.where(turns, directions * (angles / jnp.where(turn > 0, turn, 1))[:, None], directions)
    u, v, w = jax.random.normal(jax.random.key(5), (3, d), jnp.float64)

    def function(a):
        g = group.exp(a)
        x = jnp.linspace(1.0, 2.0, group.space_dim)
        k = group.compose(g, group.exp(0.1 * u))
        return (
            jnp.sum(jnp.sin(group.log(g)))
            + jnp.sum(group.adjoint(g) ** 2)
            + jnp.sum(jnp.sin(group.act(g, x)))
            + jnp.sum(jnp.cos(group.to_matrix(k) @ group.to_matrix(group.inverse(g))))
        )

    values = jax.jit(jax.vmap(function))
    slope = jax.jit(jax.vmap(jax.grad(function)))
    curve = jax.jit(jax.vmap(lambda a: jax.jvp(jax.grad(function), (a,), (w,))[1] @ v))
    # Five points: the error of the difference falls with the fourth power of its step.
    h, weights = 1e-3, ((1, 8 / 12), (2, -1 / 12))
    first = sum(c * (values(a + i * h * v) - values(a - i * h * v)) for i, c in weights) / h
    second = sum(c * (slope(a + i * h * w) - slope(a - i * h * w)) for i, c in weights) @ v / h
    np.testing.assert_allclose(slope(a) @ v, first, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(curve(a), second, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("group", others_slow(ROTATING), ids=str)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64], ids=["float32", "float64"])
def test_derivatives_are_finite_everywhere(group, dtype):
    """All first and second derivatives of log(exp(a)), at 0, at pi and just beside both."""
    turn = jnp.eye(group.algebra_dim, dtype=dtype)[0]
    if isinstance(group, RxSO2):
        turn = turn[::-1]
    angles = [0, 1e-30, 1e-12, 1e-6, 1e-3, 0.5, 1, math.pi - 1e-3, math.pi - 1e-10, math.pi]
    a = jnp.asarray(angles, dtype)[:, None] * turn

    def round_trip(a):
        return group.log(group.exp(a))

    hessian = jax.jit(jax.vmap(jax.jacfwd(jax.jacrev(round_trip))))(a)
    assert jnp.isfinite(hessian).all()


def test_public_names():
    assert lj.groups.SE3().is_compact is False
    assert lj.groups.SO2().is_abelian
    assert not T(2).has_stabiliser
