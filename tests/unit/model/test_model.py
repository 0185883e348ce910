from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

from bench.errors import UserError
from bench.model import logistic
from bench.model.logistic import Training

Array = NDArray[np.float64]
moderate = st.floats(-3, 3, allow_subnormal=False)


@st.composite
def problems(draw: st.DrawFn) -> tuple[Array, Array, Array]:
    """X (n, d), y (n,) and weights (d + 1,)."""
    rows, width = draw(st.integers(1, 12)), draw(st.integers(1, 4))
    X = draw(arrays(np.float64, (rows, width), elements=moderate))
    y = draw(arrays(np.float64, rows, elements=st.sampled_from([0.0, 1.0])))
    return X, y, draw(arrays(np.float64, width + 1, elements=moderate))


def margins(X: Array, weights: Array) -> Array:
    product: Array = X @ weights[:-1] + weights[-1]
    return product


@given(problems(), st.floats(0, 2))
def test_gradient_is_the_slope_of_the_loss(problem: tuple[Array, Array, Array], alpha: float) -> None:
    X, y, weights = problem

    def objective(at: Array) -> float:
        return logistic.penalised(logistic.loss_and_gradient(X, y, at), len(y), at, alpha)[0]

    _, gradient = logistic.penalised(logistic.loss_and_gradient(X, y, weights), len(y), weights, alpha)
    steps = 1e-6 * np.eye(len(weights))
    slopes = [(objective(weights + step) - objective(weights - step)) / 2e-6 for step in steps]
    assert gradient == pytest.approx(slopes, abs=2e-7)


@given(problems())
def test_loss_is_scikit_learns(problem: tuple[Array, Array, Array]) -> None:
    X, y, weights = problem
    expected = log_loss(y, 1 / (1 + np.exp(-margins(X, weights))), normalize=False, labels=[0, 1])
    # What the reference loses by taking 1 - p of a p that is nearly 1.
    lost = len(y) * np.finfo(float).eps * np.exp(np.abs(margins(X, weights)).max())
    assert logistic.loss_and_gradient(X, y, weights).loss == pytest.approx(expected, rel=1e-9, abs=1e-9 + lost)


@given(problems())
def test_parties_sums_add_up_to_the_sums_over_all_rows(problem: tuple[Array, Array, Array]) -> None:
    X, y, weights = problem
    whole = logistic.loss_and_gradient(X, y, weights)
    parts = [logistic.loss_and_gradient(X[rows], y[rows], weights) for rows in (slice(0, 5), slice(5, None))]
    assert sum(part.loss for part in parts) == pytest.approx(whole.loss, rel=1e-12, abs=1e-12)
    assert sum(part.gradient for part in parts) == pytest.approx(whole.gradient, rel=1e-12, abs=1e-12)


@given(st.floats(-1e4, 1e4), st.sampled_from([0.0, 1.0]))
def test_extreme_margins_stay_finite_and_right(margin: float, label: float) -> None:
    sums = logistic.loss_and_gradient(np.array([[margin]]), np.array([label]), np.array([1.0, 0.0]))
    assert sums.loss == pytest.approx(np.logaddexp(0.0, margin if label == 0 else -margin), rel=1e-9, abs=1e-12)
    assert np.isfinite(sums.gradient).all()
    likely = logistic.probability(np.array([[margin]]), np.array([1.0, 0.0]))[0]
    assert 0 <= likely <= 1
    assert sums.gradient[1] == pytest.approx(likely - label, abs=1e-12)


@pytest.mark.parametrize("rows", [1, 780, 781, 782, 1562, 1563, 2000])
def test_the_result_does_not_depend_on_where_blocks_end(rows: int) -> None:
    """With 200 features a block holds 781 rows."""
    rng = np.random.default_rng(rows)
    X, weights = rng.normal(size=(rows, 200)), rng.normal(size=201) / 10
    y = (rng.random(rows) < 0.5).astype(float)
    sums = logistic.loss_and_gradient(X, y, weights)
    z = margins(X, weights)
    error = 1 / (1 + np.exp(-z)) - y
    assert sums.loss == pytest.approx(np.sum(np.logaddexp(0, z) - y * z), rel=1e-12)
    assert sums.gradient == pytest.approx(np.append(error @ X, error.sum()), rel=1e-9, abs=1e-9)


def test_arguments_are_left_as_they_are() -> None:
    X, y, weights = np.ones((3, 2)), np.array([0.0, 1.0, 1.0]), np.array([0.5, -0.5, 0.1])
    copies = X.copy(), y.copy(), weights.copy()
    logistic.run_epoch(X, y, weights, logistic.start(2)[1], Training(), np.random.default_rng(0))
    assert all(np.array_equal(now, before) for now, before in zip((X, y, weights), copies, strict=True))


def two_steps(optimiser: str) -> list[float]:
    """One weight, from 1.0, with rate 0.01 and the gradients 0.5 and then -0.2."""
    training = Training(optimiser=optimiser, learning_rate=0.01)
    weights, state = np.array([1.0]), logistic.start(0)[1]
    path = []
    for gradient in (0.5, -0.2):
        weights, state = logistic.step(weights, np.array([gradient]), state, training)
        path.append(float(weights[0]))
    return path


def test_sgd_by_hand() -> None:
    assert two_steps("sgd") == pytest.approx([0.995, 0.997], rel=1e-15)


def test_rmsprop_by_hand() -> None:
    """torch.optim.RMSprop: v = 0.99 v + 0.01 g^2; w -= rate g / (sqrt(v) + 1e-8)."""
    first = 1.0 - 0.01 * 0.5 / (0.05 + 1e-8)
    second = first + 0.01 * 0.2 / (0.002875**0.5 + 1e-8)
    assert two_steps("rmsprop") == pytest.approx([first, second], rel=1e-14)


def test_adam_by_hand() -> None:
    """The first step of Adam has the length of the rate, whatever the gradient; the second corrects both moments."""
    first = 1.0 - 0.01 * 0.5 / (0.5 + 1e-8)
    m, v = 0.9 * 0.05 + 0.1 * -0.2, 0.999 * 0.00025 + 0.001 * 0.04
    second = first - 0.01 * (m / 0.19) / ((v / 0.001999) ** 0.5 + 1e-8)
    assert two_steps("adam") == pytest.approx([first, second], rel=1e-12)


def test_an_epoch_in_mini_batches_uses_every_row_once() -> None:
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(103, 2)), (rng.random(103) < 0.5).astype(float)
    weights, state = logistic.start(2)
    # With a rate this small the weights stay, so the mean over the batches is the loss over all rows.
    training = Training(optimiser="sgd", learning_rate=1e-300, batch_size=10)
    loss, moved, state = logistic.run_epoch(X, y, weights + 0.3, state, training, rng)
    whole, _ = logistic.penalised(logistic.loss_and_gradient(X, y, weights + 0.3), 103, weights + 0.3, training.alpha)
    assert loss == pytest.approx(whole, rel=1e-12)
    assert state.steps == 11
    assert moved == pytest.approx(weights + 0.3, abs=1e-200)


def test_a_batch_as_large_as_the_table_is_a_full_batch() -> None:
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(50, 2)), (rng.random(50) < 0.5).astype(float)
    results = [
        logistic.run_epoch(X, y, *logistic.start(2), Training(batch_size=size), np.random.default_rng(0))
        for size in (None, 50, 51)
    ]
    assert all(np.array_equal(result[1], results[0][1]) for result in results)


@pytest.mark.parametrize(
    ("losses", "tolerance", "expected"),
    [
        ([1.0], 0.1, False),
        ([1.0, 0.95], 0.1, True),
        ([0.95, 1.0], 0.1, True),
        ([1.0, 0.5], 0.1, False),
        ([1.0, 1.0], 0.0, False),
        ([], 0.1, False),
    ],
)
def test_converged(losses: list[float], tolerance: float, expected: bool) -> None:
    assert logistic.converged(losses, tolerance) is expected


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("optimiser", "lion"),
        ("aggregation", "median"),
        ("solver", "saga"),
        ("epochs", 0),
        ("epochs", 2.5),
        ("epochs", True),
        ("epochs", "30"),
        ("local_epochs", 0),
        ("local_epochs", 5),  # FedSGD aggregates after every epoch
        ("batch_size", 0),
        ("batch_size", -1),
        ("batch_size", "half"),
        ("learning_rate", 0),
        ("learning_rate", -0.1),
        ("learning_rate", float("nan")),
        ("learning_rate", float("inf")),
        ("learning_rate", "1e-3"),
        ("alpha", -1e-5),
        ("alpha", None),
        ("tolerance", -1),
        ("tolerance", True),
    ],
)
def test_bad_settings_are_refused_in_one_line(setting: str, value: object) -> None:
    settings_of_training: dict[str, Any] = {setting: value}
    with pytest.raises(UserError, match=f"^training.{setting}: ") as caught:
        Training(**settings_of_training)
    assert "\n" not in str(caught.value)


def test_epochs_must_fill_rounds() -> None:
    with pytest.raises(UserError, match="multiple of local_epochs 4"):
        Training(aggregation="fedavg", epochs=30, local_epochs=4)
    assert Training(aggregation="fedavg", epochs=30, local_epochs=5).rounds == 6


def test_settings_as_they_stand_in_the_result_file() -> None:
    assert Training().as_dict()["batch_size"] == "full"
    assert Training(batch_size=32).as_dict()["batch_size"] == 32


@st.composite
def columns(draw: st.DrawFn) -> Array:
    """A table whose columns are constant, or spread by at least 1e-3 around offsets of up to 1e9."""
    rows, width = draw(st.integers(2, 40)), draw(st.integers(1, 4))
    seed = draw(st.integers(0, 2**32 - 1))
    standard = np.random.default_rng(seed).normal(size=(rows, width))
    spreads = draw(arrays(np.float64, width, elements=st.sampled_from([0.0, 1e-3, 1.0, 1e6])))
    offsets = draw(arrays(np.float64, width, elements=st.sampled_from([0.0, 0.1, -1.0, 12345.6, 1e9, -1e9])))
    scaled: Array = standard * spreads + offsets
    return scaled


@settings(deadline=None)
@given(columns(), st.data())
def test_parties_standardise_as_if_their_rows_were_one_table(X: Array, data: st.DataObject) -> None:
    """Any partition of the rows, parties without rows included, gives scikit-learn's StandardScaler of the union."""
    count = data.draw(st.integers(1, 4))
    owner = data.draw(arrays(np.int64, len(X), elements=st.integers(0, count - 1)))
    expected = StandardScaler().fit(X)

    parts = [X[owner == party].copy() for party in range(count)]
    totals = summed_over(parts)
    for part, rows in zip(parts, (X[owner == party] for party in range(count)), strict=True):
        means, deviations = logistic.standardise_in_place(part, lambda kind, _: totals[kind])
        assert means == pytest.approx(expected.mean_, rel=1e-12, abs=1e-9)
        # Two rows can be near each other: beside an offset of 1e9 numbers are 1e-7 apart.
        resolution = 1e-15 * np.abs(X).max(axis=0)
        assert (np.abs(deviations - expected.scale_) <= 1e-6 * expected.scale_ + resolution).all()
        if len(rows):
            # Offsets of 1e9 leave 1e-7 of a number: relative to a spread of 1e-3, four digits.
            assert part == pytest.approx(expected.transform(rows), rel=1e-3, abs=2e-3)


def summed_over(parts: list[Array]) -> dict[str, Array]:
    """What the arbiter answers: the two sums, worked out step by step as the protocol does."""
    first = np.sum([np.append(part.sum(axis=0), len(part)) for part in parts], axis=0)
    means = first[:-1] / first[-1]
    squares = np.sum([((part - means) ** 2).sum(axis=0) for part in parts], axis=0)
    return {"sums": first, "squares": squares}


@pytest.mark.parametrize("value", [0.1, -123.456, 1e9])
def test_a_constant_column_of_many_rows_is_not_blown_up(value: float) -> None:
    """The rounding error of a sum grows with its rows; it must not be taken for spread."""
    X = np.full((300_000, 2), value)
    X[:, 1] = np.arange(300_000)
    _, deviations = logistic.standardise_in_place(X, lambda _, vector: vector)
    assert deviations[0] == 1.0
    assert abs(X[:, 0]).max() < 1e-6 * abs(value)
