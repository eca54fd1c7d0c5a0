"""The machine code of location MLPs against the plain function in float64, to every order."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lie_jax import native
from lie_jax.attention.activations import swish
from lie_jax.attention.location import _fast_scores, _swish_scores, pair_scores

pytestmark = pytest.mark.skipif(
    not native.status().startswith("compiled"), reason=f"lie_jax.native is {native.status()}"
)

ALL = tuple(range(7))
WEIGHTS = tuple(range(1, 7))


def case(features: int, pairs: int, heads: int, hidden: int = 16, dtype=jnp.float32):
    """Arguments of the scores, cotangents of scores, a direction of the features and another."""
    shapes = [(features, pairs), (heads, features, hidden), (heads, hidden)]
    shapes += [(heads, hidden, hidden), (heads, hidden), (heads, hidden, 1), (heads, 1)]
    shapes += [(heads, pairs), (features, pairs), (heads, pairs)]
    keys = jax.random.split(jax.random.key(features + pairs), len(shapes))
    made = [jax.random.normal(k, s, jnp.float32) for k, s in zip(keys, shapes, strict=True)]
    made = [(x * (0.5 if 1 <= i <= 6 else 1)).astype(dtype) for i, x in enumerate(made)]
    return made[:7], made[7], made[8], made[9]


def compare(derive, sizes, *, tolerance=2e-6, code: str | None = None):
    """``derive(scores, *case)`` in float32 by machine code and in float64 by JAX."""
    found = jax.jit(functools.partial(derive, lambda *x: _fast_scores(*x)[0]))
    arguments = case(*sizes)
    if code is not None:
        kinds = re.findall(r"lie_jax_location_\d+.*?kind = (\d)", _program(found, arguments))
        assert sorted(set(kinds)) == list(code)
    plain = jax.jit(functools.partial(derive, lambda *x: _swish_scores(*x)[0]))
    wide = jax.tree.map(lambda x: x.astype(jnp.float64), arguments)
    for mine, exact in zip(
        jax.tree.leaves(found(*arguments)), jax.tree.leaves(plain(*wide)), strict=True
    ):
        assert mine.dtype == jnp.float32
        size = float(jnp.abs(exact).max())
        np.testing.assert_allclose(mine, exact, rtol=0, atol=tolerance * max(size, 1e-30))


def _program(function, arguments) -> str:
    return function.lower(*arguments).compile().as_text()


SIZES = [(1, 1, 1), (3, 129, 2), (6, 5000, 3), (16, 130, 1)]
FEW = SIZES[1:]


@pytest.mark.parametrize("sizes", SIZES)
def test_values(sizes):
    compare(lambda f, x, *_: f(*x), sizes, code="0")


@pytest.mark.parametrize(
    ("wanted", "code"), [((0,), "1"), (WEIGHTS, "2"), (ALL, "3"), ((0, 3), "3"), ((2, 5), "2")]
)
@pytest.mark.parametrize("sizes", FEW)
def test_gradients(sizes, wanted, code):
    compare(functools.partial(_pulled, wanted), sizes, code=code)


def _pulled(wanted, f, x, cotangent, *_):
    def of(*values):
        complete = list(x)
        for i, value in zip(wanted, values, strict=True):
            complete[i] = value
        return f(*complete)

    return jax.vjp(of, *(x[i] for i in wanted))[1](cotangent)


@pytest.mark.parametrize("sizes", SIZES)
def test_forward_mode(sizes):
    def along(f, x, cotangent, u, _):
        del cotangent
        return jax.jvp(lambda features: f(features, *x[1:]), (x[0],), (u,))[1]

    compare(along, sizes, code="5")


@pytest.mark.parametrize("sizes", SIZES)
def test_gradient_of_a_gradient(sizes):
    """As a loss on forces has it: the features' gradient, pulled back to everything."""

    def twice(f, x, cotangent, u, _):
        def force(cotangent, *x):
            return _pulled((0,), f, x, cotangent)[0]

        return jax.vjp(force, cotangent, *x)[1](u)

    compare(twice, sizes, tolerance=1e-5, code="4")


@pytest.mark.parametrize(("wanted", "code"), [((0,), "6"), (ALL, "7")])
@pytest.mark.parametrize("moved", ["features", "cotangent", "both"])
@pytest.mark.parametrize("sizes", FEW)
def test_forward_over_reverse(sizes, moved, wanted, code):
    def along(f, x, cotangent, u, v):
        def pull(features, cotangent):
            return _pulled(wanted, f, (features, *x[1:]), cotangent)

        if moved == "features":
            return jax.jvp(lambda y: pull(y, cotangent), (x[0],), (u,))[1]
        if moved == "cotangent":
            return jax.jvp(lambda y: pull(x[0], y), (cotangent,), (v,))[1]
        return jax.jvp(pull, (x[0], cotangent), (u, v))[1]

    if moved == "cotangent":  # linear in it
        code = "1" if wanted == (0,) else "3"
    # The last bias's is a sum that cancels: the plain function in float32 is off by 3.6e-5 there.
    compare(along, sizes, tolerance=3e-5, code=code)


def test_what_has_no_code_is_derived():
    def third(f, x, cotangent, u, _):
        def force(features):
            return _pulled((0,), f, (features, *x[1:]), cotangent)[0]

        def change(features):
            return jnp.vdot(u, jax.vjp(force, features)[1](u)[0])

        return jax.grad(change)(x[0])

    compare(third, (3, 40, 2), tolerance=1e-4)
    along_all = lambda f, x, *_: jax.jvp(f, tuple(x), tuple(x))  # noqa: E731
    compare(along_all, (3, 40, 2))
    both = lambda f, x, g, *_: jax.hessian(lambda y: jnp.vdot(f(y, *x[1:]), g))(x[0])  # noqa: E731
    compare(both, (2, 5, 2), tolerance=1e-5)


@pytest.mark.slow
def test_other_hidden_sizes():
    compare(lambda f, x, g, *_: (f(*x), _pulled(ALL, f, x, g)), (3, 200, 2, 8), code="03")


def test_transformations():
    x, *_ = case(3, 50, 2)

    def batched(f, x, *_):
        axes = (0, *[None] * 6)
        return jax.vmap(f, axes)(jnp.stack([x[0], 2 * x[0]]), *x[1:])

    def checkpointed(f, x, *_):
        return jax.grad(lambda y: jnp.sum(jax.checkpoint(f)(y, *x[1:]) ** 2))(x[0])

    compare(batched, (3, 50, 2))
    compare(checkpointed, (3, 50, 2))
    np.testing.assert_allclose(_fast_scores(*x)[0], jax.jit(_fast_scores)(*x)[0])  # eager


def test_no_pairs():
    x, cotangent, *_ = case(3, 0, 2)
    scores, pull = jax.vjp(lambda *x: _fast_scores(*x)[0], *x)
    assert scores.shape == (2, 0)
    assert all(not jnp.any(g) for g in pull(cotangent))


def test_nan_passes_and_stays_where_it_is():
    x, cotangent, *_ = case(3, 300, 2)
    features = x[0].at[1, 7].set(jnp.nan)
    scores, pull = jax.vjp(lambda y: _fast_scores(y, *x[1:])[0], features)
    assert jnp.isnan(scores).any(0).nonzero()[0].tolist() == [7]
    assert jnp.isnan(pull(cotangent)[0]).any(0).nonzero()[0].tolist() == [7]
    large = jnp.full_like(x[0], 1e6)
    assert jnp.isfinite(_fast_scores(large, *x[1:])[0]).all()


def test_same_bits_every_time():
    """Sums over pairs have one order, whatever thread took which."""
    x, cotangent, *_ = case(3, 20_000, 3)
    gradients = jax.jit(lambda x, g: jax.vjp(lambda *x: _fast_scores(*x)[0], *x)[1](g))
    first = gradients(x, cotangent)
    for _ in range(5):
        for mine, other in zip(gradients(x, cotangent), first, strict=True):
            np.testing.assert_array_equal(mine, other)


@pytest.mark.parametrize(
    "changed", [{"dtype": jnp.float64}, {"features": 17}, {"hidden": 6}, {"hidden": 68}]
)
def test_what_code_takes(changed):
    sizes = {"features": 3, "pairs": 4, "heads": 2, "hidden": 16, "dtype": jnp.float32}
    x, *_ = case(**sizes)
    assert native.has_code(x[1::2], x[2::2], x[0])
    x, *_ = case(**(sizes | changed))
    assert not native.has_code(x[1::2], x[2::2], x[0])
    scores = jax.eval_shape(lambda *x: pair_scores(x[0], x[1::2], x[2::2], swish), *x)
    assert scores.shape == (2, 4)


def test_other_activations_have_no_code():
    x, *_ = case(3, 4, 2)
    scores = jax.jit(lambda *x: pair_scores(x[0], x[1::2], x[2::2], jnp.tanh))
    assert "lie_jax_location" not in _program(scores, x)


def test_shapes_that_broadcast_have_no_code():
    x, *_ = case(3, 4, 2)
    one_for_all = [x[2][:1], x[4], x[6]]
    assert not native.has_code(x[1::2], one_for_all, x[0])


def test_two_layers_have_no_code():
    x, *_ = case(3, 4, 2)
    assert not native.has_code([x[1], x[5]], [x[2], x[6]], x[0])
