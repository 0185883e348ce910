"""Compare runs with a base, case by case: what differs significantly, and what is unknown.

Durations, bytes and memory are compared as ratios of geometric means (on the logarithms), scores as differences of
means, both with 95 % intervals. Where the repeats of both runs had the same rows, scores and bytes are tested repeat by
repeat (paired t-test): they depend on the rows, and not on the machine. Everything else is tested by Welch's t-test.
Fewer than three values on a side get no verdict.

The first run is the base and called A; each of the others (B, C, ...) is compared with it. The page of a comparison is
built in bench/compare/page.py.
"""

from __future__ import annotations

import math
import string
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bench.errors import UserError
from bench.pages import scores
from bench.results.record import DatasetFacts
from bench.results.view import CaseView, RunView, communicating
from bench.stats import formatting
from bench.stats.comparison import CONFIDENCE, UNKNOWN, Comparison, Unit, compare_samples
from bench.stats.summaries import Summary, add_up, in_pairs, summarise, values_of

# What the base and the other runs are called.
NAMES = string.ascii_uppercase
BASE = NAMES[0]

TESTS = {
    "paired": "paired: t-test of the differences repeat by repeat, as both runs drew the same rows in the same repeat.",
    "Welch": (
        "Welch: t-test of the repeats of one run against those of the other. It sees the variation within a run only:\n"
        "times also differ where the machine was slower during one of the runs. Look again in a second pair of runs."
    ),
}

EPOCH = "epoch"

# What --fail-above makes of a case.
Outcome = Literal["slower than allowed", "within the limit", "unknown"]

# Units of what the rows determine: the same rows on another day give the same value.
DETERMINISTIC = ("", "B")

# What decides which rows a repeat draws, with the suite's defaults (docs/suites.md).
DRAW = {"seed": 1, "test_share": 0.3}
DATA_FACTS = ("name", "synthetic", "rows", "features", "class_counts")

# Facts of the environment that may explain a difference; the others are compared by their own rules, or say nothing.
_ENVIRONMENT = {
    "cpu": "CPU",
    "cores_logical": "logical cores",
    "cores_physical": "physical cores",
    "cores_available": "cores available",
    "memory_bytes": "memory (bytes)",
    "os": "operating system",
    "kernel": "kernel",
    "python": "Python",
    "threads_per_process": "threads per process",
    "blas": "BLAS",
    "cpu_governor": "CPU governor",
    "cpu_boost": "CPU boost",
    "virtualised": "virtualisation",
}


@dataclass(frozen=True)
class Row:
    """One compared quantity of one case. ``a`` is the base's summary, ``b`` the other run's."""

    case: str
    quantity: str
    unit: Unit
    a: Summary | None
    b: Summary | None
    comparison: Comparison


@dataclass(frozen=True)
class Check:
    """What a limit on the time per epoch makes of one case of one run, and why."""

    run: str
    case: str
    outcome: Outcome
    why: str


def same_rows(a: CaseView, b: CaseView) -> bool:
    """Say whether a repeat of case ``a`` trained and tested on the same rows as the same repeat of case ``b``."""
    draws = [_draw(case.run) for case in (a, b)]
    if None in draws or draws[0] != draws[1]:
        return False
    if (a.record.split, a.record.balance) != (b.record.split, b.record.balance):
        return False
    ours, theirs = (case.dataset or DatasetFacts() for case in (a, b))
    if ours.digest and theirs.digest:
        return ours.digest == theirs.digest
    facts = [(getattr(ours, key), getattr(theirs, key)) for key in DATA_FACTS]
    return all(one not in (None, []) and one == other for one, other in facts)


def _draw(run: RunView) -> dict[str, Any] | None:
    """Return what decides which rows a repeat draws; None where the run did not record it."""
    plan = run.record.plan
    return None if plan is None else {key: plan.get(key, default) for key, default in DRAW.items()}


def compare(base: RunView, run: RunView) -> list[Row]:
    """Compare the cases that finished in both runs.

    Rows come in the order of the base's cases; a quantity that neither run measured has no row.
    """
    rows = []
    others = {case.id: case for case in run.finished}
    for case in base.finished:
        other = others.get(case.id)
        if other is None:
            continue
        alike = same_rows(case, other)
        ours, theirs = dict(_quantities(case)), dict(_quantities(other))
        for quantity, unit in dict.fromkeys((*ours, *theirs)):
            a, b = ours.get((quantity, unit)), theirs.get((quantity, unit))
            if a is None and b is None:
                continue
            repeats = case.record.repeats_done, other.record.repeats_done
            pairs = in_pairs(a, repeats[0], b, repeats[1]) if alike and unit in DETERMINISTIC else None
            x, y = pairs or (values_of(a), values_of(b))
            rows.append(Row(case.id, quantity, unit, a, b, compare_samples(x, y, unit, paired=pairs is not None)))
    return rows


def _quantities(case: CaseView) -> Iterator[tuple[tuple[str, Unit], Summary | None]]:
    """Yield ((name, unit), summary) of everything a case is compared by."""
    parties = list(case.training_parties.values())
    time, traffic = case.record.time, case.record.bytes
    yield (EPOCH, "s"), case.epoch
    yield ("training, all epochs", "s"), time.training_seconds if time else None
    yield ("computing, mean of the parties", "s"), _mean([times.phases.get("compute") for times in parties])
    yield ("communicating, mean of the parties", "s"), _mean([communicating(times) for times in parties])
    yield ("waiting, mean of the parties", "s"), _mean([times.phases.get("wait") for times in parties])
    yield ("sent per epoch, all parties", "B"), traffic.epoch_sent if traffic else None
    yield ("received per epoch, all parties", "B"), traffic.epoch_received if traffic else None
    yield ("peak memory, largest party", "B of memory"), _largest_peak(case)
    models = {"": case.record.metrics} if case.record.metrics else case.record.models
    for model, metrics in models.items():
        for metric, name in scores.in_comparisons(metrics).items():
            label = f"{name}, model of {model}" if model else name
            yield (label, ""), metrics.get(metric)


def _mean(of_parties: Sequence[Summary | None]) -> Summary | None:
    """Average over the parties, repeat by repeat; None unless every party was measured."""
    total = None if None in of_parties else add_up(of_parties)
    return total and summarise([value / len(of_parties) for value in total.values])


def _largest_peak(case: CaseView) -> Summary | None:
    """Return the largest peak of resident memory of any one party, repeat by repeat, in bytes."""
    by_party = case.record.resources.by_party if case.record.resources else {}
    columns = [values_of(facts.rss_peak_bytes) for facts in by_party.values()]
    if len({len(column) for column in columns}) != 1:
        return None
    return summarise([max(repeat) for repeat in zip(*columns, strict=True)])


def differing_conditions(base: RunView, run: RunView, name: str = "B") -> list[str]:
    """Name what differs between two runs and may explain a difference, one line each."""
    lines = _differing_environments(base, run) + _differing_data(base, run) + _differing_settings(base, run)
    return [f"{subject}: {BASE} {ours}, {name} {theirs}" for subject, ours, theirs in lines]


def _differing_environments(base: RunView, run: RunView) -> list[tuple[str, str, str]]:
    """Compare the code, the machines and what ran on them."""
    a, b = base.environment, run.environment
    lines = _differs("code revision", code_of(base), code_of(run))
    lines += _differs("version of the kit", base.record.kit_version, run.record.kit_version)
    for key, name in _ENVIRONMENT.items():
        lines += _differs(name, getattr(a, key), getattr(b, key))
    for package in sorted({*a.packages, *b.packages}):
        lines += _differs(package, a.packages.get(package), b.packages.get(package))
    if a.load_before and b.load_before and abs(a.load_before[0] - b.load_before[0]) > (a.cores_logical or 1) / 4:
        lines += _differs("load before the run (1 minute)", a.load_before[0], b.load_before[0])
    return lines


def _differs(subject: str, a: Any, b: Any) -> list[tuple[str, str, str]]:
    """Return (subject, a, b) in words if ``a`` and ``b`` are not the same."""
    if a == b:
        return []
    ours, theirs = ("not recorded" if value is None else _brief(value) for value in (a, b))
    return [(subject, ours, theirs)]


def _brief(value: Any) -> str:
    """Write a setting in one line; long ones are cut."""
    text = " ".join(str(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def _differing_data(base: RunView, run: RunView) -> list[tuple[str, str, str]]:
    """Compare the datasets and splits that both runs have."""
    lines = []
    draws = [_draw(each) or {} for each in (base, run)]
    for key in DRAW:
        lines += _differs(key.replace("_", " "), *(draw.get(key) for draw in draws))
    for dataset in base.datasets.keys() & run.datasets.keys():
        a, b = base.datasets[dataset], run.datasets[dataset]
        for key in DATA_FACTS:
            lines += _differs(f"dataset {dataset}, {key}", getattr(a, key), getattr(b, key))
        digests = [side.digest and side.digest[:12] for side in (a, b)]
        lines += _differs(f"dataset {dataset}, digest of features and labels", *digests)
        for split in a.splits.keys() & b.splits.keys():
            if a.splits[split] != b.splits[split]:
                rows = [[party.rows for party in side.splits[split].parties] for side in (a, b)]
                note = "" if rows[0] != rows[1] else " (as many per party, other rows or classes)"
                lines.append((f"split {split} of {dataset}", str(rows[0]), f"{rows[1]} rows per party{note}"))
    return sorted(lines)


def _differing_settings(base: RunView, run: RunView) -> list[tuple[str, str, str]]:
    """Compare the settings of the cases that both runs have."""
    lines = []
    keys = ("engine", "privacy", "dataset", "split", "balance", "network", "epochs", "warmup_epochs")
    for a in base.cases:
        b = run.case(a.id)
        if b is None:
            continue
        for key in keys:
            lines += _differs(f"case {a.id}, {key}", getattr(a.record, key), getattr(b.record, key))
        parties = [[member.key for member in case.record.parties] for case in (a, b)]
        lines += _differs(f"case {a.id}, parties", *parties)
        for part in ("training", "privacy_options"):
            ours, theirs = getattr(a.record, part), getattr(b.record, part)
            for key in dict.fromkeys((*ours, *theirs)):
                lines += _differs(f"case {a.id}, {part}.{key}", ours.get(key), theirs.get(key))
    return lines


def uncompared(base: RunView, run: RunView, name: str = "B") -> dict[str, str]:
    """Return {case: why} of every case that has figures in one run only, or in neither."""
    reasons = {}
    for identifier in dict.fromkeys(case.id for each in (base, run) for case in each.cases):
        a, b = base.case(identifier), run.case(identifier)
        if b is None:
            reasons[identifier] = f"only in {BASE}"
        elif a is None:
            reasons[identifier] = f"only in {name}"
        elif not (a.finished and b.finished):
            reasons[identifier] = f"{_state(a)} in {BASE}, {_state(b)} in {name}"
    return reasons


def _state(case: CaseView) -> str:
    """Return the status of a case with its error, if it has one."""
    error = case.record.error
    return f"{case.record.status} ({_brief(error)})" if error else str(case.record.status)


def check_regression(base: RunView, run: RunView, limit: float, name: str = "B") -> list[Check]:
    """Say of every case whether its time per epoch is above the base's by more than the share ``limit`` (0.05 is 5 %).

    Cases that have no such time in either run, as they know no epochs or did not finish, are left out.
    """
    checks = []
    for row in compare(base, run):
        if row.quantity == EPOCH:
            estimate, interval, verdict = outcome(row, name)
            checks.append(
                Check(
                    name,
                    row.case,
                    exceeds(row.comparison, limit),
                    f"{estimate} {interval}".strip() or _why(row, verdict),
                )
            )
    timed = {case.id for each in (base, run) for case in each.finished if case.epoch}
    unknown = {case: why for case, why in uncompared(base, run, name).items() if case in timed}
    return checks + [Check(name, case, "unknown", why) for case, why in unknown.items()]


def _why(row: Row, verdict: str) -> str:
    return formatting.reason(row.comparison) if row.comparison.verdict == "too few values" else verdict


def exceeds(comparison: Comparison, limit: float) -> Outcome:
    """Compare a ratio of times with 1 + ``limit``: an interval that holds it is neither above nor within."""
    if comparison.verdict == "identical":
        return "within the limit"
    if comparison.kind != "ratio" or comparison.interval is None:
        return "unknown"
    low, high = comparison.interval
    return "slower than allowed" if low > 1 + limit else "within the limit" if high <= 1 + limit else "unknown"


def share_of(text: str) -> float:
    """Read a share: "5%" or "0.05". Raises UserError for anything else, and for 1 and above without a per cent sign."""
    number, sign = text.strip().removesuffix("%"), text.strip().endswith("%")
    try:
        share = float(number) / (100 if sign else 1)
    except ValueError:
        share = math.nan
    if not (0 <= share < math.inf) or (share >= 1 and not sign):
        raise UserError(f"--fail-above: {text!r} is no share of the base's time; write 5% or 0.05")
    return share


def as_text(runs: Sequence[RunView], limit: float | None = None) -> str:
    """Write the whole comparison as plain text; the first run is the base."""
    base, *others = runs
    lines = [f"{name}: {title_of(run)}" for name, run in zip(NAMES, runs, strict=False)]
    for name, run in zip(NAMES[1:], others, strict=False):
        if len(others) > 1:
            lines += ["", "", f"{name} against {BASE}"]
        lines += _pair_as_text(base, run, name)
    if limit is not None:
        lines += ["", *_checks_as_text(check_all(runs, limit), limit)]
    return "\n".join(lines) + "\n"


def _pair_as_text(base: RunView, run: RunView, name: str) -> list[str]:
    """Write how one run compares with the base."""
    rows = compare(base, run)
    left_out = [f"{case}: {why}" for case, why in uncompared(base, run, name).items()]
    lines = []
    for heading, items in (
        ("Conditions differ; they may explain a difference below:", differing_conditions(base, run, name)),
        ("Not compared:", left_out),
    ):
        lines += ["", heading, *(f"  {item}" for item in items)] if items else []
    lines += _table(rows, name) if rows else ["", "No case finished in both runs: nothing to compare."]
    notes = notes_on(rows)
    return [*lines, "", *notes] if notes else lines


def notes_on(rows: Sequence[Row]) -> list[str]:
    """Say what was tested, and how many differences chance alone would show."""
    used = [row.comparison.test for row in rows if row.comparison.test]
    if not used:
        return []
    chance = formatting.number((1 - CONFIDENCE) * len(used), 2)
    return [
        *(line for test, line in TESTS.items() if test in used),
        f"{len(used)} comparisons were made at 95 %: chance alone would show about {chance} differences among them.",
    ]


def check_all(runs: Sequence[RunView], limit: float) -> list[Check]:
    """Check every run after the first against the first."""
    pairs = zip(NAMES[1:], runs[1:], strict=False)
    return [check for name, run in pairs for check in check_regression(runs[0], run, limit, name)]


def _checks_as_text(checks: Sequence[Check], limit: float) -> list[str]:
    """Write what a limit makes of every case, and of them all."""
    lines = [f"Time per epoch, {_percent(limit)} above {BASE} allowed:"]
    lines += [f"  {each.run}, {each.case}: {each.outcome}: {each.why}" for each in checks]
    return [*lines, conclusion(checks, limit)]


def failed(checks: Sequence[Check]) -> bool:
    """Say whether a case is slower than allowed."""
    return any(each.outcome == "slower than allowed" for each in checks)


def conclusion(checks: Sequence[Check], limit: float) -> str:
    """Say in a sentence or two what a limit makes of all cases."""
    slower, unknown = (sum(each.outcome == kind for each in checks) for kind in ("slower than allowed", "unknown"))
    how_many = f"{slower or 'none'} of {len(checks)} comparisons {'are' if slower > 1 else 'is'}"
    above = f"slower per epoch by more than {_percent(limit)}, the whole 95{formatting.SPACE}% interval included"
    rest = f" {unknown} {'is' if unknown == 1 else 'are'} unknown, which does not fail." if unknown else ""
    return f"{'Failed' if slower else 'Not failed'}: {how_many} {above}.{rest}"


def _percent(share: float) -> str:
    """Write a share as it was given."""
    return f"{100 * share:g}{formatting.SPACE}%"


def title_of(run: RunView) -> str:
    """Name a run: identifier, suite and code."""
    return f"{run.record.run_id}, suite {run.record.suite.name}, revision {code_of(run) or 'unknown'}"


def code_of(run: RunView) -> str | None:
    """Name the code of a run; None where it was not recorded."""
    revision = run.record.revision
    if revision is None or not revision.commit:
        return None
    return revision.commit[:12] + (" with local changes" if revision.dirty else "")


def _table(rows: Sequence[Row], name: str) -> list[str]:
    """Lay the rows out in columns, one block a case."""
    header = ("", f"{BASE} (n)", f"{name} (n)", heading_of(name), "test", f"{name} is")
    body = []
    for row in rows:
        estimate, interval, verdict = outcome(row, name)
        between = f"{estimate} {interval}".strip()
        sides = [shown(row, side) + (f" ({side.n})" if side else "") for side in (row.a, row.b)]
        body.append((row.quantity, *sides, between, row.comparison.test or "", verdict))
    widths = [max(len(line[column]) for line in (header, *body)) for column in range(5)]

    def laid_out(line: Sequence[str]) -> str:
        first = line[0].ljust(widths[0])
        numbers = (cell.rjust(width) for cell, width in zip(line[1:4], widths[1:4], strict=True))
        return "  ".join(("", first, *numbers, line[4].ljust(widths[4]), line[5])).rstrip()

    lines = ["", laid_out(header)]
    case = None
    for row, cells in zip(rows, body, strict=True):
        if row.case != case:
            lines.append(row.case)
            case = row.case
        lines.append(laid_out(cells))
    return lines


def heading_of(name: str) -> str:
    """Head the column of estimates."""
    return f"{name}/{BASE} or {name}-{BASE} [95 % interval]"


def writer(row: Row) -> tuple[Callable[[float], str], str]:
    """Return what writes a row's values, and the unit behind each: the best one for A's median where there is one."""
    first = row.a or row.b
    if row.unit == "" or first is None:
        return formatting.score, ""
    choose = formatting.time_unit if row.unit == "s" else formatting.byte_unit
    unit = choose([first.median])
    return (lambda value: formatting.in_unit(value, unit)), f"{formatting.SPACE}{unit.name}"


def shown(row: Row, summary: Summary | None) -> str:
    """Write the median of one side of a row."""
    write, unit = writer(row)
    return formatting.NOT_MEASURED if summary is None else f"{write(summary.median)}{unit}"


def outcome(row: Row, name: str) -> tuple[str, str, str]:
    """Write the estimate, its interval (both empty where there is none), and the verdict; ``name`` is the run's."""
    found = row.comparison
    sides = {"a": BASE, "b": name, "ab": "either"}
    verdict = formatting.verdict(found, sides.get(found.missing))
    if found.estimate is None or found.verdict in UNKNOWN:
        return "", "", verdict
    mark = "x" if found.kind == "ratio" else f"{formatting.SPACE}{row.unit}".rstrip()
    interval = f"[{', '.join(map(_end, found.interval))}]" if found.interval else ""
    return f"{formatting.number(found.estimate)}{mark}", interval, verdict


def _end(value: float) -> str:
    """Write an end of an interval, which may be out of all bounds."""
    return formatting.number(value) if math.isfinite(value) else "\N{INFINITY}"
