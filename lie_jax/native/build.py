"""Compiling the C++ beside this file for this machine, once."""

import ctypes
import functools
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

import jax
import jaxlib.version

_FOLDER = Path(__file__).parent
# -march=native: the file is never carried to another machine, its name holds the processor.
# Without errno and traps a comparison or a root is one instruction; NaN stays NaN.
_FLAGS = [
    *("-O3", "-march=native", "-std=c++17", "-fPIC", "-shared"),
    *("-fno-math-errno", "-fno-trapping-math"),
]
_TIMEOUT = 120.0

_log = logging.getLogger(__name__)


def status() -> str:
    """``"compiled in <folder>"`` or ``"not used: <why>"``; compiles what usual networks need."""
    found = [_library("location", 16), _library("contract", None)]
    missing = [x for x in found if isinstance(x, str)]
    return f"not used: {missing[0]}" if missing else f"compiled in {_folder()}"


def library(name: str, hidden: int | None = None) -> ctypes.CDLL | None:
    """The library of ``<name>.cc``, compiled and registered if it is not there yet; None without.

    Args:
        name: of the source.
        hidden: for ``location``, hidden features: each number has a library of its own.
    """
    found = _library(name, hidden)
    return None if isinstance(found, str) else found


@functools.cache
def _library(name: str, hidden: int | None) -> ctypes.CDLL | str:
    """The library, or why there is none."""
    if os.environ.get("LIE_JAX_NATIVE", "1") == "0":
        return "the environment says LIE_JAX_NATIVE=0"
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        return "no C++ compiler (g++, clang++ or the environment's CXX)"
    own = name if hidden is None else f"{name}_{hidden}"
    path = _folder() / f"{own}-{_fingerprint(compiler)}.so"
    try:
        if not path.is_file():
            _compile(compiler, _FOLDER / f"{name}.cc", hidden, path)
        found = ctypes.CDLL(str(path))
        capsule = jax.ffi.pycapsule(getattr(found, f"lie_jax_{name}"))
        jax.ffi.register_ffi_target(f"lie_jax_{own}", capsule, platform="cpu")
    except subprocess.CalledProcessError as error:
        why = f"{compiler} failed: {(error.stderr or '').strip()[:500]}"
    except Exception as error:  # whatever goes wrong here must not stop a computation
        why = f"{type(error).__name__}: {error}"
    else:
        return found
    _log.warning("lie_jax.native: %s runs in XLA alone: %s", name, why)
    return why


def _compile(compiler: str, source: Path, hidden: int | None, path: Path) -> None:
    _log.info("lie_jax.native: compiling %s for this machine, once", path.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Renamed at the end: another process sees the whole file or none.
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        made = Path(folder) / path.name
        options = ["-isystem", jax.ffi.include_dir()]
        if hidden is not None:
            options.append(f"-DHIDDEN={hidden}")
        subprocess.run(
            [*compiler.split(), *_FLAGS, *options, str(source), "-o", str(made)],
            check=True,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
        )
        made.replace(path)


def _folder() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "lie_jax" / "native"


def _fingerprint(compiler: str) -> str:
    """Changes with the source, the way it is compiled, jaxlib's interface and the processor."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.is_file() else [platform.processor()]
    first = [x for x in lines if x.startswith(("model name", "flags", "Features"))][:2]
    parts = (
        compiler,
        *_FLAGS,
        jaxlib.version.__version__,
        platform.machine(),
        *(first or lines[:1]),
    )
    sources = [x.read_bytes() for pattern in ("*.cc", "*.h") for x in sorted(_FOLDER.glob(pattern))]
    digest = hashlib.sha256(b"".join(sources))
    digest.update("\0".join(parts).encode())
    return digest.hexdigest()[:16]
