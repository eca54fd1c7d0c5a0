"""Tests run in float64 by default; those about float32 name their dtype."""

import jax
import pytest

jax.config.update("jax_enable_x64", True)


@pytest.fixture
def key():
    return jax.random.key(0)


@pytest.fixture(scope="session", autouse=True)
def _own_data_dir(tmp_path_factory):
    """Tests make their own cache of the molecules and leave the user's alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIE_JAX_DATA", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture(scope="module", autouse=True)
def _forget_compiled_programs():
    """Compiled programs are kept per process: gigabytes after hundreds of tests."""
    yield
    jax.clear_caches()
