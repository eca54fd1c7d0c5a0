"""The 12 properties that are learnt, with units, and the energies of free atoms.

Stored values have the units of the original files: angstrom, hartree, debye, bohr, cal/(mol K),
GHz, and 1/cm for frequencies.
"""

import dataclasses

HARTREE_IN_MEV = 27_211.386245988
"""CODATA 2018."""

MAX_ATOMS = 29
CHARGES = (1, 6, 7, 8, 9)
"""Nuclear charges that occur: H, C, N, O, F."""
SYMBOLS = {"H": 1, "C": 6, "N": 7, "O": 8, "F": 9}

LABELS = (
    "A", "B", "C", "mu", "alpha", "homo", "lumo", "gap", "r2", "zpve", "U0", "U", "H", "G", "Cv",
)  # fmt: skip
"""Fields of a molecule in the order of the original files."""

ATOM_ENERGIES: dict[str, dict[int, float]] = {
    "U0": {1: -0.500273, 6: -37.846772, 7: -54.583861, 8: -75.064579, 9: -99.718730},
    "U": {1: -0.498857, 6: -37.845355, 7: -54.582445, 8: -75.063163, 9: -99.717314},
    "H": {1: -0.497912, 6: -37.844411, 7: -54.581501, 8: -75.062219, 9: -99.716370},
    "G": {1: -0.510927, 6: -37.861317, 7: -54.598897, 8: -75.079532, 9: -99.733544},
}
"""Energies of the free atoms in hartree, at the same level of theory (atomref.txt of QM9)."""


@dataclasses.dataclass(frozen=True)
class Property:
    """One learning target.

    Args:
        name: as in the tables of the literature.
        field: where it stands in the data.
        unit: in which its error is reported.
        scale: one stored unit in reported units.
        extensive: whether it grows with the molecule, so that a sum over atoms fits it.
        meaning: in words.
    """

    name: str
    field: str
    unit: str
    scale: float
    extensive: bool
    meaning: str


_ALL = (
    Property("alpha", "alpha", "bohr³", 1.0, True, "isotropic polarisability"),
    Property("gap", "gap", "meV", HARTREE_IN_MEV, False, "gap between HOMO and LUMO"),
    Property("homo", "homo", "meV", HARTREE_IN_MEV, False, "highest occupied orbital's energy"),
    Property("lumo", "lumo", "meV", HARTREE_IN_MEV, False, "lowest unoccupied orbital's energy"),
    Property("mu", "mu", "D", 1.0, False, "norm of the dipole moment"),
    Property("Cv", "Cv", "cal/(mol K)", 1.0, True, "heat capacity at 298.15 K"),
    Property("G", "G_atomization", "meV", HARTREE_IN_MEV, True, "free energy of atomisation"),
    Property("H", "H_atomization", "meV", HARTREE_IN_MEV, True, "enthalpy of atomisation"),
    Property("r2", "r2", "bohr²", 1.0, True, "electronic spatial extent"),
    Property("U", "U_atomization", "meV", HARTREE_IN_MEV, True, "atomisation energy, 298.15 K"),
    Property("U0", "U0_atomization", "meV", HARTREE_IN_MEV, True, "atomisation energy, 0 K"),
    Property("zpve", "zpve", "meV", HARTREE_IN_MEV, True, "zero point vibrational energy"),
)

PROPERTIES: dict[str, Property] = {p.name: p for p in _ALL}
"""The 12 targets by name, in the order of the published table."""
