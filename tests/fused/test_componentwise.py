"""The same function, component by component: values, derivatives, and inside Pallas kernels."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton

import lie_jax as lj
from lie_jax.fused.componentwise import broadcast_components, componentwise, componentwise_vjp
from lie_jax.geometry.embeddings import resolve_embedding
from lie_jax.geometry.pairs import bound_norm
from lie_jax.numerics import safe_norm

# An inner jit takes no compiler's options, and conftest.py gives some to jax.jit.
inner_jit = jax.jit

G = lj.groups
GROUPS = [G.T(1), G.T(3), G.Trivial(2), G.SO2(), G.SE2(), G.SO3(), G.SE3(), G.O2(), G.O3()]
GROUPS += [G.E2(), G.E3(), G.Scaling(2), G.RxSO2(), G.Squeeze()]
PAIR_FUNCTIONS = [(group, embedding) for group in GROUPS for embedding in ("log", "matrix")]
every_pair_function = pytest.mark.parametrize(("group", "embedding"), PAIR_FUNCTIONS, ids=str)


def mostly_slow(cases, quick):
    """Compiling derivatives takes seconds each: all but a few are for `make test-slow`."""
    return [p if p in quick else pytest.param(*p, marks=pytest.mark.slow) for p in cases]


QUICK = [(G.T(3), "log"), (G.SO2(), "log"), (G.SE2(), "log"), (G.O2(), "matrix")]


@functools.cache
def features(group, embedding):
    """Of a pair: its embedding, and the same with its norm bounded."""

    def pair_features(g, h):
        element = group.compose(group.inverse(g), h)
        feature = resolve_embedding(embedding).embed(group, element)
        return jnp.concatenate([feature, bound_norm(feature, 2.0)], axis=-1)

    return pair_features


def elements(group, dtype):
    """3 queries and 4 keys; the first of both is the identity, the second key the second query."""
    rng = np.random.default_rng(0)
    g = group.exp(jnp.asarray(rng.normal(size=(6, group.algebra_dim))))
    if group.component_dim:
        g = g.at[:, -1].set(jnp.asarray([1, -1, 1, 1, -1, -1]))
    g = g.at[0].set(group.identity(dtype=g.dtype)).astype(dtype)
    return g[:3], g[jnp.asarray([0, 1, 3, 4])]


def sides(queries, keys):
    """Their components, each to be broadcast against the other's."""
    return list(queries.T[:, :, None]), list(keys.T[:, None, :])


def both(group, embedding, dtype):
    """The function of all pairs, (q, g), (k, g) -> (q, k, f): as it is, and by components."""
    fun = features(group, embedding)
    fun_c = componentwise(fun, group.element_shape, group.element_shape, dtype=dtype)

    def by_components(queries, keys):
        out = broadcast_components(fun_c(*sides(queries, keys)), (len(queries), len(keys)))
        return jnp.stack(out, axis=-1) if out else jnp.zeros((len(queries), len(keys), 0), dtype)

    return lambda queries, keys: fun(queries[:, None], keys), by_components


def assert_near(got, wanted, ulp=200):
    got, wanted = map(jax.tree.leaves, (got, wanted))
    for x, y in zip(got, wanted, strict=True):
        assert x.dtype == y.dtype
        assert x.shape == y.shape
        assert np.isfinite(x).all()
        size = max(1, np.abs(y).max(initial=0))
        np.testing.assert_allclose(x, y, rtol=0, atol=ulp * np.finfo(x.dtype).eps * size)


def derivatives(fun, args, weights, *, twice_in_reverse):
    """Of a scalar of the results: its gradient; that one's change along a direction."""
    rng = np.random.default_rng(1)
    along = jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape)), args)

    def scalar(args):
        return sum(jnp.sum(w * jnp.sin(x)) for w, x in zip(weights, fun(*args), strict=True))

    def slope(args):
        return sum(map(jnp.vdot, jax.grad(scalar)(args), along))

    if twice_in_reverse:
        return jax.grad(scalar)(args), jax.grad(slope)(args)
    return jax.jvp(jax.grad(scalar), (args,), (along,))


@every_pair_function
def test_values_in_float32(group, embedding):
    plain, by_components = both(group, embedding, jnp.float32)
    pair = elements(group, jnp.float32)
    assert_near(by_components(*pair), plain(*pair), ulp=10)


@pytest.mark.parametrize(("group", "embedding"), mostly_slow(PAIR_FUNCTIONS, QUICK), ids=str)
def test_values_and_derivatives(group, embedding):
    plain, by_components = both(group, embedding, jnp.float64)
    pair = elements(group, jnp.float64)
    out = plain(*pair)
    assert_near(by_components(*pair), out, ulp=10)

    weights = np.random.default_rng(1).normal(size=out.shape)
    wanted = derivatives(lambda *x: [plain(*x)], pair, [weights], twice_in_reverse=False)
    for twice_in_reverse in (False, True):
        assert_near(
            derivatives(
                lambda *x: [by_components(*x)], pair, [weights], twice_in_reverse=twice_in_reverse
            ),
            wanted,
        )

    shape = group.element_shape
    vjp = componentwise_vjp(features(group, embedding), shape, shape, dtype=jnp.float64)
    pulled = vjp(*sides(*pair), list(jnp.moveaxis(weights * jnp.cos(out), -1, 0)))
    assert all(x.shape == (3, 4) for components in pulled for x in components)
    for components, axis, gradient in zip(pulled, (1, 0), wanted[0], strict=True):
        assert_near([jnp.sum(x, axis) for x in components], list(gradient.T))


def test_jit_vmap_and_hessian():
    group = G.SO2()
    plain, by_components = both(group, "log", jnp.float64)
    queries, keys = elements(group, jnp.float64)
    clouds = jnp.stack([queries, queries[::-1]]), jnp.stack([keys, keys])

    def value_and_hessian(fun, queries, keys):
        # Rounding makes a pair of equal elements differ, see above.
        apart = jax.hessian(lambda q: jnp.sum(jnp.sin(fun(q, keys[2:]))))(queries)
        return fun(queries, keys), apart

    got, wanted = (
        jax.jit(jax.vmap(functools.partial(value_and_hessian, fun)))(*clouds)
        for fun in (by_components, plain)
    )
    assert_near(got, wanted)


# --- Pallas --------------------------------------------------------------------------------


def kernels(group, embedding, tile, **options):
    """Features of a tile's pairs, and their pullback summed over each side, as Pallas calls."""
    fun, shape = features(group, embedding), group.element_shape
    fun_c = componentwise(fun, shape, shape, dtype=jnp.float32)
    vjp = componentwise_vjp(fun, shape, shape, dtype=jnp.float32)
    (g,), (f,), (q, k) = shape, fun_c.out_shapes[0], tile
    query, key, out = (
        jax.ShapeDtypeStruct(x, jnp.float32) for x in ((g, q, 1), (g, 1, k), (f, q, k))
    )

    def read(ref):
        return [ref[i, :, :] for i in range(ref.shape[0])]

    def write(ref, components):
        for i, x in enumerate(components):
            ref[i, :, :] = x

    def forward(queries, keys, out):
        write(out, broadcast_components(fun_c(read(queries), read(keys)), tile))

    def backward(queries, keys, cotangents, dqueries, dkeys):
        dq, dk = vjp(read(queries), read(keys), read(cotangents))
        write(dqueries, [jnp.sum(x, axis=1, keepdims=True) for x in dq])
        write(dkeys, [jnp.sum(x, axis=0, keepdims=True) for x in dk])

    return (
        (pl.pallas_call(forward, out, **options), (query, key)),
        (pl.pallas_call(backward, (query, key), **options), (query, key, out)),
    )


def test_inside_pallas():
    group, embedding, shape = G.SE2(), "log", (4,)
    queries, keys = (jnp.stack(side) for side in sides(*elements(group, jnp.float32)))
    queries = queries[:, 1:]
    fun = features(group, embedding)
    out = componentwise(fun, shape, shape, dtype=jnp.float32)(queries, keys)
    dqueries, dkeys = componentwise_vjp(fun, shape, shape, dtype=jnp.float32)(queries, keys, out)
    wanted = [jnp.sum(x, 1) for x in dqueries], [jnp.sum(x, 0) for x in dkeys]
    (forward, _), (backward, _) = kernels(group, embedding, (2, 4), interpret=True)
    got = jax.jit(forward)(queries, keys)
    assert_near(list(got), out, ulp=10)
    dqueries, dkeys = jax.jit(backward)(queries, keys, got)
    assert_near((list(dqueries[:, :, 0]), list(dkeys[:, 0])), wanted)


@pytest.mark.parametrize("platform", ["tpu", "cuda"])
@pytest.mark.parametrize(
    ("group", "embedding"),
    mostly_slow([p for p in PAIR_FUNCTIONS if p[0] != G.Trivial(2)], [(G.SE3(), "log")]),
    ids=str,
)
def test_lowers_for_accelerators(group, embedding, platform, as_if_on):
    # Down to what is handed to the accelerator's own compiler, which is not on this machine.
    options = {"compiler_params": triton.CompilerParams()} if platform == "cuda" else {}
    # Mosaic takes no 64-bit integers, not even as indices.
    with jax.enable_x64(False), as_if_on(platform):
        for kernel, args in kernels(group, embedding, (8, 128), **options):
            traced = jax.jit(kernel).trace(*args)
            assert "custom_call" in traced.lower(lowering_platforms=(platform,)).as_text()


# --- what functions may do --------------------------------------------------------------------


def check(fun, *args):
    """Values, first and second derivatives and vjp of a function of single items."""
    args = tuple(map(jnp.asarray, args))
    fun_c = componentwise(fun, *(x.shape for x in args), dtype=jnp.float64)

    def plain(*args):
        return jax.tree.leaves(fun(*args))

    def by_components(*args):
        outs = fun_c(*(list(x.reshape(-1)) for x in args))
        outs = outs if isinstance(outs, tuple) else (outs,)
        shaped = zip(outs, fun_c.out_shapes, strict=True)
        return [jnp.stack(broadcast_components(x, ())).reshape(shape) for x, shape in shaped]

    wanted = plain(*args)
    assert_near(by_components(*args), wanted, ulp=10)
    weights = [np.cos(np.arange(x.size)).reshape(x.shape) for x in wanted]
    got, expected = (
        jax.jit(functools.partial(derivatives, f, weights=weights, twice_in_reverse=again))(args)
        for f, again in ((by_components, True), (plain, False))
    )
    assert_near(got, expected)
    cotangents = [w * jnp.cos(x) for w, x in zip(weights, wanted, strict=True)]
    vjp = componentwise_vjp(fun, *(x.shape for x in args), dtype=jnp.float64)
    pulled = vjp(*(list(x.reshape(-1)) for x in (*args, *cotangents)))
    for components, x in zip(pulled, expected[0], strict=True):
        assert_near(components, list(x.reshape(-1)))
    return fun_c


X = np.random.default_rng(0).normal(size=(2, 3))


def test_moves():
    order = jnp.asarray([2, 0, 0])

    def fun(x):
        x = jnp.concatenate([x, x[:, ::-1] * 2, jnp.zeros((1, 3))])
        padded = lax.pad(x, 0.5, ((1, -1, 1), (0, 2, 0)))
        parts = jnp.split(padded, [2, 3])
        moved = lax.dynamic_update_slice(parts[0], x[:1, 1:], (1, 2))
        moved = moved.at[0, 1].set(x[1, 1]).at[1, order].add(x[0] ** 2)
        return jnp.stack([moved[:, order].T, jnp.broadcast_to(x[0, :, None], (3, 2))]), parts[2]

    assert check(fun, X).operations < 20


def test_reductions_and_products():
    def fun(x, y):
        products = jnp.einsum("ik,jk->ij", x, y), jnp.einsum("ik,ik->i", x, y), x @ y.T @ x
        chosen = jnp.max(x, axis=0) * jnp.min(y), jnp.prod(x, axis=1)
        signs = jnp.any(x > 0, axis=0), jnp.all(x > 0)
        return *products, *chosen, jnp.where(signs[0], x[0], y[0]), jnp.where(signs[1], 1, x)

    check(fun, X, X[::-1] + 0.3)


def test_products_are_accumulated_in_the_dtype_asked_for():
    def fun(x):
        return jnp.dot(x, x, preferred_element_type=jnp.float64)

    x = np.float32([1e8, 1, -1e8])
    fun_c = componentwise(fun, (3,), dtype=jnp.float32)
    assert fun_c(list(x))[0] == np.dot(*[x.astype(np.float64)] * 2)


def test_inner_functions_and_their_rules():
    @jax.custom_jvp
    def tilted(x):
        return 2 * x

    tilted.defjvp(lambda primals, tangents: (tilted(*primals), 3 * primals[0] * tangents[0]))

    def fun(x):
        y = inner_jit(tilted)(x) + jax.checkpoint(jnp.sin)(x)
        return safe_norm(y - y, axis=-1) + y * lax.stop_gradient(y), jnp.abs(x), tilted(x)

    check(fun, X[0])


def test_what_is_equal_but_has_other_derivatives_stays_apart():
    # The logarithm's derivative needs |x|, and so does the quotient's, but without derivative.
    check(lambda x: jnp.log(jnp.abs(x)) + x / lax.stop_gradient(jnp.abs(x)), X[0])


def test_results_of_other_dtypes():
    fun_c = componentwise(lambda x: (x > 0, x.astype(jnp.int32), x**3), (2,), dtype=jnp.float64)
    signs, whole, _ = jax.vmap(lambda x: fun_c([x, 2 * x]))(jnp.asarray([-1.5, 2.5]))
    assert [x.dtype for x in (*signs, *whole)] == [jnp.bool_] * 2 + [jnp.int32] * 2
    np.testing.assert_array_equal(whole[1], [-3, 5])
    slope = jax.grad(jax.grad(lambda x: fun_c([x, x])[2][0] * jnp.where(fun_c([x, x])[0][0], 1, 2)))
    assert slope(jnp.float64(3)) == 18


def test_constants_and_shapes_are_kept_small():
    def fun(x, y):
        return jnp.stack([2 * x[0], x[0] * 0 + y[0], jnp.float32(3), y[0] * 1 + 0])

    x, y = jnp.ones((2, 1), jnp.float32), jnp.ones((1, 4), jnp.float32)
    fun_c = componentwise(fun, (1,), (1,), dtype=jnp.float32)
    out = fun_c([x], [y])
    assert [np.shape(x) for x in out] == [(2, 1), (2, 4), (), (1, 4)]
    assert isinstance(out[2], np.float32)
    assert out[3] is y or (out[3] == y).all()
    assert fun_c.operations == 3
    assert {x.shape for x in broadcast_components(out, (2, 4))} == {(2, 4)}
    assert np.isnan(fun_c([jnp.float32(np.nan)], [1.0])[1])


def test_traced_once_for_each_function():
    fun = features(G.SE2(), "log")
    first, second = (componentwise(fun, (4,), (4,), dtype=jnp.float32) for _ in range(2))
    assert first is second
    assert componentwise(fun, (4,), (4,), dtype=jnp.float64) is not first


def test_errors():
    def sorted_squares(x):
        return jnp.sort(x * x)

    with pytest.raises(NotImplementedError, match=r"sorted_squares.* primitive 'sort'"):
        componentwise(sorted_squares, (3,), dtype=jnp.float32)
    with pytest.raises(NotImplementedError, match="with indices that depend on the arguments"):
        componentwise(lambda x: x[x[0].astype(int)], (3,), dtype=jnp.float32)
    with pytest.raises(ValueError, match="must not close over traced values"):
        jax.jit(lambda y: componentwise(lambda x: x * y, (3,), dtype=jnp.float32)([y, y, y]))(1.0)
    with pytest.raises(ValueError, match="dtype must be floating, got int32"):
        componentwise(jnp.sin, (3,), dtype=jnp.int32)
    fun_c = componentwise(jnp.sin, (3,), dtype=jnp.float32)
    with pytest.raises(ValueError, match=r"sin must get \(3,\) components, got \(2,\)"):
        fun_c([1.0, 2.0])
    with pytest.raises(TypeError, match="components of dtype float32, got float64"):
        fun_c([1.0, 2.0, jnp.float64(3)])
