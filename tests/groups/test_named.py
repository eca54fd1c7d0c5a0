"""Products, and the groups of geometry and physics made of them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lie_jax.groups import (
    GL2,
    O3,
    SE2,
    SE3,
    SL2,
    SO2,
    SO3,
    SU2,
    U1,
    Affine2,
    DirectProduct,
    Galilei,
    Heisenberg,
    Lorentz,
    Poincare,
    RxSO3,
    SemidirectProduct,
    Similarity,
    Subgroup,
    T,
    semidirect_product,
)
from lie_jax.testing import assert_group_laws, assert_lift


def timelike(key, shape, dtype):
    """Momenta, a third of them of negative energy."""
    p = jax.random.normal(key, (*shape, 3), dtype)
    energy = jnp.sqrt(1 + jnp.sum(p * p, axis=-1, keepdims=True))
    sign = jnp.where(jnp.arange(shape[-1]) % 3 == 2, -1, 1)[:, None]
    return jnp.concatenate([sign * energy, p], axis=-1)


def event(key, shape, dtype):
    momentum = timelike(key, shape, dtype)
    return jnp.concatenate([momentum[..., ::-1], momentum], axis=-1)


GROUPS = {
    "U1": U1(), "SU2": SU2(), "RxSO3": RxSO3(), "Heisenberg": Heisenberg(), "SL2": SL2(),
    "GL2": GL2(), "Lorentz": Lorentz(), "Galilei": Galilei(), "Poincare": Poincare(),
    "Similarity2": Similarity(2), "Similarity3": Similarity(3), "Affine2": Affine2(),
    "SL2 x T2": DirectProduct(SL2(), T(2)), "SO3 x SO2": DirectProduct(SO3(), SO2()),
    "T3 x O3": SemidirectProduct(O3()),
    "turns about z": Subgroup(SO3(), [[0, 0, 1]]), "screws": Subgroup(SE3(), np.eye(6)[[2, 5]]),
}  # fmt: skip
SAMPLERS = {"Lorentz": timelike, "Poincare": event}
# exp is many to one at elements of SL(2) turned by π: rounding grows by 1 over the distance, in
# float32 to 5e-5 at scale 1, which is more than the 3e-5 allowed.
SCALES = {("SL2", jnp.float32): 0.5, ("SL2 x T2", jnp.float32): 0.5}

# Compiling the laws of a group takes up to half a minute: one group of each kind by default.
QUICK = {
    ("SU2", jnp.float64), ("Heisenberg", jnp.float32),
}  # fmt: skip
QUICK_LIFTS = {"Lorentz", "SL2", "Affine2", "Similarity3"}
CASES = [
    pytest.param(name, dtype, marks=() if (name, dtype) in QUICK else pytest.mark.slow)
    for name in GROUPS
    for dtype in (jnp.float32, jnp.float64)
]


@pytest.mark.no_cover
@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_laws(name, dtype):
    check = functools.partial(
        assert_group_laws, GROUPS[name], shape=(3,), dtype=dtype, points=SAMPLERS.get(name)
    )
    for seed, scale in ((0, SCALES.get((name, dtype), 1.0)), (1, 1e-7)):
        check(key=jax.random.key(seed), scale=scale)


@pytest.mark.no_cover
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in QUICK_LIFTS else pytest.mark.slow)
        for name, group in GROUPS.items()
        if group.has_lift
    ],
)
def test_lifts(name, key):
    assert_lift(GROUPS[name], key=key, dtype=jnp.float64, points=SAMPLERS.get(name))


@pytest.mark.parametrize("name", GROUPS)
def test_groups_are_static_arguments(name):
    group = GROUPS[name]
    one = jax.jit(lambda group: group.identity((2,), jnp.float32), static_argnums=0)(group)
    assert one.shape == (2, *group.element_shape)


def test_semidirect_products_equal_the_motions(key):
    group, whole = SemidirectProduct(SO3()), SE3()
    a, b = jax.random.normal(key, (2, 20, group.algebra_dim))
    g, h = group.exp(a), group.exp(b)
    np.testing.assert_allclose(g, whole.exp(a), atol=1e-14)
    np.testing.assert_allclose(group.log(g), whole.log(g), atol=1e-13)
    np.testing.assert_allclose(group.compose(g, h), whole.compose(g, h), atol=1e-13)
    np.testing.assert_allclose(group.adjoint(g), whole.adjoint(g), atol=1e-13)
    assert group.has_lift
    assert group.stabiliser_order is None


def test_products_are_componentwise(key):
    group = DirectProduct(SO3(), T(2))
    a = jax.random.normal(key, (4, 5))
    g = group.exp(a)
    np.testing.assert_array_equal(g, jnp.concatenate([SO3().exp(a[:, :3]), a[:, 3:]], axis=-1))
    assert group.act(g, jnp.ones((4, 5))).shape == (4, 5)
    assert group.stabiliser_grid(5).shape == (5, 6)
    assert DirectProduct(O3(), SL2()).component_dim == 1
    assert DirectProduct(SO2(), SO2()).haar(key, (3,)).shape == (3, 4)
    with pytest.raises(ValueError, match="not compact"):
        group.haar(key)


def test_subgroups(key):
    group = Subgroup(SO3(), [[0, 0, 2]])
    np.testing.assert_allclose(group.exp(jnp.array([0.25])), SO3().exp(jnp.array([0, 0, 0.5])))
    assert jnp.isnan(group.log(SO3().exp(jnp.array([0.1, 0, 0.5])))).all()
    assert group.is_abelian
    assert not Subgroup(SE3(), np.eye(6)[:3]).is_abelian
    with pytest.raises(ValueError, match=r"Subgroup\(SO3\(\)\): .* closed under the bracket"):
        Subgroup(SO3(), np.eye(3)[:2])
    with pytest.raises(ValueError, match=r"basis must have shape \(k, 3\)"):
        Subgroup(SO3(), np.eye(2))
    with pytest.raises(NotImplementedError, match="with_lift"):
        group.section(jnp.ones(3))
    with pytest.raises(ValueError, match="not compact"):
        group.haar(key)


def test_momenta_that_are_not_timelike_have_a_defined_lift():
    """Lightlike, to rounding; spacelike; 0. Derivatives are finite too."""
    group = Lorentz()
    x = jnp.array([[1.0, 0, 0, 1], [3, 2, 2, 1 + 1e-16], [1, 0, 0, 2], [0, 0, 0, 0], [0, 1, 0, 0]])
    np.testing.assert_array_equal(group.orbit(x), jnp.zeros((5, 1)))
    np.testing.assert_array_equal(group.section(x), jnp.broadcast_to(jnp.eye(4), (5, 4, 4)))
    for function in (group.orbit, group.section):
        for derivative in (jax.jacfwd(function), jax.hessian(function)):
            assert jnp.isfinite(jax.jit(jax.vmap(derivative))(x)).all()


def test_mass_keeps_the_sign_of_the_energy():
    x = jnp.array([[5.0, 3, 0, 0], [-5, 3, 0, 0]])
    np.testing.assert_allclose(Lorentz().orbit(x), [[4.0], [-4]], atol=1e-14)


def test_su2_covers_the_rotations_twice():
    a = jnp.array([0.0, 0.0, 5.0])  # between π and 2 π
    np.testing.assert_allclose(SU2().log(SU2().exp(a)), a, atol=1e-14)
    minus_one = -SU2().identity()
    np.testing.assert_allclose(jnp.linalg.norm(SU2().log(minus_one)), 2 * jnp.pi)
    assert jnp.isfinite(jax.jit(jax.hessian(SU2().log))(minus_one)).all()


def test_heisenberg_in_closed_form():
    """(a, c, b) goes to (c + a b / 2, b, a)."""
    a, c, b = jnp.array([0.3, 2.0, 0.7])
    g = Heisenberg().exp(jnp.stack([a, c, b]))
    moved = Heisenberg().act(g, jnp.zeros(3))
    np.testing.assert_allclose(moved, jnp.stack([c + a * b / 2, b, a]), atol=1e-15)


def test_galilei_moves_events():
    """A boost b carries an event at time t by b t, and a velocity by b."""
    g = Galilei().exp(jnp.zeros(10).at[3].set(2.0))
    moved = Galilei().act(g, jnp.array([1.0, 0, 0, 3, 0.5, 0, 0]))
    np.testing.assert_allclose(moved, [7, 0, 0, 3, 2.5, 0, 0], atol=1e-14)


def test_places_alone_need_a_compact_stabiliser(key):
    group = Poincare(with_vector=False)
    assert not group.has_lift
    for call in (lambda: group.stabiliser(key), lambda: group.stabiliser_grid(3)):
        with pytest.raises(NotImplementedError, match=r"not compact .* with_vector=True"):
            call()
    with pytest.raises(ValueError, match="n must be 2 or 3"):
        Similarity(4)


TURN = [[0, -1, 0], [1, 0, 0], [0, 0, 0]]  # of homogeneous coordinates in the plane


def test_semidirect_product_of_two_matrix_groups(key):
    """T(2) with SO(2) are the motions of the plane; their matrices stand in the first block."""
    group, motions = semidirect_product("T2 x SO2", T(2), SO2(), [TURN]), SE2()
    a, b = jax.random.normal(key, (2, 5, 3))
    to_motion = jnp.array([2, 0, 1])  # (u, theta) to (theta, u)
    g, h = group.exp(a), group.exp(b)
    wanted = motions.compose(motions.exp(a[:, to_motion]), motions.exp(b[:, to_motion]))
    got = group.to_matrix(group.compose(g, group.inverse(group.inverse(h))))
    np.testing.assert_allclose(got[:, :3, :3], motions.to_matrix(wanted), atol=1e-13)
    np.testing.assert_allclose(group.log(g), a, atol=1e-13)


def test_semidirect_product_of_groups_that_do_not_commute(key):
    """SO(3) by itself, acting by conjugation: (n, h)(n', h') = (n h n' h^-1, h h')."""
    action = SO3().hat(jnp.eye(3))
    group = semidirect_product("SO3 x SO3", SO3(), SO3(), action)
    g, h = group.exp(jax.random.normal(key, (2, 6)))
    blocks = [(m[:3, :3] @ m[3:, 3:].T, m[3:, 3:]) for m in map(group.to_matrix, (g, h))]
    (n, u), (m, v) = blocks
    got = group.to_matrix(group.compose(g, h))
    np.testing.assert_allclose(got[3:, 3:], u @ v, atol=1e-13)
    np.testing.assert_allclose(got[:3, :3] @ got[3:, 3:].T, n @ u @ m @ u.T, atol=1e-13)


def test_semidirect_product_refuses_what_is_no_action():
    with pytest.raises(ValueError, match=r"action must have shape \(1, 3, 3\)"):
        semidirect_product("wrong", T(2), SO2(), [[[0.0]]])
    with pytest.raises(ValueError, match="closed under the bracket"):
        semidirect_product("wrong", SO3(), SO2(), [[[1, 0, 0], [0, 0, 0], [0, 0, 0]]])
