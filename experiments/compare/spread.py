"""How much the output of a network changes where it should not."""

import numpy as np


def largest_change(moved: np.ndarray, still: np.ndarray) -> float:
    """max |moved - still| / max |still|: exactly invariant networks give rounding errors.

    Args:
        moved: (k, n, o), outputs for k motions of the n clouds.
        still: (n, o), outputs for the clouds as they are.
    """
    moved, still = np.asarray(moved, np.float64), np.asarray(still, np.float64)
    return float(np.abs(moved - still).max() / np.abs(still).max())
