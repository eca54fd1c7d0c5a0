"""A batch of heads is one call of the code with more heads."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lie_jax.native import Accelerated
from lie_jax.native.accelerated import Code


def plain(x, weights):
    """Of points (f, p), which heads share, and weights (h, f)."""
    return (jnp.sin(weights @ x),)


class Recorded(Code):
    """The same; remembers the shapes it was called with."""

    def __init__(self, seen):
        self.seen = seen

    def is_there(self, *_):
        return True

    def __call__(self, *arguments):
        self.seen.append([x.shape for x in arguments])
        return plain(*arguments)

    def pullback(self, wanted, given):
        del given
        seen = self.seen

        class Pull(Recorded):
            def __call__(self, x, weights, cotangent):
                seen.append([x.shape, weights.shape, cotangent.shape])
                change = cotangent * jnp.cos(weights @ x)
                found = (weights.T @ change, change @ x.T)
                return tuple(found[i] for i in wanted)

        return Pull(seen)


@pytest.fixture
def x():
    return jax.random.normal(jax.random.key(0), (3, 5))


@pytest.fixture
def weights():
    return jax.random.normal(jax.random.key(1), (4, 2, 3))


def gradients(function, x, weights):
    def loss(x, weights):
        return jnp.sum(jnp.square(jax.vmap(lambda w: function(x, w)[0])(weights)))

    return jax.jit(jax.value_and_grad(loss, (0, 1)))(x, weights)


def test_heads_are_put_together(x, weights):
    seen = []
    function = Accelerated(plain, shared=(0,), cpu=Recorded(seen))
    found, want = (gradients(f, x, weights) for f in (function, plain))
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-12), found, want)
    assert seen == [[(3, 5), (8, 3)], [(3, 5), (8, 3), (8, 5)]]


def test_other_batches_are_the_plain_function(x, weights):
    """Of what heads share, or of a gradient that sums over them."""
    seen = []
    function = Accelerated(plain, shared=(0,), cpu=Recorded(seen))
    clouds = jnp.stack([x, 2 * x])
    found, want = (jax.vmap(lambda x, f=f: f(x, weights[0])[0])(clouds) for f in (function, plain))
    np.testing.assert_allclose(found, want, rtol=1e-12)

    def of_points(function):
        return jax.vmap(lambda w: jax.grad(lambda x: jnp.sum(function(x, w)[0]))(x))(weights)

    np.testing.assert_allclose(of_points(function), of_points(plain), rtol=1e-12)
    assert not any(len(shapes) > 2 for shapes in seen)


def test_derivatives_of_a_batch_of_heads(x, weights):
    function = Accelerated(plain, shared=(0,), cpu=Recorded([]))
    change = jnp.cos(weights)
    for derivative in (
        lambda f: jax.vmap(jax.grad(lambda w: jnp.sum(f(x, w)[0] ** 2)))(weights),
        lambda f: jax.vmap(lambda w, u: jax.jvp(lambda w: f(x, w)[0], (w,), (u,)))(weights, change),
        lambda f: jax.vmap(lambda w: jax.jvp(lambda x: f(x, w)[0], (x,), (x,)))(weights),
        lambda f: jax.vmap(jax.jacrev(lambda w: f(x, w)[0]))(weights),
        lambda f: jax.vmap(jax.hessian(lambda w: jnp.sum(f(x, w)[0] ** 2)))(weights),
    ):
        for found, want in zip(
            jax.tree.leaves(derivative(function)), jax.tree.leaves(derivative(plain)), strict=True
        ):
            np.testing.assert_allclose(found, want, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("sizes", [(4, 2, 0), (0, 2, 5)])
def test_nothing(sizes):
    """No points, or an empty batch."""
    batch, heads, points = sizes
    function = Accelerated(plain, shared=(0,), cpu=Recorded([]))
    x, weights = jnp.zeros((3, points)), jnp.zeros((batch, heads, 3))
    found = jax.vmap(lambda w: function(x, w)[0])(weights)
    assert found.shape == (batch, heads, points)


def test_unknown_platform():
    with pytest.raises(ValueError, match=r"got \['gpu'\]"):
        Accelerated(plain, gpu=Recorded([]))


def test_batch_axes_other_than_the_first(x, weights):
    function = Accelerated(plain, shared=(0,), cpu=Recorded([]))
    moved = jnp.moveaxis(weights, 0, 2)
    found = jax.vmap(lambda w: function(x, w)[0], in_axes=2, out_axes=1)(moved)
    want = jax.vmap(lambda w: plain(x, w)[0], out_axes=1)(weights)
    np.testing.assert_allclose(found, want, rtol=1e-12)
