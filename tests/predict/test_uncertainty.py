"""Intervals hold as many true values as they promise, for every size of molecule."""

import numpy as np
import pytest

from lie_jax.predict import Uncertainty, calibrate


def test_the_rank_is_that_of_finite_samples():
    # ceil(10 * 0.9) = 9 of 9: the largest; ceil(20 * 0.9) = 18 of 19.
    errors = np.arange(1.0, 10)[:, None]
    assert calibrate(-errors, np.full(9, 5), 0.9, 1).half_width == ((9.0,),)
    errors = np.arange(1.0, 20)[:, None]
    assert calibrate(errors, np.full(19, 5), 0.9, 1).half_width == ((18.0,),)


def test_coverage_holds_in_every_bin():
    rng = np.random.default_rng(0)

    def draw(n):
        sizes = rng.integers(5, 30, n)
        # Errors grow with the molecule, with heavy tails.
        return rng.standard_t(3, (n, 2)) * sizes[:, None] * [1.0, 10.0], sizes

    uncertainty = calibrate(*draw(4000), bins=4)
    errors, sizes = draw(40_000)
    inside = np.abs(errors) <= uncertainty.of(sizes)
    for low, high in zip((0, *uncertainty.atoms), uncertainty.atoms, strict=False):
        share = inside[(sizes > low) & (sizes <= high)].mean(0)
        assert ((share > 0.88) & (share < 0.93)).all(), (low, share)
    widths = np.array(uncertainty.half_width)
    assert (np.diff(widths, axis=1) > 0).all()


def test_bins_end_with_the_last():
    uncertainty = Uncertainty(0.9, (5, 9), ((1.0, 2.0), (3.0, 4.0)))
    wanted = [[1, 3], [1, 3], [2, 4], [2, 4]]
    np.testing.assert_array_equal(uncertainty.of(np.array([1, 5, 6, 50])), wanted)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_atoms": np.ones(3)}, "residuals must have shape"),
        ({"residuals": np.full((20, 1), np.nan)}, "residuals must be finite"),
        ({"coverage": 1.0}, "coverage must be between 0 and 1"),
        ({"bins": 0}, "bins must be at least 1"),
        ({"coverage": 0.99}, "at least 99 molecules for coverage 0.99, got 20 of up to 7 atoms"),
    ],
)
def test_errors_of_calibration(change, message):
    arguments = {"residuals": np.ones((20, 1)), "num_atoms": np.full(20, 7)} | change
    with pytest.raises(ValueError, match=message):
        calibrate(**arguments)


def test_errors_of_shapes():
    with pytest.raises(ValueError, match="atoms must be increasing"):
        Uncertainty(0.9, (5, 5), ((1.0, 2.0),))
    with pytest.raises(ValueError, match="half_width must have 2 bins"):
        Uncertainty(0.9, (5, 6), ((1.0,),))
