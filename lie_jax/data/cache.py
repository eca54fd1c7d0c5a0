"""Where data are kept on disk, and files that are whole or not there."""

import contextlib
import os
import tempfile
import warnings
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np


def cache_dir(data_dir: str | Path | None = None) -> Path:
    """``data_dir``; else the environment's LIE_JAX_DATA; else ~/.cache/lie_jax."""
    if data_dir is None:
        data_dir = os.environ.get("LIE_JAX_DATA") or Path.home() / ".cache" / "lie_jax"
    return Path(data_dir).expanduser()


def read_arrays(where: str, path: Path, names: Collection[str]) -> dict[str, np.ndarray] | None:
    """The arrays of these names in a file that `write_arrays` wrote.

    None if there is no such file; None, with a warning, if it is damaged or lacks a name.
    """
    if not path.is_file():
        return None
    try:
        with np.load(path) as file:
            return {name: file[name] for name in names}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        warnings.warn(
            f"{where}: the cache {path} cannot be read ({error}) and is made anew", stacklevel=3
        )
        return None


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes an npz file, and its folder if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Under another name until it is whole: two runs may write at once, or one be stopped.
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".npz", delete=False) as file:
        try:
            np.savez(file, **arrays)  # pyright: ignore (stubs take arrays for allow_pickle)
            file.close()
            os.replace(file.name, path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(file.name)
