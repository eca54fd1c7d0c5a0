"""Gradients whose pullback is a forward derivative: the numbers of plain ones, in every use."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lie_jax import dynamics
from lie_jax.dynamics import RK38
from lie_jax.dynamics.gradient import gradient, reverse_gradient
from tests.dynamics.systems import H, initial

TS = jnp.linspace(0, 1, 5)


def close(a, b, tolerance=1e-12):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance), a, b
    )


def energy(q, p, params):
    """Not separable; takes whole numbers, keys and nothing beside weights."""
    weights, power, key, nothing = params
    assert nothing is None
    shift = jax.random.normal(key, q.shape, q.dtype)
    return jnp.sum(jnp.tanh(weights * q + shift) ** power * p**2, axis=(-2, -1)) + jnp.sum(p**4)


def setup(key):
    (q, p), weights = initial(key, (3,))
    return (q, p), weights, lambda w: (w, jnp.asarray(2), jax.random.key(3), None)


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit, lambda f: jax.jit(jax.checkpoint(f))])
def test_values_and_gradients_are_those_of_the_plain_gradient(wrap, key):
    z, weights, params = setup(key)

    def loss(make):
        def of(z, weights):
            dq, dp = make(energy)(z, params(weights))
            return jnp.sum(jnp.sin(dq) + dp**2)

        return wrap(jax.value_and_grad(of, argnums=(0, 1)))(z, weights)

    close(loss(reverse_gradient), loss(gradient))


def test_a_cotangent_of_one_part_alone(key):
    z, weights, params = setup(key)

    def of(make, z):
        return jnp.sum(make(energy)(z, params(weights))[0] ** 3)

    close(jax.grad(lambda z: of(reverse_gradient, z))(z), jax.grad(lambda z: of(gradient, z))(z))


def test_what_the_energy_holds_by_itself_is_differentiated(key):
    """In a loop under jit and vmap, where nothing but arguments may reach a backward pass."""
    z, weights, params = setup(key)

    def loss(make, weights, count):
        def step(z, _):
            def held(q, p, scale):
                return scale * energy(q, p, params(weights)) * count

            dq, dp = make(held)(z, 0.1)
            return (z[0] + dp, z[1] - dq), None

        (q, p), _ = jax.lax.scan(step, z, length=3)
        return jnp.sum(q * p)

    def both(make):
        one = jax.value_and_grad(lambda w, n: loss(make, w, n))
        return jax.jit(jax.vmap(one, in_axes=(None, 0)))(weights, jnp.arange(1, 4))

    close(both(reverse_gradient), both(gradient))


def test_it_can_be_pulled_back_twice(key):
    z, weights, params = setup(key)

    def norm(make, weights):
        def of(w):
            return jnp.sum(make(energy)(z, params(w))[0] ** 2)

        return jnp.sum(jax.grad(of)(weights) ** 2)

    found, expected = (
        jax.grad(lambda w, make=make: norm(make, w))(weights)
        for make in (reverse_gradient, gradient)
    )
    close(found, expected)


@pytest.mark.parametrize(
    ("system", "steps"),
    [
        pytest.param(H, 20, id="separable-many"),
        pytest.param(H, 4, id="separable-few", marks=pytest.mark.slow),
        pytest.param(lambda *args: H(*args), 20, id="any-many", marks=pytest.mark.slow),
        pytest.param(lambda *args: H(*args), 4, id="any-few"),
    ],
)
def test_rollouts_have_the_gradients_of_diffrax(system, steps, key):
    state, weights = initial(key, (3,))

    def loss(adjoint):
        def of(state, weights):
            found = dynamics.rollout(
                system, state, TS, weights, solver=RK38(), substeps=steps // 4, adjoint=adjoint
            )
            return jnp.sum(jnp.sin(found[0]) * found[1])

        return jax.jit(jax.value_and_grad(of, argnums=(0, 1)))(state, weights)

    close(loss(None), loss(diffrax.RecursiveCheckpointAdjoint()))


def test_forward_mode_by_name_and_a_clear_refusal_without(key):
    state, weights = initial(key)

    def end(weights, adjoint):
        return dynamics.rollout(H, state, TS, weights, adjoint=adjoint)[0][-1]

    def derivative(adjoint):
        return jax.jvp(lambda w: end(w, adjoint), (weights,), (weights,))[1]

    step = 1e-6
    direct = diffrax.DirectAdjoint()
    difference = end(weights * (1 + step), direct) - end(weights * (1 - step), direct)
    close(derivative(direct), difference / (2 * step), 1e-8)
    with pytest.raises(TypeError, match="forward-mode"):
        derivative(None)


def test_keeps_no_values_of_the_energy(key):
    """The backward pass of a deep energy keeps positions and weights, the plain one its layers."""
    q, weights = jax.random.normal(key, (1000,)), jnp.ones(20)

    def deep(q, weights):
        for w in weights:
            q = jnp.sin(w * q)
        return jnp.sum(q)

    def kept(make):
        _, pull = eqx.filter_vjp(lambda w: make(deep)((q,), w)[0], weights)
        return sum(x.size for x in jax.tree.leaves(pull) if eqx.is_array(x))

    assert kept(reverse_gradient) < 3 * q.size
    assert kept(gradient) > 10 * q.size
