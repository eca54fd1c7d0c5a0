"""The products of attention by machine code against einsum in float64, and their derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lie_jax import native
from lie_jax.native.contract import _FORMULAS

pytestmark = pytest.mark.skipif(
    not native.status().startswith("compiled"), reason=f"lie_jax.native is {native.status()}"
)


def factors(form, clouds, q, k, heads, c):
    x, y, s = (clouds, q, heads, c), (clouds, k, heads, c), (clouds, heads, q, k)
    shapes = {"scores": (x, y), "mix": (s, y), "spread": (s, x)}[form]
    keys = jax.random.split(jax.random.key(0), 2)
    return [jax.random.normal(key, n, jnp.float32) for key, n in zip(keys, shapes, strict=True)]


SIZES = [
    (1, 1, 1, 1, 1),
    pytest.param((3, 6, 6, 2, 20), marks=pytest.mark.slow),
    (2, 17, 5, 3, 16),
    pytest.param((5, 38, 64, 2, 64), marks=pytest.mark.slow),
    (4, 3, 40, 1, 33),
]


@pytest.mark.parametrize("form", list(_FORMULAS))
@pytest.mark.parametrize("sizes", SIZES)
def test_values_and_derivatives(form, sizes):
    pair = factors(form, *sizes)
    assert "lie_jax_contract" in (
        jax.jit(lambda x, y: native.contract(form, x, y)).lower(*pair).as_text()
    )
    exact = [x.astype(jnp.float64) for x in pair]

    def everything(product, x, y):
        energy = lambda x, y: jnp.sum(jnp.sin(product(x, y)))  # noqa: E731
        gradient = jax.grad(energy, (0, 1))
        again = jax.grad(lambda x, y: jnp.sum(jnp.cos(gradient(x, y)[0])), (0, 1))
        along = jax.jvp(gradient, (x, y), (y[..., :1, :1, :1] * x, y))
        return product(x, y), gradient(x, y), again(x, y), along

    ours = lambda x, y: native.contract(form, x, y)  # noqa: E731
    plain = lambda x, y: jnp.einsum(_FORMULAS[form], x, y)  # noqa: E731
    found = jax.jit(lambda x, y: everything(ours, x, y))(*pair)
    for mine, right in zip(
        jax.tree.leaves(found), jax.tree.leaves(everything(plain, *exact)), strict=True
    ):
        size = float(jnp.abs(right).max())
        np.testing.assert_allclose(mine, right, rtol=0, atol=2e-5 * max(size, 1.0))


@pytest.mark.parametrize("form", list(_FORMULAS))
def test_batches(form):
    x, y = factors(form, 6, 4, 5, 2, 3)
    found = native.contract(form, x, y)
    two = [a.reshape(2, 3, *a.shape[1:]) for a in (x, y)]
    ours = lambda x, y: native.contract(form, x, y)  # noqa: E731
    np.testing.assert_array_equal(ours(*two).reshape(found.shape), found)
    np.testing.assert_array_equal(jax.vmap(ours)(*two).reshape(found.shape), found)
    one = jax.vmap(ours, (0, None))(two[0], two[1][0])
    np.testing.assert_array_equal(one[0], ours(two[0][0], two[1][0]))


@pytest.mark.parametrize(
    ("sizes", "dtype"), [((1, 65, 2, 1, 2), jnp.float32), ((2, 3, 4, 1, 2), jnp.float64)]
)
def test_without_code_it_is_einsum(sizes, dtype):
    x, y = (a.astype(dtype) for a in factors("scores", *sizes))
    text = jax.jit(lambda x, y: native.contract("scores", x, y)).lower(x, y).as_text()
    assert "lie_jax_contract" not in text
    np.testing.assert_allclose(
        native.contract("scores", x, y), jnp.einsum(_FORMULAS["scores"], x, y), rtol=1e-5
    )


def test_shapes_that_do_not_fit():
    x, y = factors("scores", 2, 3, 4, 1, 5)
    with pytest.raises((TypeError, ValueError)):
        native.contract("scores", x, y[..., :4])
