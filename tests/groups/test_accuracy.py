"""exp and log are exact to 50 ulp at every angle, in both dtypes."""

import importlib.util
from pathlib import Path

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest

import lie_jax as lj
from lie_jax import geometry, numerics

_spec = importlib.util.spec_from_file_location("exact", Path(__file__).with_name("exact.py"))
assert _spec is not None
assert _spec.loader is not None
exact = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(exact)

REFERENCE = np.load(Path(__file__).parents[1] / "data" / "groups.npz")
GROUPS = {name: getattr(lj.groups, name)() for name in exact.LOGS}
ULP = 50


def algebra(name: str, dtype) -> np.ndarray:
    """The recorded sweep of angles from 0 to pi, and random directions at more of them."""
    recorded = REFERENCE[f"{name}/a"]
    rng = np.random.default_rng(0)
    angles = [1e-30, 1e-9, 1e-4, 0.03, 0.2, 0.49, 0.51, 0.99, 1.01, 1.9, 2.5, 3.0, 3.14]
    angles += [np.pi - 10.0**-k for k in (1, 3, 5, 7, 9, 11, 13)] + [np.pi]
    d = recorded.shape[1]
    more = rng.normal(size=(len(angles), d))
    turning = {"SO2": [0], "RxSO2": [1], "SE2": [0], "SO3": [0, 1, 2], "SE3": [0, 1, 2]}[name]
    part = more[:, turning]
    more[:, turning] = part / np.linalg.norm(part, axis=1, keepdims=True) * np.c_[angles]
    return np.concatenate([recorded, more]).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", GROUPS)
def test_exp(name, dtype):
    group, a = GROUPS[name], algebra(name, dtype)
    got = np.asarray(jax.jit(lambda a: group.to_matrix(group.exp(a)))(jnp.asarray(a)))
    hats = np.asarray(group.hat(jnp.asarray(a)))
    worst = max(
        exact.ulps(matrix, exact.expm(hat), dtype) for matrix, hat in zip(got, hats, strict=True)
    )
    assert worst <= ULP
    if dtype == np.float64:
        recorded = REFERENCE[f"{name}/exp_exact"]
        scale = np.abs(recorded).max((1, 2), keepdims=True)
        error = np.abs(got[: len(recorded)] - recorded) / scale
        assert error.max() <= ULP * np.finfo(dtype).eps


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", GROUPS)
def test_log(name, dtype):
    group, a = GROUPS[name], algebra(name, dtype)
    g = jax.jit(group.exp)(jnp.asarray(a))
    got = np.asarray(jax.jit(group.log)(g))
    worst = max(
        min(exact.ulps(mine, branch, dtype) for branch in exact.LOGS[name](element))
        for mine, element in zip(got, np.asarray(g), strict=True)
    )
    assert worst <= ULP


@pytest.mark.parametrize("name", GROUPS)
def test_log_of_exp_is_the_recorded_logarithm(name):
    group, a = GROUPS[name], REFERENCE[f"{name}/a"]
    wanted, angle = REFERENCE[f"{name}/log_exp_exact"], REFERENCE[f"{name}/angle"]
    got = np.asarray(group.log(group.exp(jnp.asarray(a))))
    # At pi itself the rounding of the matrix or quaternion decides the branch.
    clear = np.abs(angle) < np.pi - 1e-12
    error = np.abs(got - wanted).max(1) / np.maximum(np.abs(wanted).max(1), 1e-300)
    assert error[clear].max() <= ULP * np.finfo(np.float64).eps
    assert clear.sum() >= 50


@pytest.mark.parametrize("name", GROUPS)
def test_pairs(name):
    """inverse(g_query) g_key is minus what the published networks use."""
    group, a = GROUPS[name], jnp.asarray(REFERENCE[f"{name}/pairs_a"])
    wanted = -REFERENCE[f"{name}/pairs_exact"]
    g = group.exp(a)
    got = np.asarray(group.log(geometry.pairs.pair_elements(group, g, g)))
    np.testing.assert_allclose(got, wanted, atol=200 * np.finfo(np.float64).eps, rtol=1e-13)


SINC = {
    "cos_theta": mp.cos,
    "sinc": lambda t: mp.sin(t) / t,
    "cosc": lambda t: (1 - mp.cos(t)) / t**2,
    "sincc": lambda t: (t - mp.sin(t)) / t**3,
    "cotc": lambda t: (1 - t / 2 * mp.cot(t / 2)) / t**2,
    "atanc": lambda t: mp.atan(t) / t,
    "tanhc": lambda t: mp.tanh(t) / t,
}
AT_ZERO = {"cosc": 1 / 2, "sincc": 1 / 6, "cotc": 1 / 12}  # the others are 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", SINC)
def test_sinc_family(name, dtype):
    theta = np.concatenate([np.geomspace(1e-8, 3.1415, 200), [0.2499, 0.25, 0.2501, 0.999, 1.001]])
    if name == "atanc":
        theta = theta[theta <= 1]
    squares = (theta**2).astype(dtype)
    function = jax.jit(getattr(numerics, name))
    got = np.asarray(function(jnp.asarray(squares)))
    assert got.dtype == dtype
    eps = float(np.finfo(dtype).eps)
    for square, value in zip(squares, got, strict=True):
        wanted = SINC[name](mp.sqrt(mp.mpf(float(square))))
        scale = max(abs(wanted), mp.mpf(1)) if name in ("cos_theta", "sinc") else abs(wanted)
        assert abs(mp.mpf(float(value)) - wanted) <= 16 * eps * scale, (name, square)
    zero = jnp.zeros((), dtype)
    np.testing.assert_allclose(function(zero), AT_ZERO.get(name, 1), rtol=2 * eps)
    for derivative in (jax.grad(getattr(numerics, name)), jax.hessian(getattr(numerics, name))):
        assert np.isfinite(derivative(zero))
