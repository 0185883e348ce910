"""Records of callers: which are read, and which are refused."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import duckdb
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bench.data import lending_club
from bench.data.record import RULES, RecordError, plain_reader, reader
from bench.model.logistic import row_probability, rows_probability
from bench.model.scoring import predicted
from bench.serve.app import served

Array = np.ndarray[Any, np.dtype[np.float64]]
Record = dict[str, Any]


texts = st.text(" 0123456789.+-eE_%nainfmothsyr<\t\n\u00a0\u3000\x1c\u0661", max_size=12)
texts |= st.sampled_from(
    ["< 1 year", "10+ years", " 60 months", "13.5%", " 1 year", "\t1 year", "\u00a01 year", "3 years"]
)
texts |= st.floats().map(repr)


@pytest.fixture(scope="module")
def sql() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


@given(text=texts)
@settings(max_examples=300, deadline=None)
def test_text_becomes_the_number_that_sql_makes_of_it(sql: duckdb.DuckDBPyConnection, text: str) -> None:
    assume("+-" not in text)  # SQL reads "+-1" as -1
    conversions = ", ".join(lending_club.CONVERSIONS[rule].format("$text") for rule in RULES)
    wanted = sql.execute(f"SELECT {conversions}", {"text": text}).fetchone()
    assert wanted is not None
    for (name, rule), number in zip(RULES.items(), wanted, strict=True):
        try:
            found = rule(text)
        except ValueError:
            found = math.nan
        assert found == number or not (math.isfinite(found) or math.isfinite(number)), (name, text)


def test_rules_are_those_of_the_training() -> None:
    assert RULES.keys() == lending_club.CONVERSIONS.keys()
    assert {*lending_club.NUMBERS.values()} <= RULES.keys()


@given(st.integers(1, 40), st.integers(1, 9), st.integers(0, 10**6))
def test_a_row_scores_the_same_alone_and_among_others(features: int, rows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, features)) * 10 ** rng.uniform(-3, 3, features)
    weights, means, deviations = rng.normal(size=features + 1), rng.normal(size=features), rng.uniform(0.1, 9, features)
    together = predicted(X, weights, means, deviations)
    model = weights[:-1].tolist(), float(weights[-1]), means.tolist(), deviations.tolist()
    assert rows_probability(X, weights[:-1], float(weights[-1]), means, deviations) == together.tolist()
    for row, score in zip(X, together.tolist(), strict=True):
        assert predicted(row[np.newaxis], weights, means, deviations).tolist() == [score]
        assert row_probability(row.tolist(), *model) == score


def test_a_value_beyond_the_arithmetic_is_refused() -> None:
    model = {"coefficients": [1.0, 1.0], "intercept": 0.0, "means": [0.0, 0.0], "deviations": [0.1, 0.1]}
    ready = served("case", "model", "run", {**model, "preprocessing": {"features": ["a", "b"]}})
    assert ready.score({"a": 1e308, "b": 0}) == 1.0
    assert ready.score({"a": -1e308, "b": 0}) == 0.0
    with pytest.raises(RecordError, match="too large"):
        ready.score({"a": 1e308, "b": -1e308})
    assert ready.scores([{"a": 1e308, "b": 0}, {"a": -1e308, "b": 0}]) == [1.0, 0.0]
    assert ready.scores([{"a": 1e308, "b": 0}, {"a": 1e308, "b": -1e308}]) is None


plain = st.one_of(st.floats(), st.integers(), st.booleans(), st.none(), st.text("0123456789.e-", max_size=5))


@given(st.lists(st.fixed_dictionaries({"a": plain, "c=x": plain, "c=y": plain}, optional={"c": plain}), min_size=1))
def test_records_read_together_are_those_read_one_by_one(records: list[Record]) -> None:
    preprocessing = {"features": ["a", "c=x", "c=y"], "categories": {"c": ["x", "y"]}}
    together, alone = plain_reader(preprocessing)(records), reader(preprocessing)
    if together is not None:
        assert together.tolist() == [list(map(float, alone(record))) for record in records]


@given(
    st.dictionaries(
        st.sampled_from(["a", "b", "c=x", "c=y", "c"]), st.none() | st.booleans() | st.integers() | st.floats() | texts
    )
)
def test_any_record_is_read_or_refused(record: Record) -> None:
    read = reader({"features": ["a", "b", "c=x", "c=y"], "numbers": {"b": "percent"}, "categories": {"c": ["x", "y"]}})
    try:
        row = read(record)
    except RecordError as error:
        assert str(error)
    else:
        assert len(row) == 4
        assert all(math.isfinite(value) for value in row)
