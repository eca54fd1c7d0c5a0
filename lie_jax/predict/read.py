"""Molecules from what stands on the command line: files and SMILES."""

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.formula import Formula

_SEED = 0
"""Of the geometry that is made of a SMILES."""
SMILES_NOTE = (
    "geometries of SMILES are one conformer by the MMFF94 force field, where the networks were "
    "trained on B3LYP/6-31G(2df,p) geometries: expect larger errors than the intervals say"
)


@dataclasses.dataclass(frozen=True)
class Entry:
    """One molecule of the command line, or why it cannot be read.

    Args:
        source: the file or the SMILES.
        frame: place in the file, from 0.
        atoms: the molecule; None if it cannot be read.
        problem: why it cannot; None if it can.
        from_smiles: whether its geometry was made here.
    """

    source: str
    frame: int = 0
    atoms: Atoms | None = None
    problem: str | None = None
    from_smiles: bool = False

    @property
    def formula(self) -> str:
        """Elements and their counts, in Hill's order."""
        return (
            "" if self.atoms is None else Formula.from_list(list(self.atoms.symbols)).format("hill")
        )


def read(argument: str) -> list[Entry]:
    """The molecules of a file that ASE reads (all frames), of an SDF file, or of a SMILES.

    Problems come back in the entries, so that one bad file does not keep the others from being
    predicted.
    """
    try:
        if not Path(argument).is_file():
            return [Entry(argument, atoms=_from_smiles(argument), from_smiles=True)]
        is_sdf = Path(argument).suffix.lower() in (".sdf", ".sd", ".mol")
        return _read_sdf(argument) if is_sdf else _read_by_ase(argument)
    except (OSError, ValueError, ModuleNotFoundError) as error:
        return [Entry(argument, problem=str(error))]


def _read_by_ase(file: str) -> list[Entry]:
    from ase.io import read as ase_read

    try:
        frames = ase_read(file, index=":")
    # Readers of ASE raise whatever they stumble over.
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise ValueError(f"ASE cannot read it: {reason}") from error
    if not frames:
        raise ValueError("it holds no molecule")
    frames = frames if isinstance(frames, list) else [frames]
    return [Entry(file, i, atoms) for i, atoms in enumerate(frames)]


def _read_sdf(file: str) -> list[Entry]:
    try:
        from rdkit import Chem
    except ModuleNotFoundError as error:
        text = Path(file).read_text(errors="replace")
        if len([part for part in text.split("$$$$") if part.strip()]) > 1:
            raise ModuleNotFoundError(
                "it holds several molecules, of which ASE reads the first only: "
                'pip install "lie_jax[smiles]" to read all'
            ) from error
        return _read_by_ase(file)
    entries = []
    with _quiet(), Chem.SDMolSupplier(file, sanitize=False, removeHs=False) as found:
        for i, molecule in enumerate(found):
            if molecule is None or not molecule.GetNumConformers():
                entries.append(Entry(file, i, problem="it is no molecule with positions"))
            elif _charge(molecule):
                entries.append(Entry(file, i, problem=_ion(_charge(molecule))))
            else:
                entries.append(Entry(file, i, _atoms(molecule)))
    if not entries:
        raise ValueError("it holds no molecule")
    return entries


def _from_smiles(text: str) -> Atoms:
    try:
        from rdkit import Chem
        from rdkit.Chem.rdDistGeom import EmbedMolecule
        from rdkit.Chem.rdForceFieldHelpers import MMFFOptimizeMolecule
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            'there is no such file; to read it as SMILES: pip install "lie_jax[smiles]"'
        ) from error
    with _quiet():
        molecule = Chem.MolFromSmiles(text)
        if molecule is None or not molecule.GetNumAtoms():
            raise ValueError("it is neither a file nor a SMILES")
        if _charge(molecule):
            raise ValueError(_ion(_charge(molecule)))
        molecule = Chem.AddHs(molecule)
        # Cages need a start at random; others are better without.
        starts = (False, True)
        if all(EmbedMolecule(molecule, randomSeed=_SEED, useRandomCoords=s) < 0 for s in starts):
            raise ValueError("rdkit finds no geometry for this SMILES")
        # Without MMFF's parameters (some metals) or not converged, the geometry is of no use.
        if MMFFOptimizeMolecule(molecule, maxIters=2000) != 0:
            raise ValueError("MMFF94 finds no geometry for this SMILES")
    return _atoms(molecule)


def _atoms(molecule: Any) -> Atoms:
    numbers = [atom.GetAtomicNum() for atom in molecule.GetAtoms()]
    return Atoms(numbers, np.array(molecule.GetConformer().GetPositions()))


def _charge(molecule: Any) -> int:
    return sum(atom.GetFormalCharge() for atom in molecule.GetAtoms())


def _ion(charge: int) -> str:
    return f"it has the charge {charge:+d}, training molecules are neutral"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without rdkit's own messages, whose content the errors here say."""
    from rdkit import rdBase

    with rdBase.BlockLogs():
        yield
