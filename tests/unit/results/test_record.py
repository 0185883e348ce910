"""run.json as types: what is read, what is refused, and what a gap means."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fixture_run import write_run
from helpers import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import UserError
from bench.i18n.messages import Message, as_line, english
from bench.results import record, store
from bench.results.view import open_run

SAMPLE = ROOT / "results" / "sample"
CONTENT: dict[str, Any] = json.loads((SAMPLE / "run.json").read_text())


def places(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place of a tree of JSON, the root aside."""
    children = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in children:
        yield (*path, key)
        yield from places(value, (*path, key))


KEPT = {"plan", "privacy_options", "training", "balance", "figures"}
# Keys of objects, outside of what is kept as it is; what an object is named by must be there.
NAMED_BY = {"schema_version", *record.OUTLINE, "id", "party", "role"}
# What is named by the run's own words, and a summary, which is whole or nothing.
OPEN = {"packages", "datasets", "splits", "metrics", "models", "by_party", "phases", "cpu_phases", "stages"}
SUMMARY = {"median", "low", "high", "n", "values"}
OPTIONAL = [
    path
    for path in places({**CONTENT, "cases": CONTENT["cases"][-2:]})
    if isinstance(path[-1], str) and path[-1] not in NAMED_BY and not KEPT & set(path)
]


def changed(path: tuple[Any, ...], value: Any = None) -> dict[str, Any]:
    """The sample run's content without what stands at ``path``, or with ``value`` there."""
    content = deepcopy({**CONTENT, "cases": CONTENT["cases"][-2:]})
    tree = content
    for key in path[:-1]:
        tree = tree[key]
    if value is None:
        del tree[path[-1]]
    else:
        tree[path[-1]] = value
    return content


def test_a_run_comes_back_as_it_was_written(tmp_path: Path) -> None:
    run = store.load(SAMPLE)
    store.save(tmp_path, run)
    assert store.load(tmp_path) == run
    assert record.to_json(store.load(tmp_path))["cases"][0]["metrics"].keys() == CONTENT["cases"][0]["metrics"].keys()


@given(st.sampled_from(OPTIONAL))
@settings(max_examples=150)
def test_what_came_later_than_a_run_is_not_measured_in_it(path: tuple[Any, ...]) -> None:
    assert record.from_json(changed(path)).run_id == CONTENT["run_id"]


@given(st.sampled_from([path for path in OPTIONAL if not OPEN & set(path[-3:-1]) and path[-1] not in SUMMARY]))
@settings(max_examples=60)
def test_what_came_later_than_this_version_is_ignored(path: tuple[Any, ...]) -> None:
    ours = record.from_json(changed((*path[:-1], "a later version's"), {"of": ["what", 3]}))
    assert ours == record.from_json(changed((*path[:-1], "a later version's"), "other"))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("cases", 0, "id"), 3),
        (("cases", 0, "metrics"), [1]),
        (("cases", 1, "time", "epoch_seconds", "median"), "fast"),
        (("cases", 1, "time", "by_party"), "none"),
        (("cases", 1, "repeats_done"), "all"),
        (("environment", "load_before"), 1.5),
        (("datasets", "loans", "rows"), "many"),
        (("command",), "python"),
    ],
)
def test_another_shape_is_refused_in_one_line_that_names_it(tmp_path: Path, path: tuple[Any, ...], value: Any) -> None:
    if path[0] == "datasets":
        path = ("datasets", next(iter(CONTENT["datasets"])), *path[2:])
    (tmp_path / "run.json").write_text(json.dumps(changed(path, value)))
    with pytest.raises(UserError, match=r"not as it was written") as caught:
        store.load(tmp_path)
    assert str(path[-1]) in str(caught.value) or str(path[0]) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_summary_that_is_not_whole_is_not_measured() -> None:
    content = changed(("cases", 1, "time", "epoch_seconds", "low"))
    time = record.from_json(content).cases[1].time
    assert time is not None
    assert time.epoch_seconds is None
    assert time.training_seconds is not None


def test_lines_are_sentences_of_older_versions_or_messages(tmp_path: Path) -> None:
    line = {"code": "busy", "text": "busy with {n} others", "values": {"n": 3}}
    content = changed(("environment", "warnings"), ["as it was recorded once", line])
    first, second = record.from_json(content).environment.warnings
    assert first == "as it was recorded once"
    assert second == Message("busy", "busy with {n} others", {"n": 3})
    assert str(second) == "busy with 3 others"


def as_version_2(content: dict[str, Any]) -> dict[str, Any]:
    """The same run in the words of schema version 2, whose lines are sentences."""
    older = {**deepcopy(content), "schema_version": 2}
    del older["kit_version"]
    for case in older["cases"]:
        for key in ("kind", "platform", "protected"):
            del case[key]
        seen = case.pop("visibility", {})
        case["learns"] = {key.replace("assumptions", "assumes"): line for key, line in seen.items()}
        case["lost_parties"] = case.pop("dropped_out", [])
        case["notes"] = [f"repeat {note['repeat']}: {_english(note['line'])}" for note in case["notes"]]
    return older


def _english(line: Any) -> str:
    return english(as_line(line))


def test_a_run_of_schema_version_2_is_read_with_the_words_of_today(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", protected=True)
    content = json.loads((run / "run.json").read_text())
    content["cases"][3]["dropped_out"] = [{"repeat": 2, "party": "9998"}]
    newer, older = record.from_json(content), record.from_json(as_version_2(content))
    for ours, theirs in zip(newer.cases, older.cases, strict=True):
        for key in ("kind", "platform", "protected", "visibility", "dropped_out", "metrics", "time"):
            assert getattr(ours, key) == getattr(theirs, key), key
        lines = [f"repeat {note.repeat}: {english(note.line)}" for note in ours.notes]
        assert [note.line for note in theirs.notes] == lines
    assert {case.kind for case in older.cases} == {"centralised", "local", "federated"}


def test_the_schema_that_is_written_down_is_that_of_the_code() -> None:
    written = json.loads((ROOT / "docs" / "run.schema.json").read_text())
    assert written == json.loads(msgspec.json.encode(msgspec.json.schema(record.RunRecord)))


def test_each_figure_is_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.stats import comparison

    calls: list[str] = []
    computed = comparison.compare_samples

    def counted(*arguments: Any, **named: Any) -> comparison.Comparison:
        calls.append(str(arguments[:2]))
        return computed(*arguments, **named)

    monkeypatch.setattr(comparison, "compare_samples", counted)
    run = open_run(write_run(tmp_path / "run"))
    case = run.headline
    assert case is not None
    assert case.baseline is case.baseline
    for _ in range(3):
        assert case.time_ratio is not None
        assert case.score_against(run.spoken_of[1], "auc") is not None
    assert len(calls) == 2


def test_a_baseline_has_the_same_rows_and_epochs(tmp_path: Path) -> None:
    run = open_run(write_run(tmp_path / "run"))
    for case in run.finished:
        base = case.baseline
        if base is not None:
            assert base.kind == "centralised"
            assert base.same_rows(case)
            assert not base.without_epochs
