"""Tests run in float64 by default; those about float32 name their dtype."""

import functools
import gc
import os
import shutil
import tempfile

# Before NumPy is imported, here or by the workers, who inherit it: the threads of the linear
# algebra library wait for each other in loops, and with two workers on two cores a call of
# milliseconds can take seconds.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import jax
import pytest

jax.config.update("jax_enable_x64", True)

# Tracing makes very many objects; looking for cycles among them took 6 % of the time.
gc.set_threshold(200_000, 100, 100)

# Most of the time of the tests is compilation. What one worker or module has compiled, the
# others of the same run read; it is kept in a folder that the run makes and its workers inherit.
_IS_FIRST = "LIE_JAX_TEST_CACHE" not in os.environ
_CACHE = os.environ.get("LIE_JAX_TEST_CACHE") or tempfile.mkdtemp(prefix="lie_jax-tests-")
os.environ["LIE_JAX_TEST_CACHE"] = _CACHE
jax.config.update("jax_compilation_cache_dir", _CACHE)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def pytest_sessionfinish():
    if _IS_FIRST:  # the workers have stopped
        shutil.rmtree(_CACHE, ignore_errors=True)


@pytest.fixture
def key():
    return jax.random.key(0)


@pytest.fixture(scope="session", autouse=True)
def _own_data_dir(tmp_path_factory):
    """Tests make their own cache of the molecules and leave the user's alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIE_JAX_DATA", str(tmp_path_factory.mktemp("data")))
        yield


# Every test compiles some programs of its own: XLA's costly passes take longer than the tests. What
# is accurate to the last digits is tested as users compile it.
_COMPILED_AS_BY_USERS = (
    "attention",
    "interop",
    "nn",
    "test_accuracy",
    "test_discrete",
    "test_jaxlie",
)


@pytest.fixture(scope="module", autouse=True)
def _compilation(request):
    """Programs are kept per process (gigabytes after hundreds of tests): here, per module."""
    with pytest.MonkeyPatch.context() as patch:
        if not {request.path.parent.name, request.path.stem} & set(_COMPILED_AS_BY_USERS):
            # Imported here: what is imported before pytest is configured is not type-checked.
            # The others too: whatever they decorate on import would keep the patched `jit`.
            import flax.nnx  # noqa: F401
            import optax  # noqa: F401

            import lie_jax.dynamics  # noqa: F401
            from lie_jax.testing._compile import fast_options

            jit = functools.partial(jax.jit, compiler_options=fast_options())
            patch.setattr(jax, "jit", jit)
            jax.config.update("jax_disable_most_optimizations", True)
        yield
    jax.config.update("jax_disable_most_optimizations", False)
    jax.clear_caches()
