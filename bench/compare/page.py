"""Write a comparison of runs as one self-contained HTML page: the answer first, then the plot and the tables.

All figures come from bench/compare/runs.py and are written as it prints them. How the page looks is in
templates/compare.html.j2, which shares its style with the report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.compare import runs as compared_runs
from bench.compare.runs import BASE, NAMES, Row
from bench.pages import charts, elements, provenance
from bench.pages.elements import Cell, Plot, Table
from bench.pages.template import template
from bench.report import reliability
from bench.results import store
from bench.results.view import RunView
from bench.stats import formatting
from bench.stats.comparison import UNKNOWN, WORDS, Unit
from bench.stats.summaries import Summary

NOT_COMPARED = "not compared"

# What the rows of a comparison are counted as, by their unit; the time per epoch is told by itself.
KINDS: dict[Unit, str] = {"s": "other times", "B": "counts of bytes", "B of memory": "peaks of memory", "": "scores"}
DIFFERS = {word for words in WORDS.values() for word in words} | {"differs", "differs by a constant"}


def write(path: Path, runs: Sequence[RunView], limit: float | None, command: str) -> None:
    """Write the page to ``path``; the first run is the base, ``limit`` the share that --fail-above allows.

    Raises UserError when the page cannot be written.
    """
    store.write_text(path, template("compare.html.j2").render(_contents(runs, limit, command)))


def _contents(runs: Sequence[RunView], limit: float | None, command: str) -> dict[str, Any]:
    """Build everything that the template shows."""
    base = runs[0]
    others = dict(zip(NAMES[1:], runs[1:], strict=False))
    compared = {name: compared_runs.compare(base, run) for name, run in others.items()}
    judged = None if limit is None else compared_runs.check_all(runs, limit)
    return {
        "title": f"{'Two' if len(runs) == 2 else len(runs)} runs compared",
        "ids": ", ".join(run.record.run_id for run in runs),
        "first_line": _first_line(runs),
        "synthetic": any(facts.synthetic for run in runs for facts in run.datasets.values()),
        "answer": [sentence for name, rows in compared.items() for sentence in _answer(base, name, rows)],
        "conclusion": None if judged is None or limit is None else compared_runs.conclusion(judged, limit),
        "judged": None if judged is None else _judged(judged),
        "runs": _runs(runs),
        "conditions": {name: compared_runs.differing_conditions(base, run, name) for name, run in others.items()},
        "concerns": {
            name: [concern.text for concern in reliability.concerns(run)]
            for name, run in zip(NAMES, runs, strict=False)
        },
        "plot_of_ratios": _plot(base, compared, limit),
        "cases": [
            _case(base, identifier, compared)
            for identifier in dict.fromkeys(row.case for rows in compared.values() for row in rows)
        ],
        "left_out": {name: compared_runs.uncompared(base, run, name) for name, run in others.items()},
        "notes": compared_runs.notes_on([row for rows in compared.values() for row in rows]),
        "command": command,
    }


def _first_line(runs: Sequence[RunView]) -> str:
    """Say whether the figures stand on real or on generated data, run by run where they differ."""
    lines = [provenance.first_line(run) for run in runs]
    if len(set(lines)) == 1:
        return lines[0]
    return " ".join(f"{name}: {line}" for name, line in zip(NAMES, lines, strict=False))


def _answer(base: RunView, name: str, rows: Sequence[Row]) -> list[str]:
    """Say in a few sentences how a run stands to the base."""
    if not rows:
        return [f"{name} against {BASE}: no case finished in both runs, so there is nothing to compare."]
    epochs = [row for row in rows if row.quantity == compared_runs.EPOCH]
    if not epochs:
        return [f"{name} against {BASE}: no time per epoch was measured.", _others(rows)]
    verdicts: dict[str, list[Row]] = {}
    for row in epochs:
        verdicts.setdefault(compared_runs.outcome(row, name)[2], []).append(row)
    ranked = sorted(verdicts, key=lambda verdict: verdict not in WORDS["s"])  # differences first
    spoken = "; ".join(f"{verdict} in {_extremes(base, verdicts[verdict])}" for verdict in ranked)
    ratios = f"seconds per epoch as a ratio with its 95{formatting.SPACE}% interval"
    return [
        f"{name} against {BASE}, {ratios}, {len(epochs)} case{'' if len(epochs) == 1 else 's'}: {spoken}.",
        _others(rows),
    ]


def _extremes(base: RunView, rows: Sequence[Row]) -> str:
    """Name the cases with their ratios; of more than two, say how many and name the smallest and the largest ratio."""
    ranked = sorted(rows, key=lambda row: row.comparison.estimate or 0.0)
    named = [f"{_title(base, row.case)} {_estimate(row)}".strip() for row in ranked]
    if len(named) < 3:
        return " and ".join(named)
    return f"{len(named)}, from {named[0]} to {named[-1]}" if _estimate(ranked[0]) else f"{len(named)} of them"


def _others(rows: Sequence[Row]) -> str:
    """Count the significant differences in everything but the time per epoch."""
    verdicts = {
        kind: [row.comparison.verdict for row in rows if row.unit == unit and row.quantity != compared_runs.EPOCH]
        for unit, kind in KINDS.items()
    }
    parts = [
        f"{sum(verdict in DIFFERS for verdict in found)} of {len(found)} {kind}"
        for kind, found in verdicts.items()
        if found
    ]
    unknown = sum(verdict in UNKNOWN for found in verdicts.values() for verdict in found)
    rest = f"; {unknown} {'is' if unknown == 1 else 'are'} unknown" if unknown else ""
    return f"Of the rest, significantly different are {', '.join(parts)}{rest}."


def _estimate(row: Row) -> str:
    """Write the estimate with its interval; empty where there is none."""
    estimate, interval, _ = compared_runs.outcome(row, "")
    return f"{estimate} {interval}".strip()


def _title(run: RunView, identifier: str) -> str:
    """Name a case as its run does."""
    case = run.case(identifier)
    return case.title if case else identifier


def _judged(judged: Sequence[compared_runs.Check]) -> Table:
    """List what --fail-above makes of every case."""
    rows = [[Cell(f"{each.run}, {each.case}"), Cell(each.outcome), Cell(each.why)] for each in judged]
    columns = ("Run, case", "Outcome", "Because")
    return Table("What the limit makes of each case", columns, rows, columns[1:])


def _runs(runs: Sequence[RunView]) -> Table:
    """Show which runs they are: when, of what code, on what machine."""
    facts = [_facts(run) for run in runs]
    columns = [f"{name} (base)" if name == BASE else name for name, _ in zip(NAMES, runs, strict=False)]
    rows = [[Cell(key), *(Cell(str(of_run[key] or "not recorded")) for of_run in facts)] for key in facts[0]]
    return Table("The runs", ("", *columns), rows, columns)


def _facts(run: RunView) -> dict[str, object]:
    """Return what identifies a run and the machine it was measured on; None is what was not recorded."""
    environment = run.environment
    states = [str(case.record.status) for case in run.cases]
    created, finished = (moment and moment.replace("T", " ") for moment in (run.record.created, run.record.finished))
    return {
        "Run": run.record.run_id,
        "Suite": run.record.suite.title or run.record.suite.name,
        "Begun": created,
        "Finished": finished or "not finished",
        "Revision": compared_runs.code_of(run),
        "CPU": environment.cpu,
        "Cores available": environment.cores_available,
        "Operating system": environment.os,
        "Python": environment.python,
        "Load before (1, 5, 15 minutes)": ", ".join(f"{load:.2f}" for load in environment.load_before) or None,
        "Cases": ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states)) or "none",
        "Repeats": elements.repeats_of(run.cases),
    }


def _plot(base: RunView, compared: Mapping[str, Sequence[Row]], limit: float | None) -> Plot | None:
    """Draw the ratios of the time per epoch with their intervals, of each case."""
    several = len(compared) > 1
    epochs = [(name, row) for name, rows in compared.items() for row in rows if row.quantity == compared_runs.EPOCH]
    order = list(dict.fromkeys(row.case for _, row in epochs))
    intervals = []
    for name, row in sorted(epochs, key=lambda pair: order.index(pair[1].case)):
        as_ratio = row.comparison.kind == "ratio"
        title = _title(base, row.case)
        intervals.append(
            charts.Interval(
                f"{name} against {BASE}" if several else title,
                row.comparison.estimate if as_ratio else None,
                row.comparison.low if as_ratio else None,
                row.comparison.high if as_ratio else None,
                row.comparison.verdict if row.comparison.verdict in WORDS["s"] else "unsure",
                _estimate(row) or compared_runs.outcome(row, name)[2],
                title if several else "",
            )
        )
    spoken = "Seconds per epoch" if several else f"Seconds per epoch, {NAMES[1]} against {BASE}"
    axis = f"times {BASE} (logarithmic); to the right is slower"
    line = None if limit is None else 1 + limit
    drawing = charts.forest(intervals, f"{spoken}, as ratios with intervals", axis, line)
    if not drawing:
        return None
    dashed = "" if limit is None else f", the dashed one at {1 + limit:g}, which --fail-above allows"
    caption = (
        f"{spoken}: ratios of geometric means with their 95{formatting.SPACE}% intervals. The line is at 1{dashed}. An "
        f"arrow is an interval that goes on. {_repeats([row for _, row in epochs])}"
    )
    return Plot(drawing, caption)


def _repeats(rows: Sequence[Row]) -> str:
    """Say how many values the figures of a plot stand on."""
    counts = sorted({side.n for row in rows for side in (row.a, row.b) if side})
    spoken = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else str(counts[0])
    return f"n{formatting.SPACE}={formatting.SPACE}{spoken} repeats a case and run."


def _case(base: RunView, identifier: str, compared: Mapping[str, Sequence[Row]]) -> dict[str, Any]:
    """Show a case side by side: every quantity of the base, and of each other run with how it stands to the base."""
    sides = {
        name: {(row.unit == "", row.quantity): row for row in rows if row.case == identifier}
        for name, rows in compared.items()
    }
    body: list[list[Cell]] = []
    scores = False
    for key in sorted(dict.fromkeys(key for rows in sides.values() for key in rows), key=lambda key: key[0]):
        if key[0] and not scores:
            body.append([Cell("Scores on the common test set")])
            scores = True
        found = [rows.get(key) for rows in sides.values()]
        first = next(row for row in found if row)
        body.append(
            [
                Cell(key[1]),
                _value(first, first.a),
                *(cell for name, row in zip(sides, found, strict=True) for cell in _against(row, name)),
            ]
        )
    columns = ["", f"{BASE} (base)"]
    for name in sides:
        columns += [name, compared_runs.heading_of(name), f"{name} is"]
    title = _title(base, identifier)
    below = f"median and (below) lowest{formatting.TO}highest over the n repeats"
    caption = f"{title}: {below}; times are those of one epoch, but for the training"
    return {
        "id": identifier,
        "title": title,
        "table": Table(caption, columns, body, [column for column in columns if column.endswith(" is")]),
    }


def _against(row: Row | None, name: str) -> list[Cell]:
    """Return the cells of one run: its figure, how it stands to the base, and the verdict."""
    if row is None:
        return [Cell(NOT_COMPARED), Cell(""), Cell("")]
    estimate, interval, verdict = compared_runs.outcome(row, name)
    spread = "; ".join(part for part in (interval, row.comparison.test) if part)
    return [_value(row, row.b), Cell(estimate, spread, row.comparison.estimate), Cell(verdict)]


def _value(row: Row, summary: Summary | None) -> Cell:
    """Return the cell of one run's figure, in the unit of the row, with its spread and n."""
    if summary is None:
        return Cell(formatting.NOT_MEASURED)
    write, _ = compared_runs.writer(row)
    n = f", n{formatting.SPACE}={formatting.SPACE}{summary.n}" if summary.low < summary.high else ""
    return Cell(compared_runs.shown(row, summary), formatting.range_of(summary, write) + n, summary.median)
