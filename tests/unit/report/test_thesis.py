"""The report's section that holds the thesis against a run."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import geometric_mean
from typing import Any

import pytest
from fixture_run import write_run
from page_helpers import Page, change, made

from bench.pages.elements import Table
from bench.report import writer
from bench.report.sections import thesis
from bench.stats import formatting

TABLE = "The thesis compared with this run"


def rows_of(run: Path) -> dict[str, list[str]]:
    page = Page(writer.render(run).read_text(encoding="utf-8"))
    return {row[0][0]: [text for text, _ in row[1:]] for row in page.table(TABLE)[1:]}


def thesis_run(folder: Path, **options: Any) -> Path:
    return change(
        write_run(folder, protected=True, **options), lambda content: content["suite"].update(name=thesis.SUITE)
    )


def with_scores(run: Path, scores: dict[str, float]) -> Path:
    def set_them(content: dict[str, Any]) -> None:
        for metric, value in scores.items():
            content["cases"][0]["metrics"][metric] = {
                "median": value,
                "low": value,
                "high": value,
                "n": 1,
                "values": [value],
            }

    return change(run, set_them)


def test_each_finding_stands_beside_what_came_out(tmp_path: Path) -> None:
    run = thesis_run(tmp_path / "run")
    rows = rows_of(run)
    assert [row.split(":")[0] for row in rows] == ["Table 3-4", "Figure 4-2", "Section 4.3"]
    cases = {case["id"]: case for case in json.loads((run / "run.json").read_text())["cases"]}
    metrics = cases["centralised"]["metrics"]
    came_out = rows["Table 3-4: centralised logistic regression"][1]
    for label in (0, 1):
        shown = ", ".join(f"{metrics[f'{name}_{label}']['median']:.2f}" for name in ("precision", "recall", "f1"))
        assert shown in came_out
    ratio = geometric_mean(
        a / b
        for a, b in zip(
            *(cases[name]["time"]["epoch_seconds"]["values"] for name in ("paillier", "federated")), strict=True
        )
    )
    assert f"Paillier: an epoch {formatting.number(ratio)} times as long (" in rows["Section 4.3: Paillier"][1]
    assert rows["Section 4.3: Paillier"][2] == "yes"


def test_the_table_is_borne_out_only_by_scores_like_its_own(tmp_path: Path) -> None:
    run = thesis_run(tmp_path / "run")
    name = "Table 3-4: centralised logistic regression"
    assert rows_of(with_scores(run, thesis.TABLE_3_4))[name][2] == "yes: no figure more than 0.00 off"
    assert rows_of(with_scores(run, {"recall_0": 0.58}))[name][2] == "no: a figure is 0.08 off"


def test_of_made_up_loans_no_score_is_held_against_it(tmp_path: Path) -> None:
    assert set(rows_of(thesis_run(tmp_path / "run", synthetic=True))) == {"Section 4.3: Paillier"}


def test_other_suites_have_no_such_section(tmp_path: Path) -> None:
    page = Page(writer.render(write_run(tmp_path / "run", protected=True)).read_text(encoding="utf-8"))
    assert "Compared with the thesis" not in page.text


@pytest.mark.parametrize(
    ("gains", "answer"),
    [
        ((0.1, 0.1), "yes at 1\N{NO-BREAK SPACE}%, 20\N{NO-BREAK SPACE}%"),
        ((0.1, 0.0), "yes at 1\N{NO-BREAK SPACE}%; not significant at 20\N{NO-BREAK SPACE}%"),
        ((0.0, 0.0), "not significant at 1\N{NO-BREAK SPACE}%, 20\N{NO-BREAK SPACE}%"),
        ((-0.1, 0.0), "the contrary at 1\N{NO-BREAK SPACE}%; not significant at 20\N{NO-BREAK SPACE}%"),
    ],
)
def test_the_smaller_of_two_parties_gains_where_its_interval_says_so(gains: tuple[float, float], answer: str) -> None:
    noise = (0.001, -0.001, 0.0)
    splits = {
        split: [(0.5 + wobble, 0.6, 0.5 + gain - wobble) for wobble in noise]
        for split, gain in zip(("1/99", "20/80"), gains, strict=True)
    }
    (table,) = thesis.SECTION.blocks(made(splits))
    assert isinstance(table, Table)
    (row,) = (row for row in table.rows if row[0].text.startswith("Figure 4-3"))
    assert row[3].text == answer
    assert row[2].text.startswith("with 1\N{NO-BREAK SPACE}%: ")


def test_fewer_than_three_repeats_tell_nothing(tmp_path: Path) -> None:
    rows = rows_of(thesis_run(tmp_path / "run", repeats=1))
    answer = rows["Figure 4-2: three parties, 25/25/50"][2]
    assert answer == "yes for 0 of 3 parties, the contrary for 0; not significant for 3"
    assert "Section 4.3: Paillier" not in rows
