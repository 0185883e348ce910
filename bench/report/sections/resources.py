"""The report's section on CPU and memory: a table, and curves over time with the phases over them."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import pandas as pd
from markupsafe import Markup

from bench.i18n import messages
from bench.i18n.language import gettext, sequence
from bench.measure.spans import PHASES
from bench.pages import charts, elements
from bench.pages.elements import Cell, Plot, Table, repeats_of
from bench.report import timeline
from bench.report.section import Block, Paragraph, Section, SideBySide
from bench.results.record import PartyResources
from bench.results.view import CaseView, RunView
from bench.stats import formatting

# Points on all curves over time together (about ten bytes each).
CURVE_POINTS = 60_000
# Fewer samples than this of every party are no curve.
LEAST_SAMPLES = 3
# Stretches of time that a band of phases is divided into.
STRIP_PARTS = 80


class CpuAndMemory(Section):
    """What every party's processes took of the machine."""

    name, order = "resources", 80

    def title(self) -> str:
        """Return its heading."""
        return gettext("CPU and memory")

    def short_title(self) -> str:
        """Return its name in the contents."""
        return gettext("CPU and memory")

    def blocks(self, run: RunView) -> Sequence[Block]:
        """Return the table of every party, and curves of the first repeat of every case."""
        table = _table(run)
        return [table or Paragraph(gettext("CPU and memory of the parties: not measured.")), *_over_time(run)]


SECTION = CpuAndMemory()


def _table(run: RunView) -> Table | None:
    rows = [
        (case, [Cell(party), *_cells(case, facts)])
        for case in run.cases
        if case.record.resources
        for party, facts in case.record.resources.by_party.items()
        if facts != PartyResources()
    ]
    if not rows:
        return None
    columns = (
        gettext("Party"),
        gettext("CPU, mean over the epochs ({unit} of one core)", unit="%"),
        gettext("CPU time, all epochs (s)"),
        gettext("Peak memory, resident (MB)"),
        gettext("Peak memory, unshared (MB)"),
    )
    caption = gettext(
        "CPU (without the set-up) and memory of every party's processes; "
        "median and (below) lowest\N{EN DASH}highest, {repeats}",
        repeats=repeats_of(case for case in run.cases if case.record.resources),
    )
    return Table(caption, columns, elements.by_case(rows))


def _cells(case: CaseView, facts: PartyResources) -> list[Cell]:
    absent = elements.NOT_APPLICABLE if case.without_epochs else formatting.NOT_MEASURED
    return [
        *(elements.figure(summary, formatting.number, absent) for summary in (facts.cpu_percent, facts.cpu_seconds)),
        *(
            elements.figure(summary, lambda value: formatting.number(value / 1e6))
            for summary in (facts.rss_peak_bytes, facts.uss_peak_bytes)
        ),
    ]


def _over_time(run: RunView) -> list[Block]:
    """Draw CPU and memory over time for the first repeat of every case that has samples, with the phases over them."""
    samples = run.resources[run.resources["party"].notna() & (run.resources["party"] != "")]
    events = timeline.by_process(run.events)
    points = max(20, min(200, CURVE_POINTS // max(1, 2 * samples[["case", "party"]].drop_duplicates().shape[0])))
    plots: list[Plot] = []
    rows, short = [], []
    for case in run.cases:
        mine = samples[samples["case"] == case.id]
        if mine.empty:
            continue
        repeat = int(mine["repeat"].min())
        mine = mine[mine["repeat"] == repeat]
        span = (float(mine["t"].min()), max(float(mine["t"].max()), timeline.end(case, events, repeat)))
        line = timeline.timeline(case, events, repeat, *span, STRIP_PARTS)
        drawn = _curves(case, mine, points, line, span)
        plots += drawn
        short += [] if drawn else [case.label]
        if line:
            moments = [elements.seconds(moment) for moment in (line.setup, line.begun, line.ended, span[1])]
            rows.append([Cell(case.label), Cell(line.party), *moments])
    found: list[Block] = [SideBySide(plots) if plots else Paragraph(gettext("CPU and memory over time: not measured."))]
    if short:
        text = gettext("Over before there were {n} samples to draw: {cases}.", n=LEAST_SAMPLES, cases=sequence(short))
        found.append(Paragraph(text))
    return [*found, *([_moments(rows)] if rows else [])]


def _moments(rows: Sequence[Sequence[Cell]]) -> Table:
    columns = (
        gettext("Case"),
        gettext("Party"),
        gettext("Set-up from (s)"),
        gettext("Epochs from (s)"),
        gettext("Epochs until (s)"),
        gettext("End of the plot (s)"),
    )
    caption = gettext("When it was, in seconds since the start of the first repeat (n = 1); the largest party")
    return Table(caption, columns, rows, columns[1:2])


def _curves(
    case: CaseView, samples: pd.DataFrame, points: int, line: timeline.Timeline | None, span: tuple[float, float]
) -> list[Plot]:
    """Draw the CPU and the memory of a case's parties in one repeat, where there are samples enough for a curve."""
    repeat = int(samples["repeat"].min())
    band, note = Markup(""), ""
    if line:
        title = gettext("{case}: phases of {party} over time", case=case.label, party=line.party)
        band = charts.strip(line.shares, {phase: messages.say(phase) for phase in PHASES}, title)
        note = gettext(
            "Above: what {party}, the largest party, did in each stretch of time; white is outside the epochs.",
            party=line.party,
        )
    plots = []
    for column, factor, name, keep in (
        ("cpu_percent", 1.0, gettext("CPU ({unit} of one core)", unit="%"), fmean),
        ("rss", 1e-6, gettext("Resident memory (MB)"), max),
    ):
        lines = []
        for party, rows in samples.groupby("party", sort=False):
            known = rows[["t", column]].dropna()
            x = charts.thin(list(known["t"]), points, min)
            y = charts.thin(list(known[column] * factor), points, keep)
            lines.append(charts.Line(str(party), x, y))
        title = gettext("{case}: {quantity} over time", case=case.label, quantity=name)
        if not any(len(each.x) >= LEAST_SAMPLES for each in lines):
            continue
        drawing = charts.line_plot(lines, title, gettext("Seconds since the start"), name, above=band, x_range=span)
        if drawing:
            caption = gettext("{title}, one repeat (n = 1, repeat {repeat}).", title=title, repeat=repeat)
            plots.append(Plot(drawing, f"{caption} {note}".strip()))
    return plots
