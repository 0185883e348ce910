"""The training loop of every built-in engine but FATE's: one party's side of it, alone or with others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.errors import CaseError
from bench.measure.spans import Recorder
from bench.model import logistic
from bench.model.logistic import Array, State, Training

# all_reduce(kind, vector) returns the sum of the vector over all parties; kinds are "sums", "squares" and "round".
AllReduce = Callable[[str, Array], Array]
# local_sums(X, y, weights) returns what a party adds to a round's gradient, if not loss and gradient as they are.
LocalSums = Callable[[Array, Array, Array], logistic.Sums]


def load_shard(folder: Path) -> tuple[Array, Array]:
    """Read one party's own rows: X (n, d) and y (n,), float64."""
    return np.load(folder / "X.npy"), np.load(folder / "y.npy")


@dataclass(frozen=True)
class _Party:
    """What stays the same over the rounds of one party; ``share`` is its part of all rows, n_k / n."""

    X: Array
    y: Array
    training: Training
    share: float
    rng: np.random.Generator
    recorder: Recorder
    all_reduce: AllReduce
    local_sums: LocalSums


def train(
    X: Array,
    y: Array,
    training: Training,
    seed: int,
    who: str,
    recorder: Recorder,
    all_reduce: AllReduce,
    local_sums: LocalSums | None = None,
) -> dict[str, Any]:
    """Train from this party's rows and what ``all_reduce`` brings from the others; return the model and what was run.

    The caller has begun epoch 0, the set-up; ``X`` is scaled in place. Every party ends with the same weights. With
    FedSGD each round adds up gradients, each party's weighted by its share of the rows n_k / n, and all take the same
    optimiser step. With FedAvg each round averages, weighted alike, the weights after ``local_epochs`` passes (McMahan
    et al. 2017); the optimiser's state stays local. With ``local_sums`` (FedSGD only) no loss is shared, and none is
    reported. Raises CaseError when the loss or the weights are no longer finite.
    """
    means, deviations, rows = _standardise(X, recorder, all_reduce)
    recorder.end_epoch()
    party = _Party(
        X,
        y,
        training,
        len(y) / rows,
        np.random.default_rng(seed),
        recorder,
        all_reduce,
        local_sums or logistic.loss_and_gradient,
    )
    local_round = _gradient_round if training.aggregation == "fedsgd" else _averaging_round
    weights, state = logistic.start(X.shape[1])
    losses: list[float] = []
    for number in range(1, training.rounds + 1):
        recorder.begin_epoch(number)
        loss, weights, state = local_round(party, weights, state)
        recorder.end_epoch(None if local_sums else loss)
        if not (np.isfinite(loss) and np.isfinite(weights).all()):
            raise CaseError(f"{who}: training diverged in epoch {number * training.local_epochs}; lower learning_rate")
        losses.append(loss)
        if logistic.converged(losses, training.tolerance):
            break
    return {
        "weights": weights.tolist(),
        "means": means.tolist(),
        "deviations": deviations.tolist(),
        "losses": None if local_sums else losses,
        "epochs_run": len(losses) * training.local_epochs,
    }


def _standardise(X: Array, recorder: Recorder, all_reduce: AllReduce) -> tuple[Array, Array, float]:
    """Do what logistic.standardise_in_place does, with the arithmetic in spans of its own; return the rows too."""
    with recorder.span("compute"):
        sums = logistic.column_sums(X)
    sums = all_reduce("sums", sums)
    with recorder.span("compute"):
        means, squares = logistic.centre_in_place(X, sums)
    squares = all_reduce("squares", squares)
    with recorder.span("compute"):
        return means, logistic.scale_in_place(X, means, squares, float(sums[-1])), float(sums[-1])


def _gradient_round(party: _Party, weights: Array, state: State) -> tuple[float, Array, State]:
    training, recorder = party.training, party.recorder
    if training.batch_size is not None:  # one data holder alone: with others, FedSGD takes full batches only
        with recorder.span("compute"):
            return logistic.run_epoch(party.X, party.y, weights, state, training, party.rng)
    with recorder.span("compute"):
        sums = party.local_sums(party.X, party.y, weights)
        contribution = _weighted(sums.gradient / len(party.y), sums.loss / len(party.y), party.share)
    summed = party.all_reduce("round", contribution)
    with recorder.span("compute"):
        mean = logistic.Sums(*_mean(summed))
        loss, gradient = logistic.penalised(mean, 1.0, weights, training.alpha)
        return loss, *logistic.step(weights, gradient, state, training)


def _averaging_round(party: _Party, weights: Array, state: State) -> tuple[float, Array, State]:
    with party.recorder.span("compute"):
        losses = []
        for _ in range(party.training.local_epochs):
            loss, weights, state = logistic.run_epoch(party.X, party.y, weights, state, party.training, party.rng)
            losses.append(loss)
        contribution = _weighted(weights, losses[0], party.share)
    loss, weights = _mean(party.all_reduce("round", contribution))
    return loss, weights, state


def _weighted(vector: Array, loss: float, share: float) -> Array:
    """Return what a party adds to the sum of a round: a vector, a loss and 1, all times its share of the rows."""
    return np.append(vector, (loss, 1.0)) * share


def _mean(summed: Array) -> tuple[float, Array]:
    """Turn the sum of a round into means over the rows in it: parties that were lost are not among them."""
    return float(summed[-2] / summed[-1]), summed[:-2] / summed[-1]
