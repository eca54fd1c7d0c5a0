"""The kernels for NVIDIA GPUs, their warps emulated on a CPU, and when they are taken."""

import ctypes
import os
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lie_jax.attention.location import _swish_scores
from lie_jax.native import Accelerated, build, cuda_location

COMPILER = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="no C++ compiler")
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def emulated(tmp_path_factory):
    """`cuda_location._call`, by emulated warps."""
    path = tmp_path_factory.mktemp("emulated") / "location.so"
    folders = [HERE / "emulated", Path(build.__file__).parent / "cuda"]
    subprocess.run(
        [*str(COMPILER).split(), "-O2", "-std=c++20", "-pthread", "-shared", "-fPIC"]
        + [f"-I{x}" for x in folders]
        + [str(folders[0] / "location.cc"), "-o", str(path)],
        check=True,
    )
    run = ctypes.CDLL(str(path)).run

    def call(kind, arguments, shape):
        def on_host(*arrays):
            arrays = [np.ascontiguousarray(x, np.float32) for x in arrays]
            given = arrays[7] if len(arrays) > 7 else np.zeros(1, np.float32)
            result = np.full(shape, np.nan, np.float32)  # what is not written is seen
            heads, features = arrays[1].shape[:2]
            pointers = [x.ctypes.data_as(ctypes.c_void_p) for x in (*arrays[:7], given, result)]
            # Few, so that each goes several rounds.
            blocks = shape[1] if kind == cuda_location._Kind.PULL_WEIGHTS else 1
            pairs = ctypes.c_int64(arrays[0].shape[1])
            run(int(kind), *pointers, heads, features, pairs, ctypes.c_int64(blocks))
            return result

        return jax.pure_callback(on_host, jax.ShapeDtypeStruct(shape, jnp.float32), *arguments)

    return call


@pytest.fixture
def scores(emulated, monkeypatch):
    """The location scores, with the GPU's code on this CPU."""
    monkeypatch.setattr(cuda_location, "_call", emulated)
    monkeypatch.setattr(cuda_location, "_SHARES", 2)
    monkeypatch.setattr(cuda_location, "takes", lambda *_: True)
    return Accelerated(_swish_scores, shared=(0,), cpu=cuda_location.Scores())


def arguments(features, heads, pairs, scale=1.0):
    rng = np.random.default_rng(features)
    shapes = [(heads, features, 16), (heads, 16), (heads, 16, 16), (heads, 16), (heads, 16, 1)]
    layers = [rng.normal(size=shape) * scale * 0.6 for shape in (*shapes, (heads, 1))]
    x = rng.normal(size=(features, pairs)) * scale
    return [jnp.asarray(x, jnp.float32) for x in (x, *layers)]


def value_and_gradients(function, given):
    def of(*x):
        return function(*x)[0]

    value, pull = jax.vjp(of, *given)
    return value, pull(jnp.cos(jnp.arange(value.size)).reshape(value.shape).astype(value.dtype))


@needs_compiler
@pytest.mark.parametrize("sizes", [(1, 1, 1), (3, 1, 300), (9, 2, 65), (16, 1, 20)])
def test_values_and_gradients(scores, sizes):
    given = arguments(*sizes)
    found = value_and_gradients(scores, given)
    want = value_and_gradients(_swish_scores, [x.astype(jnp.float64) for x in given])
    for x, y in zip(jax.tree.leaves(found), jax.tree.leaves(want), strict=True):
        assert x.dtype == jnp.float32
        np.testing.assert_allclose(x, y, rtol=0, atol=1e-5 * np.abs(y).max())


@needs_compiler
def test_large_numbers(scores):
    """Far outside of where the logistic function changes."""
    given = arguments(3, 1, 40, scale=30.0)
    found = scores(*given)[0]
    want = _swish_scores(*(x.astype(jnp.float64) for x in given))[0]
    np.testing.assert_allclose(found, want, rtol=0, atol=1e-5 * np.abs(want).max())


@needs_compiler
@pytest.mark.parametrize("far", [1e12, 1e25])
def test_very_large_numbers(scores, far):
    """swish is 0 there on one side, and its slope 0 or 1."""
    x, *layers = arguments(1, 1, 2)
    x = jnp.array([[far, -far]], jnp.float32)
    layers = [jnp.zeros_like(y).at[..., 0].set(1) if y.ndim == 3 else 0 * y for y in layers]
    value, gradients = value_and_gradients(scores, [x, *layers])
    wide = [y.astype(jnp.float64) for y in (x, *layers)]
    exact, exact_gradients = value_and_gradients(_swish_scores, wide)
    np.testing.assert_allclose(value, exact, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(gradients[0], exact_gradients[0], rtol=1e-6, atol=1e-6)


@needs_compiler
def test_nan_is_seen(scores):
    x, *layers = arguments(3, 2, 40)
    value, gradients = value_and_gradients(scores, [x.at[1, 20].set(jnp.nan), *layers])
    assert jnp.isnan(value[:, 20]).all()
    assert jnp.isfinite(value[:, 16:20]).all()
    assert jnp.isnan(gradients[0][:, 20]).all()
    assert jnp.isfinite(gradients[0][:, :16]).all()
    assert all(jnp.isnan(x).any() for x in gradients[1:])


@needs_compiler
def test_some_gradients_alone(scores):
    given = arguments(3, 2, 40)
    whole = value_and_gradients(scores, given)[1]
    for i in (0, 3):
        some = jax.grad(
            lambda x, i=i: jnp.sum(
                scores(*given[:i], x, *given[i + 1 :])[0]
                * jnp.cos(jnp.arange(80)).reshape(2, 40).astype(jnp.float32)
            )
        )(given[i])
        np.testing.assert_array_equal(some, whole[i])


@needs_compiler
def test_second_derivatives(scores):
    """They are the plain function's."""
    given = arguments(3, 1, 20)

    def force(function, x):
        return jax.grad(lambda x: jnp.sum(jnp.sin(function(x, *given[1:])[0])))(x)

    def hessian_times_ones(function):
        return jax.grad(lambda x: jnp.sum(force(function, x)))(given[0])

    np.testing.assert_allclose(
        hessian_times_ones(scores), hessian_times_ones(_swish_scores), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("pairs", [0, 5, 10**6])
@pytest.mark.parametrize("heads", [1, 8, 5000])
def test_shares(heads, pairs):
    features = 3
    shapes = [(features, 16), (16,), (16, 16), (16,), (16, 1), (1,)]
    weights = [jnp.zeros((heads, *shape)) for shape in shapes]
    found = cuda_location.shares_shape([jnp.zeros((features, pairs)), *weights])
    assert found[0] == heads
    assert 1 <= found[1] <= 1056
    assert found[2] == 48 + 16 + 256 + 16 + 16 + 1


# --- When they are taken -------------------------------------------------------------------------


@pytest.fixture
def with_gpu(monkeypatch, tmp_path):
    """As on a machine with one, for `build`."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CUDA_HOME", str(tmp_path / "no"))
    monkeypatch.setenv("LIE_JAX_CUDA", "1")
    monkeypatch.delenv("LIE_JAX_NATIVE", raising=False)
    monkeypatch.setattr(build.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(
        build.jax, "local_devices", lambda **_: [SimpleNamespace(compute_capability="9.0")]
    )
    build._cuda.cache_clear()
    yield tmp_path
    build._cuda.cache_clear()


def make_compiler(folder, body):
    path = folder / "nvcc"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def test_off_by_default(with_gpu, monkeypatch):
    make_compiler(with_gpu, "exit 1")
    monkeypatch.delenv("LIE_JAX_CUDA")
    assert "LIE_JAX_CUDA=1" in build._cuda()
    assert build.cuda_library() is None


@pytest.mark.usefixtures("with_gpu")
def test_no_compiler():
    assert build._cuda().startswith("no CUDA compiler")


def test_no_gpu(with_gpu, monkeypatch):
    """Programs for one can be made without it."""

    def fail(**_):
        raise RuntimeError("Unknown backend gpu")

    make_compiler(with_gpu, "exit 1")
    monkeypatch.setattr(build.jax, "local_devices", fail)
    assert build._cuda() == "Unknown backend gpu"


def test_switched_off(with_gpu, monkeypatch):
    make_compiler(with_gpu, "exit 1")
    monkeypatch.setenv("LIE_JAX_NATIVE", "0")
    assert build._cuda() == "the environment says LIE_JAX_NATIVE=0"


def test_old_gpu(with_gpu, monkeypatch):
    make_compiler(with_gpu, "exit 1")
    old = [SimpleNamespace(compute_capability="7.5")]
    monkeypatch.setattr(build.jax, "local_devices", lambda **_: old)
    assert "8.0 or more, got ['7.5']" in build._cuda()


def test_command(with_gpu, caplog):
    make_compiler(with_gpu, 'echo "$@" >&2; exit 1')
    found = build._cuda()
    assert "nvcc failed" in found
    assert "arch=compute_90,code=sm_90" in found
    assert "in XLA alone" in caplog.text


def test_compiler_of_pip(with_gpu, monkeypatch):
    folder = with_gpu / "site" / "nvidia" / "cu13" / "bin"
    folder.mkdir(parents=True)
    make_compiler(folder, "exit 1")
    spec = SimpleNamespace(submodule_search_locations=[str(with_gpu / "site" / "nvidia")])
    monkeypatch.setattr(build.importlib.util, "find_spec", lambda _: spec)
    assert build._nvcc() == str(folder / "nvcc")


@pytest.mark.slow
@pytest.mark.skipif(build._nvcc() is None, reason="no CUDA compiler")
@pytest.mark.parametrize("capability", ["80", "90"])
def test_compiles(tmp_path, capability):
    compiler = str(build._nvcc())
    code = f"-gencode=arch=compute_{capability},code=sm_{capability}"
    source = Path(build.__file__).parent / "cuda" / "location.cu"
    path = tmp_path / "location.so"
    build._compile([compiler, *build._cuda_flags(compiler), code], source, path)
    library = ctypes.CDLL(str(path))
    assert library.lie_jax_location
    library.lie_jax_location_failure.restype = ctypes.c_char_p
    library.lie_jax_location_failure()  # says something where there is no GPU


def lowered(function, given, platform):
    return function.trace(*given).lower(lowering_platforms=(platform,)).as_text()


@pytest.mark.parametrize("is_there", [True, False])
def test_lowering_for_a_gpu(monkeypatch, is_there):
    monkeypatch.setattr(cuda_location, "takes", lambda *_: is_there)
    scores = Accelerated(_swish_scores, shared=(0,), cuda=cuda_location.Scores())
    given = arguments(3, 2, 10)
    for function in (
        jax.jit(lambda *x: scores(*x)[0]),
        jax.jit(lambda *x: value_and_gradients(scores, x)),
    ):
        assert ("lie_jax_location_cuda" in lowered(function, given, "cuda")) == is_there
        assert "lie_jax_location_cuda" not in lowered(function, given, "cpu")
