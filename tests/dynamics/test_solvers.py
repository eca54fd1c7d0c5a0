"""Order, symplecticity, reversibility and drift of the solvers, measured."""

import functools

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lie_jax import dynamics
from lie_jax.dynamics import RK38, Leapfrog, Nystrom4, Yoshida4, Yoshida6
from tests.dynamics.systems import H, initial

ORDERS = {Leapfrog(): 2, Yoshida4(): 4, Yoshida6(): 6, Nystrom4(): 4, RK38(): 4}
SYMPLECTIC = [Leapfrog(), Yoshida4(), Yoshida6()]


@functools.partial(jax.jit, static_argnums=(0, 1, 4))
def march(H, solver, state, params, steps, h):
    """The state after each of so many steps of length h, by the solver's own step."""
    terms = H.terms if isinstance(solver.term_structure, tuple) else diffrax.ODETerm(H.field)

    def step(carry, _):
        y, memory = carry
        y, _, _, memory, _ = solver.step(terms, 0.0, h, y, params, memory, made_jump=False)
        return (y, memory), y

    memory = solver.init(terms, 0.0, h, state, params)
    return jax.lax.scan(step, (state, memory), length=steps)[1]


def ends(state, params, solver, steps, time=1.0):
    return jax.tree.map(lambda x: x[-1], march(H, solver, state, params, steps, time / steps))


@pytest.mark.parametrize("solver", ORDERS, ids=str)
def test_order_of_convergence(solver, key):
    state, params = initial(key)
    exact = ends(state, params, diffrax.Dopri8(), 300)
    errors = []
    for steps in (40, 80):
        found = ends(state, params, solver, steps)
        errors.append(max(jnp.abs(a - b).max() for a, b in zip(found, exact, strict=True)))
    assert abs(np.log2(errors[0] / errors[1]) - ORDERS[solver]) < 0.15
    assert solver.order(H.terms) == ORDERS[solver]


def jacobian_defect(solver, key):
    """|Jᵀ Ω J - Ω| of a step's Jacobian J."""
    (q, p), params = initial(key)

    def step(z):
        state = ends((z[0], z[1]), params, solver, 1, 0.1)
        return jnp.stack(state)

    jacobian = jax.jacobian(step)(jnp.stack([q, p])).reshape(2 * q.size, -1)
    size = q.size
    omega = np.block(
        [[np.zeros((size, size)), np.eye(size)], [-np.eye(size), np.zeros((size, size))]]
    )
    return np.abs(jacobian.T @ omega @ jacobian - omega).max()


@pytest.mark.parametrize("solver", SYMPLECTIC, ids=str)
def test_symplectic(solver, key):
    assert jacobian_defect(solver, key) < 1e-13


@pytest.mark.parametrize("solver", [Nystrom4(), RK38()], ids=str)
def test_others_are_not_symplectic(solver, key):
    assert jacobian_defect(solver, key) > 1e-8


@pytest.mark.parametrize("solver", SYMPLECTIC, ids=str)
def test_a_step_back_undoes_a_step(solver, key):
    state, params = initial(key)
    step = jax.jit(lambda y, t0, t1: solver.advance(H.terms, t0, t1, y, params))
    y = state
    for _ in range(20):
        y = step(y, 0.0, 0.1)
    for _ in range(20):
        y = step(y, 0.1, 0.0)
    assert max(jnp.abs(a - b).max() for a, b in zip(y, state, strict=True)) < 1e-12


def test_energy_error_is_bounded_over_1e5_steps_where_that_of_rk4_grows():
    """A pendulum, 1e5 steps of equal length; drift in the first and in the last tenth."""
    pendulum = dynamics.SeparableHamiltonian(
        lambda p, _: jnp.sum(p * p) / 2, lambda q, _: -jnp.sum(jnp.cos(q))
    )
    state = (jnp.full((1, 1), 2.0), jnp.zeros((1, 1)))

    def drift(solver):
        q, p = march(pendulum, solver, state, None, 100_000, 0.15)
        energy = p[:, 0, 0] ** 2 / 2 - jnp.cos(q[:, 0, 0])
        error = jnp.abs(energy - energy[0])
        return error[:10_000].max(), error[-10_000:].max()

    for solver in SYMPLECTIC:
        first, last = drift(solver)
        assert last < 1.05 * first + 1e-12
    first, last = drift(RK38())
    assert last > 5 * first


@pytest.mark.parametrize(
    "solver",
    [
        Leapfrog(),
        *(pytest.param(s, marks=pytest.mark.slow) for s in (Yoshida4(), Yoshida6(), Nystrom4())),
        RK38(),
    ],
    ids=str,
)
def test_diffrax_saves_and_steps_as_it_likes(solver, key):
    state, params = initial(key)
    terms = H.terms if isinstance(solver.term_structure, tuple) else diffrax.ODETerm(H.field)

    def solve(saveat):
        return diffrax.diffeqsolve(
            terms, solver, t0=0, t1=0.5, dt0=0.01, y0=state, args=params, saveat=saveat
        )

    at_end = solve(diffrax.SaveAt(t1=True)).ys
    steps = solve(diffrax.SaveAt(steps=True)).ys
    dense = solve(diffrax.SaveAt(dense=True)).evaluate(0.205)
    for one, many, between in zip(at_end, steps, dense, strict=True):
        np.testing.assert_allclose(one[0], many[49], atol=1e-14)
        np.testing.assert_allclose(between, (many[19] + many[20]) / 2, atol=1e-3)


def test_rk38_steps_adaptively(key):
    state, params = initial(key)
    exact = ends(state, params, diffrax.Dopri8(), 300)
    found = diffrax.diffeqsolve(
        diffrax.ODETerm(H.field), RK38(), 0, 1, 0.1, state, params,
        stepsize_controller=diffrax.PIDController(rtol=1e-9, atol=1e-9), max_steps=10_000,
    )  # fmt: skip
    assert max(jnp.abs(a[0] - b).max() for a, b in zip(found.ys, exact, strict=True)) < 1e-6


def test_symplectic_solvers_say_that_they_cannot_step_adaptively(key):
    state, params = initial(key)
    with pytest.raises(RuntimeError, match="error estimates"):
        diffrax.diffeqsolve(
            H.terms, Leapfrog(), 0, 1, 0.1, state, params,
            stepsize_controller=diffrax.PIDController(rtol=1e-3, atol=1e-3),
        )  # fmt: skip
