"""The report's section on what each party gains by training together."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd
import pytest
from fixture_run import write_run
from hypothesis import given, settings
from hypothesis import strategies as st
from page_helpers import Page, change, made

from bench.pages.elements import Plot
from bench.report import writer
from bench.report.section import Paragraph
from bench.report.sections import gains as section
from bench.results.gains import gains
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
    assert "had a significantly higher specificity with the common model than with their own model." in page.text


def test_without_a_party_alone_there_is_no_such_section(run: Path) -> None:
    def fail_local(content: dict[str, Any]) -> None:
        next(case for case in content["cases"] if case["id"] == "local").update(status="failed", error="lost")

    page = page_of(change(run, fail_local))
    assert "What each party gains" not in page.text
    assert "the common model" not in page.text


SCORE = st.floats(0, 1).map(lambda value: round(value, 6))
REPEATS = st.lists(st.tuples(SCORE, SCORE, SCORE), min_size=1, max_size=5)


@settings(max_examples=30)
@given(st.dictionaries(st.sampled_from(["1/99", "10/90", "30/70", "label:2:0.1", "column:year:2"]), REPEATS))
def test_what_is_said_is_what_the_intervals_say(splits: dict[str, list[tuple[float, float, float]]]) -> None:
    run = made(splits)
    found = gains(run)
    assert len(found) == 2 * len(splits)
    compared = [gain.compared["specificity"] for gain in found]
    called = [each for each in compared if each.interval]
    higher = [each for each in called if each.interval and each.interval[0] > 0]
    lower = [each for each in called if each.interval and each.interval[1] < 0]
    blocks = section.SECTION.blocks(run)
    said = next((block.text for block in blocks if isinstance(block, Paragraph)), None)
    if not called:
        assert said is None
    else:
        assert said is not None
        assert f"Of {len(called)} parties under" in said
        assert f", {len(higher)} had a significantly higher specificity with the common model" in said
        assert (f"{len(lower)} had a significantly lower one." in said) == bool(lower)
        if higher:
            assert formatting.difference(max(each.estimate or 0 for each in higher)) in said
    shares = [split for split in splits if "/" in split]
    assert bool(blocks) == bool(splits)
    assert any(isinstance(block, Plot) for block in blocks) == (len(shares) >= 3)
