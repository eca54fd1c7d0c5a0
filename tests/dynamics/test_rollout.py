"""Fields, rollouts and their gradients."""

import functools

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lie_jax import dynamics
from lie_jax.dynamics import RK38, Leapfrog, Yoshida4, Yoshida6
from tests.dynamics.systems import H, initial

TS = jnp.linspace(0, 1, 6)


def close(a, b, tolerance=1e-12):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance), a, b
    )


def test_field_is_the_symplectic_gradient_of_any_hamiltonian(key):
    """Of one that is not separable, against central differences; in a batch, system by system."""

    def energy(q, p, params):
        return jnp.sum(params * q**2 * p**2, axis=(-2, -1)) + jnp.sum(jnp.sin(p), axis=(-2, -1))

    (q, p), params = initial(key, (3,))
    dq, dp = dynamics.hamiltonian_field(energy)(0.0, (q, p), params)
    step = 1e-6
    for index in np.ndindex(4, 2):
        bump = jnp.zeros((4, 2)).at[index].set(step)
        there, back = energy(q, p + bump, params), energy(q, p - bump, params)
        close(dq[:, *index], (there - back) / (2 * step), 1e-7)
        there, back = energy(q + bump, p, params), energy(q - bump, p, params)
        close(-dp[:, *index], (there - back) / (2 * step), 1e-7)
    one_by_one = jax.vmap(lambda s, w: dynamics.hamiltonian_field(energy)(0.0, s, w))
    close(one_by_one((q, p), params), (dq, dp))


def test_separable_field_is_that_of_its_sum(key):
    state, params = initial(key, (3,))
    close(H.field(0.0, state, params), dynamics.hamiltonian_field(H)(0.0, state, params))


class Stiffness(eqx.Module):
    """An energy that holds an array."""

    k: jax.Array

    def __call__(self, q, p, params):
        return jnp.sum(self.k * q**2 + params * p**2, axis=(-2, -1))


@pytest.mark.parametrize("energy", [H, H.__call__, Stiffness(jnp.float64(2.0))])
def test_fields_are_what_jit_takes(energy, key):
    state, params = initial(key, (3,))
    field = dynamics.hamiltonian_field(energy)
    close(jax.jit(field)(0.0, state, params), field(0.0, state, params))
    if energy is H:
        for term in (*H.terms, H.term):
            z = state if term == H.term else state[0]
            close(jax.jit(term.vector_field)(0.0, z, params), term.vector_field(0.0, z, params))


def test_rollout_has_the_batch_first_and_starts_with_the_state(key):
    state, params = initial(key, (3, 2))
    q, p = jax.jit(lambda s, w: dynamics.rollout(H, s, TS, w))(state, params)
    assert q.shape == p.shape == (3, 2, 6, 4, 2)
    close((q[..., 0, :, :], p[..., 0, :, :]), state)
    alone = dynamics.rollout(H, jax.tree.map(lambda x: x[1, 1], state), TS, params[1, 1])
    close(alone, (q[1, 1], p[1, 1]))


def test_rollout_takes_any_field(key):
    def decay(_, state, rate):
        return jax.tree.map(lambda x: -rate * x, state)

    state, _ = initial(key)
    q, _ = dynamics.rollout(diffrax.ODETerm(decay), state, TS, 0.5, solver=RK38(), substeps=20)
    close(q, state[0] * jnp.exp(-0.5 * TS)[:, None, None], 1e-8)


@pytest.mark.parametrize("solver", [Leapfrog(), Yoshida4(), Yoshida6()], ids=str)
def test_reversible_gradients_are_those_of_the_stored_steps(solver, key):
    state, params = initial(key, (2,))

    def loss(state, params, adjoint):
        q, p = dynamics.rollout(H, state, TS, params, solver=solver, substeps=3, adjoint=adjoint)
        return jnp.sum(q**2 * p)

    both = [
        jax.jit(jax.value_and_grad(lambda s, w, a=adjoint: loss(s, w, a), argnums=(0, 1)))(
            state, params
        )
        for adjoint in (None, "reversible")
    ]
    close(*both, 1e-11)


def test_reversible_gradients_leave_out_what_has_none(key):
    state, params = initial(key)
    with_mask = (params, jnp.ones(4, bool), jax.random.key(0))
    masked = dynamics.SeparableHamiltonian(
        lambda p, w: H.kinetic(jnp.where(w[1][:, None], p, 0), w[0]),
        lambda q, w: H.potential(q, w[0]),
    )

    def loss(params):
        q, _ = dynamics.rollout(masked, state, TS, (params, *with_mask[1:]), adjoint="reversible")
        return jnp.sum(q**2)

    assert jnp.isfinite(jax.grad(loss)(params)).all()


def temporary_bytes(adjoint, substeps, key):
    state, params = initial(key, (64,))

    def loss(params):
        q, _ = dynamics.rollout(H, state, TS, params, substeps=substeps, adjoint=adjoint)
        return jnp.sum(q**2)

    return jax.jit(jax.grad(loss)).lower(params).compile().memory_analysis().temp_size_in_bytes


def test_reversible_memory_does_not_grow_with_the_steps(key):
    few, many = (temporary_bytes("reversible", substeps, key) for substeps in (10, 400))
    assert many < 1.1 * few + 400 * 8 * 8
    assert temporary_bytes(None, 400, key) > 5 * many


def test_chunks_are_one_rollout(key):
    state, params = initial(key, (2,))
    ts = jnp.linspace(0, 2, 24)
    whole = dynamics.rollout(H, state, ts, params)
    close(dynamics.rollout_in_chunks(H, state, ts, params, chunk=5), whole)
    every_third = dynamics.rollout_in_chunks(H, state, ts, params, chunk=5, keep_every=3)
    close(every_third, jax.tree.map(lambda x: x[:, ::3], whole))


def test_chunks_compile_once_per_system(key):
    traces = []

    def potential(q, params):
        traces.append(q.shape)
        return H.potential(q, params)

    system = dynamics.SeparableHamiltonian(H.kinetic, potential)
    state, params = initial(key)
    ts = jnp.linspace(0, 2, 24)
    dynamics.rollout_in_chunks(system, state, ts, params, chunk=5)
    first = len(traces)
    dynamics.rollout_in_chunks(system, state, ts + 1, 2 * params, chunk=5)
    assert len(traces) == first > 0


@pytest.mark.parametrize("kind", ["separable", "any"])
@pytest.mark.parametrize("adjoint", [None, diffrax.DirectAdjoint()], ids=["default", "given"])
def test_rollout_compiles_once_per_system_outside_jit(kind, adjoint, key):
    traces = []

    def potential(q, params):
        traces.append(q.shape)
        return H.potential(q, params)

    system = dynamics.SeparableHamiltonian(H.kinetic, potential)
    if kind == "any":
        system = functools.partial(dynamics.SeparableHamiltonian.__call__, system)
    state, params = initial(key)
    dynamics.rollout(system, state, TS, params, solver=RK38(), adjoint=adjoint)
    first = len(traces)
    dynamics.rollout(system, state, TS, 2 * params, solver=RK38(), adjoint=adjoint)
    assert len(traces) == first > 0


def test_chunks_stop_where_the_state_is_no_longer_finite(key):
    state, params = initial(key)
    falling = dynamics.SeparableHamiltonian(H.kinetic, lambda q, _: -jnp.sum(q**4) * 100)
    with pytest.raises(FloatingPointError, match=r"not finite from t = \d"):
        dynamics.rollout_in_chunks(falling, state, jnp.linspace(0, 20, 200), params)


def test_rollout_error_is_the_mean_at_each_time(key):
    state, params = initial(key, (3,))
    found = dynamics.rollout(H, state, TS, params)
    moved = (found[0] + 2 * TS[:, None, None], found[1])
    close(dynamics.rollout_error(moved, found), 2 * TS**2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ts": jnp.array([0.0, 1.0, 1.0])}, r"rollout: ts must be finite and increase, got 1\.0"),
        ({"ts": jnp.array([0.0, jnp.nan])}, r"ts must be finite and increase"),
        ({"ts": jnp.array([0.0])}, r"ts must have shape \(t,\), t at least 2, got \(1,\)"),
        ({"state": (jnp.zeros((4, 2)), jnp.zeros((3, 2)))}, r"one shape, got \(4, 2\) and"),
        ({"substeps": 0}, r"substeps must be at least 1, got 0"),
        ({"adjoint": "reversible", "solver": RK38()}, r"symplectic one"),
        ({"system": lambda q, *_: jnp.sum(q), "solver": Leapfrog()}, r"SeparableHamiltonian"),
    ],
)  # fmt: skip
def test_bad_input_is_named(change, message, key):
    state, params = initial(key)
    arguments = {"system": H, "state": state, "ts": TS} | change
    with pytest.raises((ValueError, TypeError), match=message):
        dynamics.rollout(params=params, **arguments)
