"""What a page of results is made of: cells, tables and plots, filled from the summaries of run.json."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from markupsafe import Markup

from bench.i18n import messages
from bench.i18n.language import gettext, gettext_noop, sequence
from bench.measure.spans import PHASES
from bench.pages import charts
from bench.results.record import PartyTime
from bench.results.view import CaseView
from bench.stats import formatting
from bench.stats.comparison import UNKNOWN, Comparison
from bench.stats.formatting import Write
from bench.stats.summaries import Summary

# Unlike what was not measured: nothing was there to measure.
NOT_APPLICABLE = gettext_noop("not applicable")
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
    names the columns that hold text and not figures. ``facts``: two columns, a name and a value, without a head.
    """

    kind: ClassVar[str] = "table"
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    words: Sequence[str] = ()
    facts: bool = False


@dataclass(frozen=True)
class Plot:
    """A drawn plot with what stands under it."""

    kind: ClassVar[str] = "plot"
    drawing: Markup
    caption: str


def count(value: float | None) -> Cell:
    """Return a cell with a whole number."""
    return Cell(gettext(formatting.NOT_MEASURED)) if value is None else Cell(formatting.count(value), "", value)


def seconds(moment: float | None) -> Cell:
    """Return a cell with a moment or a duration of one repeat, in seconds."""
    return Cell(gettext(formatting.NOT_MEASURED)) if moment is None else Cell(formatting.number(moment), "", moment)


def by_case(rows: Iterable[tuple[CaseView, list[Cell]]]) -> list[list[Cell]]:
    """Put the name of the case over its rows."""
    body: list[list[Cell]] = []
    last = None
    for case, cells in rows:
        if case is not last:
            body.append([Cell(case.label)])
            last = case
        body.append(cells)
    return body


def text(value: object) -> Cell:
    """Return a cell of text; None is what was not measured."""
    return Cell(gettext(formatting.NOT_MEASURED) if value is None else str(value))


def facts(caption: str, values: Mapping[str, object]) -> Table:
    """Return a table of names and values; None is what was not measured."""
    return Table(caption, ("", ""), [[Cell(name), text(value)] for name, value in values.items()], facts=True)


def figure(summary: Summary | None, write: Write, absent: str = formatting.NOT_MEASURED) -> Cell:
    """Return a cell with the median of a summary and its range, or with ``absent``."""
    if summary is None:
        return Cell(gettext(absent))
    return Cell(write(summary.median), formatting.range_of(summary, write), summary.median)


def absent(case: CaseView) -> str:
    """Say why a case has no figure: there is nothing (no network, a solver without epochs), or nobody measured it."""
    nothing = case.record.network == "none" or case.without_epochs
    return NOT_APPLICABLE if nothing else formatting.NOT_MEASURED


def repeats_of(cases: Iterable[CaseView]) -> str:
    """Write how many repeats the figures stand on, for captions."""
    return formatting.repeats(len(case.record.repeats_done) for case in cases)


def time_writer(found: Iterable[Summary | None]) -> tuple[Write, str]:
    """Choose the unit of a table of durations."""
    unit = formatting.time_unit(summary.median for summary in found if summary)
    return (lambda value: formatting.in_unit(value, unit)), unit.name


def byte_writer(found: Iterable[Summary | None]) -> tuple[Write, str]:
    """Choose the unit of a table of bytes."""
    unit = formatting.byte_unit(summary.median for summary in found if summary)
    return (lambda value: formatting.in_unit(value, unit)), unit.name


def ratio(case: CaseView, base: CaseView | None) -> Cell:
    """Write how many times as long an epoch is as that of ``base``, with the paired interval over the repeats."""
    if base is case:
        return Cell(gettext("reference"))
    if case.kind == "local":
        return Cell(gettext("own rows only"))
    if base is None and case.epoch:
        return Cell(gettext("nothing to compare with"))
    compared = case.times_against(base) if base else None
    if compared is None:
        return Cell(gettext(absent(case)))
    if compared.estimate is None or compared.interval is None:
        return Cell(gettext("unknown"), formatting.reason(compared))
    spread = formatting.span(*map(formatting.number, compared.interval))
    called = [formatting.verdict(compared)] if compared.verdict == "not significant" else []
    return Cell(formatting.number(compared.estimate), sequence([*called, spread]), compared.estimate)


def gap(compared: Comparison) -> str:
    """Write a difference of scores with its interval, or why there is none."""
    if compared.estimate is None or compared.verdict in UNKNOWN:
        return formatting.verdict(compared)
    estimate = formatting.difference(compared.estimate)
    if compared.interval is None:
        return gettext("{gap}, {why}", gap=estimate, why=formatting.verdict(compared))
    low, high = map(formatting.difference, compared.interval)
    return gettext("{gap} ({low} to {high})", gap=estimate, low=low, high=high)


def phase_plot(
    rows: Sequence[tuple[CaseView, str, PartyTime]], title: str, unit: str, write: Write, spoken: str
) -> Plot:
    """Stack the median of every phase, one bar a process; ``rows`` hold (case, process, its times)."""
    bars = []
    for case, party, times in rows:
        medians = {name: times.phases[name].median for name in PHASES if name in times.phases}
        segments = [charts.Segment(name, messages.say(name), value) for name, value in medians.items()]
        epoch = times.epoch_seconds
        total = f"{write(epoch.median)}{formatting.SPACE}{unit}" if epoch else gettext(formatting.NOT_MEASURED)
        bars.append(charts.Bar(party, segments, total, case.label))
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
