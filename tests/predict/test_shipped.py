"""The checkpoints that come with the package: small, documented, and worth something."""

import re

import numpy as np
import pytest
from ase.build import molecule

import lie_jax as lj
from lie_jax.data import qm9

TARGETS = tuple(qm9.PROPERTIES)


@pytest.fixture(scope="module")
def checkpoints():
    return {name: lj.predict.read_checkpoint(name) for name in lj.predict.shipped()}


def test_they_are_small_and_have_cards(checkpoints):
    assert sum(path.stat().st_size for path in lj.predict.shipped().values()) < 20 * 2**20
    for checkpoint in checkpoints.values():
        card = checkpoint.card
        assert card.data and card.limits and card.licence and card.trained  # noqa: PT018
        assert re.match(r"python -m experiments train qm9 --preset \S+", card.recipe)
        assert card.uncertainty is not None
        assert all(target.test_mae for target in card.targets)


def test_they_cover_the_twelve_properties(checkpoints):
    named = {target.name for c in checkpoints.values() for target in c.card.targets}
    assert named == set(TARGETS)


def test_ethane_and_methanol():
    """At the geometries of G2, MP2's: near those of QM9, to whose values they are compared."""
    found = lj.predict.load("qm9")([molecule("C2H6"), molecule("CH3OH")])
    wanted = {"homo": (-9211, -7219), "U0": (-29088, -20863), "zpve": (2028, 1393)}
    allowed = {"homo": 300, "U0": 150, "zpve": 40}
    for name, values in wanted.items():
        np.testing.assert_allclose(found[name], values, atol=allowed[name], err_msg=name)


@pytest.mark.slow
def test_intervals_hold_what_they_promise_on_test_molecules():
    """Nine of ten true values lie inside; errors are those of the card."""
    molecules = qm9.load()
    some = molecules.take(qm9.split_rows("cormorant", len(molecules))["test"])
    atoms = [(z[z > 0], x[z > 0]) for z, x in zip(some.charges, some.positions, strict=True)]
    found = lj.predict.load("qm9")(atoms, check=False)
    card = lj.predict.read_checkpoint("qm9").card
    for i, name in enumerate(found.names):
        p = qm9.PROPERTIES[name]
        errors = np.abs(found.values[:, i] - some.values[p.field] * p.scale)
        assert np.mean(errors <= found.half_width[:, i]) == pytest.approx(0.9, abs=0.01)
        assert errors.mean() == pytest.approx(card.targets[i].test_mae, rel=1e-3)
