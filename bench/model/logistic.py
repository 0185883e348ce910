"""Binary logistic regression: loss, gradient and optimisers, as pure functions that every built-in engine shares.

Weights are one vector of ``features + 1`` numbers; the last one is the intercept. The objective over n rows is

    mean_i log(1 + exp(-(2 y_i - 1) z_i)) + alpha / 2 * |w|^2,    z_i = x_i . w + b

with the L2 penalty on the coefficients only, as in scikit-learn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.errors import UserError

Array = NDArray[np.float64]

# Rows handled at a time: 4,096 x 37 float64 are 1.2 MB, which stay in a core's second-level cache between the two
# products, so X is read from memory once per pass and not twice.
_BLOCK_BYTES = 1_250_000

OPTIMISERS = ("rmsprop", "sgd", "adam")
AGGREGATIONS = ("fedsgd", "fedavg")
SOLVERS = ("own", "lbfgs")


@dataclass(frozen=True)
class Training:
    """How to train. ``epochs`` are passes over the data; with FedAvg ``local_epochs`` of them make one round.

    ``tolerance`` > 0 stops when the loss changes by less between two epochs (FATE's early stop ``diff``).
    ``solver`` "lbfgs" is scikit-learn's, for the centralised engine only: it has no epochs.
    """

    optimiser: str = "rmsprop"
    learning_rate: float = 0.02
    alpha: float = 1e-5
    epochs: int = 30
    batch_size: int | None = None
    tolerance: float = 0.0
    aggregation: str = "fedsgd"
    local_epochs: int = 1
    solver: str = "own"

    def __post_init__(self) -> None:
        """Refuse settings that cannot be trained with.

        Raises UserError naming the setting.
        """
        for name, value, allowed in (
            ("optimiser", self.optimiser, OPTIMISERS),
            ("aggregation", self.aggregation, AGGREGATIONS),
            ("solver", self.solver, SOLVERS),
        ):
            if value not in allowed:
                raise UserError(f"training.{name}: {value!r} is not one of {', '.join(allowed)}")
        for name, number, minimum in (
            ("epochs", self.epochs, 1),
            ("local_epochs", self.local_epochs, 1),
            ("batch_size", 1 if self.batch_size is None else self.batch_size, 1),
        ):
            if isinstance(number, bool) or not isinstance(number, int) or number < minimum:
                raise UserError(f"training.{name}: {number!r} is not a whole number of at least {minimum}")
        for name, real, positive in (
            ("learning_rate", self.learning_rate, True),
            ("alpha", self.alpha, False),
            ("tolerance", self.tolerance, False),
        ):
            good = isinstance(real, (int, float)) and not isinstance(real, bool) and np.isfinite(real) and real >= 0
            if not good or (positive and real == 0):
                raise UserError(
                    f"training.{name}: {real!r} is not a {'positive' if positive else 'non-negative'} number"
                )
        if self.aggregation == "fedsgd" and self.local_epochs != 1:
            raise UserError("training.local_epochs: FedSGD aggregates after every epoch; use aggregation: fedavg")
        if self.aggregation == "fedavg" and self.epochs % self.local_epochs:
            raise UserError(f"training.epochs: {self.epochs} is not a multiple of local_epochs {self.local_epochs}")

    @property
    def rounds(self) -> int:
        """Aggregation rounds at most."""
        return self.epochs // self.local_epochs

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as they stand in run.json; those that scikit-learn's solver does not use are None."""
        settings = {**asdict(self), "batch_size": self.batch_size or "full"}
        used = set(settings) if self.solver == "own" else {"solver", "alpha"}
        return {name: value if name in used else None for name, value in settings.items()}


class Sums(NamedTuple):
    """Sums over rows, not means: sums of several parties add up to the sums over all their rows."""

    loss: float
    gradient: Array


class Clip(NamedTuple):
    """How each row's gradient is clipped: to a Euclidean norm of ``limit``; ``norms`` (n,) are those of (x, 1)."""

    norms: Array
    limit: float


class State(NamedTuple):
    """What an optimiser carries from step to step: two moments (zeros where it has none) and the number of steps."""

    first: Array
    second: Array
    steps: int


def loss_and_gradient(X: Array, y: Array, weights: Array, clip: Clip | None = None) -> Sums:
    """Return the summed log loss and its gradient over all rows, without the penalty.

    ``X`` is (n, d), ``y`` (n,) of 0 and 1, ``weights`` (d + 1,) with the intercept last; the gradient is (d + 1,). With
    ``clip`` each row's gradient, (sigmoid(z) - y) (x, 1), is clipped before it is added; the loss is not.
    Numerically stable for any finite margin: only exp(-|z|) is taken.
    """
    rows, width = X.shape
    block = max(1, min(rows, _BLOCK_BYTES // (8 * max(1, width))))
    coefficients, intercept = weights[:-1], weights[-1]
    margin, work, log_term = np.empty(block), np.empty(block), np.empty(block)
    gradient = np.zeros(width + 1)
    loss = 0.0
    for start in range(0, rows, block):
        x, target = X[start : start + block], y[start : start + block]
        z, e, t = margin[: len(x)], work[: len(x)], log_term[: len(x)]
        np.dot(x, coefficients, out=z)
        z += intercept
        np.abs(z, out=e)
        # log(1 + exp(-z)) + (1 - y) z  =  log(1 + exp(-|z|)) + (|z| - z) / 2 + (1 - y) z
        loss += 0.5 * (e.sum() + z.sum()) - target @ z
        np.negative(e, out=e)
        np.exp(e, out=e)
        e += 1.0
        loss += np.log(e, out=t).sum()
        # sigmoid(z) = 1/2 + sign(z) (1 / (1 + exp(-|z|)) - 1/2)
        np.reciprocal(e, out=e)
        e -= 0.5
        np.copysign(e, z, out=e)
        e += 0.5
        e -= target
        if clip is not None:
            np.abs(e, out=t)
            t *= clip.norms[start : start + block]
            e /= np.maximum(t / clip.limit, 1.0, out=t)
        gradient[:-1] += e @ x
        gradient[-1] += e.sum()
    return Sums(float(loss), gradient)


def penalised(sums: Sums, rows: float, weights: Array, alpha: float) -> tuple[float, Array]:
    """Turn sums over ``rows`` rows into the objective and its gradient (mean plus L2 penalty on the coefficients)."""
    penalty = np.append(alpha * weights[:-1], 0.0)
    return sums.loss / rows + 0.5 * float(penalty[:-1] @ weights[:-1]), sums.gradient / rows + penalty


def start(width: int) -> tuple[Array, State]:
    """Return the initial weights (zeros, ``width`` features and the intercept) and the optimiser's state."""
    zeros = np.zeros(width + 1)
    return zeros, State(zeros, zeros, 0)


def step(weights: Array, gradient: Array, state: State, training: Training) -> tuple[Array, State]:
    """Take one optimiser step and return the new weights and state.

    ``rmsprop`` is torch.optim.RMSprop with its defaults (smoothing 0.99, epsilon 1e-8 outside the root), which is what
    FATE 2 runs; ``adam`` is Kingma and Ba 2015 with the usual 0.9, 0.999 and 1e-8; ``sgd`` has no momentum.
    """
    rate, steps = training.learning_rate, state.steps + 1
    if training.optimiser == "sgd":
        return weights - rate * gradient, State(state.first, state.second, steps)
    if training.optimiser == "rmsprop":
        second = 0.99 * state.second + 0.01 * gradient**2
        return weights - rate * gradient / (np.sqrt(second) + 1e-8), State(state.first, second, steps)
    first = 0.9 * state.first + 0.1 * gradient
    second = 0.999 * state.second + 0.001 * gradient**2
    scale = np.sqrt(second / (1 - 0.999**steps)) + 1e-8
    return weights - rate * (first / (1 - 0.9**steps)) / scale, State(first, second, steps)


def run_epoch(
    X: Array, y: Array, weights: Array, state: State, training: Training, rng: np.random.Generator
) -> tuple[float, Array, State]:
    """Make one pass over the rows, in full or in mini-batches; return (loss, weights, state).

    The loss is the mean over the pass, each batch at the weights it was met with (for a full batch: the weights that
    the epoch began with).
    """
    rows = len(y)
    if training.batch_size is None or training.batch_size >= rows:
        loss, gradient = penalised(loss_and_gradient(X, y, weights), rows, weights, training.alpha)
        return loss, *step(weights, gradient, state, training)
    total = 0.0
    order = rng.permutation(rows)
    for first in range(0, rows, training.batch_size):
        batch = order[first : first + training.batch_size]
        loss, gradient = penalised(loss_and_gradient(X[batch], y[batch], weights), len(batch), weights, training.alpha)
        weights, state = step(weights, gradient, state, training)
        total += loss * len(batch)
    return total / rows, weights, state


def converged(losses: list[float], tolerance: float) -> bool:
    """Tell whether the loss changed by less than ``tolerance`` between the last two epochs (FATE's ``diff``)."""
    return tolerance > 0 and len(losses) > 1 and abs(losses[-1] - losses[-2]) < tolerance


def probability(X: Array, weights: Array) -> Array:
    """Return the probability of class 1 for each row of ``X`` (n, d): (n,).

    Terms are added in the order of the columns and ``exp`` is the C library's, so that a row has the same bits
    whichever rows stand beside it, and in ``row_probability``. (BLAS sums the rows of an incomplete block otherwise.)
    """
    margins = np.zeros(len(X))
    for column, coefficient in zip(X.T, weights[:-1], strict=True):
        margins += column * coefficient
    margins += weights[-1]
    return np.array([_logistic(margin) for margin in margins.tolist()])


def row_probability(
    row: Sequence[float],
    coefficients: Sequence[float],
    intercept: float,
    means: Sequence[float],
    deviations: Sequence[float],
) -> float:
    """Return the probability of class 1 for one raw (not yet scaled) row, with the bits of ``probability``.

    Takes and gives plain numbers: for one row, arrays take ten times as long. NaN where a value is too large.
    """
    margin = 0.0
    for value, mean, deviation, coefficient in zip(row, means, deviations, coefficients, strict=True):
        margin += (value - mean) / deviation * coefficient
    return _logistic(margin + intercept)


def rows_probability(X: Array, coefficients: Array, intercept: float, means: Array, deviations: Array) -> list[float]:
    """Return the probability of class 1 for each raw row of X (n, d), with the bits of ``row_probability``.

    ``coefficients``, ``means`` and ``deviations`` are (d,), d > 0. NaN where a value is too large.
    """
    with np.errstate(all="ignore"):
        # accumulate adds column after column, where sum would pair them.
        margins = np.add.accumulate((X - means) / deviations * coefficients, axis=1)[:, -1] + intercept
    return [_logistic(margin) for margin in margins.tolist()]


def _logistic(margin: float) -> float:
    try:
        return 1.0 / (1.0 + math.exp(-margin))
    except OverflowError:  # exp(-margin) is beyond any float
        return 0.0


Moments = tuple[Array, Array]
Summation = Callable[[str, Array], Array]


def column_sums(X: Array) -> Array:
    """Return the sums of the columns of ``X`` (n, d) and, last, the number of rows: (d + 1,)."""
    return np.append(X.sum(axis=0), float(len(X)))


def centre_in_place(X: Array, sums: Array) -> tuple[Array, Array]:
    """Subtract the common means, given everybody's ``column_sums`` added up; return (means, own sums of squares)."""
    means: Array = sums[:-1] / sums[-1]
    X -= means
    return means, np.einsum("ij,ij->j", X, X)


def scale_in_place(X: Array, means: Array, squares: Array, rows: float) -> Array:
    """Divide centred columns by the common deviations, given everybody's sums of squares added up; return those.

    A constant column keeps deviation 1, as in scikit-learn's StandardScaler.
    """
    deviations: Array = np.sqrt(squares / rows)
    # A column whose spread is rounding error of its mean is constant. The error of a sum grows with its terms; this is
    # scikit-learn's bound.
    deviations[deviations <= max(10.0, rows) * np.finfo(np.float64).eps * np.abs(means)] = 1.0
    X /= deviations
    return deviations


def standardise_in_place(X: Array, total: Summation) -> Moments:
    """Scale ``X`` (n, d) to mean 0 and standard deviation 1 over the rows of all parties; return (means, deviations).

    ``total(name, vector)`` returns the sum of the vector over all parties: two sums are asked for, first of the rows
    and their number, then of the squared distances from the common mean (a single pass of raw squares would cancel).
    No party sees another's.
    """
    sums = total("sums", column_sums(X))
    means, squares = centre_in_place(X, sums)
    return means, scale_in_place(X, means, total("squares", squares), float(sums[-1]))
