"""Rounded products: what is rounded, derivatives of both kinds and orders, and in a network."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import lie_jax as lj
from lie_jax import native
from lie_jax.nn.dense import dot_general, rounded_matmul

BF16 = jnp.bfloat16


def arrays(*shapes, dtype=jnp.float32):
    keys = jax.random.split(jax.random.key(0), len(shapes))
    return [jax.random.normal(k, s, dtype) for k, s in zip(keys, shapes, strict=True)]


def rounded(x):
    return x.astype(BF16).astype(jnp.float64)


def test_factors_are_rounded_and_sums_are_not():
    x, w, g = arrays((40, 30), (30, 20), (40, 20))
    out, pull = jax.vjp(lambda x, w: rounded_matmul(x, w, BF16), x, w)
    dx, dw = pull(g)
    assert out.dtype == dx.dtype == dw.dtype == jnp.float32
    for found, exact in (
        (out, rounded(x) @ rounded(w)),
        (dx, rounded(g) @ rounded(w).T),
        (dw, rounded(x).T @ rounded(g)),
    ):
        np.testing.assert_allclose(found, exact, rtol=1e-5, atol=1e-5)


def test_derivatives_of_every_order():
    """Without rounding they are those of a product."""
    x, w, u = arrays((4, 3), (3, 5), (4, 3), dtype=jnp.float64)
    ours = lambda x, w: jnp.sum(jnp.sin(rounded_matmul(x, w, jnp.float64)))  # noqa: E731
    plain = lambda x, w: jnp.sum(jnp.sin(x @ w))  # noqa: E731
    for order in (
        lambda f: jax.grad(f, (0, 1))(x, w),
        lambda f: jax.jvp(f, (x, w), (u, w)),
        lambda f: jax.hessian(f, (0, 1))(x, w),
        lambda f: jax.grad(lambda x: jnp.vdot(u, jax.grad(f)(x, w)))(x),
        lambda f: jax.jacfwd(jax.jacrev(jax.jacrev(f, 1), 0), 1)(x, w),
        lambda f: jax.vmap(jax.grad(f, (0, 1)), (0, None))(jnp.stack([x, u]), w),
    ):
        for found, exact in zip(
            jax.tree.leaves(order(ours)), jax.tree.leaves(order(plain)), strict=True
        ):
            np.testing.assert_allclose(found, exact, rtol=1e-12, atol=1e-12)


OF_ROWS = (((2,), (0,)), ((), ()))


@pytest.mark.parametrize("rows", [(2, 50), (2, 80)])
def test_large_float32_products_on_a_cpu(rows):
    """Turned first where it pays, in the gradient of the weights alone; as accurate as XLA's."""
    x, w, g = arrays((*rows, 150), (150, 160), (*rows, 160))
    multiply = dot_general(None)

    def gradients(x, w, g):
        out, pull = jax.vjp(lambda x, w: multiply(x, w, OF_ROWS), x, w)
        return out, *pull(g)

    for found, want in zip(
        jax.jit(gradients)(x, w, g),
        (x @ w, g @ w.T, jnp.einsum("bni,bno->io", x, g)),
        strict=True,
    ):
        assert found.dtype == jnp.float32
        np.testing.assert_allclose(found, want, atol=1e-4)
    is_short = rows[0] * rows[1] <= 150
    text = jax.jit(gradients).lower(x, w, g).as_text()
    if not native.has_product(rows[0] * rows[1], 150, 160, rounded=False):
        assert text.count("optimization_barrier") == is_short


@pytest.mark.parametrize(
    "why", ["small", "narrow", "float64", "another device", "two devices", "a mesh"]
)
def test_what_xla_multiplies_as_it_likes(monkeypatch, why):
    dtype = jnp.float64 if why == "float64" else jnp.float32
    rows, width = (10 if why == "small" else 160), (100 if why == "narrow" else 150)
    x, w = arrays((2, rows, width), (width, 160), dtype=dtype)
    if why == "another device":
        monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    if why == "two devices":
        monkeypatch.setattr(jax, "device_count", lambda: 2)
    with contextlib.ExitStack() as stack:
        if why == "a mesh":
            axis = jax.sharding.AxisType.Explicit
            stack.enter_context(jax.set_mesh(jax.make_mesh((1,), ("rows",), axis_types=(axis,))))
        made = jax.make_jaxpr(lambda x, w: dot_general(None)(x, w, OF_ROWS))(x, w)
    assert [str(e.primitive) for e in made.eqns] == ["dot_general"]


def test_inside_shard_map():
    """Results know that they differ between devices; a product of rounded factors as outside."""
    x, w = arrays((4, 3), (3, 5))
    mesh = jax.make_mesh((1,), ("rows",), axis_types=(jax.sharding.AxisType.Auto,))
    product = lambda x, w: rounded_matmul(x, w, BF16)  # noqa: E731
    rows = jax.P("rows")
    shared = jax.shard_map(product, mesh=mesh, in_specs=(rows, jax.P()), out_specs=rows)
    np.testing.assert_allclose(shared(x, w), product(x, w), rtol=1e-6)
    gradients = lambda f: jax.grad(lambda x, w: f(x, w).sum(), (0, 1))(x, w)  # noqa: E731
    found, outside = gradients(shared), gradients(product)
    for mine, other in zip(found, outside, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-2)


@pytest.mark.parametrize(
    "kind", ["transformer", pytest.param("convolution", marks=pytest.mark.slow)]
)
def test_in_a_network(kind):
    """Near the network that rounds nothing, and not the same."""

    def gradients(matmul_dtype):
        sizes = {"in_channels": 2, "width": 16, "layers": 2, "matmul_dtype": matmul_dtype}
        if kind == "transformer":
            config = lj.LieTransformerConfig(**sizes, heads=2)
            model = lj.LieTransformer(config, group=lj.groups.T(3), rngs=nnx.Rngs(0))
        else:
            config = lj.LieConvConfig(**sizes)
            model = lj.LieConv(config, group=lj.groups.T(3), rngs=nnx.Rngs(0))
        apply, params = lj.functional(model)
        coords, values = arrays((3, 6, 3), (3, 6, 2))
        points = lj.PointSet(coords, values)
        return jax.grad(lambda p: jnp.mean(apply(p, points) ** 2))(params)

    exact, found = gradients(None), gradients(BF16)
    assert all(x.dtype == jnp.float32 for x in jax.tree.leaves(found))
    flat = lambda tree: np.concatenate([np.ravel(x) for x in jax.tree.leaves(tree)])  # noqa: E731
    error = np.linalg.norm(flat(found) - flat(exact)) / np.linalg.norm(flat(exact))
    assert 1e-6 < error < 0.05
