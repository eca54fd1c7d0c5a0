"""Where nothing can be compiled, everything works in XLA alone, and one is told why."""

import logging
import os
import platform
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import lie_jax as lj
from lie_jax import native
from lie_jax.native import build


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """As in a new process of a user who has not compiled anything."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("LIE_JAX_NATIVE", raising=False)
    build._library.cache_clear()
    yield tmp_path
    build._library.cache_clear()


def output():
    config = lj.LieTransformerConfig(
        in_channels=2, width=8, layers=1, heads=2, implementation="tiled"
    )
    model = lj.LieTransformer(config, group=lj.groups.SE3(), rngs=nnx.Rngs(0))
    rng = np.random.default_rng(0)
    points = [jnp.asarray(rng.normal(size=(2, 5, d)), jnp.float32) for d in (3, 2)]
    return nnx.jit(model)(lj.PointSet(*points), key=nnx.Rngs(1)())


def test_switched_off(fresh, monkeypatch):
    monkeypatch.setenv("LIE_JAX_NATIVE", "0")
    assert native.status() == "not used: the environment says LIE_JAX_NATIVE=0"
    assert jnp.isfinite(output()).all()
    assert not any(fresh.iterdir())


@pytest.mark.usefixtures("fresh")
def test_no_compiler(monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", "")
    assert native.status().startswith("not used: no C++ compiler")


def test_a_compiler_that_fails(fresh, monkeypatch, caplog):
    monkeypatch.setenv("CXX", "false")
    with caplog.at_level(logging.WARNING):
        assert native.status().startswith("not used: false failed")
    assert "in XLA alone" in caplog.text
    assert jnp.isfinite(output()).all()
    assert not list(fresh.rglob("*.so"))


needs_compiler = pytest.mark.skipif(
    not native.status().startswith("compiled"), reason=f"lie_jax.native is {native.status()}"
)


@needs_compiler
def test_compiled_once(fresh, caplog):
    with caplog.at_level(logging.INFO):
        # Not one that this process has from elsewhere: a name is registered once.
        first = build.library("location", 4)
    assert first is not None
    assert first._name.startswith(str(fresh))
    assert caplog.text.count("compiling") == 1
    build._library.cache_clear()
    assert build.library("location", 4) is not None
    assert caplog.text.count("compiling") == 1


@pytest.mark.slow
@needs_compiler
@pytest.mark.skipif(platform.machine() != "x86_64", reason="flags of x86")
@pytest.mark.parametrize("option", ["-mno-avx512f", "-mno-avx"])
def test_without_the_widest_vectors(tmp_path, option):
    """What is compiled for other processors, by the tests beside this one, in another process."""
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path), "CXX": f"g++ {option}"}
    chosen = [
        "-k",
        "test_values and sizes3",
        "tests/native/test_contract.py",
        "tests/native/test_location.py",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *chosen],
        cwd=Path(__file__).parents[2],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert "passed" in done.stdout
    assert "skipped" not in done.stdout
    assert len(list(tmp_path.rglob("*.so"))) == 2


@needs_compiler
def test_with_it_and_without(monkeypatch):
    found = output()
    monkeypatch.setenv("LIE_JAX_NATIVE", "0")
    build._library.cache_clear()
    try:
        np.testing.assert_allclose(output(), found, rtol=1e-5, atol=1e-6)
    finally:
        build._library.cache_clear()
