"""All molecules as flat arrays, kept in a cache that loads in a fraction of a second."""

import dataclasses
from pathlib import Path

import numpy as np

from lie_jax.data.cache import cache_dir, read_arrays, write_arrays
from lie_jax.data.qm9 import source as _source
from lie_jax.data.qm9.properties import ATOM_ENERGIES, LABELS
from lie_jax.data.qm9.source import SourceName

_FIELDS = (*LABELS, *(f"{name}_atomization" for name in ATOM_ENERGIES))
_ARRAYS = ("index", "num_atoms", "charges", "positions")
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


def load(
    data_dir: str | Path | None = None,
    *,
    source: SourceName = "qm9pack",
    manual_dir: str | Path | None = None,
) -> Molecules:
    """All 130,831 characterised molecules in the order of their index.

    The first call reads the source (about 5 s) and writes the cache; later ones read that.

    Args:
        data_dir: where the cache lies, see `lie_jax.data.cache.cache_dir`.
        source, manual_dir: see `lie_jax.data.qm9.source.read`.

    Raises:
        ModuleNotFoundError, FileNotFoundError, ValueError: as `lie_jax.data.qm9.source.read`.
    """
    path = cache_dir(data_dir) / _CACHE
    arrays = read_arrays("qm9", path, (*_ARRAYS, *(f"value/{name}" for name in _FIELDS)))
    if arrays is not None:
        values = {name: arrays.pop(f"value/{name}") for name in _FIELDS}
        return Molecules(**arrays, values=values)
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


def _write_cache(path: Path, molecules: Molecules) -> None:
    arrays = {f"value/{name}": column for name, column in molecules.values.items()}
    arrays |= {name: getattr(molecules, name) for name in _ARRAYS}
    write_arrays(path, arrays)
