"""What is unlike the training molecules is refused, and why; what is like them is not."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from ase.build import molecule

from lie_jax.data import qm9
from lie_jax.predict import Domain

TWENTY = json.loads((Path(__file__).parents[1] / "data" / "qm9_twenty.json").read_text())


def changed(name, **changes):
    atoms = molecule(name)
    for what, (i, value) in changes.items():
        getattr(atoms, what)[i] = value
    return atoms.numbers, atoms.positions


def test_training_molecules_are_like_themselves(domain, molecules):
    for atoms in molecules:
        assert domain.check(atoms.numbers, atoms.positions) is None
        turned = atoms.copy()
        turned.rotate(77, (1, 2, 3))
        assert domain.check(turned.numbers, turned.positions + np.array([100, -5, 3])) is None
    assert domain.elements == ("H", "C", "N", "O", "F")
    assert domain.atoms == (3, 14)
    assert domain.even_electrons


def test_others_of_the_same_kinds_are_like_them(domain):
    for name in ("CH3CH2OCH3", "trans-butane"):
        atoms = molecule(name)
        assert domain.check(atoms.numbers, atoms.positions) is None, name


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (changed("CH4", numbers=(2, 17)), r"atom 2 \(Cl\) is none of H, C, N, O, F"),
        (changed("CH4", numbers=(1, 0)), r"atom 1 \(X\) is none of"),
        (changed("CH4", numbers=(1, 300)), r"atom 1 \(300\) is none of"),
        (changed("CH4", positions=(3, np.nan)), r"atom 3 \(H\) has the position \[nan, nan, nan\]"),
        (changed("CH3OH", positions=(0, [0.2, 0, 0])), r"atoms .* Å apart, as no pair of .* in tr"),
        (changed("CH4", positions=(4, [0, 0, 9])), r"atom 4 \(H\) is in a part \d.\d\d Å from"),
        (([6], np.zeros((1, 3))), "it has 1 atom, training molecules have 3 to 14"),
        (([], np.zeros((0, 3))), "it has no atoms"),
        (([6] * 30, np.zeros((30, 3))), "it has 30 atoms, training molecules have 3 to 14"),
        (changed("CH3"), "it has 9 electrons, .* is it a radical"),
        (changed("isobutene"), r"atom 0 \(C\) is bound to 2 H and 1 other atoms, .* 1.339"),
        (changed("H2O2"), r"atoms 0 \(O\) and 1 \(O\) are 1.468 Å apart, as no pair of O and O"),
    ],
)  # fmt: skip
def test_refused(domain, given, reason):

    found = domain.check(np.asarray(given[0], int), given[1])
    assert found is not None
    assert re.search(reason, found), found


def test_bonds_that_are_too_long_are_refused(domain):
    # A slip of units: bohr for angstrom.
    atoms = molecule("CH3CH2OH")
    assert domain.check(atoms.numbers, atoms.positions / 0.529) is not None
    assert domain.check(atoms.numbers, atoms.positions * 0.529) is not None


def test_missing_hydrogens_are_noticed(domain):
    # Even electrons, known distances: only the surroundings tell.
    atoms = molecule("C6H6")
    bare = atoms[atoms.numbers > 1]
    found = domain.check(bare.numbers, bare.positions)
    assert found is not None
    assert "is a hydrogen missing" in found


def test_periodic_molecules_are_impossible(domain):
    atoms = molecule("CH4")
    assert "periodic" in domain.impossible(atoms.numbers, atoms.positions, True)
    assert domain.impossible(atoms.numbers, atoms.positions * 3) is None


def test_elements_without_features():
    with pytest.raises(ValueError, match=r"Domain.of: molecules must hold H, C, N, O, F only"):
        Domain.of([molecule("CH3Cl")])


@pytest.fixture(scope="module")
def all_molecules():
    return qm9.load()


def test_the_twenty_molecules_are_like_the_training_split(all_molecules):
    train = qm9.split_rows("cormorant")["train"][:15_000]
    rows = np.array([wanted["row"] for wanted in TWENTY])
    # None of the twenty themselves, unless it is tiny and one of a kind.
    known = train[~np.isin(train, rows[rows > 100])]
    domain = Domain.of(all_molecules.take(known))
    reasons = refused(domain, all_molecules, rows[rows > 100])
    assert len(reasons) <= 1, reasons


@pytest.mark.slow
def test_nearly_all_test_molecules_are_like_the_training_split(all_molecules):
    rows = qm9.split_rows("cormorant")
    domain = Domain.of(all_molecules.take(rows["train"]))
    assert len(refused(domain, all_molecules, rows["test"])) <= 0.005 * len(rows["test"])


def refused(domain, molecules, rows):
    found = {}
    for row in rows:
        n = molecules.num_atoms[row]
        reason = domain.check(molecules.charges[row, :n], molecules.positions[row, :n])
        if reason:
            found[int(row)] = reason
    return found
