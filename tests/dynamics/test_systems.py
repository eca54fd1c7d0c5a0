"""True systems: energies, what they conserve, exact solutions, published numbers."""

import functools
from pathlib import Path

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lie_jax.dynamics.conserved import angular_momentum, energy, linear_momentum, relative_drift
from lie_jax.dynamics.hamiltonian import SeparableHamiltonian, hamiltonian_field
from lie_jax.dynamics.solvers import Yoshida6
from lie_jax.dynamics.systems import Gravity, PendulumChain, RigidPairs, Springs

SYSTEMS = {
    "springs": Springs(),
    "gravity": Gravity(),
    "pendulum": PendulumChain(),
    "pairs": RigidPairs(),
}
TS = np.linspace(0.0, 2.0, 21)
SPRINGS = SYSTEMS["springs"]
FLOW = jax.jit(SPRINGS.flow)
ENERGY = jax.jit(SPRINGS.hamiltonian)

every_system = pytest.mark.parametrize("name", SYSTEMS)


@pytest.fixture(scope="module")
def draws():
    """Four states of every system."""
    return {name: system.sample(jax.random.key(3), 4) for name, system in SYSTEMS.items()}


@pytest.fixture(scope="module")
def energies():
    """The energy of four systems, compiled once for all tests."""
    return {name: jax.jit(system.hamiltonian) for name, system in SYSTEMS.items()}


@functools.partial(jax.jit, static_argnums=0)
def integrate(system, q, p, params):
    """One system in time, (t, n, d), to 1e-11 or so."""
    found = diffrax.diffeqsolve(
        diffrax.ODETerm(hamiltonian_field(system.hamiltonian)),
        diffrax.Tsit5(),
        t0=TS[0],
        t1=TS[-1],
        dt0=1e-3,
        y0=(q, p),
        args=params,
        saveat=diffrax.SaveAt(ts=TS),
        stepsize_controller=diffrax.PIDController(rtol=1e-11, atol=1e-12),
        max_steps=100_000,
        adjoint=diffrax.DirectAdjoint(),
    )
    return found.ys


@pytest.fixture(scope="module")
def trajectories(draws):
    """A trajectory of every system, with its params."""
    found = {}
    for name, system in SYSTEMS.items():
        q, p, params = (x[0] for x in draws[name])
        found[name] = (system, *integrate(system, q, p, params), params)
    return found


@pytest.fixture(scope="module")
def published():
    file = np.load(Path(__file__).parents[1] / "data" / "dynamics.npz")
    return {name: jnp.asarray(file[name]) for name in file.files}


def parts(z):
    """q and p of the published states."""
    q, p = jnp.split(z.reshape(*z.shape[:-1], 12, 2), 2, axis=-2)
    return q, p


def test_published_energies_and_derivatives(published):
    q, p = parts(published["z0"])
    params = published["sys_params"]
    H = SPRINGS.hamiltonian
    np.testing.assert_allclose(jax.jit(H)(q, p, params), published["true_H"], rtol=1e-12)
    dq, dp = parts(published["true_dzdt"])
    for field in (hamiltonian_field(H), H.field):
        found = jax.jit(field)(0.0, (q, p), params)
        np.testing.assert_allclose(found[0], dq, atol=1e-10)
        np.testing.assert_allclose(found[1], dp, atol=1e-10)


def test_published_trajectories(published):
    q, p = parts(published["z0"])
    wanted = parts(published["true_zs"])
    ts, params = published["ts"], published["sys_params"]  # every system has times of its own
    found = jax.jit(SPRINGS.solution)(ts, q, p, params)
    for a, b in zip(found, wanted, strict=True):
        # They were integrated to a tolerance of 1e-6 or so: we are nearer to the truth, see below.
        np.testing.assert_allclose(a, b, atol=4e-6)
    np.testing.assert_allclose(np.diff(ts), 5 / 499, atol=1e-12)


def test_the_exact_solution_is_that_of_an_integrator(trajectories):
    system, q, p, params = trajectories["springs"]
    found = jax.jit(system.solution)(TS, q[0], p[0], params)
    np.testing.assert_allclose(found[0], q, atol=1e-9)
    np.testing.assert_allclose(found[1], p, atol=1e-9)


@pytest.mark.parametrize("name", ["random", "equal", "free", "some free", "fast"])
def test_flow(name):
    """It composes, goes backwards, and keeps what is conserved, also after a long time."""
    q, p, params = (np.array(x) for x in Springs(centre="none", dim=3).sample(jax.random.key(0), 3))
    if name == "equal":
        params[:] = 1
    if name in ("free", "some free"):
        params[:, : 6 if name == "free" else 2, 1] = 0
    if name == "fast":
        params[..., 1] *= 100
    qs, ps = FLOW(np.array([0.0, 0.3, 0.5, 1000.0]), q, p, params)
    tolerance = {"rtol": 0, "atol": 1e-9 if name == "fast" else 1e-11}
    np.testing.assert_allclose(qs[:, 0], q, **tolerance)
    np.testing.assert_allclose(ps[:, 0], p, **tolerance)
    again = FLOW(np.array([-0.3, 0.2, 0.0, 0.0]), qs[:, 1], ps[:, 1], params)
    for x, start, whole in zip(again, (q, p), (qs, ps), strict=True):
        np.testing.assert_allclose(x[:, 0], start, **tolerance)
        np.testing.assert_allclose(x[:, 1], whole[:, 2], **tolerance)
    values = [ENERGY(qs[:, i], ps[:, i], params) for i in range(4)]
    np.testing.assert_allclose(values, np.broadcast_to(values[0], (4, 3)), rtol=1e-10)
    qs, ps = np.asarray(qs), np.asarray(ps)
    np.testing.assert_allclose(ps.sum(2) - p.sum(1)[:, None], 0, atol=1e-9)
    turning = np.cross(qs, ps).sum(2)
    np.testing.assert_allclose(turning - turning[:, :1], 0, atol=1e-8)
    if name == "free":
        np.testing.assert_allclose(qs[:, 3], q + 1000 * p / params[..., :1], rtol=1e-10)


def test_the_derivative_of_the_flow_is_the_field(published):
    q, p = parts(published["z0"])
    params = published["sys_params"]
    change = jax.jit(lambda t: jax.jvp(lambda t: SPRINGS.flow(t, q, p, params), (t,), (t + 1,))[1])
    for a, b in zip(change(jnp.zeros(1)), parts(published["true_dzdt"]), strict=True):
        np.testing.assert_allclose(a[:, 0], b, atol=1e-11)


@every_system
def test_what_a_trajectory_conserves(trajectories, name):
    system, q, p, params = trajectories[name]
    assert (
        relative_drift(jax.jit(energy, static_argnums=0)(system.hamiltonian, q, p, params)).max()
        < 1e-9
    )
    if name == "pendulum":
        return
    if name == "pairs":
        q, p = jax.jit(jax.vmap(system.particles, (0, 0, None)))(q, p, params)
    total, turning = (np.asarray(x) for x in (linear_momentum(p), angular_momentum(q, p)))
    np.testing.assert_allclose(total - total[0], 0, atol=1e-9)
    np.testing.assert_allclose(turning - turning[0], 0, atol=1e-9)
    assert np.abs(turning).max() > 1e-2
    assert np.ptp(np.asarray(q), axis=0).min() > 0.01  # they do move


def test_a_pendulum_without_gravity_keeps_its_angular_momentum(draws):
    system = PendulumChain(gravity=0.0)
    q, p, params = (x[0] for x in draws["pendulum"])
    q, p = integrate(system, q, p, params)
    turning = angular_momentum(*jax.jit(jax.vmap(system.particles, (0, 0, None)))(q, p, params))
    np.testing.assert_allclose(turning, p.sum((-2, -1)), atol=1e-12)
    np.testing.assert_allclose(turning - turning[0], 0, atol=1e-9)


def test_symplectic_solvers_take_the_systems(trajectories):
    system, q, p, params = trajectories["pairs"]
    H = system.hamiltonian
    assert isinstance(H, SeparableHamiltonian)
    assert not isinstance(PendulumChain().hamiltonian, SeparableHamiltonian)
    found = jax.jit(
        lambda state: (
            diffrax.diffeqsolve(
                H.terms, Yoshida6(), TS[0], TS[-1], 0.005, state, params, max_steps=500
            ).ys
        )
    )((q[0], p[0]))
    for a, b in zip(found, (q, p), strict=True):
        np.testing.assert_allclose(a[-1], b[-1], atol=1e-6)


@pytest.mark.parametrize("name", ["springs", "gravity"])
def test_motions_of_space_leave_the_energy(name, draws, energies):
    q, p, params = (np.asarray(x) for x in draws[name])
    H = energies[name]
    d = q.shape[-1]
    R = np.linalg.qr(np.random.default_rng(0).normal(size=(d, d)))[0]
    values = H(q, p, params)
    np.testing.assert_allclose(H(q @ R.T + np.arange(d), p @ R.T, params), values, rtol=1e-12)
    order = np.array([2, 0, 1, *range(3, q.shape[1])])
    np.testing.assert_allclose(H(q[:, order], p[:, order], params[:, order]), values, rtol=1e-12)
    assert np.abs(np.asarray(H(1.1 * q, p, params) - values)).min() > 1e-3  # no scaling does


def test_motions_of_the_plane_leave_the_energy_of_pairs(draws, energies):
    q, p, params = (np.asarray(x) for x in draws["pairs"])
    H = energies["pairs"]
    c, s = np.cos(0.7), np.sin(0.7)
    R = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    values = H(q, p, params)
    moved = H(q @ R.T + np.array([3.0, -1, 0.7]), p @ R.T, params)
    np.testing.assert_allclose(moved, values, rtol=1e-12)
    assert np.abs(np.asarray(H(q @ R.T, p @ R.T, params) - values)).max() > 1e-3  # centres only


def test_turning_a_pendulum_leaves_the_energy_without_gravity_only(draws, energies):
    q, p, params = draws["pendulum"]
    free = jax.jit(PendulumChain(gravity=0.0).hamiltonian)
    for H, is_same in ((free, True), (energies["pendulum"], False)):
        change = np.asarray(H(q + 0.5, p, params)) - np.asarray(H(q, p, params))
        assert (np.abs(change).max() < 1e-12) == is_same


@every_system
def test_derivatives_are_finite_where_particles_coincide(name):
    system = SYSTEMS[name]
    draw = system.sample(jax.random.key(0), 1, jnp.float32)
    q, p, params = (np.array(x[0]) for x in draw)
    q[1:3], p[1:3] = q[0], p[0]

    rng = np.random.default_rng(0)
    direction = tuple(rng.normal(size=x.shape).astype(np.float32) for x in (q, p, params))

    @jax.jit
    def derivatives(*arguments):
        gradient = jax.grad(system.hamiltonian, argnums=(0, 1, 2))
        return jax.jvp(gradient, arguments, direction)

    for leaf in jax.tree.leaves(derivatives(q, p, params)):
        assert leaf.dtype == np.float32
        assert np.isfinite(leaf).all()


@pytest.mark.parametrize("name", ["springs", "gravity"])
def test_all_particles_at_one_place(name, draws):
    q, _, params = draws[name]
    force = jax.jit(SYSTEMS[name].hamiltonian.force)(0.0, np.zeros_like(q), params)
    np.testing.assert_array_equal(force, np.zeros_like(q))


@every_system
def test_batches_jit_and_vmap(name, draws, energies):
    q, p, params = draws[name]
    system = SYSTEMS[name]
    values = energies[name](q, p, params)
    assert values.shape == (4,)
    np.testing.assert_allclose(system.hamiltonian(q, p, params), values, rtol=1e-12)
    np.testing.assert_allclose(jax.jit(jax.vmap(system.hamiltonian))(q, p, params), values)
    two = (np.asarray(x).reshape(2, 2, *x.shape[1:]) for x in (q, p, params))
    np.testing.assert_allclose(energies[name](*two).reshape(-1), values, rtol=1e-12)
    same = energies[name](q, p, np.asarray(params)[0])  # params of one system for all
    np.testing.assert_allclose(same[0], values[0], rtol=1e-12)
    assert hash(system) == hash(type(system)(**vars(system)))


def test_the_pendulum_in_cartesian_coordinates(draws, energies):
    system = SYSTEMS["pendulum"]
    q, p, params = draws["pendulum"]

    @jax.jit
    def cartesian(q, p):
        dq, _ = hamiltonian_field(system.hamiltonian)(0.0, (q, p), params)
        places = lambda q: system.particles(q, p, params)[0]  # noqa: E731
        return system.velocity(q, p, params), dq, *jax.jvp(places, (q,), (dq,))

    velocity, dq, x, dx = (np.asarray(x) for x in cartesian(q, p))
    np.testing.assert_allclose(velocity, dq, rtol=1e-10)
    mass, length = np.moveaxis(np.asarray(params), -1, 0)
    _, momenta = jax.jit(system.particles)(q, p, params)
    np.testing.assert_allclose(momenta, mass[..., None] * dx, atol=1e-12)
    kinetic = (mass * (dx**2).sum(-1)).sum(-1) / 2
    potential = (system.gravity * mass * x[..., 1]).sum(-1)
    np.testing.assert_allclose(energies["pendulum"](q, p, params), kinetic + potential, rtol=1e-11)
    rods = np.linalg.norm(np.diff(x, axis=-2, prepend=0.0), axis=-1)
    np.testing.assert_allclose(rods, length, rtol=1e-12)


def test_one_link_is_the_mathematical_pendulum():
    H = jax.jit(PendulumChain(links=1, gravity=9.81).hamiltonian)
    found = H(np.array([[0.4]]), np.array([[5.0]]), np.array([[2.0, 3.0]]))
    np.testing.assert_allclose(found, 25 / (2 * 2 * 9) - 9.81 * 2 * 3 * np.cos(0.4), rtol=1e-13)


def test_the_ends_of_pairs(draws, energies):
    system = SYSTEMS["pairs"]
    q, p, params = draws["pairs"]

    @jax.jit
    def ends(q, p):
        dq, _ = system.hamiltonian.field(0.0, (q, p), params)
        places = lambda q: system.particles(q, p, params)[0]  # noqa: E731
        return *system.particles(q, p, params), jax.jvp(places, (q,), (dq,))[1]

    x, momenta, dx = (np.asarray(x) for x in ends(q, p))
    q, p = np.asarray(q), np.asarray(p)
    mass, length, charge = np.moveaxis(np.asarray(params), -1, 0)
    np.testing.assert_allclose(np.linalg.norm(x[:, :4] - x[:, 4:], axis=-1), length, rtol=1e-12)
    halves = np.tile(mass / 2, 2)
    np.testing.assert_allclose(momenta, halves[..., None] * dx, atol=1e-12)
    turning = (q[..., 0] * p[..., 1] - q[..., 1] * p[..., 0] + p[..., 2]).sum(-1)
    found = (x[..., 0] * momenta[..., 1] - x[..., 1] * momenta[..., 0]).sum(-1)
    np.testing.assert_allclose(found, turning, rtol=1e-11)
    value = ((momenta**2).sum(-1) / (2 * halves)).sum(-1)
    charges = np.concatenate([charge, -charge], axis=-1)
    for i in range(8):
        for j in range(i):
            if i % 4 != j % 4:
                distance = np.sqrt(((x[:, i] - x[:, j]) ** 2).sum(-1) + system.softening**2)
                value += charges[:, i] * charges[:, j] / distance
    np.testing.assert_allclose(energies["pairs"](q, p, params), value, rtol=1e-11)


def test_two_bodies():
    system = Gravity(dim=2, G=2.0, softening=1e-3)
    q, params = np.array([[0.5, 0], [-0.5, 0]]), np.ones((2, 1))
    value = jax.jit(system.potential)(q, params)
    np.testing.assert_allclose(value, -2 / np.sqrt(1 + 1e-6), rtol=1e-14)
    force = jax.jit(system.hamiltonian.force)(0.0, q, params)
    np.testing.assert_allclose(force, np.array([[-2, 0], [2, 0]]) * (1 + 1e-6) ** -1.5, rtol=1e-13)


@every_system
def test_samples(name, draws):
    system = SYSTEMS[name]
    draw = draws[name]
    more = system.sample(jax.random.key(3), 6, jnp.float64)
    other = system.sample(jax.random.key(9), 4)
    for a, b, c in zip(draw, more, other, strict=True):
        assert a.dtype == jnp.float64
        # More systems are added to those there are.
        np.testing.assert_allclose(a, np.asarray(b)[:4], rtol=1e-12, atol=1e-14)
        assert (np.asarray(a) != np.asarray(c)).any(axis=(1, 2)).all()
        assert len(np.unique(np.asarray(b), axis=0)) == 6
    q, p, params = (np.asarray(x) for x in draw)
    assert q.shape == p.shape
    assert (params[..., 0] >= system.mass[0]).all()
    assert (params[..., 0] <= system.mass[1]).all()
    if name != "pendulum":
        assert np.abs(p.sum(1)[:, :2]).max() < 1e-14


def test_the_published_distribution(draws):
    free = Springs(centre="none").sample(jax.random.key(3), 4000)
    q, p, params = (np.asarray(x) for x in free)
    np.testing.assert_allclose([q.std(), p.std()], [0.4, 0.6], rtol=0.02)
    np.testing.assert_allclose(params.mean((0, 1)), [1.6, 2.5], rtol=0.02)
    np.testing.assert_allclose([params[..., 0].min(), params[..., 0].max()], [0.1, 3.1], atol=0.01)
    np.testing.assert_allclose([params[..., 1].min(), params[..., 1].max()], [0, 5], atol=0.01)
    p = p[:4]
    np.testing.assert_allclose(draws["springs"][1], p - p.mean(1, keepdims=True), atol=1e-12)
    by_mistake = np.asarray(Springs(centre="systems").sample(jax.random.key(3), 4)[1])
    np.testing.assert_allclose(by_mistake, p - p.mean(0), atol=1e-12)
    assert np.abs(by_mistake.sum(1)).max() > 0.5


def test_float64_is_not_given_silently_as_float32():
    with (
        jax.enable_x64(False),
        pytest.raises(ValueError, match=r"Springs\.sample: dtype float64 needs"),
    ):
        Springs().sample(jax.random.key(0), 1, jnp.float64)
