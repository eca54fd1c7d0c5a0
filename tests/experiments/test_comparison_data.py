"""The data of the comparisons is what it is said to be."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.compare.train import sizes
from experiments.digits import data as digits
from experiments.jets import data as jets
from experiments.jets.embedding import RAPIDITY
from experiments.jets.lorentz import boost, random_transformations
from experiments.qm9_lifts import data as molecules
from lie_jax.groups import Lorentz


def invariant_mass(p):
    return np.sqrt(p[..., 0] ** 2 - (p[..., 1:] ** 2).sum(-1))


def test_digits_keep_all_ink():
    from sklearn.datasets import load_digits

    images = load_digits().images
    points = digits.point_sets(images)
    np.testing.assert_allclose(points.values.sum((1, 2)), images.sum((1, 2)) / 16, rtol=1e-6)
    np.testing.assert_array_equal(sizes(points), (images > 0).sum((1, 2)))
    centroid = (points.values * points.coords).sum(1) / points.values.sum(1)
    np.testing.assert_allclose(centroid, 0, atol=1e-5)


def test_digits_are_turned_counterclockwise_and_scaled():
    train, test = digits.load(0, 20, 10)
    assert len(train.targets) == 20
    moved = digits.move(test.points, np.full(10, np.pi / 2), np.full(10, 2.0))
    x, y = test.points.coords[..., 0], test.points.coords[..., 1]
    np.testing.assert_allclose(moved.coords, 2 * np.stack([-y, x], -1), atol=1e-5)
    with pytest.raises(ValueError, match="at most 1797, got 1797"):
        digits.load(0, 1797, 1)


def test_jets_are_of_pions_and_their_mass_tells_nothing():
    examples = jets.jets(jax.random.key(0), 2000)
    p, real = np.asarray(examples.points.coords) * jets.UNIT, np.asarray(examples.points.mask)
    count = sizes(examples.points)
    assert count.min() == jets.FEWEST
    assert count.max() == jets.MOST
    np.testing.assert_allclose(invariant_mass(p[real]), jets.PION, rtol=1e-3)
    assert not p[~real].any()
    whole = p.sum(1)
    mass = invariant_mass(whole)
    kinetic = mass - count * jets.PION
    assert kinetic.min() > jets.KINETIC[0] - 1e-3
    assert kinetic.max() < jets.KINETIC[1] + 1e-3
    assert np.arccosh(whole[:, 0] / mass).max() < jets.LAB_RAPIDITY + 1e-3
    two = np.asarray(examples.targets) == 1
    # Means of 1,000 numbers of standard deviation 0.8.
    assert abs(mass[two].mean() - mass[~two].mean()) < 4 * 0.8 / np.sqrt(500)


def test_lorentz_transformations_keep_the_metric():
    metric = np.diag([1.0, -1, -1, -1])
    g = random_transformations(jax.random.key(0), jnp.linspace(0, 3, 20))
    kept = np.swapaxes(g, -1, -2) @ metric @ g
    np.testing.assert_allclose(kept, np.broadcast_to(metric, g.shape), atol=1e-10)
    np.testing.assert_allclose(np.arccosh(g[1:, 0, 0]), np.linspace(0, 3, 20)[1:], rtol=1e-9)
    assert (np.linalg.det(g) > 0).all()


def test_rapidities_of_a_pair():
    direction = jnp.array([0.6, 0.0, 0.8])
    for size in (0.0, 1e-3, 0.5, 4.0):
        g = boost(jnp.asarray(size), direction)
        seen = RAPIDITY.embed(Lorentz(), g)
        np.testing.assert_allclose(seen, size * np.tile(direction, 2), rtol=1e-9, atol=1e-12)
        slope = jax.jacobian(lambda g: RAPIDITY.embed(Lorentz(), g))(g)
        assert np.isfinite(slope).all()


def test_molecules_are_turned():
    found = molecules.load(40, 12)
    np.testing.assert_allclose(found.train.targets.mean(), 0, atol=1e-5)
    np.testing.assert_allclose(found.train.targets.std(), 1, atol=1e-5)
    np.testing.assert_allclose(np.abs(found.wanted - found.offset).mean(), found.ridge)
    for rotations in molecules.MOTIONS.values():
        turned = molecules.turn(jax.random.key(0), found.test, rotations)
        assert not np.allclose(turned.coords, found.test.coords)
        lengths = [np.linalg.norm(x.coords, axis=-1) for x in (turned, found.test)]
        np.testing.assert_allclose(*lengths, atol=1e-5)
    with pytest.raises(ValueError, match="test_size must be at most"):
        molecules.load(1, 10**6)
