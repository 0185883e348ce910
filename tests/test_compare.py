from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fixture_run import write_run
from hypothesis import given
from hypothesis import strategies as st

from bench import compare, results

MIRROR = {
    "slower": "faster",
    "faster": "slower",
    "more": "fewer",
    "fewer": "more",
    "higher": "lower",
    "lower": "higher",
    "cannot tell (not measured in A)": "cannot tell (not measured in B)",
    "cannot tell (not measured in B)": "cannot tell (not measured in A)",
}

durations = st.lists(st.floats(1e-6, 1e4), max_size=6)
duration_pairs = st.lists(st.tuples(st.floats(1e-6, 1e4), st.floats(1e-6, 1e4)), min_size=3, max_size=6)
score_lists = st.lists(st.floats(0.0, 1.0), max_size=6)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any]]:
    folder = tmp_path_factory.mktemp("runs")
    return (
        results.load(write_run(folder / "a")),
        results.load(write_run(folder / "b", pace=1.5, seed=2)),
    )


def row(rows: list[compare.Row], case: str, quantity: str) -> compare.Row:
    return next(r for r in rows if (r.case, r.quantity) == (case, quantity))


@given(durations, durations)
def test_swapping_the_runs_inverts_the_ratio_and_mirrors_the_verdict(a: list[float], b: list[float]) -> None:
    there, back = compare.relate(a, b, "s"), compare.relate(b, a, "s")
    assert back.verdict == MIRROR.get(there.verdict, there.verdict)
    assert back.test == there.test
    if there.low is not None and there.low > 0 and there.high < float("inf"):
        assert back.estimate == pytest.approx(1 / there.estimate, rel=1e-6)
        assert (back.low, back.high) == pytest.approx((1 / there.high, 1 / there.low), rel=1e-6)


@given(score_lists, score_lists)
def test_swapping_the_runs_turns_the_difference_round(a: list[float], b: list[float]) -> None:
    there, back = compare.relate(a, b, ""), compare.relate(b, a, "")
    assert back.verdict == MIRROR.get(there.verdict, there.verdict)
    if there.low is not None:
        assert (back.estimate, back.low, back.high) == pytest.approx((-there.estimate, -there.high, -there.low))


@given(duration_pairs)
def test_swapping_mirrors_pairs_and_their_order_does_not_matter(pairs: list[tuple[float, float]]) -> None:
    (a, b), (c, d) = zip(*pairs, strict=True), zip(*reversed(pairs), strict=True)
    there, back, other = (compare.relate(x, y, "s", paired=True) for x, y in ((a, b), (b, a), (c, d)))
    assert back.verdict == MIRROR.get(there.verdict, there.verdict)
    if there.low is not None and there.low > 0 and there.high < float("inf"):
        assert (back.low, back.high) == pytest.approx((1 / there.high, 1 / there.low), rel=1e-6)
        assert (other.estimate, other.low, other.high) == pytest.approx(
            (there.estimate, there.low, there.high), rel=1e-6
        )


@given(st.lists(st.floats(0.0, 1e4), min_size=3, max_size=6), st.sampled_from(sorted(compare.WORDS)))
def test_identical_values_never_differ(values: list[float], unit: str) -> None:
    assert compare.relate(values, values, unit).verdict in (compare.NO_DIFFERENCE, compare.IDENTICAL)
    assert compare.relate(values, values, unit, paired=True).verdict == compare.IDENTICAL


@given(st.lists(st.floats(1e-6, 1e4), min_size=1, max_size=2), durations, st.sampled_from(sorted(compare.WORDS)))
def test_fewer_than_three_values_never_get_a_verdict(few: list[float], b: list[float], unit: str) -> None:
    pairs = (few, [2 * value for value in few])
    for relation in (compare.relate(few, b, unit), compare.relate(b, few, unit), compare.relate(*pairs, unit, True)):
        assert relation.verdict.startswith("cannot tell")
        assert relation.estimate is relation.low is relation.high is None


@given(st.lists(st.floats(0.1, 1e4), min_size=3, max_size=6), st.lists(st.floats(0.1, 1e4), min_size=3, max_size=6))
def test_the_unit_of_time_does_not_matter(a: list[float], b: list[float]) -> None:
    seconds = compare.relate(a, b, "s")
    other = compare.relate([1024 * x for x in a], [1024 * x for x in b], "s")
    if seconds.test and other.test:
        assert other.estimate == pytest.approx(seconds.estimate, rel=1e-9)


def test_the_interval_is_welchs() -> None:
    # Worked by hand: means 11 and 13, variances 1 and 4, n = 3 and 3: standard error sqrt(5/3),
    # 2.941 degrees of freedom, t = 3.218.
    relation = compare.relate([10.0, 11.0, 12.0], [11.0, 13.0, 15.0], "")
    assert relation.estimate == pytest.approx(2.0)
    assert (relation.low, relation.high) == pytest.approx((2 - 4.1539, 2 + 4.1539), abs=2e-3)
    assert relation.verdict == compare.NO_DIFFERENCE


def test_pairs_show_what_the_spread_between_them_hides() -> None:
    # Worked by hand: differences 0.001, 0.002, 0.003: standard error 0.001 / sqrt(3), t of 2 degrees of freedom 4.303.
    a, b = [0.60, 0.65, 0.70], [0.601, 0.652, 0.703]
    relation = compare.relate(a, b, "", paired=True)
    assert relation.estimate == pytest.approx(0.002)
    assert (relation.low, relation.high) == pytest.approx((0.002 - 0.002484, 0.002 + 0.002484), abs=1e-6)
    assert (relation.test, relation.verdict) == (compare.PAIRED, compare.NO_DIFFERENCE)
    above = compare.relate(a, [0.602, 0.6521, 0.7022], "", paired=True)
    assert above.verdict == "higher"
    assert compare.relate(a, [0.602, 0.6521, 0.7022], "").verdict == compare.NO_DIFFERENCE
    assert compare.relate(a, [value + 0.01 for value in a], "", paired=True).verdict == compare.SAME_GAP


def test_deterministic_values_are_identical_or_differ() -> None:
    assert compare.relate([402.0] * 3, [402.0] * 3, "B").verdict == compare.IDENTICAL
    assert compare.relate([0.1 + 0.2] * 3, [0.3] * 3, "").verdict == compare.IDENTICAL
    differs = compare.relate([402.0] * 3, [804.0] * 4, "B")
    assert (differs.verdict, differs.estimate, differs.low) == (compare.NO_SPREAD, 2.0, None)


def test_a_wait_of_zero_is_compared_as_a_difference() -> None:
    relation = compare.relate([0.0, 0.0, 0.001], [0.1, 0.101, 0.102], "s")
    assert (relation.kind, relation.verdict) == ("difference", "slower")


def test_a_slower_run_is_slower_and_its_bytes_are_identical(runs: tuple[dict[str, Any], dict[str, Any]]) -> None:
    rows = compare.compare(*runs)
    epoch = row(rows, "federated", "epoch")
    assert epoch.relation.verdict == "slower"
    assert epoch.relation.low < 1.5 < epoch.relation.high
    assert row(rows, "federated", "sent per epoch, all parties").relation.verdict == compare.IDENTICAL
    assert row(rows, "federated", "waiting, mean of the parties").relation.verdict == "slower"
    assert row(rows, "local", "AUC, model of 9998").a is not None


def test_scores_are_paired_where_both_runs_drew_the_same_rows(runs: tuple[dict[str, Any], dict[str, Any]]) -> None:
    a, b = runs
    tests = {r.quantity: r.relation.test for r in compare.compare(a, b) if r.case == "federated"}
    assert (tests["AUC"], tests["epoch"], tests["peak memory, largest party"]) == ("paired", "Welch", "Welch")
    shown = compare.as_text(a, b)
    assert "paired: t-test of the differences repeat by repeat" in shown
    assert "Welch: t-test of the repeats of one run" in shown
    ours, theirs = (
        next(case for case in run["cases"] if case["id"] == "federated")["metrics"]["auc"]["values"] for run in (a, b)
    )
    expected = compare.relate(ours, theirs, "", paired=True)
    assert row(compare.compare(a, b), "federated", "AUC").relation == expected
    shuffled = json.loads(json.dumps(b))
    case = next(case for case in shuffled["cases"] if case["id"] == "federated")
    case["repeats_done"].reverse()
    case["metrics"]["auc"]["values"].reverse()
    assert row(compare.compare(a, shuffled), "federated", "AUC").relation == expected


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
def test_other_rows_are_not_paired(
    runs: tuple[dict[str, Any], dict[str, Any]], path: tuple[Any, ...], value: Any
) -> None:
    a, b = runs[0], json.loads(json.dumps(runs[1]))
    place = b
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert row(compare.compare(a, b), "federated", "AUC").relation.test == compare.WELCH
    words = {"plan": "seed: A 1", "digest": "digest", "test_share": "test share: A 0.3, B 0.5"}
    wanted = words.get(path[-1], str(path[-1]))
    assert any(wanted in line for line in compare.differing_conditions(a, b))


def test_without_digests_the_facts_of_the_data_decide(runs: tuple[dict[str, Any], dict[str, Any]]) -> None:
    a, b = (json.loads(json.dumps(run)) for run in runs)
    del a["datasets"]["loans"]["digest"], a["plan"]["seed"]  # the default seed is 1
    assert row(compare.compare(a, b), "federated", "AUC").relation.test == compare.PAIRED
    b["datasets"]["loans"]["rows"] += 1
    assert row(compare.compare(a, b), "federated", "AUC").relation.test == compare.WELCH


def test_unfinished_cases_have_no_row_and_are_named(runs: tuple[dict[str, Any], dict[str, Any]]) -> None:
    a, b = runs
    b = {**b, "cases": [case for case in b["cases"] if case["id"] != "local"]}
    assert {r.case for r in compare.compare(a, b)} == {
        "centralised", "centralised-lbfgs", "federated", "federated-fedavg",
    }  # fmt: skip
    named = compare.uncompared(a, b)
    assert "local: only in A" in named
    assert any(line.startswith("federated-paillier: failed (party 9998/host did not answer") for line in named)
    assert [line for line in compare.uncompared(b, a) if "only" in line] == ["local: only in B"]


def test_what_only_one_run_measured_cannot_be_told(runs: tuple[dict[str, Any], dict[str, Any]]) -> None:
    a = json.loads(json.dumps(runs[0]))
    next(case for case in a["cases"] if case["id"] == "federated")["bytes"] = None
    found = row(compare.compare(a, runs[1]), "federated", "sent per epoch, all parties")
    assert found.relation.verdict == "cannot tell (not measured in A)"


def test_runs_with_nulls_everywhere_can_be_compared(runs: tuple[dict[str, Any], dict[str, Any]]) -> None:
    a = json.loads(json.dumps(runs[0]))
    for case in a["cases"]:
        case |= dict.fromkeys(("time", "bytes", "resources", "metrics", "models", "training"))
    assert all("not measured in A" in r.relation.verdict for r in compare.compare(a, runs[1]))
    assert compare.compare(a, a) == []
    assert "nothing to compare" in compare.as_text({**a, "cases": []}, runs[1])


def test_other_conditions_are_named_before_the_table(runs: tuple[dict[str, Any], dict[str, Any]]) -> None:
    a, b = runs[0], json.loads(json.dumps(runs[1]))
    assert compare.differing_conditions(a, b) == []
    b["environment"] |= {"cpu": "Other CPU", "load_before": [1.9, 1.0, 0.5]}
    b["environment"]["packages"]["numpy"] = "1.26.0"
    b["datasets"]["loans"]["rows"] = 100
    b["datasets"]["loans"]["splits"]["25/25/50"]["parties"][0]["rows"] = 7
    b["cases"][3]["training"]["learning_rate"] = 0.1
    b["revision"]["dirty"] = True
    lines = compare.differing_conditions(a, b)
    assert "CPU: A Example CPU @ 2.50GHz, B Other CPU" in lines
    assert "numpy: A 2.4.6, B 1.26.0" in lines
    assert "load before the run (1 minute): A 0.31, B 1.9" in lines
    assert "dataset loans, rows: A 76435, B 100" in lines
    assert "case federated, training.learning_rate: A 0.05, B 0.1" in lines
    assert "code revision: A 0123456789ab, B 0123456789ab with local changes" in lines
    assert any(line.startswith("split 25/25/50 of loans: A [22848, 22848, 45694], B [7,") for line in lines)
    text = compare.as_text(a, b)
    assert text.index("Other CPU") < text.index("95 % interval")


def test_the_number_of_comparisons_is_told(runs: tuple[dict[str, Any], dict[str, Any]]) -> None:
    tested = sum(r.relation.test is not None for r in compare.compare(*runs))
    assert tested > 50
    assert f"{tested} comparisons were made at 95 %: chance alone would show about" in compare.as_text(*runs)


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = write_run(tmp_path / "a"), write_run(tmp_path / "b", repeats=1, seed=2)
    assert compare.main([str(a), str(b)]) == 0
    shown = capsys.readouterr().out
    verdicts = [line for line in shown.splitlines() if line.startswith("  epoch ")]
    assert len(verdicts) == 4
    assert all(line.endswith(compare.TOO_FEW) for line in verdicts)
    assert "slower" not in shown
    (b / "run.json").write_text("{", encoding="utf-8")
    for folder in (tmp_path / "nothing", b):
        assert compare.main([str(a), str(folder)]) == 2
        bad = capsys.readouterr()
        assert bad.out == ""
        assert len(bad.err.splitlines()) == 1
        assert str(folder) in bad.err


def test_help_has_examples() -> None:
    line = [sys.executable, "-m", "bench.compare", "--help"]
    done = subprocess.run(line, capture_output=True, text=True, check=True, cwd=Path(__file__).parent.parent)
    assert "examples:" in done.stdout
