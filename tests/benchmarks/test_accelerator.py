"""The accelerator's check can fail, and its timings run."""

import numpy as np
import pytest

from benchmarks import accelerator
from lie_jax import native
from lie_jax.fused import api, pallas_vjp


@pytest.fixture(autouse=True)
def one_check(monkeypatch):
    monkeypatch.setattr(accelerator, "CHECKS", {"T3": accelerator.CHECKS["T3"]})
    # The script replaces these.
    monkeypatch.setattr(api, "choose_tiling", api.choose_tiling)
    monkeypatch.setattr(pallas_vjp, "pallas_tiling", pallas_vjp.pallas_tiling)


def test_check(capsys, monkeypatch):
    assert accelerator.main(["check", "--implementations", "tiled"]) == 0
    assert "T3: tiled, matrix products highest" in capsys.readouterr().out
    monkeypatch.setattr(accelerator, "LARGEST_ERROR", 1e-12)
    assert accelerator.main(["check", "--implementations", "tiled"]) == 1
    assert accelerator.main(["check", "--implementations", "pallas"]) == 1  # not on a CPU
    assert "NotImplementedError" in capsys.readouterr().out


def test_tiles(capsys):
    assert accelerator.main(["tiles", "--n", "16", "--pallas", "--tiled", "8x8"]) == 0
    assert "tiled 8x8, 4 warps: forward" in capsys.readouterr().out


def test_kernels(capsys, monkeypatch):
    if not native.status().startswith("compiled"):
        pytest.skip(native.status())
    monkeypatch.setattr(accelerator, "KERNELS", ((3, 2, 20),))
    assert accelerator.main(["kernels", "--n", "8"]) == 0
    assert "gradients of weights, 8 heads, 64 pairs" in capsys.readouterr().out
    nan = lambda x, _: float("nan") if x.ndim == 3 else 0.0  # noqa: E731
    monkeypatch.setattr(accelerator, "_error", nan)
    assert accelerator.main(["kernels", "--n", "8"]) == 1


def test_errors_see_nan():
    good, bad = np.zeros(2), np.array([1.0, np.nan])
    assert np.isnan(accelerator._error([good, bad, good], [good + 1] * 3))


def test_peak(capsys):
    accelerator.peak([16])
    assert "16 x 16, bfloat16: " in capsys.readouterr().out


@pytest.mark.slow
def test_steps(capsys):
    accelerator.steps(width=16, layers=1, batch=3, count=2)
    out = capsys.readouterr().out
    assert "T, 1 lifts, width 16, 1 layers, batch 3, products in bfloat16: " in out
    assert "SE3, 4 lifts" in out
