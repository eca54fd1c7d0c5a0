"""A run that is killed at random moments, and goes on, ends as if it had not been."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from lie_jax import training
from tests.training.tiny import timeless

ROOT = Path(__file__).parents[2]


def process(folder, cache):
    folder.mkdir(exist_ok=True)
    # A cache of its own: a process killed while it writes there must not spoil other tests.
    own = {
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    command = [sys.executable, "-m", "tests.training.tiny", str(folder)]
    return subprocess.Popen(command, cwd=ROOT, env=os.environ | own, stdout=subprocess.PIPE)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    root = tmp_path_factory.mktemp("killed")
    with process(root / "whole", root / "cache") as whole:
        whole.communicate()
    assert whole.returncode == 0
    return root


def log(folder):
    return timeless(training.MetricsLog(folder / "metrics.jsonl"))


@pytest.mark.parametrize("kills", [1, pytest.param(6, marks=pytest.mark.slow)])
def test_a_run_killed_at_random_moments_ends_as_if_it_had_not_been(uninterrupted, kills):
    root = uninterrupted
    folder, rng = root / f"killed-{kills}", np.random.default_rng(kills)
    for _ in range(kills):
        with process(folder, root / "cache") as run:
            assert run.stdout is not None
            assert run.stdout.readline() == b"started\n"
            # Most of a run's time is its checkpoints': many kills leave one half written.
            time.sleep(rng.uniform(0, 0.5))
            run.send_signal(signal.SIGKILL)
            run.wait()
        assert run.returncode == -signal.SIGKILL, "over before it was killed"
    with process(folder, root / "cache") as run:
        run.communicate()
    assert run.returncode == 0
    assert log(folder) == log(root / "whole")
    final, wanted = (np.load(f / "final.npz") for f in (folder, root / "whole"))
    assert final.files == wanted.files
    for name in wanted.files:
        np.testing.assert_array_equal(final[name], wanted[name])
