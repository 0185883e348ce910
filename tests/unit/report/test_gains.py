"""The report's section on what each party gains by training together."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd
import pytest
from fixture_run import write_run
from hypothesis import given
from hypothesis import strategies as st
from page_helpers import Page, change

from bench.report import writer
from bench.report.sections import gains
from bench.stats import formatting

SECTION = "Each party's own model against"


def page_of(run: Path) -> Page:
    return Page(writer.render(run).read_text(encoding="utf-8"))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run")


def test_figures_are_those_of_the_scores_repeat_by_repeat(run: Path) -> None:
    scores = pd.read_csv(run / "scores.csv", dtype={"model": str})
    facts = json.loads((run / "run.json").read_text())
    together = scores[scores["case"] == "federated"].set_index("repeat")
    page = page_of(run)
    for party in facts["datasets"]["loans"]["splits"]["25/25/50"]["parties"]:
        name = f"Split 25/25/50: {party['party']}/{party['role']}"
        alone = scores[(scores["case"] == "local") & (scores["model"] == party["party"])].set_index("repeat")
        assert page.column(SECTION, "Training rows")[name][1] == party["rows"]
        for metric, heading in (("specificity", "Specificity"), ("auc", "AUC")):
            assert page.column(SECTION, f"{heading}, alone")[name][1] == median(alone[metric])
            assert page.column(SECTION, f"{heading}, together")[name][1] == median(together[metric])
        gain = (together["specificity"] - alone["specificity"]).mean()
        assert page.column(SECTION, "Difference")[name][1] == pytest.approx(gain)
    assert "had a higher specificity with the common model than with their own" in page.text


def test_without_a_party_alone_there_is_no_such_section(run: Path) -> None:
    def fail_local(content: dict[str, Any]) -> None:
        next(case for case in content["cases"] if case["id"] == "local").update(status="failed", error="lost")

    page = page_of(change(run, fail_local))
    assert "What each party gains" not in page.text
    assert "the common model" not in page.text


def made(splits: dict[str, list[tuple[float, float, float]]]) -> tuple[dict[str, Any], pd.DataFrame]:
    """A run of two parties under each split; values of one repeat: smaller alone, larger alone, together."""
    cases, rows, known = [], [], {}
    for place, (split, repeats) in enumerate(splits.items()):
        done = list(range(1, len(repeats) + 1))
        shared = {"dataset": "d", "split": split, "balance": {}, "status": "ok", "repeats_done": done}
        cases.append({"id": f"t{place}", "engine": "federated", "privacy": "plain", **shared})
        cases.append({"id": f"l{place}", "engine": "local", "privacy": "plain", **shared})
        share = float(split.split("/")[0]) if "/" in split else 50.0
        parties = [
            {"party": "9999", "role": "guest", "rows": share},
            {"party": "10000", "role": "host", "rows": 100 - share},
        ]
        known[split] = {"parties": parties}
        for repeat, values in enumerate(repeats, start=1):
            named = zip(("9999", "10000", "federated"), (f"l{place}", f"l{place}", f"t{place}"), values, strict=True)
            rows += [
                {"case": case, "repeat": repeat, "model": model, "specificity": value, "auc": value}
                for model, case, value in named
            ]
    return {"cases": cases, "datasets": {"d": {"splits": known}}}, pd.DataFrame(rows)


SCORE = st.floats(0, 1).map(lambda value: round(value, 6))
REPEATS = st.lists(st.tuples(SCORE, SCORE, SCORE), min_size=1, max_size=5)


@given(st.dictionaries(st.sampled_from(["1/99", "10/90", "30/70", "label:2:0.1", "column:year:2"]), REPEATS))
def test_what_is_said_is_what_the_intervals_say(splits: dict[str, list[tuple[float, float, float]]]) -> None:
    run, scores = made(splits)
    found = gains.gains(run, scores)
    assert len(found) == 2 * len(splits)
    relations = [gain.relation["specificity"] for gain in found]
    called = [relation for relation in relations if relation.low is not None]
    higher = [relation for relation in called if (relation.low or 0) > 0]
    lower = [relation for relation in called if (relation.high or 0) < 0]
    said = gains.sentence(found)
    if not called:
        assert said is None
    elif higher:
        assert said is not None
        assert f"Of {len(called)} parties under" in said
        assert f", {len(higher)} had a higher specificity with the common model" in said
        assert formatting.difference(max(relation.estimate or 0 for relation in higher)) in said
        assert (f"{len(lower)} had a lower one" in said) == bool(lower)
    else:
        assert said is not None
        assert said.startswith(f"Of {len(called)} parties under ")
        assert "none was shown to have a higher specificity" in said
    shares = [split for split in splits if "/" in split]
    section = gains.section(found)
    assert (section is None) == (not splits)
    assert (section is not None and section["plot"] is not None) == (len(shares) >= 3)
