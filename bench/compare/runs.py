"""Compare runs with a base, case by case: what differs beyond the spread of the repeats, and what cannot be told.

Durations, bytes and memory are compared as ratios of geometric means (on the logarithms), scores as differences of
means, both with 95 % intervals. Where the repeats of both runs had the same rows, scores and bytes are tested repeat by
repeat (paired t-test): they depend on the rows, and not on the machine. Everything else is tested by Welch's t-test.
Fewer than three values on a side get no verdict.

The first run is the base and called A; each of the others (B, C, ...) is compared with it. The page of a comparison is
built in bench/compare/page.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.errors import UserError
from bench.stats import formatting, summaries
from bench.stats.comparison import BASE, CONFIDENCE, IDENTICAL, NAMES, PAIRED, WELCH, Relation, relate
from bench.stats.summaries import dig

TESTS = {
    PAIRED: "paired: t-test of the differences repeat by repeat, as both runs drew the same rows in the same repeat.",
    WELCH: (
        "Welch: t-test of the repeats of one run against those of the other. It knows the spread within a run only:\n"
        "times also differ where the machine was slower during one of the runs. Look again in a second pair of runs."
    ),
}

EPOCH = "epoch"

# What --fail-above makes of a case.
SLOWER = "slower than allowed"

WITHIN = "within"

CANNOT_TELL = "cannot tell"

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
class Row:
    """One compared quantity of one case. ``a`` (base) and ``b`` are summaries as in docs/results.md, or None."""

    case: str
    quantity: str
    unit: str
    a: summaries.Summary | None
    b: summaries.Summary | None
    relation: Relation


@dataclass(frozen=True)
class Judgement:
    """What a limit on the time per epoch makes of one case of one run: SLOWER, WITHIN or CANNOT_TELL, and why."""

    run: str
    case: str
    outcome: str
    why: str


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


def compare(run_a: Mapping[str, Any], run_b: Mapping[str, Any], name: str = "B") -> list[Row]:
    """Compare the cases that finished in both runs (contents of two run.json files); ``name`` is that of ``run_b``.

    Rows come in the order of A's cases; a quantity that neither run measured has no row.
    """
    rows = []
    others = {case["id"]: case for case in run_b["cases"] if summaries.finished(case)}
    for case in run_a["cases"]:
        other = others.get(case["id"])
        if other is None or not summaries.finished(case):
            continue
        alike = same_rows(run_a, case, run_b, other)
        ours, theirs = dict(_quantities(case)), dict(_quantities(other))
        for quantity, unit in dict.fromkeys((*ours, *theirs)):
            a, b = ours.get((quantity, unit)), theirs.get((quantity, unit))
            if a is None and b is None:
                continue
            pairs = summaries.in_pairs(case, a, other, b) if alike and unit in DETERMINISTIC else None
            x, y = pairs or (summaries.values_of(a), summaries.values_of(b))
            relation = relate(x, y, unit, paired=pairs is not None, name=name)
            rows.append(Row(case["id"], quantity, unit, a, b, relation))
    return rows


def _quantities(case: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], summaries.Summary | None]]:
    """Yield ((name, unit), summary) of everything a case is compared by."""
    parties = [dig(facts, "phases") for facts in summaries.training_parties(case).values()]
    yield (EPOCH, "s"), summaries.measured(dig(case, "time", "epoch_seconds"))
    yield ("training, all epochs", "s"), summaries.measured(dig(case, "time", "training_seconds"))
    yield ("computing, mean of the parties", "s"), _mean([dig(phases, "compute") for phases in parties])
    yield ("communicating, mean of the parties", "s"), _mean([summaries.communicating(phases) for phases in parties])
    yield ("waiting, mean of the parties", "s"), _mean([dig(phases, "wait") for phases in parties])
    yield ("sent per epoch, all parties", "B"), summaries.measured(dig(case, "bytes", "epoch_sent"))
    yield ("received per epoch, all parties", "B"), summaries.measured(dig(case, "bytes", "epoch_received"))
    yield ("peak memory, largest party", "B of memory"), _largest_peak(case)
    models = {"": case["metrics"]} if case.get("metrics") else case.get("models") or {}
    for model, metrics in models.items():
        for metric, name in SCORES.items():
            label = f"{name}, model of {model}" if model else name
            yield (label, ""), summaries.measured(dig(metrics, metric))


def _mean(of_parties: Sequence[Any]) -> dict[str, Any] | None:
    """Average over the parties, repeat by repeat; None unless every party was measured."""
    if not all(summaries.measured(summary) for summary in of_parties):
        return None
    total = summaries.add_up(of_parties)
    return total and summaries.summarise([value / len(of_parties) for value in total["values"]])


def _largest_peak(case: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the largest peak of resident memory of any one party, repeat by repeat, in bytes."""
    by_party = dig(case, "resources", "by_party") or {}
    columns = [summaries.values_of(dig(facts, "rss_peak_bytes")) for facts in by_party.values()]
    if len({len(column) for column in columns}) != 1:
        return None
    return summaries.summarise([max(repeat) for repeat in zip(*columns, strict=True)])


def differing_conditions(run_a: Mapping[str, Any], run_b: Mapping[str, Any], name: str = "B") -> list[str]:
    """Name what differs between two runs and may explain a difference, one line each."""
    lines = _differing_environments(run_a, run_b) + _differing_data(run_a, run_b) + _differing_settings(run_a, run_b)
    return [f"{subject}: {BASE} {ours}, {name} {theirs}" for subject, ours, theirs in lines]


def _differing_environments(run_a: Mapping[str, Any], run_b: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Compare the code, the machines and what ran on them."""
    a, b = (run["environment"] for run in (run_a, run_b))
    lines = _differs("code revision", code_of(run_a), code_of(run_b))
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


def _differing_data(run_a: Mapping[str, Any], run_b: Mapping[str, Any]) -> list[tuple[str, str, str]]:
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
                note = "" if rows[0] != rows[1] else " (as many per party, other rows or classes)"
                lines.append((f"split {split} of {dataset}", str(rows[0]), f"{rows[1]} rows per party{note}"))
    return sorted(lines)


def _differing_settings(run_a: Mapping[str, Any], run_b: Mapping[str, Any]) -> list[tuple[str, str, str]]:
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
        for part in ("training", "privacy_options"):
            ours, theirs = a.get(part) or {}, b.get(part) or {}
            for key in dict.fromkeys((*ours, *theirs)):
                lines += _differs(f"case {a['id']}, {part}.{key}", ours.get(key), theirs.get(key))
    return lines


def uncompared(run_a: Mapping[str, Any], run_b: Mapping[str, Any], name: str = "B") -> dict[str, str]:
    """Return {case: why} of every case that has figures in one run only, or in neither."""
    a, b = ({case["id"]: case for case in run["cases"]} for run in (run_a, run_b))
    reasons = {}
    for identifier in dict.fromkeys((*a, *b)):
        if identifier not in b:
            reasons[identifier] = f"only in {BASE}"
        elif identifier not in a:
            reasons[identifier] = f"only in {name}"
        else:
            ours, theirs = (_state(side[identifier]) for side in (a, b))
            if (ours, theirs) != ("ok", "ok"):
                reasons[identifier] = f"{ours} in {BASE}, {theirs} in {name}"
    return reasons


def _state(case: Mapping[str, Any]) -> str:
    """Return the status of a case with its error, if it has one."""
    error = case.get("error")
    return f"{case.get('status')} ({_brief(error)})" if error else str(case.get("status"))


def judge(run_a: Mapping[str, Any], run_b: Mapping[str, Any], limit: float, name: str = "B") -> list[Judgement]:
    """Say of every case whether its time per epoch is above A's by more than the share ``limit`` (0.05 is 5 %).

    Cases that have no such time in either run, as they know no epochs or did not finish, are left out.
    """
    judged = []
    for row in compare(run_a, run_b, name):
        if row.quantity == EPOCH:
            estimate, interval, verdict = outcome(row)
            why = f"{estimate} {interval}".strip() or verdict.removeprefix(f"{CANNOT_TELL} (").removesuffix(")")
            judged.append(Judgement(name, row.case, exceeds(row.relation, limit), why))
    finished = [case for run in (run_a, run_b) for case in run["cases"] if summaries.finished(case)]
    timed = {case["id"] for case in finished if summaries.measured(dig(case, "time", "epoch_seconds"))}
    untold = {case: why for case, why in uncompared(run_a, run_b, name).items() if case in timed}
    return judged + [Judgement(name, case, CANNOT_TELL, why) for case, why in untold.items()]


def exceeds(relation: Relation, limit: float) -> str:
    """Hold a ratio of times against 1 + ``limit``: what cannot be told apart from it is neither above nor within."""
    if relation.verdict == IDENTICAL:
        return WITHIN
    if relation.kind != "ratio" or relation.low is None or relation.high is None:
        return CANNOT_TELL
    return SLOWER if relation.low > 1 + limit else WITHIN if relation.high <= 1 + limit else CANNOT_TELL


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


def as_text(runs: Sequence[Mapping[str, Any]], limit: float | None = None) -> str:
    """Write the whole comparison as plain text; the first run is the base."""
    base, *others = runs
    lines = [f"{name}: {title_of(run)}" for name, run in zip(NAMES, runs, strict=False)]
    for name, run in zip(NAMES[1:], others, strict=False):
        if len(others) > 1:
            lines += ["", "", f"{name} against {BASE}"]
        lines += _pair_as_text(base, run, name)
    if limit is not None:
        lines += ["", *judgement_as_text(judge_all(runs, limit), limit)]
    return "\n".join(lines) + "\n"


def _pair_as_text(base: Mapping[str, Any], run: Mapping[str, Any], name: str) -> list[str]:
    """Write how one run stands to the base."""
    rows = compare(base, run, name)
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
    used = [row.relation.test for row in rows if row.relation.test]
    if not used:
        return []
    chance = formatting.number((1 - CONFIDENCE) * len(used), 2)
    return [
        *(line for test, line in TESTS.items() if test in used),
        f"{len(used)} comparisons were made at 95 %: chance alone would show about {chance} differences among them.",
    ]


def judge_all(runs: Sequence[Mapping[str, Any]], limit: float) -> list[Judgement]:
    """Judge every run after the first against the first."""
    pairs = zip(NAMES[1:], runs[1:], strict=False)
    return [judgement for name, run in pairs for judgement in judge(runs[0], run, limit, name)]


def judgement_as_text(judged: Sequence[Judgement], limit: float) -> list[str]:
    """Write what a limit makes of every case, and of them all."""
    lines = [f"Time per epoch, {_percent(limit)} above {BASE} allowed:"]
    lines += [f"  {each.run}, {each.case}: {each.outcome}: {each.why}" for each in judged]
    return [*lines, conclusion(judged, limit)]


def conclusion(judged: Sequence[Judgement], limit: float) -> str:
    """Say in a sentence or two what a limit makes of all cases."""
    tally = {kind: sum(each.outcome == kind for each in judged) for kind in (SLOWER, WITHIN, CANNOT_TELL)}
    how_many = f"{tally[SLOWER] or 'none'} of {len(judged)} comparisons {'are' if tally[SLOWER] > 1 else 'is'}"
    above = f"slower per epoch by more than {_percent(limit)}, the whole 95{formatting.SPACE}% interval included"
    untold = f" {tally[CANNOT_TELL]} could not be told, which does not fail." if tally[CANNOT_TELL] else ""
    return f"{'Failed' if tally[SLOWER] else 'Not failed'}: {how_many} {above}.{untold}"


def _percent(share: float) -> str:
    """Write a share as it was given."""
    return f"{100 * share:g}{formatting.SPACE}%"


def title_of(run: Mapping[str, Any]) -> str:
    """Name a run: identifier, suite and code."""
    return f"{run['run_id']}, suite {dig(run, 'suite', 'name')}, revision {code_of(run) or 'unknown'}"


def code_of(run: Mapping[str, Any]) -> str | None:
    """Name the code of a run; None where it was not recorded."""
    commit = dig(run, "revision", "commit")
    return commit and str(commit)[:12] + (" with local changes" if dig(run, "revision", "dirty") else "")


def _table(rows: Sequence[Row], name: str) -> list[str]:
    """Lay the rows out in columns, one block a case."""
    header = ("", f"{BASE} (n)", f"{name} (n)", heading_of(name), "test", f"{name} is")
    body = []
    for row in rows:
        estimate, interval, verdict = outcome(row)
        between = f"{estimate} {interval}".strip()
        sides = [shown(row, side) + (f" ({side['n']})" if side else "") for side in (row.a, row.b)]
        body.append((row.quantity, *sides, between, row.relation.test or "", verdict))
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


def heading_of(name: str) -> str:
    """Head the column of estimates."""
    return f"{name}/{BASE} or {name}-{BASE} [95 % interval]"


def writer(row: Row) -> tuple[Callable[[float], str], str]:
    """Return what writes a row's values, and the unit behind each: the best one for A's median where there is one."""
    first = row.a or row.b
    if row.unit == "" or first is None:
        return formatting.score, ""
    choose = formatting.time_unit if row.unit == "s" else formatting.byte_unit
    unit = choose([first["median"]])
    return (lambda value: formatting.in_unit(value, unit)), f"{formatting.SPACE}{unit.name}"


def shown(row: Row, summary: summaries.Summary | None) -> str:
    """Write the median of one side of a row."""
    write, unit = writer(row)
    return formatting.NOT_MEASURED if summary is None else f"{write(summary['median'])}{unit}"


def outcome(row: Row) -> tuple[str, str, str]:
    """Write the estimate, its interval (both empty where there is none), and the verdict."""
    relation = row.relation
    if relation.estimate is None:
        return "", "", relation.verdict
    mark = "x" if relation.kind == "ratio" else f"{formatting.SPACE}{row.unit}".rstrip()
    interval = ""
    if relation.low is not None and relation.high is not None:
        interval = f"[{_end(relation.low)}, {_end(relation.high)}]"
    return f"{formatting.number(relation.estimate)}{mark}", interval, relation.verdict


def _end(value: float) -> str:
    """Write an end of an interval, which may be out of all bounds."""
    return formatting.number(value) if math.isfinite(value) else "\N{INFINITY}"
