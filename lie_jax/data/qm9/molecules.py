"""All molecules as flat arrays, kept in a cache that loads in a fraction of a second."""

import contextlib
import dataclasses
import os
import tempfile
import warnings
import zipfile
from pathlib import Path

import numpy as np

from lie_jax.data.qm9 import source as _source
from lie_jax.data.qm9.properties import ATOM_ENERGIES, LABELS
from lie_jax.data.qm9.source import SourceName

_FIELDS = (*LABELS, *(f"{name}_atomization" for name in ATOM_ENERGIES))
_CACHE = "qm9-1.npz"  # the number changes with the layout


@dataclasses.dataclass(frozen=True)
class Molecules:
    """Molecules as flat arrays in host memory.

    Args:
        index: (n,) number in GDB-9, from 1.
        num_atoms: (n,).
        charges: (n, 29) nuclear charges, 0 where there is no atom.
        positions: (n, 29, 3) in angstrom, 0 where there is no atom.
        values: labels and atomisation energies by field name, (n,) float64 in the units of the
            original files, see `lie_jax.data.qm9.properties`.
    """

    index: np.ndarray
    num_atoms: np.ndarray
    charges: np.ndarray
    positions: np.ndarray
    values: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.index)

    def take(self, rows: np.ndarray) -> "Molecules":
        """The molecules in these rows, in this order."""
        values = {name: column[rows] for name, column in self.values.items()}
        return Molecules(
            self.index[rows], self.num_atoms[rows], self.charges[rows], self.positions[rows], values
        )


def cache_dir(data_dir: str | Path | None = None) -> Path:
    """``data_dir``; else the environment's LIE_JAX_DATA; else ~/.cache/lie_jax."""
    if data_dir is None:
        data_dir = os.environ.get("LIE_JAX_DATA") or Path.home() / ".cache" / "lie_jax"
    return Path(data_dir).expanduser()


def load(
    data_dir: str | Path | None = None,
    *,
    source: SourceName = "qm9pack",
    manual_dir: str | Path | None = None,
) -> Molecules:
    """All 130,831 characterised molecules in the order of their index.

    The first call reads the source (about 5 s) and writes the cache; later ones read that.

    Args:
        data_dir: where the cache lies, see `cache_dir`.
        source, manual_dir: see `lie_jax.data.qm9.source.read`.

    Raises:
        ModuleNotFoundError, FileNotFoundError, ValueError: as `lie_jax.data.qm9.source.read`.
    """
    path = cache_dir(data_dir) / _CACHE
    if path.is_file():
        try:
            return _read_cache(path)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            warnings.warn(
                f"qm9: the cache {path} cannot be read ({error}) and is made anew", stacklevel=2
            )
    molecules = from_columns(_source.read(source, manual_dir))
    _write_cache(path, molecules)
    return molecules


def from_columns(columns: _source.Columns) -> Molecules:
    """The arrays among a source's columns."""
    return Molecules(
        index=columns["index"].astype(np.int32),
        num_atoms=columns["num_atoms"].astype(np.uint8),
        charges=columns["charges"].astype(np.uint8),
        positions=columns["positions"],
        values={name: columns[name] for name in _FIELDS},
    )


def _read_cache(path: Path) -> Molecules:
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    values = {name: arrays.pop(f"value/{name}") for name in _FIELDS}
    return Molecules(**arrays, values=values)


def _write_cache(path: Path, molecules: Molecules) -> None:
    arrays = {f"value/{name}": column for name, column in molecules.values.items()}
    for field in dataclasses.fields(molecules):
        if field.name != "values":
            arrays[field.name] = getattr(molecules, field.name)
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
