"""What a page of results is made of: cells, tables and plots, filled from the summaries of run.json."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from bench.i18n import messages
from bench.i18n.language import gettext, gettext_noop, sequence
from bench.measure.spans import PHASES
from bench.pages import charts
from bench.results import selection
from bench.results.selection import Case, Write, label_of
from bench.stats import comparison, formatting
from bench.stats.summaries import dig, measured

# Unlike what was not measured: nothing was there to measure.
NONE = gettext_noop("none")
# Cases further apart than this do not fit one scale: the shorter bars could not be read.
LARGEST_RATIO = 20


@dataclass(frozen=True)
class Cell:
    """A table cell: ``text``, the ``spread`` in small print under it, and the exact ``value`` where it is a figure."""

    text: str
    spread: str = ""
    value: float | None = None


@dataclass(frozen=True)
class Table:
    """A table as the template prints it.

    The first cell of a row is its heading; a row of one cell is a heading over the rows that follow. ``words``
    names the columns that hold text and not figures.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    words: Sequence[str] = ()


@dataclass(frozen=True)
class Plot:
    """A drawn plot with what stands under it."""

    drawing: Markup
    caption: str


def count(value: float | None) -> Cell:
    """Return a cell with a whole number."""
    return Cell(gettext(formatting.NOT_MEASURED)) if value is None else Cell(formatting.count(value), "", value)


def seconds(moment: float | None) -> Cell:
    """Return a cell with a moment or a duration of one repeat, in seconds."""
    return Cell(gettext(formatting.NOT_MEASURED)) if moment is None else Cell(formatting.number(moment), "", moment)


def by_case(rows: Iterable[tuple[Case, list[Cell]]]) -> list[list[Cell]]:
    """Put the name of the case over its rows."""
    body: list[list[Cell]] = []
    last = None
    for case, cells in rows:
        if case is not last:
            body.append([Cell(label_of(case))])
            last = case
        body.append(cells)
    return body


def text(value: object) -> Cell:
    """Return a cell of text; None is what was not measured."""
    return Cell(gettext(formatting.NOT_MEASURED) if value is None else str(value))


def figure(summary: Any, write: Write, absent: str = formatting.NOT_MEASURED) -> Cell:
    """Return a cell with the median of a summary and its spread, or with ``absent``."""
    found = measured(summary)
    if found is None:
        return Cell(gettext(absent))
    return Cell(write(found["median"]), selection.spread_of(found, write), found["median"])


def absent(case: Case) -> str:
    """Say why a case has no figure: there is nothing (no network, a solver without epochs), or nobody measured it."""
    return NONE if case.get("network") == "none" or without_epochs(case) else formatting.NOT_MEASURED


def without_epochs(case: Case) -> bool:
    """Say whether the case trained with a solver that knows no epochs."""
    run = case.get("epochs_run") or []
    return bool(run) and all(epochs is None for epochs in run)


def time_writer(summaries: Iterable[Any]) -> tuple[Write, str]:
    """Choose the unit of a table of durations."""
    unit = formatting.time_unit(found["median"] for summary in summaries if (found := measured(summary)))
    return (lambda value: formatting.in_unit(value, unit)), unit.name


def byte_writer(summaries: Iterable[Any]) -> tuple[Write, str]:
    """Choose the unit of a table of bytes."""
    unit = formatting.byte_unit(found["median"] for summary in summaries if (found := measured(summary)))
    return (lambda value: formatting.in_unit(value, unit)), unit.name


def ratio(case: Case, base: Case | None) -> Cell:
    """Write how many times as long an epoch is as that of ``base``, with the paired interval over the repeats."""
    if base is case:
        return Cell(gettext("the measure"))
    if case.get("engine") == "local":
        return Cell(gettext("own rows only"))
    if base is None and dig(case, "time", "epoch_seconds"):
        return Cell(gettext("nothing to compare with"))
    relation = selection.relate_times(case, base) if base else None
    if relation is None:
        return Cell(gettext(absent(case)))
    if relation.estimate is None or relation.low is None or relation.high is None:
        too_few = relation.verdict == comparison.TOO_FEW
        why = gettext("fewer than 3 repeats") if too_few else messages.say(relation.verdict)
        return Cell(gettext("cannot tell"), why)
    interval = f"{formatting.number(relation.low)}{formatting.TO}{formatting.number(relation.high)}"
    verdict = [messages.say(relation.verdict)] if relation.verdict == comparison.NO_DIFFERENCE else []
    return Cell(formatting.number(relation.estimate), sequence([*verdict, interval]), relation.estimate)


def gap(relation: comparison.Relation) -> str:
    """Write a difference of scores with its interval, or why there is none."""
    if relation.estimate is None:
        return messages.say(relation.verdict)
    estimate = formatting.difference(relation.estimate)
    if relation.low is None or relation.high is None:
        return gettext("{gap}, {why}", gap=estimate, why=messages.say(relation.verdict))
    low, high = formatting.difference(relation.low), formatting.difference(relation.high)
    return gettext("{gap} ({low} to {high})", gap=estimate, low=low, high=high)


def phase_plot(
    rows: Sequence[tuple[Case, str, Mapping[str, Any]]], title: str, unit: str, write: Write, spoken: str
) -> Plot:
    """Stack the median of every phase, one bar a process; ``rows`` hold (case, process, its part of time.by_party)."""
    bars = []
    for case, party, facts in rows:
        medians = {name: found["median"] for name in PHASES if (found := measured(dig(facts, "phases", name)))}
        segments = [charts.Segment(name, messages.say(name), value) for name, value in medians.items()]
        epoch = measured(facts.get("epoch_seconds"))
        total = f"{write(epoch['median'])}{formatting.SPACE}{unit}" if epoch else gettext(formatting.NOT_MEASURED)
        bars.append(charts.Bar(party, segments, total, label_of(case)))
    lengths: dict[str, float] = {}
    for bar in bars:
        lengths[bar.group] = max(lengths.get(bar.group, 0.0), sum(part.value for part in bar.segments))
    drawn = [length for length in lengths.values() if length > 0]
    own_scale = bool(drawn) and max(drawn) > LARGEST_RATIO * min(drawn)
    caption = gettext(
        "{title}, in {unit}; {scale}. A bar stacks the medians of the phases, the number behind it is the median "
        "epoch, so the two can differ a little; {repeats}.",
        title=title,
        unit=unit,
        scale=gettext("each case has its own scale, as they lie too far apart")
        if own_scale
        else gettext("one scale for all cases"),
        repeats=spoken,
    )
    return Plot(charts.stacked_bars(bars, title, write, own_scale), caption)
