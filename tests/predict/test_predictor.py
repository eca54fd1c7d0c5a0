"""Predictions are the network's, in units, whatever the batch; the rest is refused."""

import dataclasses

import jax
import numpy as np
import pytest
from ase.build import molecule

import lie_jax as lj
from lie_jax.predict import Target, load


def test_values_are_the_networks_in_units(predictor, tiny, molecules, direct):
    molecules = molecules[:8]
    found = predictor(molecules)
    assert found.names == ("homo", "U0")
    assert found.units == ("meV", "meV")
    assert found.values.dtype == np.float64
    for atoms, row in zip(molecules[:2], found.values[:2], strict=True):
        y = direct(tiny[1], atoms)
        energy = y[1] * 2000 - 100
        energy += -7000 * (atoms.numbers == 6).sum() - 2500 * (atoms.numbers == 1).sum()
        np.testing.assert_allclose(row, [y[0] * 500 - 6000, energy], rtol=1e-6)
    np.testing.assert_array_equal(found["homo"], found.values[:, 0])
    with pytest.raises(KeyError, match="name must be one of"):
        found["gap"]
    sizes = np.array([len(atoms) for atoms in molecules])
    wanted = np.where((sizes <= 6)[:, None], [10.0, 3.0], [20.0, 40.0])
    np.testing.assert_array_equal(found.half_width, wanted)
    assert (found.spread == 0).all()


def test_every_form_of_a_molecule(predictor, molecules):
    atoms = molecules[0]
    pair = (atoms.numbers, atoms.positions)
    wanted = predictor(molecules[:1]).values
    for given in (atoms, pair, [pair], [atoms], (list(map(int, pair[0])), pair[1] + 1000)):
        np.testing.assert_allclose(predictor(given).values, wanted, rtol=1e-6)
    assert predictor([pair, atoms]).values.shape == predictor((atoms, atoms)).values.shape == (2, 2)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ([], ValueError, "molecules must not be empty"),
        ("CCO", TypeError, "molecules must be ase.Atoms"),
        ([3.0], TypeError, "a molecule must be ase.Atoms"),
        (([6.5, 1.0], np.zeros((2, 3))), ValueError, "numbers must be integers"),
        (([6, 1], np.zeros((2, 2))), ValueError, r"positions must have shape \(2, 3\)"),
        (([6, 1], np.zeros((2, 3))), ValueError, "molecule 0 is refused: it has 2 atoms"),
    ],
)
def test_errors(predictor, given, error, message):
    with pytest.raises(error, match=message):
        predictor(given)


def test_options_are_checked(predictor, molecules):
    with pytest.raises(ValueError, match="samples must be at least 1"):
        predictor(molecules, samples=0)
    with pytest.raises(ValueError, match='refused must be "raise" or "keep"'):
        predictor(molecules, refused="drop")


def test_refused_molecules_are_kept_beside_the_others(predictor, molecules):
    given = [molecules[0], molecule("CH3Cl"), molecules[7], molecule("C2H4")]
    found = predictor(given, refused="keep")
    assert [reason is None for reason in found.refused] == [True, False, True, False]
    np.testing.assert_array_equal(np.isnan(found.values[:, 0]), [False, True, False, True])
    np.testing.assert_array_equal(
        found.values[[0, 2]], predictor([molecules[0], molecules[7]]).values
    )
    # Unlike the others, but there is a number; for chlorine there is none.
    found = predictor(given, refused="keep", check=False)
    np.testing.assert_array_equal(np.isnan(found.values[:, 0]), [False, True, False, False])
    assert np.isnan(predictor([given[1]], refused="keep").values).all()


def test_random_lifts_do_not_depend_on_the_batch(make, molecules):
    path, _ = make("se3", group=lj.groups.SE3(), lift_samples=2, pair_embedding="matrix")
    predictor = load(path)
    whole = predictor(molecules[:7]).values
    np.testing.assert_allclose(predictor(molecules[6::-1]).values[::-1], whole, rtol=1e-6)
    # The draws matter: another seed gives other numbers.
    checkpoint = lj.predict.read_checkpoint(path)
    other = dataclasses.replace(checkpoint, card=dataclasses.replace(checkpoint.card, seed=1))
    assert np.abs(lj.predict.Predictor([other])(molecules[3]).values[0] - whole[3]).max() > 1e-2


def test_averages_over_rotations(make, molecules, direct):
    # With logarithms of T(3) the network sees directions: rotations matter.
    path, model = make("turned", pair_embedding="log", card={"augmentations": 3, "seed": 5})
    predictor = load(path)
    found = predictor(molecules[:2])
    assert found.samples == (3, 3)
    key, _ = jax.random.split(jax.random.key(5))
    group = lj.groups.SO3()
    turns = np.asarray(group.to_matrix(group.haar(key, (3,), np.float32)))
    y = np.array([direct(model, molecules[1], turn=turn)[0] for turn in turns]) * 500
    assert y.std() > 1e-3
    np.testing.assert_allclose(found.values[1, 0], y.mean() - 6000, rtol=1e-6)
    np.testing.assert_allclose(found.spread[1, 0], y.std(), rtol=1e-2)


def test_outputs_of_atoms_are_pooled(make, molecules, direct):
    targets = (Target("a", "D", "", pooled="mean"), Target("b", "D", "", pooled="sum"))
    path, model = make("atoms", kind="LieConv", pooling="none", batch_norm=True, targets=targets)
    found = load(path)(molecules[:3]).values
    y = direct(model, molecules[1])
    np.testing.assert_allclose(found[1], [y[:, 0].mean(), y[:, 1].sum()], rtol=1e-5)


def test_several_checkpoints_stand_beside_each_other(make, tiny, molecules):
    other, _ = make("other", targets=(Target("homo", "eV", ""), Target("mu", "D", "")))
    found = load(tiny[0], other)(molecules[:2])
    assert found.names == ("homo@tiny", "U0", "homo@other", "mu")
    assert found.units == ("meV", "meV", "eV", "D")
    np.testing.assert_array_equal(found.values[:, 2:], load(other)(molecules[:2]).values)
    assert np.isnan(found.half_width[:, 2:]).all()
    with pytest.raises(ValueError, match="checkpoints must have names of their own"):
        load(other, other)


def test_nothing_is_shipped(monkeypatch):
    from lie_jax.predict import predictor

    monkeypatch.setattr(predictor, "shipped", dict)
    with pytest.raises(FileNotFoundError, match="this package came without checkpoints"):
        load()


def test_networks_that_overflow_are_noticed(make, molecules):
    path, _ = make("large")
    checkpoint = lj.predict.read_checkpoint(path)
    huge = jax.tree.map(lambda x: x * 1e30, checkpoint.params)
    lj.predict.save(path, checkpoint.card, huge)
    with pytest.raises(FloatingPointError, match="NaN or infinity from large"):
        load(path)(molecules[:2])
