"""Products rounded to bfloat16 by machine code, against float64 products of rounded factors."""

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

BF16 = jnp.bfloat16

needs_units = pytest.mark.skipif(
    not native.has_product(512, 512, 512), reason="no units for bfloat16, or no compiler"
)


def factors(n, k, o, turn_left=False, turn_right=False):
    rng = np.random.default_rng(n)
    shapes = (k, n) if turn_left else (n, k), (o, k) if turn_right else (k, o)
    return [jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in shapes]


def exact(left, right, turn_left, turn_right):
    left, right = (x.astype(BF16).astype(jnp.float64) for x in (left, right))
    return (left.T if turn_left else left) @ (right.T if turn_right else right)


@needs_units
@pytest.mark.parametrize("turn_left", [False, True])
@pytest.mark.parametrize("turn_right", [False, True])
@pytest.mark.parametrize("sizes", [(1, 1, 1), (17, 33, 5), (31, 64, 100), (304, 130, 257)])
def test_values(sizes, turn_left, turn_right):
    left, right = factors(*sizes, turn_left, turn_right)
    found = native.bfloat16_product(left, right, turn_left=turn_left, turn_right=turn_right)
    assert found.dtype == jnp.float32
    want = exact(left, right, turn_left, turn_right)
    np.testing.assert_allclose(found, want, rtol=1e-5, atol=2e-6 * np.abs(want).max())


@needs_units
@pytest.mark.parametrize("sizes", [(0, 3, 4), (3, 0, 4), (3, 4, 0)])
def test_empty(sizes):
    left, right = factors(*sizes)
    found = native.bfloat16_product(left, right, turn_left=False, turn_right=False)
    np.testing.assert_array_equal(found, np.zeros((sizes[0], sizes[2])))


@needs_units
def test_nan_and_infinity_are_seen():
    left, right = factors(40, 50, 60)
    left = left.at[7, 3].set(jnp.nan).at[9, 4].set(jnp.inf)
    found = native.bfloat16_product(left, right, turn_left=False, turn_right=False)
    assert jnp.isnan(found[7]).all()
    assert jnp.isinf(found[9]).all()
    rest = jnp.delete(found, jnp.array([7, 9]), axis=0)
    assert jnp.isfinite(rest).all()


@needs_units
def test_same_bits_again_and_beside_those_of_xla():
    """Both use the same registers of the processor, on the same threads."""
    left, right = factors(300, 256, 256)
    flags = {"turn_left": False, "turn_right": False}

    @jax.jit
    def both(left, right):
        ours, xlas = [], []
        for i in range(8):
            x = left * (1 + i)
            ours.append(native.bfloat16_product(x, right, **flags))
            xlas.append(_compute(x, right, **flags, factor_dtype=BF16))
        return ours, xlas

    first, second = both(left, right), both(left, right)
    jax.tree.map(np.testing.assert_array_equal, first, second)
    for x, y in zip(*first, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-4 * float(jnp.max(jnp.abs(y))))


@needs_units
def test_gradients_of_a_dense_layer():
    """Both of them by machine code."""
    x, w = factors(170, 128, 112)
    (cotangent,) = factors(170, 112, 1)[:1]

    def gradients(x, w):
        return jax.vjp(lambda x, w: rounded_matmul(x, w, BF16), x, w)[1](cotangent)

    text = jax.jit(gradients).trace(x, w).lower(lowering_platforms=("cpu",)).as_text()
    assert text.count("@lie_jax_product(") == 2
    dx, dw = jax.jit(gradients)(x, w)
    for found, want in (
        (dx, exact(cotangent, w, False, True)),
        (dw, exact(x, cotangent, True, False)),
    ):
        np.testing.assert_allclose(found, want, rtol=0, atol=2e-6 * np.abs(want).max())


@needs_units
def test_not_only_inside_jit():
    x, w = factors(170, 128, 112)
    inside = jax.jit(lambda x, w: rounded_matmul(x, w, BF16))(x, w)
    np.testing.assert_array_equal(rounded_matmul(x, w, BF16), inside)


def test_sizes_of_no_use():
    assert not native.has_product(100_000, 512, 1)
    assert not native.has_product(100_000, 1, 512)
    (b,) = jax.export.symbolic_shape("b")
    assert not native.has_product(b, 512, 512)


@pytest.mark.parametrize("why", ["small", "switched off", "two devices"])
def test_xla_multiplies(monkeypatch, why):
    if why == "two devices":
        monkeypatch.setattr(build.jax, "device_count", lambda: 2)
    if why == "switched off":
        monkeypatch.setenv("LIE_JAX_NATIVE", "0")
        build._library.cache_clear()
        module._is_there.cache_clear()
    try:
        x, w = factors(*((20, 30, 40) if why == "small" else (512, 512, 512)))
        function = jax.jit(lambda x, w: rounded_matmul(x, w, BF16))
        text = function.trace(x, w).lower(lowering_platforms=("cpu",)).as_text()
        assert "lie_jax_product" not in text
    finally:
        build._library.cache_clear()
        module._is_there.cache_clear()


@pytest.mark.slow
@needs_units
def test_in_a_network():
    """A step of training is the same as with XLA's products, but for the order of sums."""
    config = lj.LieTransformerConfig(in_channels=2, width=128, layers=1, heads=2, matmul_dtype=BF16)
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
    assert 0 < difference < 5e-3
