"""Training as mode paillier_host does it, written out in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.model.logistic import Training

Array = NDArray[np.float64]
OPTIONS = {"key_bits": 1024, "re_encrypt_batches": 2}
ROUNDS = 2
SEED = 1


def training(**settings: Any) -> Training:
    return Training(
        **{
            "aggregation": "fedavg",
            "optimiser": "sgd",
            "learning_rate": 0.3,
            "alpha": 0.1,
            "epochs": ROUNDS,
            **settings,
        }
    )


def local_epochs(role: str, X: Array, y: Array, weights: Array, how: Training, rng: np.random.Generator) -> Array:
    """One party's part of a round written out: the guest's true gradient, the hosts' Taylor gradient, row by row."""
    size = min(how.batch_size or len(y), len(y))
    for _ in range(how.local_epochs):
        order = rng.permutation(len(y)) if size < len(y) else np.arange(len(y))
        for first in range(0, len(y), size):
            batch = order[first : first + size]
            x, sign = np.column_stack((X[batch], np.ones(len(batch)))), 2 * y[batch] - 1
            z = x @ weights
            slope = -sign / (1 + np.exp(sign * z)) if role == "guest" else 0.25 * z - 0.5 * sign
            gradient = x.T @ slope / len(batch) + how.alpha * np.append(weights[:-1], 0.0)
            weights = weights - how.learning_rate * gradient
    return weights
