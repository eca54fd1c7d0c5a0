"""Point groups are groups of the right order; their lifts are all there are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lie_jax as lj
from lie_jax.groups import E2, E3, O2, O3, SE2, SE3, SO2, SO3, Discrete, T
from lie_jax.groups.discrete import _axes
from lie_jax.groups.point_groups import point_group

ORDERS = [
    ("C1", 2, 1), ("C8", 2, 8), ("D1", 2, 2), ("D4", 2, 8),
    ("C6", 3, 6), ("D3", 3, 6), ("T", 3, 12), ("O", 3, 24), ("I", 3, 60),
    ("Td", 3, 24), ("Th", 3, 24), ("Oh", 3, 48), ("Ih", 3, 120),
]  # fmt: skip
ALONE = [
    Discrete(SO2(), "C8"), Discrete(O2(), "D3"), Discrete(SO3(), "O"), Discrete(O3(), "Th"),
]  # fmt: skip
MOVING = [
    Discrete(SE2(), "C4"), Discrete(E2(), "D4"), Discrete(SE3(), "T"), Discrete(E3(), "Td"),
]  # fmt: skip
# Where the others have their code, or cost much, they are slow tests.
QUICK = {Discrete(O2(), "D3"), Discrete(O3(), "Th"), Discrete(SE2(), "C4"), Discrete(E3(), "Td")}


def others_slow(groups):
    return [pytest.param(x, marks=() if x in QUICK else pytest.mark.slow) for x in groups]


@pytest.mark.parametrize(("name", "dim", "order"), ORDERS)
def test_point_groups(name, dim, order):
    matrices = point_group(name, dim)
    assert matrices.shape == (order, dim, dim)
    np.testing.assert_array_equal(matrices[0], np.eye(dim))
    np.testing.assert_allclose(
        matrices @ matrices.swapaxes(1, 2), np.eye(dim) + 0 * matrices, atol=1e-15
    )
    products = (matrices[:, None] @ matrices[None]).reshape(-1, 1, dim, dim)
    distance = np.abs(products - matrices).max((2, 3))
    np.testing.assert_allclose(distance.min(1), 0, atol=1e-14)
    assert np.unique(distance.argmin(1).reshape(order, order), axis=0).shape == (order, order)
    is_proper = np.linalg.det(matrices) > 0
    has_reflections = (name[0] == "D" and dim == 2) or name[-1] in "dh"
    assert is_proper.sum() == order // (1 + has_reflections)


@pytest.mark.parametrize("group", ALONE + MOVING, ids=str)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_elements_are_of_the_parent(group, dtype):
    elements = group.elements(dtype)
    assert elements.dtype == dtype
    assert elements.shape == (group.order, *group.element_shape)
    dim = group.space_dim
    np.testing.assert_allclose(
        group.to_matrix(elements)[:, :dim, :dim],
        point_group(group.point_group, dim),
        atol=4 * float(jnp.finfo(dtype).eps),
    )
    drawn = jax.random.key(0)
    drawn = (
        group.haar(drawn, (200,), dtype)
        if group in ALONE
        else group.stabiliser(drawn, (200,), dtype)
    )
    assert len(np.unique(np.asarray(drawn), axis=0)) == group.order


@pytest.mark.parametrize("group", others_slow(ALONE), ids=str)
def test_orbits_of_a_point_group(group):
    x = jax.random.normal(jax.random.key(1), (5, group.space_dim))
    s, r = group.section(x), group.orbit(x)
    np.testing.assert_allclose(group.act(s, r), x, atol=1e-13)
    moved = group.act(group.elements()[:, None], x)
    np.testing.assert_allclose(group.orbit(moved), jnp.broadcast_to(r, moved.shape), atol=1e-13)
    origin = jnp.zeros(group.space_dim)
    np.testing.assert_array_equal(group.section(origin), group.identity())
    slope = jax.jacobian(group.orbit)(x[0])
    np.testing.assert_allclose(slope @ slope.T, np.eye(group.space_dim), atol=1e-13)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize("group", others_slow(ALONE), ids=str)
def test_orbits_on_the_walls_of_the_domain(group, dtype):
    """Two elements carry such a point into the domain: which one must not depend on rounding."""
    ends = jnp.asarray(_axes(group.space_dim)[0], dtype)
    images = group.act(group.elements(dtype), ends)
    walls = ends + images[1:] / jnp.linalg.norm(images[1:], axis=-1, keepdims=True)
    moved = group.act(group.elements(dtype)[:, None], walls)
    orbits = group.orbit(moved)
    allowed = 1e-13 if dtype == jnp.float64 else 1e-5
    assert jnp.abs(orbits - orbits[0]).max() <= allowed


@pytest.mark.parametrize("group", others_slow(ALONE + MOVING), ids=str)
def test_log_does_not_jump_by_rounding(group):
    elements = group.elements()
    pairs = group.compose(group.inverse(elements)[:, None], elements).reshape(
        -1, elements.shape[-1]
    )
    logs = np.asarray(group.log(pairs))
    assert len(np.unique(np.round(logs, 9) + 0.0, axis=0)) <= group.order  # + 0.0: no -0
    dust = 1e-15 * jax.random.normal(jax.random.key(2), pairs.shape)
    if group.component_dim:
        dust = dust.at[..., -1].set(0)
    np.testing.assert_allclose(group.log(pairs + dust), logs, atol=1e-13)
    np.testing.assert_allclose(
        group.parent.exp(logs)[..., :2] ** 2, pairs[..., :2] ** 2, atol=1e-13
    )


def test_lift_takes_all():
    group = Discrete(SE2(), "C4")
    points = lj.PointSet(jnp.ones((2, 3, 2)), jnp.ones((2, 3, 1)), jnp.ones((2, 3), bool))
    lifted = lj.lift(group, points, method="all")
    assert lifted.samples == 4
    np.testing.assert_allclose(group.act(lifted.elements, jnp.zeros(2)), jnp.ones((2, 12, 2)))
    assert lj.lift(T(2), points, method="all").samples == 1
    assert lj.lift(O2(), points, method="all").samples == 2
    with pytest.raises(ValueError, match="needs a finite stabiliser, SE2"):
        lj.lift(SE2(), points, method="all")
    with pytest.raises(ValueError, match="samples must be left out"):
        lj.lift(group, points, method="all", samples=3)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((SE2(), "T"), ValueError, "must be one of C<n>, D<n>, got 'T'"),
        ((SE3(), "X"), ValueError, "must be one of C<n>, D<n>, T, O, I, Td, Th, Oh, Ih, got 'X'"),
        ((SE2(), "C0"), ValueError, "got 'C0'"),
        ((SE2(), "C1000"), ValueError, "at most n = 360"),
        ((SE2(), "D4"), ValueError, r"D4 holds reflections, SE2\(\) does not: take parent=E2\(\)"),
        ((SO3(), "Oh"), ValueError, r"take parent=O3\(\)"),
        ((T(2), "C4"), TypeError, "parent must be one of SO2, O2"),
    ],
)
def test_bad_groups(arguments, error, message):
    with pytest.raises(error, match=message):
        Discrete(*arguments)
