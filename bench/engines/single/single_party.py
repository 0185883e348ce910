"""The process behind the engines ``centralised`` and ``local``: one data holder, no network."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from bench.engines.processes import work
from bench.engines.training import load_shard, train
from bench.i18n.language import gettext_noop
from bench.i18n.messages import Message
from bench.measure.spans import Recorder
from bench.model import logistic
from bench.model.logistic import Array, Training

ITERATIONS = Message("solver_iterations", gettext_noop("scikit-learn's solver took {n} iterations"))


def main(config: dict[str, Any], folder: Path, recorder: Recorder) -> dict[str, Any]:  # noqa: ARG001
    """Train on the shard that ``config`` names."""
    X, y = load_shard(Path(config["shard"]))
    training = Training(**config["training"])
    if training.solver == "lbfgs":
        from sklearn.linear_model import LogisticRegression  # before the clock starts: its import takes seconds

        began = perf_counter()
        result = _scikit_learn(X, y, training, LogisticRegression)
    else:
        began = perf_counter()
        who = f"party {config['party']} ({config['role']})"
        recorder.begin_epoch(0)
        result = train(X, y, training, config["seed"], who, recorder, lambda _, vector: vector)
    return {**result, "training_started": began, "training_ended": perf_counter()}


def _scikit_learn(X: Array, y: Array, training: Training, estimator: Any) -> dict[str, Any]:
    """Fit scikit-learn's LogisticRegression to convergence on the same objective: C = 1 / (alpha n)."""
    means, deviations = logistic.standardise_in_place(X, lambda _, vector: vector)
    strength = np.inf if training.alpha == 0 else 1.0 / (training.alpha * len(y))
    model = estimator(C=strength, tol=1e-8, max_iter=1000).fit(X, y)
    return {
        "weights": [*model.coef_[0].tolist(), float(model.intercept_[0])],
        "means": means.tolist(),
        "deviations": deviations.tolist(),
        "losses": None,
        "epochs_run": None,
        "notes": [ITERATIONS.of(n=int(model.n_iter_[0]))],
    }


if __name__ == "__main__":
    work(main)
