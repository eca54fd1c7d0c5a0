"""Forces are the derivative of the energy, which is the predictor's in eV."""

import warnings

import numpy as np
import pytest
from ase.build import molecule

from lie_jax.predict import Calculator, ForcesWarning, load


@pytest.fixture(scope="module")
def path(make):
    # Directions matter, so that the rotations are part of what is differentiated.
    path, _ = make("energies", pair_embedding="log", card={"augmentations": 2})
    return path


@pytest.fixture(scope="module")
def calculator(path):
    return Calculator(path, check=False)


@pytest.fixture
def atoms(calculator):
    atoms = molecule("CH3OH")
    atoms.rattle(0.02, seed=1)
    atoms.calc = calculator
    return atoms


def test_the_energy_is_the_predictors_in_ev(path, atoms):
    wanted = load(path)(atoms, check=False)["U0"][0] / 1000
    np.testing.assert_allclose(atoms.get_potential_energy(), wanted, rtol=1e-6)


def test_forces_are_the_derivative(atoms):
    with pytest.warns(ForcesWarning, match="molecules at their energy minimum"):
        forces = atoms.get_forces()
    assert forces.shape == (6, 3)
    assert np.abs(forces).max() > 1e-4
    np.testing.assert_allclose(forces.sum(0), 0, atol=1e-9)
    step = 1e-4
    for i, axis in ((0, 0), (3, 2)):
        energies = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.calc = atoms.calc
            moved.positions[i, axis] += sign * step
            energies.append(moved.get_potential_energy())
        slope = (energies[0] - energies[1]) / (2 * step)
        np.testing.assert_allclose(-slope, forces[i, axis], rtol=1e-4, atol=1e-7)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it has been said
        atoms.rattle(0.01)
        atoms.get_forces()


def test_molecules_unlike_the_training_data_are_refused(path):
    atoms = molecule("isobutene")
    atoms.calc = Calculator(load(path))
    with pytest.raises(ValueError, match="the molecule is refused: atom 0"):
        atoms.get_potential_energy()


def test_targets_that_are_no_energy(make, tiny):
    from lie_jax.predict import Target

    other, _ = make("dipole", targets=(Target("mu", "D", ""),))
    with pytest.raises(ValueError, match="target must be an energy, got mu in D"):
        Calculator(load(tiny[0], other), "mu")
    with pytest.raises(ValueError, match="target must be one of"):
        Calculator(tiny[0], "gap")
    with pytest.raises(ValueError, match="samples must be at least 1"):
        Calculator(tiny[0], samples=0)
