"""Compiling the C++ and CUDA beside this file for this machine, once."""

import ctypes
import functools
import hashlib
import importlib.util
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
_CUDA_FLAGS = ["-O3", "-std=c++17", "-shared", "-Xcompiler=-fPIC", f"-I{_FOLDER / 'cuda'}"]
_LEAST_CAPABILITY = 80
"""Of a GPU, 10 times: from there on it multiplies in TensorFloat-32."""
_SOURCES = (".cc", ".h", ".cu", ".cuh")
_TIMEOUT = 120.0

_log = logging.getLogger(__name__)


def status() -> str:
    """``"compiled in <folder>"`` or ``"not used: <why>"``; compiles what usual networks need."""
    on_gpu = jax.default_backend() == "gpu"
    found = [_cuda()] if on_gpu else [_library("location", 16), _library("contract", None)]
    missing = [x for x in found if isinstance(x, str)]
    return f"not used: {missing[0]}" if missing else f"compiled in {_folder()}"


def is_alone() -> bool:
    """Whether machine code sees whole arrays.

    Of several devices each would be given all of them, since XLA cannot divide what it does not
    know; inside `jax.shard_map` results would have to say between which devices they differ.
    """
    return jax.device_count() == 1 and not jax.sharding.get_abstract_mesh().manual_axes


def library(name: str, hidden: int | None = None) -> ctypes.CDLL | None:
    """The library of ``<name>.cc``, compiled and registered if it is not there yet; None without.

    Args:
        name: of the source.
        hidden: for ``location``, hidden features: each number has a library of its own.
    """
    found = _library(name, hidden)
    return None if isinstance(found, str) else found


def cuda_library() -> ctypes.CDLL | None:
    """The library of ``cuda/location.cu`` for the GPUs of this process, likewise."""
    found = _cuda()
    return None if isinstance(found, str) else found


@functools.cache
def _library(name: str, hidden: int | None) -> ctypes.CDLL | str:
    """The library, or why there is none."""
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        return "no C++ compiler (g++, clang++ or the environment's CXX)"
    own = name if hidden is None else f"{name}_{hidden}"
    flags = _FLAGS if hidden is None else [*_FLAGS, f"-DHIDDEN={hidden}"]
    command = [*compiler.split(), *flags]
    source = _FOLDER / f"{name}.cc"
    return _loaded(own, command, source, _processor(), f"lie_jax_{name}", f"lie_jax_{own}", "cpu")


@functools.cache
def _cuda() -> ctypes.CDLL | str:
    """The library, or why there is none."""
    if os.environ.get("LIE_JAX_CUDA") != "1":
        return "its kernels have run on no GPU yet: the environment's LIE_JAX_CUDA=1 takes them"
    compiler = _nvcc()
    if compiler is None:
        return "no CUDA compiler (nvcc on the path, in CUDA_HOME or installed by pip)"
    try:
        devices = jax.local_devices(backend="gpu")
    except RuntimeError as error:  # lowered for a GPU on a machine that has none
        return str(error)
    found = {str(getattr(x, "compute_capability", "")) for x in devices}
    capabilities = sorted(x.replace(".", "") for x in found)
    if not all(x.isdecimal() and int(x) >= _LEAST_CAPABILITY for x in capabilities):
        return f"GPUs of compute capability {_LEAST_CAPABILITY / 10} or more, got {sorted(found)}"
    codes = [f"-gencode=arch=compute_{x},code=sm_{x}" for x in capabilities]
    command = [compiler, *_cuda_flags(compiler), *codes]
    source, name = _FOLDER / "cuda" / "location.cu", "lie_jax_location_cuda"
    library = _loaded("location_cuda", command, source, [], "lie_jax_location", name, "CUDA")
    if isinstance(library, str):
        return library
    library.lie_jax_location_failure.restype = ctypes.c_char_p
    if failure := library.lie_jax_location_failure():  # an older driver, say
        _log.warning("lie_jax.native: location_cuda runs in XLA alone: %s", failure.decode())
        return failure.decode()
    return library


def _cuda_flags(compiler: str) -> list[str]:
    """Common ones, and where pip's packages keep what nvcc looks for in lib64."""
    found = Path(compiler).resolve().parents[1] / "lib"
    return [*_CUDA_FLAGS, *([f"-L{found}"] if (found / "libcudart_static.a").is_file() else [])]


def _nvcc() -> str | None:
    """CUDA's compiler: the environment's, or that which came with JAX's packages."""
    if found := shutil.which("nvcc"):
        return found
    folders = [Path(os.environ.get("CUDA_HOME") or "/usr/local/cuda")]
    spec = importlib.util.find_spec("nvidia")
    for place in (spec and spec.submodule_search_locations) or []:
        folders += sorted(Path(place).glob("cu*"), reverse=True)
    paths = [folder / "bin" / "nvcc" for folder in folders]
    return next((str(path) for path in paths if path.is_file()), None)


def _loaded(
    own: str,
    command: list[str],
    source: Path,
    machine: list[str],
    symbol: str,
    target: str,
    platform: str,
) -> ctypes.CDLL | str:
    """Compiles the source unless that is done, loads it and registers its symbol."""
    if os.environ.get("LIE_JAX_NATIVE", "1") == "0":
        return "the environment says LIE_JAX_NATIVE=0"
    path = _folder() / f"{own}-{_fingerprint(source, command, machine)}.so"
    try:
        if not path.is_file():
            _compile(command, source, path)
        found = ctypes.CDLL(str(path))
        capsule = jax.ffi.pycapsule(getattr(found, symbol))
        jax.ffi.register_ffi_target(target, capsule, platform=platform)
    except subprocess.CalledProcessError as error:
        why = f"{command[0]} failed: {(error.stderr or '').strip()[:500]}"
    except Exception as error:  # whatever goes wrong here must not stop a computation
        why = f"{type(error).__name__}: {error}"
    else:
        return found
    _log.warning("lie_jax.native: %s runs in XLA alone: %s", own, why)
    return why


def _compile(command: list[str], source: Path, path: Path) -> None:
    _log.info("lie_jax.native: compiling %s for this machine, once", path.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Renamed at the end: another process sees the whole file or none.
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        made = Path(folder) / path.name
        subprocess.run(
            [*command, "-isystem", jax.ffi.include_dir(), str(source), "-o", str(made)],
            check=True,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
        )
        made.replace(path)


def _folder() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "lie_jax" / "native"


def _processor() -> list[str]:
    """What machine code for this CPU depends on."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.is_file() else [platform.processor()]
    first = [x for x in lines if x.startswith(("model name", "flags", "Features"))][:2]
    return [platform.machine(), *(first or lines[:1])]


def is_known(flag: str) -> bool:
    """Whether the processor says that it has these instructions, as Linux names them."""
    return any(flag in line.split() for line in _processor())


def _fingerprint(source: Path, command: list[str], machine: list[str]) -> str:
    """Changes with the sources, the way they are compiled, jaxlib's interface and the machine."""
    files = [x for x in sorted(source.parent.glob("*.*")) if x.suffix in _SOURCES]
    digest = hashlib.sha256(b"".join(x.read_bytes() for x in files))
    digest.update("\0".join([*command, jaxlib.version.__version__, *machine]).encode())
    return digest.hexdigest()[:16]
