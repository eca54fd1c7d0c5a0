"""What this machine can do at best: ``python -m benchmarks._machine`` prints a JSON object.

A float32 matrix product for arithmetic, and adding 1 to a large array (read once, written once) for
memory, in place; each the best of 5, at JAX's default precision, on JAX's default device.
"""

import json
import time

import jax
import jax.numpy as jnp

SIZE = 2048
ARRAY_MIB = 256
ATTEMPTS = 5


def best_seconds(step, x) -> float:
    """Of a jitted function that is given its own result, without its compilation."""
    x = jax.block_until_ready(step(x))
    taken = []
    for _ in range(ATTEMPTS):
        started = time.perf_counter()
        x = jax.block_until_ready(step(x))
        taken.append(time.perf_counter() - started)
    return min(taken)


def main() -> None:
    factor = jnp.eye(SIZE)
    product = best_seconds(jax.jit(lambda x: x @ factor), jnp.ones((SIZE, SIZE)))
    add = jax.jit(lambda x: x + 1, donate_argnums=0)
    addition = best_seconds(add, jnp.zeros(ARRAY_MIB * 2**18))
    peaks = {
        "peak_gflops_per_second": 2 * SIZE**3 / product / 1e9,
        "peak_gbytes_per_second": 2 * ARRAY_MIB * 2**20 / addition / 1e9,
    }
    print(json.dumps(peaks))


if __name__ == "__main__":
    main()
