"""Checks run once or a few times, so for them compiling fast beats running fast."""

from collections.abc import Callable
from functools import cache

import jax

_FAST = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
    # On CPUs: fusions not by way of MLIR, and not cut into parts for many cores.
    "xla_cpu_use_fusion_emitters": False,
    "xla_cpu_parallel_codegen_split_count": 1,
}


@cache
def fast_options() -> dict[str, bool | int]:
    """For ``jax.jit(..., compiler_options=)``; options that this XLA has not got are left out."""

    def is_known(name: str) -> bool:
        try:
            jax.jit(lambda: 0, compiler_options={name: _FAST[name]})()
        except jax.errors.JaxRuntimeError:
            return False
        return True

    return {name: value for name, value in _FAST.items() if is_known(name)}


@cache
def compiled_fast(function: Callable, static: tuple[int, ...] = (0,)) -> Callable:
    """The function, by default one of a group, which is static, and of arrays."""
    return jax.jit(function, static_argnums=static, compiler_options=fast_options())
