"""Conserved quantities of arrays of any leading axes, and their drift."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lie_jax.dynamics.conserved import angular_momentum, energy, linear_momentum, relative_drift
from lie_jax.dynamics.systems import Springs


def H(q, p, params):
    """Of systems that have different numbers of leading axes, each with a parameter of its own."""
    return params * (q**2).sum((-2, -1)) + (p**2).sum((-2, -1))


@pytest.mark.parametrize("axis", [-3, 0, 1])
def test_energy_with_time_anywhere(axis):
    rng = np.random.default_rng(0)
    q, p = rng.normal(size=(2, 4, 7, 3, 2))  # systems, times, particles, coordinates
    params = rng.uniform(size=4)
    wanted = H(q, p, params[:, None])
    q, p = (np.moveaxis(x, 1, axis) for x in (q, p))
    found = energy(H, q, p, params, time_axis=axis)
    np.testing.assert_allclose(found, wanted.T if axis == 0 else wanted, rtol=1e-12)


def test_energy_of_springs():
    system = Springs()
    q, p, params = system.sample(jax.random.key(0), 4)
    qs, ps = jax.jit(system.flow)(np.linspace(0, 1, 7), q, p, params)
    found = jax.jit(energy, static_argnums=0)(system.hamiltonian, qs, ps, params)
    assert found.shape == (4, 7)
    assert relative_drift(found).max() < 1e-12


def test_energy_of_one_system_and_of_any_parameters():
    q, p = np.random.default_rng(0).normal(size=(2, 5, 3, 2))

    def one(q, p, params):
        assert q.ndim == 2
        return params["a"] * jnp.sum(q**2) + jnp.sum(p**2)

    found = energy(one, q, p, {"a": 2.0})
    np.testing.assert_allclose(found, 2 * (q**2).sum((1, 2)) + (p**2).sum((1, 2)), rtol=1e-13)


@pytest.mark.parametrize("shape", [(), (4,), (2, 3)])
@pytest.mark.parametrize("d", [2, 3])
def test_momenta(shape, d):
    q, p = np.random.default_rng(1).normal(size=(2, *shape, 5, d))
    np.testing.assert_allclose(linear_momentum(p), p.sum(-2), rtol=1e-13)
    found = angular_momentum(q, p)
    space = [np.concatenate([x, np.zeros((*x.shape[:-1], 3 - d))], axis=-1) for x in (q, p)]
    wanted = np.cross(*space).sum(-2)
    np.testing.assert_allclose(found, wanted if d == 3 else wanted[..., 2], rtol=1e-12)
    assert found.shape == (shape if d == 2 else (*shape, 3))


def test_relative_drift():
    values = jnp.array([[2.0, 3.0, 1.0], [-4.0, -4.0, -3.0]])
    np.testing.assert_allclose(relative_drift(values), [[0, 0.5, 0.5], [0, 0, 0.25]])
    np.testing.assert_allclose(relative_drift(values, 10.0)[1], [0, 0, 0.1])
    np.testing.assert_allclose(relative_drift(values.T, time_axis=0), relative_drift(values).T)
    vectors = jnp.array([[3.0, 4.0], [3.0, 4.0], [0.0, 0.0]])
    drift = relative_drift(vectors, time_axis=0, component_axis=1)
    np.testing.assert_allclose(drift, [0, 0, 1])
    drift = relative_drift(jnp.zeros((3, 2)), 2.0, time_axis=0, component_axis=-1)
    np.testing.assert_array_equal(drift, np.zeros(3))


X = jnp.zeros((4, 3, 2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: energy(None, X, X[:2], None), "energy: q and p must have one shape"),  # pyright: ignore
        (
            lambda: energy(None, X, X, None, time_axis=1),  # pyright: ignore
            "energy: time_axis must name an axis of q before the last two, got 1",
        ),
        (lambda: energy(None, X[0], X[0], None), "got -3 for shape (3, 2)"),  # pyright: ignore
        (
            lambda: linear_momentum(X[0, 0]),
            "linear_momentum: p must have shape (*b, n, d), got (2,)",
        ),
        (lambda: angular_momentum(X, X[0]), "angular_momentum: q and p must have one shape"),
        (
            lambda: angular_momentum(X[..., :1], X[..., :1]),
            "angular_momentum: q must have shape (*b, n, 2) or (*b, n, 3), got (4, 3, 1)",
        ),
        (lambda: relative_drift(jnp.zeros(0)), "relative_drift: values must hold a time"),
        (lambda: relative_drift(X, time_axis=3), "relative_drift: time_axis must be an axis"),
        (
            lambda: relative_drift(X, component_axis=2),
            "relative_drift: component_axis must not be time_axis, got 2",
        ),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()
