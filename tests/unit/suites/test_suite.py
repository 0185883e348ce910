from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from bench.errors import UserError
from bench.suites import schema


def plan(**changes: Any) -> dict[str, Any]:
    """A plan that is right, but for ``changes``; a value of None takes the key away."""
    right = {
        "name": "test",
        "repeats": 2,
        "warmup_epochs": 1,
        "datasets": {"loans": {"kind": "synthetic", "rows": 1000}, "other": {"kind": "synthetic", "rows": 2000}},
        "defaults": {"training": {"epochs": 6, "alpha": 0.01}},
        "cases": [{"id": "one", "engine": "centralised"}, {"id": "two", "engine": "federated"}],
    }
    return {key: value for key, value in {**right, **changes}.items() if value is not None}


def case(**changes: Any) -> dict[str, Any]:
    return plan(cases=[{"id": "one", "engine": "federated", **changes}])


@pytest.mark.parametrize("name", schema.available())
def test_the_suites_of_the_kit_are_right(name: str) -> None:
    checked = schema.check(schema.read(name))
    assert checked.name == name
    assert checked.title == schema.available()[name]
    assert {"centralised", "federated"} <= {case.engine for case in checked.cases}


def test_a_suite_is_found_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "mine.yml").write_text("cases: [{id: a, engine: local}]\ndatasets: {d: {kind: synthetic, rows: 9}}\n")
    checked = schema.check(schema.read(str(tmp_path / "mine.yml")))
    assert checked.name == "mine"
    assert [case.dataset for case in checked.cases] == ["d"]


def test_a_checked_plan_can_be_checked_again() -> None:
    checked = schema.check(plan())
    assert schema.check(checked.plan) == checked


def test_defaults_lie_under_the_cases_key_by_key() -> None:
    cases = [
        {"id": "a", "engine": "centralised", "training": {"epochs": 8}},
        {"id": "b", "engine": "federated", "split": "50/50", "dataset": "other", "training": {"batch_size": "full"}},
    ]
    first, second = schema.check(plan(cases=cases)).cases
    assert (first.training.epochs, first.training.alpha) == (8, 0.01)
    assert (second.training.epochs, second.training.batch_size) == (6, None)
    assert (first.dataset, second.dataset) == ("loans", "other")
    assert (first.split.text, second.split.text) == ("25/25/50", "50/50")
    assert (first.network, second.network) == ("none", "loopback")
    assert (first.title, first.privacy) == ("a", "plain")


def test_the_name_of_a_split_tells_how_it_was_balanced() -> None:
    balances: list[dict[str, str]] = [{}, {"where": "before"}, {"method": "none"}]
    names = [schema.check(case(balance=balance)).cases[0].split_id for balance in balances]
    assert names == ["25/25/50, SMOTE in each party", "25/25/50, SMOTE before the split", "25/25/50"]


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (plan(colour="red"), "unknown key 'colour'"),
        (plan(repeats=0), "repeats must be a whole number of at least 1"),
        (plan(repeats=2.5), "repeats"),
        (plan(repeats=True), "repeats"),
        (plan(repeats="five"), "repeats"),
        (plan(warmup_epochs=-1), "warmup_epochs"),
        (plan(seed=-1), "seed"),
        (plan(test_share=0), "test_share"),
        (plan(test_share=1.0), "test_share"),
        (plan(test_share=math.nan), "test_share"),
        (plan(time_limit=0), "time_limit"),
        (plan(time_limit=math.inf), "time_limit"),
        (plan(datasets=[]), "datasets must be a mapping"),
        (plan(datasets={"loans": "file.csv"}), "datasets.loans must be a mapping"),
        (plan(datasets={"loans": {"kind": "imaginary"}}), "kind: 'imaginary' is unknown"),
        (plan(datasets={"loans": {"kind": "synthetic"}}), "needs the option 'rows'"),
        (plan(datasets={"loans": {"kind": "synthetic", "rows": 0}}), "at least 1"),
        (plan(datasets={"loans": {"kind": "synthetic", "rows": 9, "colour": 1}}), "unknown option 'colour'"),
        (plan(datasets={"loans": {"kind": "tabular", "files": [], "label": "y"}}), "at least one path"),
        (plan(datasets={}), "dataset 'None' is not among"),
        (plan(cases=None), "at least one case"),
        (plan(cases=[]), "at least one case"),
        (plan(cases=["one"]), r"cases\[0\] must be a mapping"),
        (plan(cases=[{"engine": "local"}]), "needs an id"),
        (plan(cases=[{"id": "../up", "engine": "local"}]), "needs an id"),
        (plan(cases=[{"id": "x" * 99, "engine": "local"}]), "needs an id"),
        (plan(cases=[{"id": "a", "engine": "local"}] * 2), "two cases have the id 'a'"),
        (plan(defaults={"colour": 1}), "unknown key 'colour'"),
        (case(colour=1), "case one: unknown key 'colour'"),
        (case(engine="spark"), "case one: engine: 'spark' is unknown"),
        (case(engine=None), "case one: engine"),
        (case(privacy="quantum"), "case one: privacy: 'quantum'"),
        (case(dataset="nowhere"), "dataset 'nowhere'"),
        (case(network="moon"), "unknown key 'network'"),
        (case(split="50/49"), "sum to 99"),
        (case(split="halves"), "is not understood"),
        (case(split=None), "is not understood"),
        (case(balance={"method": "magic"}), "balance: write"),
        (case(balance="smote"), "balance must be a mapping"),
        (case(training={"speed": 1}), "unknown setting 'speed'"),
        (case(training=[]), "training must be a mapping"),
        (case(training={"learning_rate": "1e-3"}), "learning_rate"),
        (case(training={"batch_size": 32}), "FedSGD takes full batches"),
        (case(training={"solver": "lbfgs"}), "it is for centralised"),
        (case(training={"aggregation": "fedavg", "local_epochs": 4}), "not a multiple"),
        (case(training={"epochs": 1}), "leave none to measure after 1 warmup_epochs"),
        (case(training={"epochs": 5, "aggregation": "fedavg", "local_epochs": 5}), "leave none to measure"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(wrong: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint) as caught:
        schema.check(wrong)
    assert "\n" not in str(caught.value)


def test_a_solver_without_epochs_needs_none_beyond_the_warm_up() -> None:
    cases = [{"id": "a", "engine": "centralised", "training": {"solver": "lbfgs", "epochs": 1}}]
    assert schema.check(plan(cases=cases)).cases[0].training.solver == "lbfgs"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("cases: [", "not YAML"),
        ("- a\n- b\n", "a suite is a mapping"),
        ("", "a suite is a mapping"),
        ("\x00\x01", "not YAML"),
        ("a: !!python/object/apply:os.getcwd []", "not YAML"),
    ],
)
def test_a_file_that_is_no_suite_is_refused_in_one_line(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "bad.yml").write_text(text)
    with pytest.raises(UserError, match=complaint) as caught:
        schema.read(str(tmp_path / "bad.yml"))
    assert "\n" not in str(caught.value)
    assert "bad.yml" in str(caught.value)


@pytest.mark.parametrize("name", ["nowhere", "nowhere.yml", "", "../quick"])
def test_a_suite_that_is_not_there(name: str) -> None:
    with pytest.raises(UserError, match=r"unknown|cannot be read"):
        schema.read(name)
