from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from statistics import geometric_mean
from typing import Any

import pytest
from fixture_run import write_run
from helpers import ROOT
from hypothesis import given
from hypothesis import strategies as st
from page_helpers import Page, change

from bench.compare import __main__ as main_of_compare
from bench.errors import UserError
from bench.pages import charts, elements, template
from bench.report import __main__ as main_of_report
from bench.report import writer
from bench.stats import comparison, formatting

MINUS = "\N{MINUS SIGN}"


def page_of(run: Path) -> Page:
    path = writer.render(run)
    assert path == run / "report.html"
    return Page(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("good") / "run")


@pytest.fixture(scope="module")
def facts(run: Path) -> dict[str, Any]:
    return dict(json.loads((run / "run.json").read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def page(run: Path) -> Page:
    return page_of(run)


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "run"))


def with_part(facts: dict[str, Any], part: str) -> Iterator[dict[str, Any]]:
    return (case for case in facts["cases"] if case[part])


def check(
    cell: tuple[str, float | None],
    summary: dict[str, Any] | None,
    size: float = 1.0,
    absent: str = formatting.NOT_MEASURED,
) -> None:
    """Check that a cell shows a summary: its exact median, and its text to the digits that stand there."""
    text, value = cell
    if summary is None:
        assert (text, value) == (absent, None)
        return
    assert value == summary["median"]
    shown = [
        float(word)
        for word in re.findall(r"[+-]?\d[\d.]*", text.replace(MINUS, "-").replace(formatting.TO, " ").replace(",", ""))
    ]
    assert shown[0] == pytest.approx(summary["median"] / size, rel=6e-3)
    if summary["low"] == summary["high"]:
        assert text.endswith(f"all {summary['n']} equal")
    else:
        assert shown[1:] == pytest.approx([summary["low"] / size, summary["high"] / size], rel=6e-3)


def test_scores_are_those_of_the_run(page: Page, facts: dict[str, Any]) -> None:
    tables = {"Scores over both": {"AUC": "auc", "KS": "ks", "Log loss": "log_loss", "Specificity": "specificity"}}
    tables["Scores per class"] = {
        f"{word}, {name}": f"{key}_{label}"
        for label, name in enumerate(("Charged Off", "Fully Paid"))
        for word, key in (("Precision", "precision"), ("Recall", "recall"), ("F1", "f1"))
    }
    for beginning, columns in tables.items():
        for heading, metric in columns.items():
            column = page.column(beginning, heading)
            assert len(column) == 7
            for case in with_part(facts, "models"):
                for model, metrics in case["models"].items():
                    label = case["title"] if len(case["models"]) == 1 else f"{case['title']}: {model}"
                    check(column[label], metrics[metric])


def test_times_are_those_of_the_run(page: Page, facts: dict[str, Any]) -> None:
    for case in with_part(facts, "time"):
        for party, times in case["time"]["by_party"].items():
            row = f"{case['title']}: {party}"
            check(page.column("Time per epoch by party", "Epoch (ms)")[row], times["epoch_seconds"], 1e-3)
            check(page.column("Time per epoch by party", "CPU (ms)")[row], times["cpu_seconds"], 1e-3)
            for phase in ("compute", "serialise", "transfer", "wait", "evaluate", "unattributed", "aggregate"):
                cell = page.column("Time per epoch by party", phase.capitalize())[row]
                check(cell, times["phases"].get(phase), 1e-3, absent=elements.NOT_APPLICABLE)
        whole = page.column("Whole cases", "Training (ms)")[case["title"]]
        check(whole, case["time"]["training_seconds"], 1e-3)
        epoch = page.column("Every finished case", "Epoch (ms)")[case["title"]]
        check(epoch, case["time"].get("epoch_seconds"), 1e-3, absent=elements.NOT_APPLICABLE)
        largest = case["time"].get("critical_party") if case["network"] != "none" else ""
        assert page.column("Whole cases", "Largest party")[case["title"]][0] == largest


def test_bytes_and_resources_are_those_of_the_run(page: Page, facts: dict[str, Any]) -> None:
    for case in with_part(facts, "bytes"):
        for way in ("sent", "received"):
            column = page.column("Bytes;", f"{way.capitalize()} per epoch (B)")
            check(column[f"{case['title']}: all parties, without the arbiter"], case["bytes"][f"epoch_{way}"])
            for party, parts in case["bytes"]["by_party"].items():
                check(column[f"{case['title']}: {party}"], parts[f"epoch_{way}"])
    for case in with_part(facts, "resources"):
        for party, parts in case["resources"]["by_party"].items():
            row = f"{case['title']}: {party}"
            check(
                page.column("CPU (without the set-up) and", "CPU, mean")[row],
                parts["cpu_percent"],
                absent=elements.NOT_APPLICABLE,
            )
            check(
                page.column("CPU (without the set-up) and", "Peak memory, resident")[row], parts["rss_peak_bytes"], 1e6
            )
            check(page.column("CPU (without the set-up) and", "Peak memory, unshared")[row], None)


def test_the_data_and_the_losses_are_those_of_the_run(page: Page, facts: dict[str, Any]) -> None:
    dataset = facts["datasets"]["loans"]
    steps = {step["step"]: step for step in dataset["funnel"]}
    assert {k: v[1] for k, v in page.column("Rows left", "Rows").items()} == {k: s["rows"] for k, s in steps.items()}
    for party in dataset["splits"]["25/25/50"]["parties"]:
        row = f"{party['party']}/{party['role']}"
        beginning = "Training rows of each party"
        assert page.column(beginning, "Rows after")[row][1] == party["rows"]
        assert page.column(beginning, "Charged Off before")[row][1] == party["class_counts_before_balance"][0]
    for case in with_part(facts, "loss"):
        step = case["training"]["local_epochs"]
        column = page.column("Training loss", case["title"])
        assert [column[str(i * step)][1] for i in range(len(case["loss"]))] == case["loss"]


def test_differences_are_paired_by_repeat(page: Page, facts: dict[str, Any]) -> None:
    cases = {case["id"]: case for case in facts["cases"]}
    ours, theirs = (cases[name]["metrics"]["auc"]["values"] for name in ("federated", "centralised"))
    gaps = sorted(a - b for a, b in zip(ours, theirs, strict=True))
    text, value = page.column("Difference to centralised (over both", "AUC")["Federated, FedSGD"]
    assert value == pytest.approx(gaps[1], abs=1e-12)
    assert (
        text == f"{formatting.difference(gaps[1])} {formatting.difference(gaps[0])} to {formatting.difference(gaps[2])}"
    )


def test_the_answer_has_numbers_and_uncertainty(page: Page, facts: dict[str, Any]) -> None:
    cases = {case["id"]: case for case in facts["cases"]}
    ours, theirs = (cases[name]["time"]["epoch_seconds"] for name in ("federated", "centralised"))
    ratios = [a / b for a, b in zip(ours["values"], theirs["values"], strict=True)]
    low, mean, high = (formatting.number(value) for value in (min(ratios), geometric_mean(ratios), max(ratios)))
    assert (
        f"Repeat by repeat, Federated, FedSGD took {mean} times as long per epoch as centralised (the geometric mean "
        f"of the ratios of the 3 repeats, {low}{formatting.TO}{high}; 95\N{NO-BREAK SPACE}% interval" in page.text
    )
    assert f"the one {formatting.number(ours['median'] / theirs['median'])} times the other." in page.text
    assert page.column("Every finished case", "Times centralised")["Federated, FedSGD"][1] == pytest.approx(
        geometric_mean(ratios)
    )
    assert "sent 1,206\N{NO-BREAK SPACE}B (all 3 equal)" in page.text


def test_the_shares_of_the_epoch_add_up(page: Page) -> None:
    spoken = re.search(
        r"In the epoch of 10000/host, the largest party \(45,695 training rows\): (.*?)\. All", page.text
    )
    assert spoken
    shares = {part.split()[0]: float(part.split()[1]) for part in spoken[1].split("; ")}
    assert list(shares) == ["computing", "communicating", "waiting", "evaluate", "unattributed"]
    assert sum(shares.values()) == pytest.approx(100, abs=1.5)


def test_a_local_epoch_is_not_held_against_a_centralised_one(page: Page) -> None:
    ratios = page.column("Every finished case", "Times centralised")
    assert ratios["Each party alone"] == ("own rows only", None)
    assert ratios["Centralised, same optimiser"] == ("reference", None)
    assert "Trained one party after the other, so that none shared the machine with another: Each party" in page.text
    assert "Centralised used one core, the parties together up to 2:" in page.text


def test_a_solver_without_epochs_has_none(page: Page) -> None:
    title = "Centralised, scikit-learn"
    for heading in ("Epoch", "Times centralised", "Computing", "Waiting", "Sent"):
        assert page.column("Every finished case", heading)[title] == ("not applicable", None)
    assert page.column("Whole cases", "Epochs run")[title][0] == "no epochs"
    assert page.column("Whole cases", "Of them warm-up")[title][0] == "not applicable"
    assert f"{title}: repeat 1: scikit-learn's solver took 7 iterations" in page.text


def test_the_rest_of_the_answer(page: Page) -> None:
    assert "On the common test set of 22,931 rows, AUC was 0.69" in page.text


def first_screen(page: Page) -> dict[str, str]:
    """The sentences of the answer by what they are about."""
    lines = page.text.split("Reliability")[0].splitlines()
    return {line.split()[0]: line for line in lines if line.startswith(("Accuracy:", "Time:", "Network:"))}


def test_the_first_screen_answers_in_three_sentences(page: Page, facts: dict[str, Any]) -> None:
    cases = {case["id"]: case for case in facts["cases"]}
    ours, base = cases["federated"], cases["centralised"]
    said = first_screen(page)
    assert list(said) == ["Accuracy:", "Time:", "Network:"]
    auc = [side["metrics"]["auc"] for side in (ours, base)]
    gaps = comparison.compare_samples(auc[1]["values"], auc[0]["values"], "", paired=True, overlap=22931 / 53504)
    both = f"AUC is {formatting.score(auc[0]['median'])} against {formatting.score(auc[1]['median'])}"
    assert f"ranks as well as the centralised one. On 22,931 test rows, its {both}: paired" in said["Accuracy:"]
    assert gaps.low is not None and gaps.high is not None and gaps.estimate is not None
    interval = f"{formatting.difference(gaps.low)} to {formatting.difference(gaps.high)} over 3 repeats"
    assert f"paired difference {formatting.difference(gaps.estimate)}, 95" in said["Accuracy:"]
    assert interval in said["Accuracy:"]
    times = [side["time"]["epoch_seconds"] for side in (ours, base)]
    ratio = comparison.compare_samples(times[1]["values"], times[0]["values"], "s", paired=True)
    assert ratio.estimate is not None and ratio.low is not None and ratio.high is not None
    assert f"An epoch takes {formatting.seconds(times[0]['median'])}, " in said["Time:"]
    assert "Of the largest party's epoch: computing 7" in said["Time:"]
    assert f", {formatting.number(ratio.estimate)} times as long as centralised (95" in said["Time:"]
    assert f"{formatting.number(ratio.low)} to {formatting.number(ratio.high)} over 3 repeats" in said["Time:"]
    for way in ("sent", "received"):
        assert f"{formatting.size(ours['bytes'][f'epoch_{way}']['median'])} (all 3 equal)" in said["Network:"]


def test_the_first_screen_names_other_engines_and_protections(
    protected: tuple[Page, dict[str, dict[str, Any]]],
) -> None:
    page, cases = protected
    said = first_screen(page)
    fate = cases["fate-done"]["time"]["epoch_seconds"]["median"]
    assert f"FATE's own takes {formatting.seconds(fate)}, " in said["Time:"]
    ratios = {
        name: geometric_mean(
            a / b
            for a, b in zip(
                *(cases[case]["time"]["epoch_seconds"]["values"] for case in (name, "federated")), strict=True
            )
        )
        for name in ("masked", "paillier")
    }
    for name, ratio in ratios.items():
        assert f"{name} {formatting.number(ratio)} times as long (" in said["Time:"]
        sizes = [
            sum(cases[case]["bytes"][f"epoch_{way}"]["median"] for way in ("sent", "received"))
            for case in (name, "federated")
        ]
        assert f"{name} {formatting.number(sizes[0] / sizes[1])} times" in said["Network:"]


def graded(page: Page) -> str:
    """The class of the verdict on the first screen."""
    return next(str(a["class"]) for tag, a in page.tags if tag == "div" and "verdict" in (a.get("class") or ""))


def test_the_verdict_says_whether_the_run_can_be_relied_on(tmp_path: Path) -> None:
    def calm(content: dict[str, Any]) -> None:
        content["environment"]["warnings"] = []

    page = page_of(change(write_run(tmp_path / "calm", unfinished=False, repeats=5), calm))
    assert graded(page) == "verdict condition"
    assert "Reliable. n\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}5 repeats a case; " in page.text
    assert "load 0.31 on 2 cores before the run; 0.4\N{NO-BREAK SPACE}% of the CPU time went to others." in page.text
    assert "Nothing that was recorded speaks against them." in page.text
    assert "The machine is virtual" in page.text

    page = page_of(write_run(tmp_path / "reserved", repeats=5))
    assert graded(page) == "verdict notice"
    assert "Reliable, with 2 caveats." in page.text

    page = page_of(write_run(tmp_path / "single", repeats=1, unfinished=False))
    assert graded(page) == "verdict critical"
    assert "Not enough to decide by." in page.text
    assert "No difference is called." in first_screen(page)["Accuracy:"]

    def fail(content: dict[str, Any]) -> None:
        for case in content["cases"]:
            if case["engine"] == "federated":
                case.update(status="failed", error="party 9998/host was killed")

    page = page_of(change(write_run(tmp_path / "failed", repeats=5), fail))
    assert graded(page) == "verdict critical"
    assert first_screen(page) == {}
    assert "No federated case finished in this run, so there is no answer yet." in page.text
    assert "Federated, FedSGD (failed): party 9998/host was killed." in page.text

    def interrupt(content: dict[str, Any]) -> None:
        content["finished"] = None
        for case in content["cases"]:
            case.update(status="pending", repeats=7)

    page = page_of(change(write_run(tmp_path / "partial", repeats=5), interrupt))
    assert f"python -m bench.run --resume {tmp_path / 'partial'}\n" in page.text
    assert graded(page) == "verdict critical"
    assert "Federated, FedSGD: 5 of 7 repeats are done; the rest can be run (--resume)." in page.text


def test_an_interval_that_says_little_is_a_reservation(copy: Path) -> None:
    def spread(content: dict[str, Any]) -> None:
        times = content["cases"][3]["time"]["epoch_seconds"]
        times |= {"values": [0.004, 0.010, 0.016], "median": 0.010, "low": 0.004, "high": 0.016}

    assert "The ratio of the times to centralised is imprecise: it lies between" in page_of(change(copy, spread)).text


def odd(copy: Path, **changes: Any) -> Page:
    """The page of a run whose case "federated" is another; None for a metric or a time takes it away."""

    def edit(content: dict[str, Any]) -> None:
        content["cases"][3].update(changes)

    return page_of(change(copy, edit))


def test_what_is_not_shown_to_differ_is_not_said_to_be_equal(copy: Path, facts: dict[str, Any]) -> None:
    metrics = facts["cases"][3]["metrics"]
    values = [0.60, 0.66, 0.70]
    auc = {"median": 0.66, "low": 0.60, "high": 0.70, "n": 3, "values": values}
    page = odd(copy, metrics={**metrics, "auc": auc})
    assert "does not differ significantly from the centralised one" in first_screen(page)["Accuracy:"]
    assert "as well as" not in page.text
    assert "The difference of AUC is imprecise: it lies between" in page.text


def test_what_was_asked_and_not_measured_is_grave(copy: Path, facts: dict[str, Any]) -> None:
    page = odd(copy, metrics=None, models={})
    assert graded(page) == "verdict critical"
    assert "Federated, FedSGD: not measured: AUC." in page.text
    page = odd(copy, time={**facts["cases"][3]["time"], "epoch_seconds": None})
    assert graded(page) == "verdict critical"
    assert "The time per epoch was not measured." in first_screen(page)["Time:"]


def test_another_case_in_the_place_of_a_failed_one_is_named(copy: Path) -> None:
    page = odd(copy, status="failed", error="out of memory", repeats_done=[])
    assert "The federated model (Federated, FedAvg, 3 local epochs)" in first_screen(page)["Accuracy:"]
    assert (
        "The answer speaks of Federated, FedAvg, 3 local epochs, because Federated, FedSGD (failed) has no result."
        in (page.text)
    )
    assert "3 of 8 cases failed or did not finish: Federated, FedSGD; Federated, Paillier; Federated, DP." in page.text


def test_a_time_of_zero_is_no_ratio(copy: Path, facts: dict[str, Any]) -> None:
    zero = {"median": 0.0, "low": 0.0, "high": 0.0, "n": 3, "values": [0.0] * 3}
    page = odd(copy, time={**facts["cases"][3]["time"], "epoch_seconds": zero})
    assert "No difference is called." in first_screen(page)["Time:"]
    assert f"{MINUS}0." not in first_screen(page)["Time:"]


def test_a_party_alone_is_held_against_nothing_even_without_a_centralised_case(copy: Path) -> None:
    page = page_of(change(copy, lambda content: content["cases"][0].update(status="failed", error="out of memory")))
    ratios = page.column("Every finished case", "Times centralised")
    assert ratios["Each party alone"] == ("own rows only", None)
    assert ratios["Federated, FedSGD"] == ("nothing to compare with", None)


def test_the_committed_sample_run_is_shown(tmp_path: Path) -> None:
    sample = Path(shutil.copytree(ROOT / "results" / "sample", tmp_path / "sample"))
    page = page_of(sample)
    assert page.text.lstrip().startswith("Three parties against one holder of all rows")
    assert list(first_screen(page)) == ["Accuracy:", "Time:", "Network:"]
    assert "Synthetic data: " in page.text


def test_a_run_without_protection_has_no_section_on_it(page: Page) -> None:
    assert "What each protection costs" not in page.text


@pytest.fixture(scope="module")
def protected(tmp_path_factory: pytest.TempPathFactory) -> tuple[Page, dict[str, dict[str, Any]]]:
    run = write_run(tmp_path_factory.mktemp("protected") / "run", protected=True)
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    return page_of(run), {case["id"]: case for case in facts["cases"]}


def test_each_protection_is_held_against_plain(protected: tuple[Page, dict[str, dict[str, Any]]]) -> None:
    page, cases = protected
    columns = {
        heading: page.column("What each protection costs", heading)
        for heading in ("Privacy", "Epoch (ms)", "Times plain", "Bytes per epoch", "Bytes, times", "AUC", "AUC, less")
    }
    plain = cases["federated"]
    for name in ("masked", "paillier", "fate-done"):
        case = cases[name]
        row = {heading: column[case["title"]] for heading, column in columns.items()}
        check(row["Epoch (ms)"], case["time"]["epoch_seconds"], 1e-3)
        both = [side["time"]["epoch_seconds"]["values"] for side in (case, plain)]
        ratios = [a / b for a, b in zip(*both, strict=True)]
        assert row["Times plain"][1] == pytest.approx(geometric_mean(ratios))
        both_ways = [
            sum(side["bytes"][f"epoch_{way}"]["median"] for way in ("sent", "received")) for side in (case, plain)
        ]
        assert row["Bytes per epoch"][1] == both_ways[0]
        assert row["Bytes, times"][1] == pytest.approx(both_ways[0] / both_ways[1])
        check(row["AUC"], case["metrics"]["auc"])
        gaps = sorted(a - b for a, b in zip(*(s["metrics"]["auc"]["values"] for s in (case, plain)), strict=True))
        assert row["AUC, less"][1] == pytest.approx(gaps[1], abs=1e-12)
    assert columns["Privacy"]["Paillier"][0] == "paillier key_bits 2048"
    assert columns["Privacy"]["FATE's own"][0] == "masked (FATE)"
    assert columns["Times plain"]["Federated, FedSGD"] == ("reference", None)
    assert columns["Times plain"]["Masked, five parties"] == ("no plain case", None)


def test_what_each_party_can_see_is_told_of_each_mode(protected: tuple[Page, dict[str, dict[str, Any]]]) -> None:
    page, cases = protected
    rows = {row[0][0]: [text for text, _ in row[1:]] for row in page.table("What each party can see")[1:]}
    assert rows["masked"] == [cases["masked"]["visibility"][part] for part in ("arbiter", "parties", "assumptions")]
    assert rows["plain"] == ["not recorded"] * 3
    assert set(rows) == {"plain", "masked", "paillier", "masked (FATE)"}


def test_operations_are_held_against_the_phases_they_were_done_in(
    protected: tuple[Page, dict[str, dict[str, Any]]],
) -> None:
    page, cases = protected
    columns = {
        heading: page.column("The cost model against", heading)
        for heading in ("Count", "CPU time of one", "CPU time an epoch", "Measured, times")
    }
    for case, who, party in (
        ("masked", "largest party, 10000/host", "10000/host"),
        ("paillier", "arbiter", "10000/arbiter"),
    ):
        facts, row = cases[case]["time"]["by_party"][party], f"{cases[case]['title']}: {who}: "
        totals = [0.0] * 3
        for operation, of in facts["operations"].items():
            check(columns["Count"][row + operation], of["count"])
            check(columns["CPU time of one"][row + operation], of["seconds"], 1e-6)
            products = [n * each for n, each in zip(of["count"]["values"], of["seconds"]["values"], strict=True)]
            totals = [total + product for total, product in zip(totals, products, strict=True)]
        spent = [facts["cpu_phases"].get(phase) for phase in ("encrypt", "decrypt", "aggregate")]
        measured = [sum(values) for values in zip(*(s["values"] for s in spent if s), strict=True)]
        assert columns["CPU time an epoch"][row + "all operations"][1] == pytest.approx(sorted(totals)[1])
        over = row + "measured: encrypt + decrypt + aggregate"
        assert columns["CPU time an epoch"][over][1] == pytest.approx(sorted(measured)[1])
        ratios = sorted(a / b for a, b in zip(measured, totals, strict=True))
        assert columns["Measured, times"][over][1] == pytest.approx(ratios[1])


def test_the_error_of_the_cost_model_is_shown(protected: tuple[Page, dict[str, dict[str, Any]]]) -> None:
    page, cases = protected
    beginning = "The model's error"
    error, epoch = (page.column(beginning, heading)["Masked, five parties"] for heading in ("Error", "Epoch, measured"))
    check(epoch, cases["masked-5"]["time"]["epoch_seconds"], 1e-3)
    predicted = page.column(beginning, "Epoch, predicted")["Masked, five parties"][1]
    assert predicted is not None and epoch[1] is not None
    assert error[1] == pytest.approx(predicted / epoch[1] - 1)
    assert page.column(beginning, "Model calibrated on")["Masked, five parties"][0] == "Masked"


def test_a_protected_run_of_an_older_version_is_shown(tmp_path: Path) -> None:
    def older(content: dict[str, Any]) -> None:
        for case in content["cases"]:
            for key in ("privacy_options", "visibility"):
                case.pop(key, None)
            for facts in (case["time"] or {}).get("by_party", {}).values():
                for key in ("operations", "cpu_phases"):
                    facts.pop(key, None)

    page = page_of(change(write_run(tmp_path / "run", protected=True), older))
    assert "The error of the cost model is unknown" in page.text
    assert {text for row in page.table("What each party can see")[1:] for text, _ in row[1:]} == {"not recorded"}
    assert page.column("What each protection costs", "Epoch")["Masked"][1] is not None


def test_the_first_line_says_whether_data_is_synthetic(page: Page, tmp_path: Path) -> None:
    def first(text: str) -> str:
        return next(line for line in text.splitlines() if line.strip() and "20261123" not in line)

    assert first(page.text) == "Data, not synthetic: Lending Club loans from loan.csv.gz."
    assert first(page_of(write_run(tmp_path / "run", synthetic=True)).text).startswith("Synthetic data: ")


def test_unfinished_cases_say_why(page: Page) -> None:
    column = page.column("Cases that failed", "Why")
    assert column["Federated, Paillier"][0] == "party 9998/host did not answer within 10 s (epoch 3)"
    assert column["FATE 2.2, one machine"][0] == "FATE is not installed; make fate installs it"
    assert column["Federated, DP"][0] == "not run yet"
    assert "2 of 8 cases failed or did not finish: Federated, Paillier; Federated, DP." in page.text
    assert "Each party alone: repeat 1: party 9998 holds one class only" in page.text
    assert "python -m bench.run --data 'my loans/loan.csv.gz'" in page.text


def test_one_value_has_no_spread_and_no_difference(tmp_path: Path) -> None:
    page = page_of(write_run(tmp_path / "run", repeats=1))
    assert "No difference is called" in page.text
    assert "times as long" not in page.text
    assert "paired difference" not in page.text
    rows = page.table("Scores over both")[1:]
    assert all(text.endswith("(one value)") for row in rows for text, _ in row[1:])
    ratios = page.column("Every finished case", "Times centralised")
    assert ratios["Federated, FedSGD"] == ("unknown fewer than 3 values on a side", None)


def test_the_page_needs_nothing_from_outside(run: Path, page: Page) -> None:
    html = (run / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"url\(|@import|<script|<link|<iframe|<img", html)
    for tag, attributes in page.tags:
        for name in ("src", "href", "srcset", "data", "action", "style"):
            assert "//" not in (attributes.get(name) or ""), (tag, attributes)
    assert len(html) < 200_000


def test_every_plot_is_described_and_every_table_has_a_caption(page: Page) -> None:
    assert "" not in page.tables
    drawn = [a for tag, a in page.tags if a.get("role") == "img"]
    assert len(drawn) >= 10
    assert sum(tag == "title" for tag, _ in page.tags) == 1 + sum(tag == "svg" and "role" in a for tag, a in page.tags)
    assert all(a.get("aria-label") or tag == "svg" for tag, a in page.tags if a.get("role") == "img")


def test_hostile_text_is_shown_and_not_run(copy: Path) -> None:
    evil = "<script>alert(1)</script>\"'&{{ 7 * 7 }}"

    def poison(content: dict[str, Any]) -> None:
        content["datasets"]["loans"] |= {"title": evil, "source": evil, "class_names": [evil, "{0}" + evil]}
        content["datasets"]["loans"]["funnel"][0] |= {"step": evil, "note": evil}
        content["suite"] |= {"title": evil, "description": evil}
        content |= {"command": [evil], "run_id": evil, "created": evil}
        content["environment"] |= {"cpu": evil, "warnings": [evil], "packages": {evil: evil}}
        for case in content["cases"]:
            case |= {"title": evil + case["id"], "notes": [{"line": evil, "repeat": 1}]}
            case["error"] = evil if case["error"] else None
            by_party = case["time"] and case["time"]["by_party"]
            if by_party:
                by_party[f"{evil}/host"] = next(iter(by_party.values()))

    page = page_of(change(copy, poison))
    assert not [tag for tag, _ in page.tags if tag == "script"]
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert page.text.count(evil) > 20


def test_a_run_of_nulls_is_not_measured_and_never_zero(copy: Path) -> None:
    def blank(content: dict[str, Any]) -> None:
        content |= dict.fromkeys(("finished", "created", "revision", "command", "measuring"))
        content["environment"] = dict.fromkeys(content["environment"])
        content["suite"] = dict.fromkeys(content["suite"])
        dataset = dict.fromkeys(content["datasets"]["loans"])
        dataset["splits"] = {"s": {"parties": [{"party": "1", "role": "host", "rows": None, "class_counts": None}]}}
        dataset["funnel"] = [{"step": "raw", "rows": None, "columns": None, "note": None}]
        content["datasets"]["loans"] = dataset
        keep = ("id", "status", "engine", "dataset")
        for case in content["cases"]:
            case |= {key: None for key in case if key not in keep}
        empty = {"epoch_seconds": None, "phases": {"compute": None}}
        content["cases"][0] |= {"models": {"centralised": {"auc": None}}, "time": {"by_party": {"a/host": empty}}}
        content["cases"][3] |= {
            "bytes": {"by_party": {"a/host": {"epoch_sent": None}}},
            "resources": {"by_party": {"a/host": {"cpu_percent": None}}},
        }

    for name in ("epochs", "scores", "resources"):
        (copy / f"{name}.csv").unlink()
    page = page_of(change(copy, blank))
    assert "The run is unfinished" in page.text
    cells = [text for rows in page.tables.values() for row in rows for text, value in row[1:] if value is not None]
    assert cells == []
    assert "Scores: not measured." in page.text
    assert page.column("Bytes;", "Sent per epoch")["federated: a/host"][0] == formatting.NOT_MEASURED


def test_a_run_without_cases_has_a_report(copy: Path) -> None:
    page = page_of(change(copy, lambda content: content.update(cases=[], datasets={})))
    assert "No data was loaded" in page.text
    assert "No federated case finished" in page.text


def test_a_failed_centralised_case_leaves_nothing_to_compare_with(copy: Path) -> None:
    def fail(content: dict[str, Any]) -> None:
        content["cases"][0] |= {"status": "failed", "error": "out of memory"}

    page = page_of(change(copy, fail))
    assert "No centralised case on the same rows finished" in page.text
    assert "times as long" not in page.text
    assert "Centralised, same optimiser (failed)" in page.text


def test_a_case_on_other_rows_is_no_measure(copy: Path) -> None:
    page = page_of(change(copy, lambda content: content["cases"][0].update(balance={"method": "none"})))
    assert "No centralised case on the same rows finished" in page.text


def test_a_large_run_stays_small(copy: Path) -> None:
    lines = ["case,repeat,party,host,t,cpu_percent,rss,uss,read_bytes,write_bytes,net_sent,net_received"]
    cases = [f"c{number}" for number in range(40)]
    lines += [f"{c},1,{p}/host,h,{t / 5},{t % 97},{t * 1e5},,,,," for c in cases for p in range(4) for t in range(1000)]
    (copy / "resources.csv").write_text("\n".join(lines), encoding="utf-8")

    def grow(content: dict[str, Any]) -> None:
        template = content["cases"][3]
        content["cases"] = [{**template, "id": c, "loss": [1 / (i + 1) for i in range(2000)]} for c in cases]

    page_of(change(copy, grow))
    assert (copy / "report.html").stat().st_size < 3_000_000


def test_trouble_is_named(copy: Path) -> None:
    def trouble(content: dict[str, Any]) -> None:
        content["revision"]["dirty"] = True
        content["environment"]["slowed"] = {"stolen_share": 0.025, "quota_periods": 12, "heat_events": 3}
        content["cases"][3]["time"]["epoch_seconds"] |= {"median": 0.008, "low": 0.005, "high": 0.012}
        content["cases"][4]["time"]["by_party"]["9998/host"]["attributed_share"]["low"] = 0.8

    text = page_of(change(copy, trouble)).text
    assert "In 1 of 4 cases with epochs, the range of the time per epoch is wider than 20" in text
    assert "Federated, FedSGD 88\N{NO-BREAK SPACE}%." in text
    assert "The hypervisor gave 2.5\N{NO-BREAK SPACE}% of the CPU time to others" in text
    assert "The CPU quota was used up in 12 scheduling periods" in text
    assert "The processors slowed down 3 times because of their heat" in text
    assert "only 80.0\N{NO-BREAK SPACE}% of the epoch of 9998/host is in named phases" in text
    assert "80\N{NO-BREAK SPACE}% of the epoch (Federated, FedAvg, 3 local epochs, 9998/host)" in text
    assert "local changes" in text


def test_the_page_says_how_to_write_it_again(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(copy.parent)
    assert "python -m bench.report run\n" in page_of(copy).text
    monkeypatch.chdir("/")
    assert f"python -m bench.report {str(copy).lstrip('/')}\n" in page_of(copy).text
    (copy.parent / "elsewhere").mkdir()
    monkeypatch.chdir(copy.parent / "elsewhere")
    assert f"python -m bench.report {copy}\n" in page_of(copy).text


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("cases", None),
        ("cases", [None]),
        ("cases", [{"id": 3}]),
        ("datasets", None),
        ("datasets", {"loans": []}),
        ("environment", None),
        ("suite", "quick"),
    ],
)
def test_a_damaged_outline_is_named_in_one_line(
    copy: Path, capsys: pytest.CaptureFixture[str], key: str, value: Any
) -> None:
    (copy / "report.html").unlink(missing_ok=True)
    change(copy, lambda content: content.update({key: value}))
    for main, runs in ((main_of_report.main, [str(copy)]), (main_of_compare.main, [str(copy), str(copy)])):
        assert main(runs) == 2
        shown = capsys.readouterr()
        assert (shown.out, len(shown.err.splitlines())) == ("", 1)
        assert key in shown.err
    assert not (copy / "report.html").exists()


def test_the_command_line(copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main_of_report.main([str(copy)]) == 0
    assert capsys.readouterr().out.strip() == str(copy / "report.html")
    assert main_of_report.main([str(tmp_path / "nothing")]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert len(shown.err.splitlines()) == 1


def test_a_missing_template_is_named(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template, "TEMPLATES", tmp_path)
    with pytest.raises(UserError, match=r"report\.html\.j2: not found; install the kit again"):
        writer.render(copy)


@given(st.floats(-1e9, 1e9), st.floats(1e-9, 1e9))
def test_ticks_are_few_and_span_the_values(low: float, width: float) -> None:
    high = low + width
    found = charts.ticks(low, high)
    assert 2 <= len(found) <= 8
    step = found[1] - found[0]
    assert found[0] <= low + 1e-6 * step + 1e-6 * abs(low)
    assert found[-1] >= high - 1e-6 * step - 1e-6 * abs(high)


@given(st.floats(-1e12, 1e12, allow_nan=False))
def test_numbers_keep_three_digits(value: float) -> None:
    text = formatting.number(value).replace(",", "").replace(MINUS, "-")
    assert float(text) == pytest.approx(value, rel=5.1e-3, abs=1e-300)


@given(st.lists(st.floats(0, 1), max_size=500), st.integers(1, 50))
def test_thinning_keeps_the_peak(values: list[float], points: int) -> None:
    kept = charts.thin(values, points, max)
    assert len(kept) <= points
    assert max(kept, default=None) == max(values, default=None)


def test_the_parity_of_accuracy_is_drawn_to_scale(page: Page, facts: dict[str, Any]) -> None:
    cases = {case["id"]: case for case in facts["cases"]}
    theirs = cases["centralised"]["metrics"]["auc"]["values"]
    relations = [
        comparison.compare_samples(
            theirs, cases[name]["metrics"]["auc"]["values"], "", paired=True, overlap=22931 / 53504
        )
        for name in ("centralised-lbfgs", "federated", "federated-fedavg")
    ]
    drawn = [
        (str(a["class"]), str(a["style"])) for tag, a in page.tags if tag == "i" and "left:" in str(a.get("style"))
    ]
    places = [float(re.findall(r"left:([\d.]+)%", style)[0]) for kind, style in drawn if kind.startswith("estimate")]
    zero = next(float(re.findall(r"left:([\d.]+)%", style)[0]) for kind, style in drawn if kind == "one")
    estimates = [relation.estimate or 0.0 for relation in relations]
    assert len(places) == len(estimates)
    per_unit = (places[2] - zero) / estimates[2]
    assert places == pytest.approx([zero + per_unit * estimate for estimate in estimates], abs=0.1)
    assert [relation.sign for relation in relations][2] == -1
    for relation in relations:
        assert (
            f"{formatting.difference(relation.estimate or 0.0)} ({formatting.difference(relation.low or 0.0)} to "
            in page.text
        )


gaps = st.floats(-1, 1)


@given(st.lists(st.tuples(gaps, st.none() | st.tuples(gaps, gaps)), min_size=1, max_size=5))
def test_differences_of_any_size_are_on_the_plot(found: list[tuple[float, tuple[float, float] | None]]) -> None:
    rows = [
        charts.Interval("", gap, *((min(ends), max(ends)) if ends else (None, None)), "unsure", "")
        for gap, ends in found
    ]
    drawn = charts.differences([*rows, charts.Interval("", None, None, None, "unsure", "")], "", "")
    for left, width in re.findall(r"left:([^%]+)%(?:;width:([^%]+)%)?", drawn):
        assert -0.01 <= float(left) <= float(left) + float(width or 0) <= 100.02
    assert drawn.count("class='estimate") == len(found)
    assert charts.differences([charts.Interval("", None, None, None, "unsure", "")], "", "") == ""
