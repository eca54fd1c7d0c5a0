"""What true systems say of bad input."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lie_jax.dynamics.systems import Gravity, PendulumChain, RigidPairs, Springs

SPRINGS = Springs()
Q, P = np.random.default_rng(0).normal(size=(2, 6, 2))
PARAMS = np.random.default_rng(1).uniform(0.1, 3, (6, 2))
TIMES = np.linspace(0, 1, 3)
NEGATIVE, NAN = PARAMS.copy(), PARAMS.copy()
NEGATIVE[3, 0], NAN[0, 1] = -1, np.nan
ROTORS, CHAIN, BODIES = RigidPairs(), PendulumChain(), Gravity()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Springs(particles=0), "Springs: particles must be a whole number, at least 1"),
        (lambda: Springs(mass=(-0.1, 3.0)), "Springs: mass must be (low, high) with 0 < low"),
        (lambda: Springs(mass=(3.0, 1.0)), "got (3.0, 1.0)"),
        (
            lambda: Springs(stiffness=(-1.0, 3.0)),
            "Springs: stiffness must be (low, high) with 0 <=",
        ),
        (lambda: Springs(momentum_scale=np.nan), "momentum_scale must be finite and not below 0"),
        (lambda: Springs(centre="all"), "Springs: centre must be one of ('particles', 'systems'"),  # pyright: ignore
        (lambda: Gravity(dim=4), "Gravity: dim must be 2 or 3, got 4"),
        (lambda: Gravity(softening=0.0), "Gravity: softening must be finite and above 0, got 0.0"),
        (lambda: PendulumChain(length=(0.0, 1.0)), "PendulumChain: length must be (low, high)"),
        (lambda: PendulumChain(links=1.5), "links must be a whole number, at least 1, got 1.5"),  # pyright: ignore
        (lambda: RigidPairs(softening=-1.0), "RigidPairs: softening must be finite and above 0"),
        (
            lambda: SPRINGS.hamiltonian(*(jnp.asarray(x) for x in (Q, P, NEGATIVE))),
            "Springs.kinetic: params[..., 0] (mass) must be finite and above 0, got -1.0",
        ),
        (
            lambda: SPRINGS.hamiltonian.field(0.0, (jnp.asarray(Q), jnp.asarray(P)), NEGATIVE),
            "params[..., 0] (mass) must be finite and above 0, got -1.0",
        ),
        (
            lambda: SPRINGS.potential(Q, NAN),
            "Springs.potential: params[..., 1] (k) must be finite and not below 0, got nan",
        ),
        (
            lambda: SPRINGS.potential(Q[:5], PARAMS),
            "Springs.potential: params must have shape (*b, n, 2) = [mass, k] for q of shape (5",
        ),
        (
            lambda: SPRINGS.potential(Q[None], np.stack([PARAMS, PARAMS])),
            "for q of shape (1, 6, 2), got (2, 6, 2)",
        ),
        (lambda: SPRINGS.kinetic(P[0], PARAMS), "Springs.kinetic: p must have shape (*b, n, d)"),
        (lambda: SPRINGS.flow(TIMES, Q, P[:5], PARAMS), "Springs.flow: p must have the shape of q"),
        (lambda: SPRINGS.flow(TIMES, Q, P, NEGATIVE), "Springs.flow: params[..., 0] (mass)"),
        (
            lambda: SPRINGS.flow(TIMES, Q, P, -PARAMS * np.array([-1, 1])),
            "Springs.flow: params[..., 1] (k) must be finite and not below 0, got -",
        ),
        (
            lambda: SPRINGS.solution(TIMES[::-1], Q, P, PARAMS),
            "Springs.solution: ts must be finite and increase, got",
        ),
        (
            lambda: SPRINGS.flow(np.zeros((2, 3)), Q, P, PARAMS),
            "Springs.flow: elapsed must have shape (t,) or (*b, t) for systems of batch shape ()",
        ),
        (lambda: SPRINGS.flow(1.0, Q, P, PARAMS), "elapsed must have shape (t,) or (*b, t)"),
        (lambda: SPRINGS.solution(np.zeros(3), Q, P, PARAMS), "ts must be finite and increase"),
        (lambda: SPRINGS.solution(np.array(1.0), Q, P, PARAMS), "ts must have shape (..., t)"),
        (lambda: SPRINGS.sample(jax.random.key(0), 0), "Springs.sample: count must be a whole"),
        (lambda: SPRINGS.sample(jax.random.key(0), 1, int), "dtype must be floating, got int"),
        (lambda: BODIES.kinetic(P, -PARAMS[:, :1]), "Gravity.kinetic: params[..., 0] (mass)"),
        (
            lambda: BODIES.potential(Q, PARAMS),
            "Gravity.potential: params must have shape (*b, n, 1)",
        ),
        (lambda: CHAIN.energy(Q, Q, PARAMS), "PendulumChain.energy: q must have shape (*b, n, 1)"),
        (
            lambda: CHAIN.energy(Q[:, :1], Q[:4, :1], PARAMS),
            "PendulumChain.energy: p must have the shape of q, (6, 1), got (4, 1)",
        ),
        (
            lambda: CHAIN.energy(Q[:, :1], P[:, :1], PARAMS * np.array([1, 0])),
            "PendulumChain.energy: params[..., 1] (length) must be finite and above 0, got 0.0",
        ),
        (lambda: ROTORS.kinetic(P, PARAMS), "RigidPairs.kinetic: p must have shape (*b, n, 3)"),
        (
            lambda: ROTORS.potential(np.zeros((2, 3)), -np.ones((2, 3))),
            "RigidPairs.potential: params[..., 0] (mass) must be finite and above 0, got -1.0",
        ),
    ],
)
def test_errors_name_function_argument_and_value(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()
