"""A small system with forces that are not linear, for the tests of solvers."""

import jax
import jax.numpy as jnp

from lie_jax import dynamics


def potential(q, params):
    k = params[..., 1]
    apart = q[..., :, None, :] - q[..., None, :, :]
    pairs = k[..., :, None] * k[..., None, :] * jnp.sum(apart**2, axis=-1)
    return jnp.sum(pairs, axis=(-2, -1)) / 20 + jnp.sum(q**4, axis=(-2, -1)) / 4


def kinetic(p, params):
    return dynamics.kinetic_energy(p, params[..., 0])


H = dynamics.SeparableHamiltonian(kinetic, potential)


def initial(key, batch=()):
    keys = jax.random.split(key, 3)
    q, p = (jax.random.normal(k, (*batch, 4, 2)) for k in keys[:2])
    return (q, p), jax.random.uniform(keys[2], (*batch, 4, 2), minval=0.5, maxval=1.5)
