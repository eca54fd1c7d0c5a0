"""Products by machine code against float64: of factors rounded to bfloat16, and of all digits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import lie_jax as lj
from lie_jax import native
from lie_jax.native import build
from lie_jax.native import product as module
from lie_jax.nn.dense import _compute, rounded_matmul
from lie_jax.nn.layers import linear

BF16 = jnp.bfloat16

needs_units = pytest.mark.skipif(
    not native.has_product(512, 512, 512, rounded=True), reason="no units for tiles, or no compiler"
)


def factors(n, k, o, turn_left=False, turn_right=False):
    rng = np.random.default_rng(n)
    shapes = (k, n) if turn_left else (n, k), (o, k) if turn_right else (k, o)
    return [jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in shapes]


def float64_product(left, right, turn_left=False, turn_right=False, *, rounded):
    if rounded:
        left, right = left.astype(BF16), right.astype(BF16)
    left, right = (np.asarray(x.astype(jnp.float64)) for x in (left, right))
    return (left.T if turn_left else left) @ (right.T if turn_right else right)


@needs_units
@pytest.mark.parametrize("rounded", [True, False])
@pytest.mark.parametrize("turn_left", [False, True])
@pytest.mark.parametrize("turn_right", [False, True])
@pytest.mark.parametrize(
    "sizes", [(1, 1, 1), (17, 33, 5), (31, 64, 100), (304, 130, 257), (70, 1100, 66)]
)
def test_values(sizes, turn_left, turn_right, rounded):
    left, right = factors(*sizes, turn_left, turn_right)
    flags = {"turn_left": turn_left, "turn_right": turn_right, "rounded": rounded}
    found = native.matmul(left, right, **flags)
    assert found.dtype == jnp.float32
    want = float64_product(left, right, **flags)
    np.testing.assert_allclose(found, want, rtol=1e-5, atol=2e-6 * np.abs(want).max())


@needs_units
def test_digits_are_as_good_as_float32():
    """Than XLA's products of the same factors."""
    left, right = factors(304, 512, 512)
    want = float64_product(left, right, rounded=False)
    found = native.matmul(left, right, turn_left=False, turn_right=False, rounded=False)
    error, xlas = (np.linalg.norm(np.asarray(x) - want) for x in (found, left @ right))
    assert error < 1.5 * xlas


@needs_units
def test_digits_of_rows_of_any_size():
    """Each row of the left and column of the right has digits of its own, 2^-24 of its largest."""
    left, right = factors(40, 700, 50)
    left *= 10.0 ** jnp.arange(-20, 20)[:, None]
    right *= 10.0 ** jnp.linspace(-15, 15, 50)
    left, right = left.at[3].set(0), right.at[:, 4].set(0)
    left, right = left.astype(jnp.float32), right.astype(jnp.float32)
    found = native.matmul(left, right, turn_left=False, turn_right=False, rounded=False)
    want = float64_product(left, right, rounded=False)
    largest = np.abs(left).max(1, keepdims=True) * np.float64(np.abs(right).max(0))
    bound = 4 * np.sqrt(700) * 2.0**-24 * largest
    assert (np.abs(found - want) <= bound).all()
    assert not np.asarray(found)[3].any()
    assert not np.asarray(found)[:, 4].any()


@needs_units
@pytest.mark.parametrize("rounded", [True, False])
@pytest.mark.parametrize("sizes", [(0, 3, 4), (3, 0, 4), (3, 4, 0)])
def test_empty(sizes, rounded):
    left, right = factors(*sizes)
    found = native.matmul(left, right, turn_left=False, turn_right=False, rounded=rounded)
    np.testing.assert_array_equal(found, np.zeros((sizes[0], sizes[2])))


@needs_units
@pytest.mark.parametrize("turn", [False, True])
@pytest.mark.parametrize("rounded", [True, False])
def test_nan_and_infinity_are_seen(rounded, turn):
    """Infinity has no digits: there it becomes NaN."""
    left, right = factors(40, 50, 60)
    left = left.at[7, 3].set(jnp.nan).at[9, 4].set(-jnp.inf)
    right = right.at[20, 5].set(jnp.nan)
    if turn:
        left, right = left.T, right.T
    found = native.matmul(left, right, turn_left=turn, turn_right=turn, rounded=rounded)
    assert jnp.isnan(found[7]).all()
    assert jnp.isnan(found[:, 5]).all()
    assert not jnp.isfinite(found[9]).any()
    rest = jnp.delete(jnp.delete(found, jnp.array([7, 9]), axis=0), 5, axis=1)
    assert jnp.isfinite(rest).all()


@needs_units
def test_same_bits_again_and_beside_those_of_xla():
    """Both use the same registers of the processor, on the same threads."""
    left, right = factors(300, 256, 256)
    flags = {"turn_left": False, "turn_right": False}

    @jax.jit
    def both(left, right):
        ours, xlas, digits = [], [], []
        for i in range(8):
            x = left * (1 + i)
            ours.append(native.matmul(x, right, **flags, rounded=True))
            xlas.append(_compute(x, right, **flags, factor_dtype=BF16))
            digits.append(native.matmul(x, right, **flags, rounded=False))
        return ours, xlas, digits

    first, second = both(left, right), both(left, right)
    jax.tree.map(np.testing.assert_array_equal, first, second)
    for x, y in zip(*first[:2], strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-4 * float(jnp.max(jnp.abs(y))))


@needs_units
@pytest.mark.parametrize("dtype", [BF16, jnp.float32])
def test_gradients_of_a_dense_layer(dtype):
    """Both of them by machine code."""
    x, w = factors(170, 160, 144)
    (cotangent,) = factors(170, 144, 1)[:1]

    def gradients(x, w):
        return jax.vjp(lambda x, w: rounded_matmul(x, w, dtype), x, w)[1](cotangent)

    text = jax.jit(gradients).trace(x, w).lower(lowering_platforms=("cpu",)).as_text()
    assert text.count("@lie_jax_product(") == 2
    dx, dw = jax.jit(gradients)(x, w)
    rounded = dtype == BF16
    for found, want in (
        (dx, float64_product(cotangent, w, False, True, rounded=rounded)),
        (dw, float64_product(x, cotangent, True, False, rounded=rounded)),
    ):
        np.testing.assert_allclose(found, want, rtol=0, atol=2e-6 * np.abs(want).max())


@needs_units
def test_layers_in_float32_take_it_by_themselves():
    """Forward, backward and twice; vmapped, and in other precisions, XLA multiplies."""
    layer = linear(160, 144, dtype=None, param_dtype=jnp.float32, rngs=nnx.Rngs(0))
    graph, state = nnx.split(layer)
    x, _ = factors(170, 160, 1)

    def loss(state, x):
        return jnp.sum(jnp.sin(nnx.merge(graph, state)(x)))

    def calls(function, *arguments):
        traced = jax.jit(function).trace(*arguments)
        return traced.lower(lowering_platforms=("cpu",)).as_text().count("@lie_jax_product(")

    assert calls(loss, state, x) == 1
    assert calls(jax.grad(loss, (0, 1)), state, x) == 3
    assert calls(jax.grad(lambda x: jnp.sum(jax.grad(loss, 1)(state, x) ** 2)), x) > 3
    assert calls(loss, state, x.reshape(10, 17, 160)) == 1
    assert calls(lambda x: jax.vmap(loss, (None, 0))(state, x), jnp.stack([x, x])) == 0
    assert calls(loss, jax.tree.map(lambda x: x.astype(jnp.float64), state), x) == 0
    plain = linear(160, 144, dtype=None, param_dtype=jnp.float64, rngs=nnx.Rngs(0))
    nnx.update(plain, jax.tree.map(lambda x: x.astype(jnp.float64), state))
    np.testing.assert_allclose(layer(x), plain(x.astype(jnp.float64)), rtol=0, atol=3e-6)


@needs_units
def test_not_only_inside_jit():
    x, w = factors(170, 128, 112)
    inside = jax.jit(lambda x, w: rounded_matmul(x, w, BF16))(x, w)
    np.testing.assert_array_equal(rounded_matmul(x, w, BF16), inside)


def test_sizes_of_no_use():
    assert not native.has_product(100_000, 512, 1, rounded=True)
    assert not native.has_product(100_000, 1, 512, rounded=True)
    assert not native.has_product(100_000, 64, 512, rounded=False)
    (b,) = jax.export.symbolic_shape("b")
    assert not native.has_product(b, 512, 512, rounded=True)


@pytest.mark.parametrize("dtype", [BF16, jnp.float32])
@pytest.mark.parametrize("why", ["small", "switched off", "two devices"])
def test_xla_multiplies(monkeypatch, why, dtype):
    if why == "two devices":
        monkeypatch.setattr(build.jax, "device_count", lambda: 2)
    if why == "switched off":
        monkeypatch.setenv("LIE_JAX_NATIVE", "0")
        build._library.cache_clear()
        module._is_there.cache_clear()
    try:
        x, w = factors(*((20, 30, 40) if why == "small" else (512, 512, 512)))
        function = jax.jit(lambda x, w: rounded_matmul(x, w, dtype))
        text = function.trace(x, w).lower(lowering_platforms=("cpu",)).as_text()
        assert "lie_jax_product" not in text
    finally:
        build._library.cache_clear()
        module._is_there.cache_clear()


def test_nothing_is_compiled_for_a_processor_without_units(monkeypatch):
    monkeypatch.setattr(build, "_processor", lambda: ["x86_64", "flags : sse avx512f amx_tile"])
    monkeypatch.setattr(module, "library", lambda _: pytest.fail("compiled"))
    module._is_there.cache_clear()
    try:
        assert not native.has_product(512, 512, 512, rounded=False)
    finally:
        module._is_there.cache_clear()


@pytest.mark.slow
@needs_units
@pytest.mark.parametrize(("dtype", "tolerance"), [(BF16, 5e-3), (None, 2e-6)])
def test_in_a_network(dtype, tolerance):
    """A step of training is the same as with XLA's products, but for the order of sums."""
    sizes = {"in_channels": 2, "width": 128, "layers": 1, "heads": 2}
    config = lj.LieTransformerConfig(**sizes, matmul_dtype=dtype)
    model = lj.LieTransformer(config, group=lj.groups.T(3), rngs=nnx.Rngs(0))
    apply, params = lj.functional(model)
    rng = np.random.default_rng(0)
    coords, values = (jnp.asarray(rng.normal(size=(16, 12, d)), jnp.float32) for d in (3, 2))

    def gradients():
        def loss(p):
            return jnp.mean(apply(p, lj.PointSet(coords, values)) ** 2)

        return jax.jit(jax.grad(loss))(params)

    found = gradients()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_LEAST", 2**60)
        want = gradients()
    flat = lambda tree: np.concatenate([np.ravel(x) for x in jax.tree.leaves(tree)])  # noqa: E731
    difference = np.linalg.norm(flat(found) - flat(want)) / np.linalg.norm(flat(want))
    assert 0 < difference < tolerance
