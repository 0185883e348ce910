from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixture_run import write_run
from hypothesis import given
from hypothesis import strategies as st
from page_helpers import Page, change
from scipy import stats

from bench.compare import __main__ as main_of_compare
from bench.compare import runs as compared_runs
from bench.pages import charts
from bench.results import record
from bench.results.view import RunView, open_run
from bench.stats import comparison, formatting

MIRROR = {
    "slower": "faster",
    "faster": "slower",
    "more": "fewer",
    "fewer": "more",
    "higher": "lower",
    "lower": "higher",
}

durations = st.lists(st.floats(1e-6, 1e4), max_size=6)
duration_pairs = st.lists(st.tuples(st.floats(1e-6, 1e4), st.floats(1e-6, 1e4)), min_size=3, max_size=6)
score_lists = st.lists(st.floats(0.0, 1.0), max_size=6)


Contents = tuple[dict[str, Any], dict[str, Any]]


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> Contents:
    folder = tmp_path_factory.mktemp("runs")
    written = write_run(folder / "a"), write_run(folder / "b", pace=1.5, seed=2)
    a, b = (json.loads((run / "run.json").read_text()) for run in written)
    return a, b


@pytest.fixture(scope="module")
def runs(contents: Contents) -> tuple[RunView, RunView]:
    return view(contents[0]), view(contents[1])


def view(content: dict[str, Any]) -> RunView:
    """A run with this content of run.json and no other file."""
    return RunView(Path("nowhere"), record.from_json(content))


def copied(content: dict[str, Any]) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(content))
    return copy


def row(rows: list[compared_runs.Row], case: str, quantity: str) -> compared_runs.Row:
    return next(r for r in rows if (r.case, r.quantity) == (case, quantity))


@given(durations, durations)
def test_swapping_the_runs_inverts_the_ratio_and_mirrors_the_verdict(a: list[float], b: list[float]) -> None:
    there, back = comparison.compare_samples(a, b, "s"), comparison.compare_samples(b, a, "s")
    assert back.verdict == MIRROR.get(there.verdict, there.verdict)
    assert back.test == there.test
    if there.low is not None and there.low > 0 and there.high < float("inf"):
        assert back.estimate == pytest.approx(1 / there.estimate, rel=1e-6)
        assert (back.low, back.high) == pytest.approx((1 / there.high, 1 / there.low), rel=1e-6)


@given(score_lists, score_lists)
def test_swapping_the_runs_turns_the_difference_round(a: list[float], b: list[float]) -> None:
    there, back = comparison.compare_samples(a, b, ""), comparison.compare_samples(b, a, "")
    assert back.verdict == MIRROR.get(there.verdict, there.verdict)
    if there.low is not None:
        assert (back.estimate, back.low, back.high) == pytest.approx((-there.estimate, -there.high, -there.low))


@given(duration_pairs)
def test_swapping_mirrors_pairs_and_their_order_does_not_matter(pairs: list[tuple[float, float]]) -> None:
    (a, b), (c, d) = zip(*pairs, strict=True), zip(*reversed(pairs), strict=True)
    there, back, other = (comparison.compare_samples(x, y, "s", paired=True) for x, y in ((a, b), (b, a), (c, d)))
    assert back.verdict == MIRROR.get(there.verdict, there.verdict)
    if there.low is not None and there.low > 0 and there.high < float("inf"):
        assert (back.low, back.high) == pytest.approx((1 / there.high, 1 / there.low), rel=1e-6)
        assert (other.estimate, other.low, other.high) == pytest.approx(
            (there.estimate, there.low, there.high), rel=1e-6
        )


@given(st.lists(st.floats(0.0, 1e4), min_size=3, max_size=6), st.sampled_from(sorted(comparison.WORDS)))
def test_identical_values_never_differ(values: list[float], unit: str) -> None:
    assert comparison.compare_samples(values, values, unit).verdict in ("not significant", "identical")
    assert comparison.compare_samples(values, values, unit, paired=True).verdict == "identical"


@given(st.lists(st.floats(1e-6, 1e4), min_size=1, max_size=2), durations, st.sampled_from(sorted(comparison.WORDS)))
def test_fewer_than_three_values_never_get_a_verdict(few: list[float], b: list[float], unit: str) -> None:
    pairs = (few, [2 * value for value in few])
    for relation in (
        comparison.compare_samples(few, b, unit),
        comparison.compare_samples(b, few, unit),
        comparison.compare_samples(*pairs, unit, True),
    ):
        assert relation.verdict in comparison.UNKNOWN
        assert relation.estimate is relation.low is relation.high is None


@given(st.lists(st.floats(0.1, 1e4), min_size=3, max_size=6), st.lists(st.floats(0.1, 1e4), min_size=3, max_size=6))
def test_the_unit_of_time_does_not_matter(a: list[float], b: list[float]) -> None:
    seconds = comparison.compare_samples(a, b, "s")
    other = comparison.compare_samples([1024 * x for x in a], [1024 * x for x in b], "s")
    if seconds.test and other.test:
        assert other.estimate == pytest.approx(seconds.estimate, rel=1e-9)


def test_the_interval_is_welchs() -> None:
    # Worked by hand: means 11 and 13, variances 1 and 4, n = 3 and 3: standard error sqrt(5/3),
    # 2.941 degrees of freedom, t = 3.218.
    relation = comparison.compare_samples([10.0, 11.0, 12.0], [11.0, 13.0, 15.0], "")
    assert relation.estimate == pytest.approx(2.0)
    assert (relation.low, relation.high) == pytest.approx((2 - 4.1539, 2 + 4.1539), abs=2e-3)
    assert relation.verdict == "not significant"


def test_pairs_show_what_the_spread_between_them_hides() -> None:
    # Worked by hand: differences 0.001, 0.002, 0.003: standard error 0.001 / sqrt(3), t of 2 degrees of freedom 4.303.
    a, b = [0.60, 0.65, 0.70], [0.601, 0.652, 0.703]
    relation = comparison.compare_samples(a, b, "", paired=True)
    assert relation.estimate == pytest.approx(0.002)
    assert (relation.low, relation.high) == pytest.approx((0.002 - 0.002484, 0.002 + 0.002484), abs=1e-6)
    assert (relation.test, relation.verdict) == ("paired", "not significant")
    above = comparison.compare_samples(a, [0.602, 0.6521, 0.7022], "", paired=True)
    assert above.verdict == "higher"
    assert comparison.compare_samples(a, [0.602, 0.6521, 0.7022], "").verdict == "not significant"
    assert (
        comparison.compare_samples(a, [value + 0.01 for value in a], "", paired=True).verdict == "differs by a constant"
    )


def test_deterministic_values_are_identical_or_differ() -> None:
    assert comparison.compare_samples([402.0] * 3, [402.0] * 3, "B").verdict == "identical"
    assert comparison.compare_samples([0.1 + 0.2] * 3, [0.3] * 3, "").verdict == "identical"
    differs = comparison.compare_samples([402.0] * 3, [804.0] * 4, "B")
    assert (differs.verdict, differs.estimate, differs.low) == ("differs", 2.0, None)


def test_a_wait_of_zero_is_compared_as_a_difference() -> None:
    relation = comparison.compare_samples([0.0, 0.0, 0.001], [0.1, 0.101, 0.102], "s")
    assert (relation.kind, relation.verdict) == ("difference", "slower")


def test_a_slower_run_is_slower_and_its_bytes_are_identical(runs: tuple[RunView, RunView]) -> None:
    rows = compared_runs.compare(*runs)
    epoch = row(rows, "federated", "epoch")
    assert epoch.comparison.verdict == "slower"
    assert epoch.comparison.low < 1.5 < epoch.comparison.high
    assert row(rows, "federated", "sent per epoch, all parties").comparison.verdict == "identical"
    assert row(rows, "federated", "waiting, mean of the parties").comparison.verdict == "slower"
    assert row(rows, "local", "AUC, model of 9998").a is not None


def test_scores_are_paired_where_both_runs_drew_the_same_rows(
    runs: tuple[RunView, RunView], contents: Contents
) -> None:
    a, b = runs
    tests = {r.quantity: r.comparison.test for r in compared_runs.compare(a, b) if r.case == "federated"}
    assert (tests["AUC"], tests["epoch"], tests["peak memory, largest party"]) == ("paired", "Welch", "Welch")
    shown = compared_runs.as_text([a, b])
    assert "paired: t-test of the differences repeat by repeat" in shown
    assert "Welch: t-test of the repeats of one run" in shown
    ours, theirs = (run.case("federated").metric("auc").values for run in (a, b))
    expected = comparison.compare_samples(ours, theirs, "", paired=True)
    assert row(compared_runs.compare(a, b), "federated", "AUC").comparison == expected
    shuffled = copied(contents[1])
    case = next(case for case in shuffled["cases"] if case["id"] == "federated")
    case["repeats_done"].reverse()
    case["metrics"]["auc"]["values"].reverse()
    assert row(compared_runs.compare(a, view(shuffled)), "federated", "AUC").comparison == expected


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("plan", "seed"), 2),
        (("plan", "test_share"), 0.5),
        (("plan",), None),
        (("datasets", "loans", "digest"), "2e" * 32),
        (("cases", 3, "split"), "column:year"),
        (("cases", 3, "balance"), {"method": "none"}),
    ],
)
def test_other_rows_are_not_paired(contents: Contents, path: tuple[Any, ...], value: Any) -> None:
    b = copied(contents[1])
    place = b
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    a, b = view(contents[0]), view(b)
    assert row(compared_runs.compare(a, b), "federated", "AUC").comparison.test == "Welch"
    words = {"plan": "seed: A 1", "digest": "digest", "test_share": "test share: A 0.3, B 0.5"}
    wanted = words.get(path[-1], str(path[-1]))
    assert any(wanted in line for line in compared_runs.differing_conditions(a, b))


def test_without_digests_the_facts_of_the_data_decide(contents: Contents) -> None:
    a, b = map(copied, contents)
    del a["datasets"]["loans"]["digest"], a["plan"]["seed"]  # the default seed is 1
    assert row(compared_runs.compare(view(a), view(b)), "federated", "AUC").comparison.test == "paired"
    b["datasets"]["loans"]["rows"] += 1
    assert row(compared_runs.compare(view(a), view(b)), "federated", "AUC").comparison.test == "Welch"


def test_unfinished_cases_have_no_row_and_are_named(contents: Contents) -> None:
    b = {**contents[1], "cases": [case for case in contents[1]["cases"] if case["id"] != "local"]}
    a, b = view(contents[0]), view(b)
    assert {r.case for r in compared_runs.compare(a, b)} == {
        "centralised", "centralised-lbfgs", "federated", "federated-fedavg",
    }  # fmt: skip
    named = compared_runs.uncompared(a, b)
    assert named["local"] == "only in A"
    assert named["federated-paillier"].startswith("failed (party 9998/host did not answer")
    assert compared_runs.uncompared(b, a)["local"] == "only in B"


def test_what_only_one_run_measured_is_unknown(contents: Contents) -> None:
    a = copied(contents[0])
    next(case for case in a["cases"] if case["id"] == "federated")["bytes"] = None
    found = row(compared_runs.compare(view(a), view(contents[1])), "federated", "sent per epoch, all parties")
    assert (found.comparison.verdict, compared_runs.outcome(found, "B")[2]) == ("not measured", "not measured in A")


def test_runs_with_nulls_everywhere_can_be_compared(runs: tuple[RunView, RunView], contents: Contents) -> None:
    a = copied(contents[0])
    for case in a["cases"]:
        case |= dict.fromkeys(("time", "bytes", "resources", "metrics", "models", "training"))
    rows = compared_runs.compare(view(a), runs[1])
    assert {(r.comparison.verdict, r.comparison.missing) for r in rows} == {("not measured", "a")}
    assert compared_runs.compare(view(a), view(a)) == []
    assert "nothing to compare" in compared_runs.as_text([view({**a, "cases": []}), runs[1]])


def test_other_conditions_are_named_before_the_table(runs: tuple[RunView, RunView], contents: Contents) -> None:
    a, b = runs[0], copied(contents[1])
    assert compared_runs.differing_conditions(*runs) == []
    b["environment"] |= {"cpu": "Other CPU", "load_before": [1.9, 1.0, 0.5]}
    b["environment"]["packages"]["numpy"] = "1.26.0"
    b["datasets"]["loans"]["rows"] = 100
    b["datasets"]["loans"]["splits"]["25/25/50"]["parties"][0]["rows"] = 7
    b["cases"][3]["training"]["learning_rate"] = 0.1
    b["revision"]["dirty"] = True
    b = view(b)
    lines = compared_runs.differing_conditions(a, b)
    assert "CPU: A Example CPU @ 2.50GHz, B Other CPU" in lines
    assert "numpy: A 2.4.6, B 1.26.0" in lines
    assert "load before the run (1 minute): A 0.31, B 1.9" in lines
    assert "dataset loans, rows: A 76435, B 100" in lines
    assert "case federated, training.learning_rate: A 0.05, B 0.1" in lines
    assert "code revision: A 0123456789ab, B 0123456789ab with local changes" in lines
    assert any(line.startswith("split 25/25/50 of loans: A [22848, 22848, 45694], B [7,") for line in lines)
    text = compared_runs.as_text([a, b])
    assert text.index("Other CPU") < text.index("95 % interval")


def test_the_number_of_comparisons_is_told(runs: tuple[RunView, RunView]) -> None:
    tested = sum(r.comparison.test is not None for r in compared_runs.compare(*runs))
    assert tested > 50
    assert f"{tested} comparisons were made at 95 %: chance alone would show about" in compared_runs.as_text(runs)


@given(durations, durations, st.floats(0.0, 2.0), st.floats(0.0, 2.0))
def test_only_an_interval_above_the_limit_as_a_whole_fails(a: list[float], b: list[float], x: float, y: float) -> None:
    relation = comparison.compare_samples(a, b, "s")
    strict, lenient = (compared_runs.exceeds(relation, limit) for limit in sorted((x, y)))
    order = ["slower than allowed", "unknown", "within the limit"]
    assert order.index(strict) <= order.index(lenient)  # what passes a limit passes a higher one
    assert (strict == "slower than allowed") == (relation.low is not None and relation.low > 1 + min(x, y))
    if min(len(a), len(b)) < comparison.LEAST_VALUES:
        assert strict == lenient == "unknown"
    if strict == "slower than allowed":
        assert relation.verdict == "slower"
        assert (
            compared_runs.exceeds(comparison.compare_samples(a, [2 * value for value in b], "s"), min(x, y))
            == "slower than allowed"
        )
    assert compared_runs.exceeds(comparison.compare_samples(a, a, "s"), x) != "slower than allowed"


@given(st.floats(0.0, 0.99))
def test_a_share_may_be_a_fraction_or_per_cent(share: float) -> None:
    assert compared_runs.share_of(repr(share)) == share
    assert compared_runs.share_of(f"{100 * share!r}%") == pytest.approx(share)


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = write_run(tmp_path / "a"), write_run(tmp_path / "b", repeats=1, seed=2)
    assert main_of_compare.main([str(a), str(b)]) == 0
    shown = capsys.readouterr().out
    verdicts = [line for line in shown.splitlines() if line.startswith("  epoch ")]
    assert len(verdicts) == 4
    assert all(line.endswith("unknown (fewer than 3 values on a side)") for line in verdicts)
    assert "slower" not in shown
    (b / "run.json").write_text("{", encoding="utf-8")
    for folder in (tmp_path / "nothing", b):
        assert main_of_compare.main([str(a), str(folder)]) == 2
        bad = capsys.readouterr()
        assert bad.out == ""
        assert len(bad.err.splitlines()) == 1
        assert str(folder) in bad.err


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Write a base, a slower run, one without spread, and one as older or broken-off ones are: with gaps."""
    parent = tmp_path_factory.mktemp("folders")
    found = {"base": write_run(parent / "base"), "slower": write_run(parent / "slower", pace=1.5, seed=2)}
    found["single"] = write_run(parent / "single", pace=9.0, repeats=1, seed=3)
    found["gaps"] = write_run(parent / "gaps", seed=4, synthetic=True, unfinished=False)

    def leave_gaps(run: dict[str, Any]) -> None:
        for key in ("plan", "created", "finished", "revision", "command", "measuring"):
            del run[key]
        run["environment"] = {}
        run["cases"][3] |= {"status": "failed", "error": "party 9998/host was <lost>", "time": None, "bytes": None}
        run["cases"][2]["time"] = None
        del run["cases"][4]["bytes"], run["cases"][4]["resources"], run["cases"][0]["metrics"]

    change(found["gaps"], leave_gaps)
    return found


def compared(folders: dict[str, Path], *names: str, options: Sequence[str] = ()) -> int:
    return main_of_compare.main([*(str(folders[name]) for name in names), *options])


def test_what_is_slower_for_certain_fails(folders: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert compared(folders, "base", "slower") == 0
    capsys.readouterr()
    assert compared(folders, "base", "slower", options=["--fail-above", "5%"]) == 1
    *_, judged, last = capsys.readouterr().out.rsplit("\n\n", 1)[-1].splitlines()
    assert judged.startswith("  B, federated-fedavg: slower than allowed: 1.")
    assert last.startswith("Failed: 4 of 4 comparisons are slower per epoch by more than 5")
    assert compared(folders, "base", "slower", options=["--fail-above", "80%"]) == 0
    assert compared(folders, "slower", "base", options=["--fail-above", "0.05"]) == 0
    assert compared(folders, "base", "base", "slower", options=["--fail-above", "0.05"]) == 1


def test_what_is_unknown_does_not_fail_and_is_named(
    folders: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert compared(folders, "base", "single", options=["--fail-above", "5%"]) == 0
    shown = capsys.readouterr().out
    assert "B, federated: unknown: fewer than 3 values on a side" in shown
    assert "4 are unknown, which does not fail." in shown
    assert compared(folders, "base", "gaps", options=["--fail-above", "0%"]) == 0
    shown = capsys.readouterr().out
    assert "B, federated: unknown: ok in A, failed (party 9998/host was <lost>) in B" in shown
    assert "B, local: unknown: not measured in B" in shown
    assert "B, federated-paillier" not in shown.rsplit("\n\n", 1)[-1]  # finished in neither


def test_one_value_is_never_called_a_difference(folders: dict[str, Path], tmp_path: Path) -> None:
    runs = [open_run(folders[name]) for name in ("base", "single")]
    page = page_of(folders, tmp_path, "base", "single")
    for shown in (compared_runs.as_text(runs), page.text):
        assert all(f" {word} in " not in shown and f"{word}\n" not in shown for word in ("slower", "faster"))
    verdicts = {row[-1][0] for row in case_table(page, "Federated, FedSGD")[1:] if len(row) > 1}
    assert verdicts == {"unknown (fewer than 3 values on a side)"}


def page_of(folders: dict[str, Path], tmp_path: Path, *names: str, options: Sequence[str] = ()) -> Page:
    compared(folders, *names, options=["--html", str(tmp_path / "page.html"), *options])
    return Page((tmp_path / "page.html").read_text(encoding="utf-8"))


def case_table(page: Page, title: str) -> list[list[tuple[str, float | None]]]:
    return page.table(f"{title}: median")


def test_the_page_shows_the_figures_that_are_printed(
    folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = page_of(folders, tmp_path, "base", "slower", options=["--fail-above", "5%"])
    printed = plain(capsys.readouterr().out)
    runs = [open_run(folders[name]) for name in ("base", "slower")]
    titles = {case.id: case.title for case in runs[0].cases}
    rows = compared_runs.compare(*runs)
    for identifier in dict.fromkeys(row.case for row in rows):
        table = {cells[0][0]: cells[1:] for cells in case_table(page, titles[identifier]) if len(cells) > 1}
        block = printed.split(f"\n{identifier}\n")[1]
        for expected in (row for row in rows if row.case == identifier):
            a, b, estimate, verdict = table[expected.quantity]
            relation = expected.comparison
            assert (a[1], b[1], estimate[1]) == (expected.a.median, expected.b.median, relation.estimate)
            assert verdict[0] == compared_runs.outcome(expected, "B")[2]
            line = next(line for line in block.splitlines() if line.startswith(f"  {expected.quantity} "))
            for text, value in (a, b):  # "9.44 ms 9.10-9.49, n = 3" here is "9.44 ms (3)" there
                shown, _, _ = plain(text).partition(f" {spread_in(text)}")
                assert f" {shown} (3)" in line, (value, line)
            assert plain(estimate[0]).partition(";")[0] in line
    assert plain(compared_runs.conclusion(compared_runs.check_all(runs, 0.05), 0.05)) in plain(page.text)
    for check in compared_runs.check_all(runs, 0.05):
        assert plain(check.why) in printed
        assert plain(check.why) in plain(page.text)


def plain(text: str) -> str:
    return text.replace(formatting.SPACE, " ")


def spread_in(text: str) -> str:
    """The small print of a cell: its last words, from the spread on."""
    return re.search(r"(\S+\u2013\S+, n = \d+|all \d+ equal)$", plain(text)).group()


def test_several_runs_stand_side_by_side(folders: dict[str, Path], tmp_path: Path) -> None:
    page = page_of(folders, tmp_path, "base", "slower", "gaps")
    header = [text for text, _ in page.table("The runs")[0]]
    assert header == ["", "A (base)", "B", "C"]
    facts = {row[0][0]: [text for text, _ in row[1:]] for row in page.table("The runs")[1:]}
    assert facts["Run"] == [f"20261123-14050{seed}-quick" for seed in (1, 2, 4)]
    assert facts["Revision"] == ["0123456789ab", "0123456789ab", "not recorded"]
    assert facts["CPU"][2] == facts["Begun"][2] == "not recorded"
    assert facts["Finished"][2] == "not finished"
    epoch = next(row for row in case_table(page, "Federated, FedSGD") if row[0][0] == "epoch")
    assert epoch[4][0] == "slower"
    assert epoch[5:] == [("not compared", None), ("", None), ("", None)]
    alone = next(row for row in case_table(page, "Each party alone") if row[0][0] == "epoch")
    assert [alone[5][0], alone[7][0]] == [formatting.NOT_MEASURED, "not measured in C"]
    assert "CPU: A Example CPU @ 2.50GHz, C not recorded" in page.text
    assert "failed (party 9998/host was <lost>) in C" in page.text
    assert "A: Data, not synthetic: Lending Club loans from loan.csv.gz." in page.text
    assert "C: Synthetic data: 82,231 synthetic loans" in page.text
    printed = compared_runs.as_text([open_run(folders[name]) for name in ("base", "slower", "gaps")])
    assert printed.index("B against A") < printed.index("B is") < printed.index("C against A") < printed.index("C is")


def test_the_page_needs_nothing_else_and_its_plot_is_to_scale(folders: dict[str, Path], tmp_path: Path) -> None:
    page = page_of(folders, tmp_path, "base", "slower", options=["--fail-above", "5%"])
    assert not [attrs for _, attrs in page.tags if attrs.get("src") or str(attrs.get("href", "#"))[0] != "#"]
    assert not {"script", "link", "img"} & {tag for tag, _ in page.tags}

    def places(kind: str) -> list[float]:
        found = [attrs for tag, attrs in page.tags if tag == "i" and str(attrs.get("class")).startswith(kind)]
        return [float(re.match(r"left:([\d.]+)%", attrs["style"]).group(1)) for attrs in found]

    one, limit = places("one")[0], places("limit")[0]
    runs = [open_run(folders[name]) for name in ("base", "slower")]
    epochs = [r.comparison for r in compared_runs.compare(*runs) if r.quantity == compared_runs.EPOCH]
    per_unit = (limit - one) / math.log(1.05)
    for kind, values in (("estimate", [r.estimate for r in epochs]), ("range", [r.low for r in epochs])):
        assert places(kind) == pytest.approx([one + per_unit * math.log(value) for value in values], abs=0.5)


scores = st.floats(0.0, 1.0)


@given(st.lists(st.tuples(scores, scores), min_size=3, max_size=8), st.floats(0.0, 2.0))
def test_repeats_that_draw_from_the_same_rows_widen_the_interval(
    pairs: list[tuple[float, float]], overlap: float
) -> None:
    """Nadeau and Bengio's variance of the mean, (1/n + overlap) s^2, against NumPy's and SciPy's."""
    a, b = (list(side) for side in zip(*pairs, strict=True))
    found = comparison.compare_samples(a, b, "", paired=True, overlap=overlap)
    if found.low is None or found.high is None:
        return
    gaps = np.subtract(b, a)
    half = stats.t.ppf(0.975, len(gaps) - 1) * np.sqrt((1 / len(gaps) + overlap) * np.var(gaps, ddof=1))
    assert found.estimate == pytest.approx(gaps.mean(), abs=1e-12)
    assert (found.low, found.high) == pytest.approx((gaps.mean() - half, gaps.mean() + half), rel=1e-6, abs=1e-12)


ratios = st.floats(1e-9, 1e9)
intervals = st.tuples(ratios, st.floats(0.0, 1.0), st.just(1.0) | st.floats(1.0, 1e9) | st.just(float("inf")))


@given(st.lists(intervals, min_size=1, max_size=5), st.none() | st.floats(1.0, 3.0))
def test_whatever_is_drawn_is_on_the_plot(found: list[tuple[float, float, float]], limit: float | None) -> None:
    rows = [charts.Interval("", ratio, ratio * low, ratio * high, "unsure", "") for ratio, low, high in found]
    drawn = charts.forest([*rows, charts.Interval("", None, None, None, "unsure", "unknown")], "", "", limit)
    for left, width in re.findall(r"left:([^%]+)%(?:;width:([^%]+)%)?", drawn):
        assert -0.01 <= float(left) <= float(left) + float(width or 0) <= 100.02
    assert drawn.count("class='tick x'") >= 1
    assert drawn.count("class='estimate") == len(found)
    assert charts.forest([charts.Interval("", None, None, None, "unsure", "")], "", "", limit) == ""


def test_nothing_in_common_still_makes_a_page(folders: dict[str, Path], tmp_path: Path) -> None:
    change(write_run(tmp_path / "other"), lambda run: run.update(cases=[]))
    page = page_of({**folders, "other": tmp_path / "other"}, tmp_path, "base", "other", options=["--fail-above", "5%"])
    assert "no case finished in both runs" in page.text
    assert "4 of" not in page.text


@pytest.mark.parametrize("limit", ["", "five", "5", "nan", "inf%", "-5%", "%", "1"])
def test_a_limit_that_is_no_share_is_refused(
    folders: dict[str, Path], capsys: pytest.CaptureFixture[str], limit: str
) -> None:
    assert compared(folders, "base", "slower", options=[f"--fail-above={limit}"]) == 2
    bad = capsys.readouterr()
    assert (bad.out, len(bad.err.splitlines())) == ("", 1)
    assert "--fail-above" in bad.err


def test_a_page_that_cannot_be_written_is_named(
    folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "nowhere" / "page.html"
    assert compared(folders, "base", "slower", options=["--html", str(page)]) == 2
    bad = capsys.readouterr()
    assert (bad.out, len(bad.err.splitlines())) == ("", 1)
    assert str(page) in bad.err


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main_of_compare.main(["--help"])
    assert caught.value.code == 0
    assert "examples:" in capsys.readouterr().out
