"""Compare two runs case by case: what differs beyond the spread of the repeats, and what cannot be told.

Durations, bytes and memory are compared as ratios of geometric means (on the logarithms), scores as differences of
means, both with 95 % intervals. Where the repeats of both runs had the same rows, scores and bytes are tested repeat by
repeat (paired t-test): they depend on the rows, and not on the machine. Everything else is tested by Welch's t-test.
Fewer than three values on a side get no verdict.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from bench import command, figures, results
from bench.figures import dig

CONFIDENCE = 0.95
LEAST_VALUES = 3

# Values closer than this (relative) are one value: sums taken in another order differ in the last digits.
ROUNDING = 1e-9

NO_DIFFERENCE = "no difference beyond the spread"
TOO_FEW = f"cannot tell (fewer than {LEAST_VALUES} values on a side)"
IDENTICAL = "identical"
NO_SPREAD = "differs (no spread on either side)"
SAME_GAP = "differs (by the same in every repeat)"

PAIRED = "paired"
WELCH = "Welch"
TESTS = {
    PAIRED: "paired: t-test of the differences repeat by repeat, as both runs drew the same rows in the same repeat.",
    WELCH: (
        "Welch: t-test of the repeats of one run against those of the other. It knows the spread within a run only:\n"
        "times also differ where the machine was slower during one of the runs. Look again in a second pair of runs."
    ),
}

# What B is called when its figure is the larger or the smaller one.
WORDS = {
    "s": ("slower", "faster"),
    "B": ("more", "fewer"),
    "B of memory": ("more", "less"),
    "": ("higher", "lower"),
}

# Units of what the rows determine: the same rows on another day give the same value.
DETERMINISTIC = ("", "B")

# What decides which rows a repeat draws, with the suite's defaults (docs/suites.md).
DRAW = {"seed": 1, "test_share": 0.3}
DATA_FACTS = ("name", "synthetic", "rows", "features", "class_counts")

SCORES = {
    "accuracy": "accuracy",
    "auc": "AUC",
    "ks": "KS",
    "average_precision": "average precision",
    "log_loss": "log loss",
    "precision_0": "precision, class 0",
    "recall_0": "recall, class 0 (specificity)",
    "f1_0": "F1, class 0",
    "precision_1": "precision, class 1",
    "recall_1": "recall, class 1",
    "f1_1": "F1, class 1",
}


@dataclass(frozen=True)
class Relation:
    """How B stands to A: ``estimate`` is a ratio B/A or a difference B-A, with a 95 % interval where one exists.

    ``verdict`` is one of the constants above or a word of WORDS; ``test`` is the test whose interval decided it
    (PAIRED or WELCH), or None where none did.
    """

    kind: str
    verdict: str
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    test: str | None = None


@dataclass(frozen=True)
class Row:
    """One compared quantity of one case. ``a`` and ``b`` are summaries as in docs/results.md, or None."""

    case: str
    quantity: str
    unit: str
    a: figures.Summary | None
    b: figures.Summary | None
    relation: Relation


def relate(a: Sequence[float], b: Sequence[float], unit: str, paired: bool = False) -> Relation:
    """Say how the values ``b`` stand to the values ``a`` (one value per repeat each, in base units).

    ``unit`` is a key of WORDS. Seconds, bytes and memory give a ratio unless a value is zero, scores a difference.
    ``paired`` says that the values at the same place belong together: then their differences (of the logarithms) are
    tested by Student's t. Otherwise it is Welch's test, which does not assume equal variances; see B. L. Welch,
    Biometrika 34 (1947), 28-35.
    """
    as_ratio = unit != "" and min((*a, *b), default=0.0) > 0
    kind = "ratio" if as_ratio else "difference"
    if not a or not b:
        return Relation(kind, f"cannot tell (not measured in {'either' if not (a or b) else 'A' if not a else 'B'})")
    if min(len(a), len(b)) < LEAST_VALUES:
        return Relation(kind, TOO_FEW)
    x, y = (np.log(a), np.log(b)) if as_ratio else (np.asarray(a), np.asarray(b))
    tolerance = ROUNDING if as_ratio else ROUNDING * max(abs(value) for value in (*a, *b))
    if all(np.ptp(values) <= tolerance for values in ((y - x,) if paired else (x, y))):
        return _relate_constants(a[0], b[0], kind, SAME_GAP if paired else NO_SPREAD)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # one side without spread is fine: the other one has some
        test = stats.ttest_1samp(y - x, 0.0) if paired else stats.ttest_ind(y, x, equal_var=False)
        interval = test.confidence_interval(CONFIDENCE)
    numbers = [float(np.mean(y) - np.mean(x)), float(interval.low), float(interval.high)]
    more, less = WORDS[unit]
    verdict = more if numbers[1] > 0 else less if numbers[2] < 0 else NO_DIFFERENCE
    with np.errstate(over="ignore"):  # values many powers of ten apart give an interval without an upper end
        estimate, low, high = (float(np.exp(value)) for value in numbers) if as_ratio else numbers
    return Relation(kind, verdict, estimate, low, high, PAIRED if paired else WELCH)


def _relate_constants(a: float, b: float, kind: str, differs: str) -> Relation:
    """Two deterministic values are the same or not; there is nothing to estimate an interval from."""
    estimate = b / a if kind == "ratio" else b - a
    same = abs(b - a) <= ROUNDING * max(abs(a), abs(b))
    return Relation(kind, IDENTICAL if same else differs, estimate)


def same_rows(run_a: Mapping[str, Any], a: Mapping[str, Any], run_b: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Say whether a repeat of case ``a`` trained and tested on the same rows as the same repeat of case ``b``."""
    draws = [_draw(run) for run in (run_a, run_b)]
    if None in draws or draws[0] != draws[1] or any(a.get(key) != b.get(key) for key in ("split", "balance")):
        return False
    ours, theirs = (dig(run, "datasets", str(case.get("dataset"))) or {} for run, case in ((run_a, a), (run_b, b)))
    keys = ("digest",) if ours.get("digest") and theirs.get("digest") else DATA_FACTS
    return all(ours.get(key) is not None and ours[key] == theirs.get(key) for key in keys)


def _draw(run: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what decides which rows a repeat draws; None where the run did not record it."""
    plan = run.get("plan")
    return {key: plan.get(key, default) for key, default in DRAW.items()} if isinstance(plan, Mapping) else None


def compare(run_a: Mapping[str, Any], run_b: Mapping[str, Any]) -> list[Row]:
    """Compare the cases that finished in both runs (contents of two run.json files).

    Rows come in the order of A's cases; a quantity that neither run measured has no row.
    """
    rows = []
    others = {case["id"]: case for case in run_b["cases"] if figures.finished(case)}
    for case in run_a["cases"]:
        other = others.get(case["id"])
        if other is None or not figures.finished(case):
            continue
        alike = same_rows(run_a, case, run_b, other)
        ours, theirs = dict(_quantities(case)), dict(_quantities(other))
        for name, unit in dict.fromkeys((*ours, *theirs)):
            a, b = ours.get((name, unit)), theirs.get((name, unit))
            if a is None and b is None:
                continue
            pairs = figures.in_pairs(case, a, other, b) if alike and unit in DETERMINISTIC else None
            x, y = pairs or (figures.values_of(a), figures.values_of(b))
            relation = relate(x, y, unit, paired=pairs is not None)
            rows.append(Row(case["id"], name, unit, a, b, relation))
    return rows


def _quantities(case: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], figures.Summary | None]]:
    """Yield ((name, unit), summary) of everything a case is compared by."""
    parties = [dig(facts, "phases") for facts in figures.training_parties(case).values()]
    yield ("epoch", "s"), figures.measured(dig(case, "time", "epoch_seconds"))
    yield ("training, all epochs", "s"), figures.measured(dig(case, "time", "training_seconds"))
    yield ("computing, mean of the parties", "s"), _mean([dig(phases, "compute") for phases in parties])
    yield ("communicating, mean of the parties", "s"), _mean([figures.communicating(phases) for phases in parties])
    yield ("waiting, mean of the parties", "s"), _mean([dig(phases, "wait") for phases in parties])
    yield ("sent per epoch, all parties", "B"), figures.measured(dig(case, "bytes", "epoch_sent"))
    yield ("received per epoch, all parties", "B"), figures.measured(dig(case, "bytes", "epoch_received"))
    yield ("peak memory, largest party", "B of memory"), _largest_peak(case)
    models = {"": case["metrics"]} if case.get("metrics") else case.get("models") or {}
    for model, metrics in models.items():
        for metric, name in SCORES.items():
            label = f"{name}, model of {model}" if model else name
            yield (label, ""), figures.measured(dig(metrics, metric))


def _mean(summaries: Sequence[Any]) -> dict[str, Any] | None:
    """Average over the parties, repeat by repeat; None unless every party was measured."""
    if not all(figures.measured(summary) for summary in summaries):
        return None
    total = figures.add_up(summaries)
    return total and figures.summarise([value / len(summaries) for value in total["values"]])


def _largest_peak(case: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the largest peak of resident memory of any one party, repeat by repeat, in bytes."""
    by_party = dig(case, "resources", "by_party") or {}
    columns = [figures.values_of(dig(facts, "rss_peak_bytes")) for facts in by_party.values()]
    if len({len(column) for column in columns}) != 1:
        return None
    return figures.summarise([max(repeat) for repeat in zip(*columns, strict=True)])


def differing_conditions(run_a: Mapping[str, Any], run_b: Mapping[str, Any]) -> list[str]:
    """Name what differs between two runs and may explain a difference, one line each."""
    a, b = (run["environment"] for run in (run_a, run_b))
    lines = _differs("code revision", _code(run_a), _code(run_b))
    names = {
        "cpu": "CPU",
        "cores_logical": "logical cores",
        "cores_physical": "physical cores",
        "cores_available": "cores available",
        "memory_bytes": "memory (bytes)",
        "os": "operating system",
        "kernel": "kernel",
        "python": "Python",
        "threads_per_process": "threads per process",
        "cpu_governor": "CPU governor",
        "virtualised": "virtualisation",
    }
    for key, name in names.items():
        lines += _differs(name, a.get(key), b.get(key))
    ours, theirs = a.get("packages") or {}, b.get("packages") or {}
    for package in sorted({*ours, *theirs}):
        lines += _differs(package, ours.get(package), theirs.get(package))
    loads = [(side.get("load_before") or [None])[0] for side in (a, b)]
    cores = a.get("cores_logical") or 1
    if None not in loads and abs(loads[0] - loads[1]) > cores / 4:
        lines += _differs("load before the run (1 minute)", *loads)
    return lines + _differing_data(run_a, run_b) + _differing_settings(run_a, run_b)


def _differs(name: str, a: Any, b: Any) -> list[str]:
    """Return one line if ``a`` and ``b`` are not the same."""
    if a == b:
        return []
    shown = ["not recorded" if value is None else _brief(value) for value in (a, b)]
    return [f"{name}: A {shown[0]}, B {shown[1]}"]


def _brief(value: Any) -> str:
    """Write a setting in one line; long ones are cut."""
    text = " ".join(str(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def _differing_data(run_a: Mapping[str, Any], run_b: Mapping[str, Any]) -> list[str]:
    """Compare the datasets and splits that both runs have."""
    lines = []
    draws = [_draw(run) or {} for run in (run_a, run_b)]
    for key in DRAW:
        lines += _differs(key.replace("_", " "), *(draw.get(key) for draw in draws))
    for dataset in run_a["datasets"].keys() & run_b["datasets"].keys():
        a, b = run_a["datasets"][dataset], run_b["datasets"][dataset]
        for key in DATA_FACTS:
            lines += _differs(f"dataset {dataset}, {key}", a.get(key), b.get(key))
        digests = [side.get("digest") and str(side["digest"])[:12] for side in (a, b)]
        lines += _differs(f"dataset {dataset}, digest of features and labels", *digests)
        ours, theirs = a.get("splits") or {}, b.get("splits") or {}
        for split in ours.keys() & theirs.keys():
            if ours[split] != theirs[split]:
                rows = [[dig(part, "rows") for part in dig(side, split, "parties") or []] for side in (ours, theirs)]
                note = "" if rows[0] != rows[1] else " (the same rows per party, other rows or classes)"
                lines.append(f"split {split} of {dataset}: A {rows[0]}, B {rows[1]} rows per party{note}")
    return sorted(lines)


def _differing_settings(run_a: Mapping[str, Any], run_b: Mapping[str, Any]) -> list[str]:
    """Compare the settings of the cases that both runs have."""
    lines = []
    others = {case["id"]: case for case in run_b["cases"]}
    keys = ("engine", "privacy", "dataset", "split", "balance", "network", "parties", "epochs", "warmup_epochs")
    for a in run_a["cases"]:
        b = others.get(a["id"])
        if b is None:
            continue
        for key in keys:
            lines += _differs(f"case {a['id']}, {key}", a.get(key), b.get(key))
        ours, theirs = a.get("training") or {}, b.get("training") or {}
        for key in dict.fromkeys((*ours, *theirs)):
            lines += _differs(f"case {a['id']}, training.{key}", ours.get(key), theirs.get(key))
    return lines


def uncompared(run_a: Mapping[str, Any], run_b: Mapping[str, Any]) -> list[str]:
    """Name every case that has figures in one run only, or in neither, and why."""
    a, b = ({case["id"]: case for case in run["cases"]} for run in (run_a, run_b))
    lines = []
    for identifier in dict.fromkeys((*a, *b)):
        if identifier not in b:
            lines.append(f"{identifier}: only in A")
        elif identifier not in a:
            lines.append(f"{identifier}: only in B")
        else:
            states = [_state(side[identifier]) for side in (a, b)]
            if states != ["ok", "ok"]:
                lines.append(f"{identifier}: {states[0]} in A, {states[1]} in B")
    return lines


def _state(case: Mapping[str, Any]) -> str:
    """Return the status of a case with its error, if it has one."""
    error = case.get("error")
    return f"{case.get('status')} ({_brief(error)})" if error else str(case.get("status"))


def as_text(run_a: Mapping[str, Any], run_b: Mapping[str, Any]) -> str:
    """Write the whole comparison as plain text."""
    rows = compare(run_a, run_b)
    lines = [f"{name}: {_title(run)}" for name, run in (("A", run_a), ("B", run_b))]
    for heading, items in (
        ("Conditions differ; they may explain a difference below:", differing_conditions(run_a, run_b)),
        ("Not compared:", uncompared(run_a, run_b)),
    ):
        lines += ["", heading, *(f"  {item}" for item in items)] if items else []
    lines += _table(rows) if rows else ["", "No case finished in both runs: nothing to compare."]
    used = [row.relation.test for row in rows if row.relation.test]
    if used:
        count, chance = len(used), figures.number((1 - CONFIDENCE) * len(used), 2)
        lines += ["", *(line for test, line in TESTS.items() if test in used)]
        lines += [
            f"{count} comparisons were made at 95 %: chance alone would show about {chance} differences among them."
        ]
    return "\n".join(lines) + "\n"


def _title(run: Mapping[str, Any]) -> str:
    """Name a run: identifier, suite and code."""
    return f"{run['run_id']}, suite {dig(run, 'suite', 'name')}, revision {_code(run) or 'unknown'}"


def _code(run: Mapping[str, Any]) -> str | None:
    """Name the code of a run; None where it was not recorded."""
    commit = dig(run, "revision", "commit")
    return commit and str(commit)[:12] + (" with local changes" if dig(run, "revision", "dirty") else "")


def _table(rows: Sequence[Row]) -> list[str]:
    """Lay the rows out in columns, one block a case."""
    header = ("", "A (n)", "B (n)", "B/A or B-A [95 % interval]", "test", "B is")
    body = [(row.quantity, _shown(row.a, row.unit), _shown(row.b, row.unit), *_outcome(row)) for row in rows]
    widths = [max(len(line[column]) for line in (header, *body)) for column in range(5)]

    def laid_out(line: Sequence[str]) -> str:
        first = line[0].ljust(widths[0])
        figures_ = (cell.rjust(width) for cell, width in zip(line[1:4], widths[1:4], strict=True))
        return "  ".join(("", first, *figures_, line[4].ljust(widths[4]), line[5])).rstrip()

    lines = ["", laid_out(header)]
    case = None
    for row, cells in zip(rows, body, strict=True):
        if row.case != case:
            lines.append(row.case)
            case = row.case
        lines.append(laid_out(cells))
    return lines


def _shown(summary: figures.Summary | None, unit: str) -> str:
    """Write the median and the number of values behind it."""
    if summary is None:
        return figures.NOT_MEASURED
    write = {"s": figures.seconds, "B": figures.size, "B of memory": figures.size, "": figures.score}[unit]
    return f"{write(summary['median'])} ({summary['n']})"


def _outcome(row: Row) -> tuple[str, str, str]:
    """Write the estimate with its interval, the test, and the verdict."""
    relation = row.relation
    if relation.estimate is None:
        return "", "", relation.verdict
    mark = "x" if relation.kind == "ratio" else f"{figures.SPACE}{row.unit}".rstrip()
    text = f"{figures.number(relation.estimate)}{mark}"
    if relation.low is not None and relation.high is not None:
        text += f" [{figures.number(relation.low)}, {figures.number(relation.high)}]"
    return text, relation.test or "", relation.verdict


EXAMPLES = """\
examples:
  python -m bench.compare results/20261123-140501-quick results/20261124-091500-quick
  python -m bench.compare results/before results/after > difference.txt

The verdict says what B is, seen from A. Seconds are those of one epoch. It needs three repeats or more on each side
(python -m bench.run --repeats 5). Exit status: 0, or 2 when a folder cannot be read.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.compare",
        description="Say what differs between two runs beyond the spread of their repeats.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run_a", metavar="RUN_A", type=Path, help="folder of the first run")
    parser.add_argument("run_b", metavar="RUN_B", type=Path, help="folder of the second run")
    chosen = parser.parse_args(arguments)

    def work() -> None:
        sys.stdout.write(as_text(results.load(chosen.run_a), results.load(chosen.run_b)))

    return command.exit_status(work)


if __name__ == "__main__":
    sys.exit(main())
