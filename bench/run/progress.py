"""What a run tells while it goes on and at its end: lines on standard error, and a short table."""

from __future__ import annotations

import sys

from bench.results.record import RunRecord
from bench.results.view import CaseView, RunView
from bench.stats import formatting
from bench.stats.summaries import Summary


def say(line: str) -> None:
    """Print a line of progress."""
    print(line, file=sys.stderr, flush=True)


def table(run: RunView) -> str:
    """Return the short table that ends a run: one line a case, medians over repeats, times of the largest party."""
    all_times = [_times(case) for case in run.cases]
    unit = formatting.time_unit(found.median for times in all_times for found in times if found)
    times_of = ("epoch", "computing", "communicating", "waiting")
    rows = [("case", "status", *(f"{name} ({unit.name})" for name in times_of), "specificity", "AUC")]
    for case, times in zip(run.cases, all_times, strict=True):
        scores = [case.metric(name) for name in ("specificity", "auc")]
        rows.append(
            (
                case.id,
                str(case.record.status),
                *(formatting.in_unit(found.median, unit) if found else "-" for found in times),
                *(formatting.score(found.median) if found else "-" for found in scores),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if place < 2 else cell.rjust(width)  # words to the left, numbers to the right
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return "\n".join(["", *lines, *_without_result(run.record), ""])


def _without_result(record: RunRecord) -> list[str]:
    return [f"{entry.id}: {entry.error}" for entry in record.cases if entry.status in ("failed", "skipped")]


def _times(case: CaseView) -> list[Summary | None]:
    """Return a case's epoch, computing, communicating and waiting, in seconds."""
    return [case.epoch, *(case.parts.get(name) for name in ("computing", "communicating", "waiting"))]
