"""Memory that is freed stays with the process."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import jax, jax.numpy as jnp
from lie_jax import training

if sys.argv[1] == "keep":
    assert training.keep_freed_memory()
large = jax.jit(lambda x: jnp.sum(jnp.sin(jnp.cumsum(x[:, None] * x[None], 0))))
x = jnp.ones(4096, jnp.float32)
faults = []
for _ in range(30):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    large(x).block_until_ready()
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(sorted(faults)[5])
"""


def faults(how: str) -> int:
    command = [sys.executable, "-c", PROGRAM, how]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="about glibc")
def test_pages_are_not_fetched_anew_in_every_step():
    """Two arrays of 64 MiB, of pages of 4 KiB or larger, in every step."""
    assert faults("leave") > 100
    assert faults("keep") < 50
