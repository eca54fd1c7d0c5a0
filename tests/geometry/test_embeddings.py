"""Embeddings of pairs: what they contain, and that the smooth ones do not jump."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lie_jax import geometry
from lie_jax.geometry.embeddings import resolve_embedding
from lie_jax.groups import E2, E3, O3, SE2, SE3, SO2, SO3, Discrete, RxSO2, Scaling, Squeeze, T

GROUPS = [SO2(), SE2(), RxSO2(), E2(), SO3(), O3(), SE3(), E3(), Discrete(SE2(), "C4")]
SMOOTH = ["matrix", "circle", "harmonics"]


def embedded(name, group, element):
    return resolve_embedding(name).embed(group, element)


@pytest.mark.parametrize("group", [*GROUPS, T(3), Scaling(2)], ids=str)
@pytest.mark.parametrize("name", ["log", *SMOOTH])
def test_sizes(group, name):
    g = group.exp(jnp.ones((2, group.algebra_dim)))
    assert embedded(name, group, g).shape == (2, resolve_embedding(name).size(group))


@pytest.mark.parametrize("group", GROUPS[:-1], ids=str)
@pytest.mark.parametrize("name", SMOOTH)
def test_smooth_embeddings_do_not_jump_at_half_a_turn(group, name):
    turn = jnp.zeros(group.algebra_dim).at[int(isinstance(group, RxSO2))].set(math.pi)
    beside = jnp.stack([turn * (1 - 1e-9), turn * (1 + 1e-9)])
    jump = {n: float(jnp.abs(jnp.diff(embedded(n, group, group.exp(beside)), axis=0)).max())
            for n in (name, "log")}  # fmt: skip
    assert jump[name] < 1e-7 < 6 < jump["log"]


@pytest.mark.parametrize("group", GROUPS[:-1], ids=str)
def test_harmonics_tell_elements_apart(group, key):
    g = group.exp(jax.random.normal(key, (6, group.algebra_dim)))
    g = group.compose(g, group.stabiliser(key, (6,)))
    features = embedded("circle", group, g)
    apart = jnp.abs(features[:, None] - features).max(-1) + jnp.eye(6)
    assert apart.min() > 1e-3


def test_harmonics_of_degree_two_are_a_representation(key):
    q = SO3().haar(key, (3,), jnp.float64)
    a, b, ab = (embedded("harmonics", SO3(), x)[9:].reshape(5, 5)
                for x in (q[0], q[1], SO3().compose(q[0], q[1])))  # fmt: skip
    np.testing.assert_allclose(a @ b, ab, atol=1e-14)
    np.testing.assert_allclose(a @ a.T, np.eye(5), atol=1e-14)


def test_harmonics_in_the_plane():
    angle = 0.7
    got = embedded(geometry.harmonics(3), SO2(), SO2().exp(jnp.array([angle])))
    wanted = [f(k * angle) for k in (1, 2, 3) for f in (math.cos, math.sin)]
    np.testing.assert_allclose(got, wanted, atol=1e-15)
    assert geometry.harmonics(3) is geometry.harmonics(3)


@pytest.mark.parametrize("group", [SE2(), E2(), SE3(), E3(), Discrete(SE2(), "C4"), T(3)], ids=str)
def test_distance_is_that_of_the_points_whatever_their_lifts(group, key):
    keys = jax.random.split(key, 5)
    x = jax.random.normal(keys[0], (2, 6, group.space_dim))
    g = group.section(x)
    if group.has_stabiliser:
        g = group.compose(g, group.stabiliser(keys[1], (2, 6)))
    moved = group.compose(group.exp(jax.random.normal(keys[2], (group.algebra_dim,))), g)
    squared = jnp.sum((x[0] - x[1]) ** 2, axis=-1)
    wanted = jnp.stack([squared, jnp.sqrt(squared + 0.01)], axis=-1)
    steps = jnp.sqrt(squared)[:, None] / (4 / 15)
    bumps = jnp.exp(-((steps - jnp.arange(16)) ** 2) / 2)
    for a in (g, moved):
        pair = group.compose(group.inverse(a[0]), a[1])
        np.testing.assert_allclose(embedded("distance", group, pair), wanted, atol=1e-13)
        radial = embedded("radial", group, pair)
        assert radial.shape[-1] == geometry.feature_dim(group, "radial")
        np.testing.assert_allclose(radial[:, :-1], bumps, atol=1e-3)  # softened at 0
        np.testing.assert_allclose(radial[:, -1:], jnp.log1p(steps), atol=1e-3)


@pytest.mark.parametrize("name", ["distance", "radial"])
def test_distance_has_finite_derivatives_where_points_meet(name):
    def embed(x):
        g = SE2().section(x)
        return embedded(name, SE2(), SE2().compose(SE2().inverse(g[0]), g[1])).sum()

    x = jnp.ones((2, 2))
    assert jnp.isfinite(jax.grad(embed)(x)).all()
    assert jnp.isfinite(jax.hessian(embed)(x)).all()


@pytest.mark.parametrize("group", [SO2(), RxSO2(), Squeeze()], ids=str)
def test_what_has_no_distance_is_named(group):
    for name in ("distance", "radial"):
        with pytest.raises(ValueError, match=r"pair_embedding: .*distances"):
            geometry.feature_dim(group, name)
    with pytest.raises(ValueError, match="softening must be positive, got 0"):
        geometry.soft_distance(0.0)
    with pytest.raises(ValueError, match="count must be at least 2 and reach positive, got 1 and"):
        geometry.radial_basis(1)


def test_what_has_no_harmonics_is_named():
    with pytest.raises(ValueError, match=r"harmonics and distances are .* Squeeze\(\)"):
        geometry.feature_dim(Squeeze(), "harmonics")
    with pytest.raises(ValueError, match="degree must be 1 or 2"):
        geometry.feature_dim(SE3(), geometry.harmonics(3))
    with pytest.raises(ValueError, match="degree must be at least 1"):
        geometry.harmonics(0)


def test_names_lead_to_embeddings_and_back(key):
    group = SE3()
    g = group.exp(jax.random.normal(key, (3, 6)))
    for name in ("radial(24, 6.0)", "distance(0.2)", "harmonics(2)", "log+radial(24, 6.0)"):
        found = resolve_embedding(name)
        again = resolve_embedding(found.name)
        np.testing.assert_array_equal(found.embed(group, g), again.embed(group, g))
        assert geometry.feature_dim(group, name) == found.embed(group, g).shape[-1]
    assert resolve_embedding("radial(24, 6.0)") is geometry.radial_basis(24, 6.0)
    both = embedded("log+radial", group, g)
    np.testing.assert_array_equal(both[:, :6], embedded("log", group, g))
    np.testing.assert_array_equal(both[:, 6:], embedded("radial", group, g))


def test_embeddings_beside_each_other_keep_what_both_promise():
    log, radial = resolve_embedding("log"), resolve_embedding("radial")
    both = geometry.beside(log, radial)
    assert both.sees_stabiliser
    assert both.needs_log
    assert not both.is_additive(T(3))
    assert geometry.beside(log, log).is_additive(T(3))
    assert not geometry.beside(radial, resolve_embedding("distance")).sees_stabiliser
    with pytest.raises(ValueError, match="must be one or more"):
        geometry.beside()


@pytest.mark.parametrize(
    "name", ["logarithm", "log+", "radial(", "radial(a)", "radial(1)", "radial(8, 4.0, 2)", ""]
)
def test_names_that_lead_nowhere(name):
    with pytest.raises(ValueError, match="pair_embedding"):
        resolve_embedding(name)
