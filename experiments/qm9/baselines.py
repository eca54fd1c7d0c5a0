"""What a prediction is worth: the mean, and ridge regression on atom counts."""

import numpy as np


def mean_error(train: np.ndarray, test: np.ndarray) -> float:
    """Mean absolute error of predicting the mean of the training targets."""
    return float(np.abs(test - train.mean()).mean())


def ridge_error(
    train_counts: np.ndarray,
    train: np.ndarray,
    test_counts: np.ndarray,
    test: np.ndarray,
    strength: float = 1e-3,
) -> float:
    """Mean absolute error of ridge regression on the number of atoms of each element.

    Args:
        train_counts, test_counts: (n, elements).
        train, test: (n,) targets.
        strength: weight of the squared coefficients, relative to the number of examples.
    """
    centre, mean = train_counts.mean(0), train.mean()
    x = train_counts - centre
    gram = x.T @ x / len(x) + strength * np.eye(x.shape[1])
    coefficients = np.linalg.solve(gram, x.T @ (train - mean) / len(x))
    prediction = (test_counts - centre) @ coefficients + mean
    return float(np.abs(test - prediction).mean())
