"""The training loop of every engine of ours: one party's side of it, alone or with others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from bench.errors import CaseError
from bench.measure.trace import Recorder
from bench.model import logistic
from bench.model.logistic import Array, State, Training

# exchange(kind, vector) returns the sum of the vector over all parties; kinds are "sums", "squares" and "round".
Exchange = Callable[[str, Array], Array]


def load_shard(folder: Path) -> tuple[Array, Array]:
    """Read one party's own rows: X (n, d) and y (n,), float64."""
    return np.load(folder / "X.npy"), np.load(folder / "y.npy")


def train(
    X: Array, y: Array, training: Training, seed: int, who: str, recorder: Recorder, exchange: Exchange
) -> dict[str, Any]:
    """Train from this party's rows and what ``exchange`` brings from the others; return the model and what was run.

    The caller has begun epoch 0, the set-up; ``X`` is scaled in place. Every party ends with the same weights. With
    FedSGD each round adds up gradients, each party's weighted by its share of the rows n_k / n, and all take the same
    optimiser step. With FedAvg each round averages, weighted alike, the weights after ``local_epochs`` passes (McMahan
    et al. 2017); the optimiser's state stays local. Raises CaseError when the loss or the weights are no longer finite.
    """
    total_rows, computing = 0.0, perf_counter()

    def total(kind: str, vector: Array) -> Array:
        nonlocal total_rows, computing
        recorder.add("compute", computing, perf_counter() - computing)
        result = exchange(kind, vector)
        computing = perf_counter()
        if kind == "sums":
            total_rows = float(result[-1])
        return result

    means, deviations = logistic.standardise_in_place(X, total)
    recorder.add("compute", computing, perf_counter() - computing)
    recorder.end_epoch()
    share = len(y) / total_rows
    rng = np.random.default_rng(seed)
    weights, state = logistic.start(X.shape[1])
    local_round = _gradient_round if training.aggregation == "fedsgd" else _averaging_round
    losses: list[float] = []
    for number in range(1, training.rounds + 1):
        recorder.begin_epoch(number)
        loss, weights, state = local_round(X, y, weights, state, training, rng, share, recorder, exchange)
        recorder.end_epoch(loss)
        if not (np.isfinite(loss) and np.isfinite(weights).all()):
            raise CaseError(f"{who}: training diverged in epoch {number * training.local_epochs}; lower learning_rate")
        losses.append(loss)
        if logistic.converged(losses, training.tolerance):
            break
    return {
        "weights": weights.tolist(),
        "means": means.tolist(),
        "deviations": deviations.tolist(),
        "losses": losses,
        "epochs_run": len(losses) * training.local_epochs,
    }


def _gradient_round(
    X: Array,
    y: Array,
    weights: Array,
    state: State,
    training: Training,
    rng: np.random.Generator,
    share: float,
    recorder: Recorder,
    exchange: Exchange,
) -> tuple[float, Array, State]:
    if training.batch_size is not None:  # one data holder alone: with others, FedSGD takes full batches only
        with recorder.span("compute"):
            return logistic.run_epoch(X, y, weights, state, training, rng)
    with recorder.span("compute"):
        sums = logistic.loss_and_gradient(X, y, weights)
        contribution = np.append(sums.gradient, sums.loss) * (share / len(y))
    summed = exchange("round", contribution)
    with recorder.span("compute"):
        mean = logistic.Sums(float(summed[-1]), summed[:-1])
        loss, gradient = logistic.penalised(mean, 1.0, weights, training.alpha)
        return loss, *logistic.step(weights, gradient, state, training)


def _averaging_round(
    X: Array,
    y: Array,
    weights: Array,
    state: State,
    training: Training,
    rng: np.random.Generator,
    share: float,
    recorder: Recorder,
    exchange: Exchange,
) -> tuple[float, Array, State]:
    with recorder.span("compute"):
        losses = []
        for _ in range(training.local_epochs):
            loss, weights, state = logistic.run_epoch(X, y, weights, state, training, rng)
            losses.append(loss)
        contribution = np.append(weights, losses[0]) * share
    summed = exchange("round", contribution)
    return float(summed[-1]), summed[:-1], state
