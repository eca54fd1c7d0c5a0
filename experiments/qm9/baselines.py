"""What a prediction is worth: the mean, and ridge regression on atom counts."""

from typing import Any

import numpy as np


def mean_error(train: np.ndarray, test: np.ndarray) -> float:
    """Mean absolute error of predicting the mean of the training targets."""
    return float(np.abs(test - train.mean()).mean())


def ridge(counts: np.ndarray, y: np.ndarray, strength: float = 1e-3) -> tuple[Any, Any]:
    """Ridge regression on the number of atoms of each element.

    Args:
        counts: (n, elements).
        y: (n,) or (n, t).
        strength: weight of the squared coefficients, relative to the number of examples.

    Returns:
        Coefficients, (elements,) or (elements, t), and the constant.
    """
    centre, mean = counts.mean(0), y.mean(0)
    x = counts - centre
    gram = x.T @ x / len(x) + strength * np.eye(x.shape[1])
    coefficients = np.linalg.solve(gram, x.T @ (y - mean) / len(x))
    return coefficients, mean - centre @ coefficients


def ridge_error(
    train_counts: np.ndarray, train: np.ndarray, test_counts: np.ndarray, test: np.ndarray
) -> float:
    """Mean absolute error of `ridge` regression.

    Args:
        train_counts, test_counts: (n, elements).
        train, test: (n,) targets.
    """
    coefficients, constant = ridge(train_counts, train)
    return float(np.abs(test - test_counts @ coefficients - constant).mean())
