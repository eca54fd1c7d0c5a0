"""Reading QM9 from where it is published, as columns named as in TFDS.

Columns: ``index`` (n,), ``num_atoms`` (n,), ``charges`` (n, 29), ``positions`` (n, 29, 3) in
angstrom, ``Mulliken_charges`` (n, 29), the 15 labels and four atomisation energies (n,) in the
original units, and lists of ``frequencies``, ``SMILES``, ``SMILES_relaxed``, ``InChI``,
``InChI_relaxed``. Rows are the characterised molecules in the order of their index.
"""

import importlib.util
import re
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lie_jax.data.qm9.properties import ATOM_ENERGIES, LABELS, MAX_ATOMS, SYMBOLS
from lie_jax.typing import Validated

SourceName = Literal["qm9pack", "download"]

CHARACTERISED = 130_831
"""Molecules whose relaxed geometry is consistent with the one they were generated from."""

Columns = dict[str, Any]

_QM9PACK_LABELS = {
    "A": "RotA_GHz",
    "B": "RotB_GHz",
    "C": "RotC_GHz",
    "mu": "Dipole_debye",
    "alpha": "Polarizability_bohr3",
    "homo": "HOMO_au",
    "lumo": "LUMO_au",
    "gap": "HOMO_LUMO_gap_au",
    "r2": "R2_bohr2",
    "zpve": "ZPVE_au",
    "U0": "InternalEnergy_0K_au",
    "U": "InternalEnergy_298K_au",
    "H": "Enthalphy_298K_au",
    "G": "GibbsFreeEnergy_298K_au",
    "Cv": "Heatcapacity_Cv_cal_mol_K",
}

DOWNLOAD_HELP = (
    "the files dsgdb9nsd.xyz.tar.bz2 (or the .xyz files in it) and uncharacterized.txt of "
    "https://doi.org/10.6084/m9.figshare.c.978904.v5"
)


def read(source: Validated[SourceName], manual_dir: str | Path | None = None) -> Columns:
    """All characterised molecules from a source.

    Args:
        source: ``"qm9pack"``, the installed package of that name; ``"download"``, the original
            files in ``manual_dir``.
        manual_dir: where the original files lie.

    Raises:
        ModuleNotFoundError: qm9pack is not installed.
        FileNotFoundError: a file is missing in ``manual_dir``.
        ValueError: unknown source, or the molecules read are not those of QM9.
    """
    if source == "qm9pack":
        columns = read_qm9pack(qm9pack_folder())
    elif source == "download":
        if manual_dir is None:
            raise ValueError(
                f'qm9: manual_dir must be given for source="download": {DOWNLOAD_HELP}'
            )
        columns = read_download(Path(manual_dir))
    else:
        raise ValueError(f'qm9: source must be "qm9pack" or "download", got {source!r}')
    if len(columns["index"]) != CHARACTERISED:
        raise ValueError(
            f"qm9: source {source!r} must hold {CHARACTERISED} characterised molecules, "
            f"got {len(columns['index'])}"
        )
    return columns


def qm9pack_folder() -> Path:
    """Where the installed qm9pack keeps its CSV files.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    # Found, not imported: importing it needs pkg_resources, which new setuptools lack.
    spec = importlib.util.find_spec("qm9pack")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(
            "qm9: the molecules come from the package qm9pack, which is not installed: "
            "pip install 'lie_jax[data]' (or pip install qm9pack); the alternative is "
            f'source="download" with manual_dir holding {DOWNLOAD_HELP}'
        )
    return Path(spec.submodule_search_locations[0]) / "data"


def read_qm9pack(folder: Path) -> Columns:
    """The molecules of qm9pack's CSV files.

    SMILES and InChI are those of the original files' first entries; the second ones, of the
    relaxed geometry, are not in qm9pack and are empty.

    Raises:
        FileNotFoundError: a CSV file is missing.
        ValueError: a value is missing or not finite.
    """
    import pandas as pd

    paths = [folder / f"qm9_part{i}.csv" for i in (1, 2, 3)]
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(f"qm9: qm9pack is incomplete, {path} is missing")
    table = pd.concat([pd.read_csv(path) for path in paths], ignore_index=True)
    table = table.sort_values("Index", kind="stable")
    symbols = _split(table["Elements"])
    columns = _atoms(
        table["N_atoms"].to_numpy(np.int64),
        np.array([SYMBOLS[s] for s in symbols]),
        np.array(_split(table["XYZ_Ang"]), np.float64),
        np.array(_split(table["Mulliken_pop"]), np.float64),
    )
    columns["index"] = table["Index"].to_numpy(np.int64)
    columns |= {k: table[name].to_numpy(np.float64) for k, name in _QM9PACK_LABELS.items()}
    # Kept as text until asked for: 130,831 arrays of different lengths are slow to make.
    columns["frequencies"] = _Lazy(table["Harmonic_Freq_cmi"].tolist(), _numbers)
    columns["SMILES"], columns["InChI"] = table["SMILES"].tolist(), table["InChi"].tolist()
    columns["SMILES_relaxed"] = columns["InChI_relaxed"] = [""] * len(table)
    return _finish(columns)


def read_download(folder: Path) -> Columns:
    """The molecules of the original files.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a molecule's file does not have the original format.
    """
    listing = folder / "uncharacterized.txt"
    if not listing.is_file():
        raise FileNotFoundError(f"qm9: {listing} is missing; {folder} must hold {DOWNLOAD_HELP}")
    # Lines of the listing that tell of a molecule begin with its number.
    left_out = {int(m[1]) for m in re.finditer(r"^\s*(\d+)\s+\S+\s", listing.read_text(), re.M)}
    molecules = [m for m in map(_parse_xyz, _xyz_files(folder)) if m["index"] not in left_out]
    molecules.sort(key=lambda m: m["index"])
    if not molecules:
        raise FileNotFoundError(f"qm9: {folder} must hold {DOWNLOAD_HELP}")
    columns = _atoms(
        np.array([len(m["charges"]) for m in molecules]),
        np.concatenate([m["charges"] for m in molecules]),
        np.concatenate([m["positions"].reshape(-1) for m in molecules]),
        np.concatenate([m["Mulliken_charges"] for m in molecules]),
    )
    columns["index"] = np.array([m["index"] for m in molecules])
    columns |= {k: np.array([m[k] for m in molecules]) for k in LABELS}
    texts = ("frequencies", "SMILES", "SMILES_relaxed", "InChI", "InChI_relaxed")
    return _finish(columns | {k: [m[k] for m in molecules] for k in texts})


def _xyz_files(folder: Path) -> Iterator[tuple[str, str]]:
    """Name and text of every molecule's file."""
    archive = folder / "dsgdb9nsd.xyz.tar.bz2"
    if archive.is_file():
        with tarfile.open(archive) as tar:
            for member in tar:
                if member.name.endswith(".xyz"):
                    content = tar.extractfile(member)
                    assert content is not None
                    yield member.name, content.read().decode()
        return
    for path in sorted(folder.rglob("dsgdb9nsd_*.xyz")):
        yield path.name, path.read_text()


def _parse_xyz(file: tuple[str, str]) -> dict[str, Any]:
    """One molecule: atom count, labels, atoms, frequencies, SMILES, InChI, a line each."""
    name, text = file
    # Some exponents are written as Mathematica writes them, 6.8*^-6.
    lines = [line.split() for line in text.replace("*^", "e").splitlines()]
    try:
        count = int(lines[0][0])
        atoms = lines[2 : 2 + count]
        labels = dict(zip(LABELS, map(float, lines[1][2:]), strict=True))
        numbers = np.array([[float(v) for v in atom[1:5]] for atom in atoms])
        smiles, inchi = lines[count + 3][:2], lines[count + 4][:2]
        return labels | {
            "index": int(lines[1][1]),
            "charges": np.array([SYMBOLS[atom[0]] for atom in atoms]),
            "positions": numbers[:, :3],
            "Mulliken_charges": numbers[:, 3],
            "frequencies": np.array(lines[count + 2], np.float32),
            "SMILES": smiles[0],
            "SMILES_relaxed": smiles[1],
            "InChI": inchi[0],
            "InChI_relaxed": inchi[1],
        }
    except (ValueError, IndexError, KeyError) as error:
        raise ValueError(f"qm9: {name} does not have the format of QM9 ({error})") from error


def _atoms(sizes: np.ndarray, charges: np.ndarray, positions: np.ndarray, mulliken: np.ndarray):
    """Padded columns from what stands for all atoms of all molecules in a row."""
    mask = np.arange(MAX_ATOMS) < sizes[:, None]
    if not len(charges) == len(mulliken) == len(positions) // 3 == mask.sum():
        raise ValueError("qm9: numbers of atoms, symbols, positions and charges disagree")

    def padded(values, dtype):
        out = np.zeros((*mask.shape, *values.shape[1:]), dtype)
        out[mask] = values
        return out

    return {
        "num_atoms": sizes,
        "charges": padded(charges, np.int64),
        "positions": padded(positions.reshape(-1, 3), np.float32),
        "Mulliken_charges": padded(mulliken, np.float32),
    }


def _finish(columns: Columns) -> Columns:
    """Adds the atomisation energies and looks for what is not finite."""
    for name, energies in ATOM_ENERGIES.items():
        table = np.zeros(max(energies) + 1)
        table[list(energies)] = list(energies.values())
        atoms = table[columns["charges"]].sum(axis=1)
        columns[f"{name}_atomization"] = columns[name] - atoms
    for name, values in columns.items():
        if isinstance(values, np.ndarray) and not np.isfinite(values).all():
            row = int(np.argwhere(~np.isfinite(values))[0][0])
            raise ValueError(f"qm9: {name} of molecule {columns['index'][row]} is not finite")
    return columns


_BRACKETS = str.maketrans("", "", "[]' ")


def _split(texts) -> list[str]:
    """The entries of all the bracketed lists in a column, in a row."""
    return ",".join(texts).translate(_BRACKETS).split(",")


def _numbers(text: str) -> np.ndarray:
    return np.array(text.translate(_BRACKETS).split(","), np.float32)


class _Lazy:
    """A list whose entries are made when they are asked for."""

    def __init__(self, items: list, make: Callable[[Any], Any]):
        self._items, self._make = items, make

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, i: int | np.integer):
        return self._make(self._items[i])
