"""The report's section on load: throughput against latency, errors, and the service's CPU and memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Literal
from urllib.parse import urlsplit

from bench.i18n import messages
from bench.i18n.language import gettext, listed, ngettext, sequence
from bench.pages import charts, elements
from bench.pages.elements import Cell, Plot, Table
from bench.report.section import Block, Paragraph, Section, SideBySide, Subheading
from bench.results import load_tests
from bench.results.load_record import LoadTest, Percentiles, Step
from bench.results.view import RunView
from bench.stats import formatting

_SHOWN: tuple[Literal["p50", "p99"], ...] = ("p50", "p99")
# Steps above so many times the bound are in the table only: the others could not be read beside them.
DRAWN_TO = 4
MS = 1e-3  # seconds; latencies are written in it
CURVE_POINTS = 300
FEWEST_DRAWN = 2  # points of a curve
BINS = 12


class Load(Section):
    """Load tests of a service."""

    name, order = "load", 40

    def title(self) -> str:
        """Return its heading."""
        return gettext("Under load")

    def short_title(self) -> str:
        """Return its name in the contents."""
        return gettext("Under load")

    def blocks(self, run: RunView) -> Sequence[Block]:
        """Return what every load test found; nothing where there was none."""
        found = [test for test in run.load_tests if test.steps]
        return list(_blocks(run.folder, found)) if found else []


SECTION = Load()


def _blocks(folder: Path, found: Sequence[LoadTest]) -> Iterator[Block]:
    for measurement in found:
        yield Paragraph(_sentence(measurement))
    if any(measurement.generator_here for measurement in found):
        yield Paragraph(
            gettext("Service and generator shared one machine: with a machine of its own the service may hold more.")
        )
    yield _summary(found)
    for measurement in found:
        yield Subheading(_label(measurement))
        yield from _part(folder, measurement)


def _percentile(found: Percentiles | None, name: Literal["p50", "p99"]) -> float | None:
    return None if found is None else found.p50 if name == "p50" else found.p99


def _label(measurement: LoadTest) -> str:
    """Name a load test."""
    request, parts = measurement.request, []
    if measurement.target == "flow":
        parts.append("FATE Flow")
    else:
        rows = request.rows or 1
        parts.append(gettext("Model {model}", model=measurement.model))
        parts += [gettext("repeat {n}", n=measurement.repeat)] if measurement.repeat else []
        parts.append(gettext("one record a request") if rows == 1 else gettext("{n} records a request", n=rows))
    parts += [gettext("raw columns")] if request.raw else []
    parts.append(gettext("open loop") if measurement.is_open else gettext("closed loop"))
    if measurement.kind == "hold":
        parts.append(gettext("held for {time}", time=_seconds(measurement.steady_seconds)))
    if measurement.url:
        parts.append(urlsplit(measurement.url).netloc)
    return listed(parts)


def _rate(value: float | None) -> str:
    return gettext("{rate} requests/s", rate=formatting.number(value or 0.0))


def _sentence(measurement: LoadTest) -> str:
    """Say what a load test found."""
    says = [maximum(measurement)] if measurement.kind == "knee" else [_best(measurement)]
    memory = measurement.memory
    if memory:
        says.append(
            gettext(
                "memory changed from {first} to {last}, the fitted slope is {slope} kB a minute",
                slope=formatting.number(memory.bytes_per_minute / 1e3),
                first=_megabytes(memory.first_bytes),
                last=_megabytes(memory.last_bytes),
            )
        )
    if not measurement.complete:
        says.append(
            ngettext(
                "not complete: it ended after {n} step ({why})",
                "not complete: it ended after {n} steps ({why})",
                len(measurement.steps),
                n=len(measurement.steps),
                why=messages.say(measurement.stopped or "interrupted"),
            )
        )
    return gettext("{what}: {sentence}.", what=_label(measurement), sentence=sequence(says))


def maximum(measurement: LoadTest) -> str:
    """Say what the maximum sustainable throughput is, or why it is unknown."""
    found = measurement.knee
    if not found:
        return gettext("the search for the maximum sustainable throughput did not end")
    held, failed, unclear = map(_rate, (found.held, found.failed, found.unclear))
    bound = f"{(measurement.bound_seconds or 0.0) / MS:g}{formatting.SPACE}ms"
    within = gettext("p99 within {time} and no errors", time=bound)
    if found.ended == "service":
        return gettext("{held} were held with {within}; {failed} were not", held=held, within=within, failed=failed)
    if found.ended == "gone":
        if found.held is None:
            return gettext("the service stopped answering")
        return gettext("the service stopped answering; {held} were held before with {within}", held=held, within=within)
    if found.held is None:
        if found.ended == "none":
            return gettext(
                "no rate was held with {within}; the lowest tried was {failed}", within=within, failed=failed
            )
        return gettext(
            "no rate was held with {within}, and at the lowest, {rate}, the generator was at its limit, so that "
            "nothing is known of the service",
            within=within,
            rate=unclear,
        )
    if found.ended == "most":
        return gettext("{held}, the highest rate that is tried, were held with {within}", held=held, within=within)
    if found.failed is not None:
        return gettext(
            "{held} were held with {within}; {failed} were not, and between them the generator was at its limit, so "
            "the maximum lies anywhere between",
            held=held,
            within=within,
            failed=failed,
        )
    return gettext(
        "{held} were held with {within}; above, the generator was at its limit, so the maximum is there or higher",
        held=held,
        within=within,
    )


def _best(measurement: LoadTest) -> str:
    """Say the highest throughput of the steps that did not fail."""
    best = _shown(measurement)
    if best.failed is not None or not best.from_due:
        return gettext("every step failed; the table says why")
    return gettext(
        "{rate} were answered at the most without a failure of the step, with p50 {p50} and p99 {p99}",
        rate=_rate(best.rate_achieved),
        p50=_milliseconds(best.from_due.p50),
        p99=_milliseconds(best.from_due.p99),
    )


def _shown(measurement: LoadTest) -> Step:
    """Return the step that stands for a load test.

    That is the one at the maximum sustainable throughput, or else the one with most answers and no errors.
    """
    steps = measurement.steps
    held = measurement.knee.held if measurement.knee else None
    at = [step for step in steps if held is not None and step.rate == held and step.failed is None]
    good = [step for step in steps if not step.errors and step.failed is None] or steps
    return at[0] if at else max(good, key=lambda step: step.rate_achieved)


def _seconds(value: float) -> str:
    return f"{value:g}{formatting.SPACE}s"


def _milliseconds(value: float) -> str:
    return f"{formatting.number(value / MS)}{formatting.SPACE}ms"


def _megabytes(value: float) -> str:
    return f"{formatting.number(value / 1e6)}{formatting.SPACE}MB"


def _number(value: float | None, size: float = 1.0) -> Cell:
    if value is None:
        return Cell(gettext(formatting.NOT_MEASURED))
    return Cell(formatting.number(value / size), "", value)


def _summary(found: Sequence[LoadTest]) -> Table:
    """All load tests, each at its maximum sustainable throughput."""
    shown = [_shown(measurement) for measurement in found]
    rows = []
    for measurement, step in zip(found, shown, strict=True):
        rows.append(
            [
                Cell(_label(measurement)),
                _maximum_cell(measurement),
                _number(step.rate_achieved),
                *(_number(_percentile(step.from_due, key), MS) for key in _SHOWN),
                _number(step.server.cpu_percent),
                _number(step.server.rss_bytes, 1e6),
            ]
        )
    columns = (
        gettext("Load test"),
        gettext("Maximum sustainable throughput (requests/s)"),
        gettext("Answered (requests/s)"),
        gettext("p50 ({unit})", unit="ms"),
        gettext("p99 ({unit})", unit="ms"),
        gettext("CPU of the service ({unit} of one core)", unit="%"),
        gettext("Memory of the service (MB)"),
    )
    caption = gettext(
        "Every load test, at its maximum sustainable throughput or, where that was not searched, in the step with the "
        "most answers of those that did "
        "not fail; one step each (n = 1). Memory is resident, the highest value seen."
    )
    return Table(caption, columns, rows)


def _maximum_cell(measurement: LoadTest) -> Cell:
    """Write the maximum sustainable throughput, or what is known of it."""
    if measurement.kind != "knee":
        return Cell(gettext("not searched"))
    search = measurement.knee
    if search is None or search.held is None or search.ended not in ("service", "generator", "most"):
        return Cell(gettext("not found"))
    held, failed, ended = search.held, search.failed, search.ended
    if ended == "service":
        return _number(held)
    if failed is not None:
        return Cell(gettext("{low} to {high}", low=formatting.number(held), high=formatting.number(failed)))
    return Cell(gettext("{rate} or more", rate=formatting.number(held)))


def _part(folder: Path, measurement: LoadTest) -> Iterator[Block]:
    """Give what is shown of one load test."""
    plots: list[Plot | None]
    over_time: Table | None = None
    if measurement.kind == "hold":
        rows = [row for row in load_tests.seconds(folder, measurement.name) if row["steady"]]
        plots = [_memory_over_time(rows)]
        over_time = _by_time(rows) if plots[0] else None
    else:
        plots = [_latencies(measurement), _cpu(measurement), _memory(measurement)]
    jobs, drawn = _jobs(measurement), [plot for plot in plots if plot]
    if jobs:
        yield Paragraph(jobs)
    yield from drawn[:1]
    if drawn[1:]:
        yield SideBySide(drawn[1:])
    if over_time:
        yield over_time
    yield _steps(measurement)


def _x(measurement: LoadTest, step: Step) -> float:
    return float((step.rate if measurement.is_open else step.users) or 0)


def _x_label(measurement: LoadTest) -> str:
    return gettext("Requests due a second") if measurement.is_open else gettext("Callers")


def _drawn(measurement: LoadTest) -> list[Step]:
    """Return a step for every rate, the better one where it was measured twice, in the order of the rates."""

    def worth(step: Step) -> tuple[float, bool, float]:
        return _x(measurement, step), step.failed is not None, _percentile(step.from_due, "p99") or 0.0

    answered = [step for step in measurement.steps if step.from_due is not None]
    best = {_x(measurement, step): step for step in sorted(answered, key=worth, reverse=True)}
    return [best[x] for x in sorted(best)]


def _latencies(measurement: LoadTest) -> Plot | None:
    """Draw latency against the rate, with the bound and the maximum sustainable throughput."""
    bound, steps = measurement.bound_seconds, _drawn(measurement)
    drawn = [step for step in steps if bound is None or (_percentile(step.from_due, "p99") or 0.0) <= DRAWN_TO * bound]
    if len(drawn) < FEWEST_DRAWN:
        return None
    x = [_x(measurement, step) for step in drawn]

    def line(name: str, of: Sequence[Percentiles | None], key: Literal["p50", "p99"]) -> charts.Line:
        return charts.Line(name, x, [(_percentile(each, key) or 0.0) / MS for each in of])

    due, sent = [step.from_due for step in drawn], [step.from_sent for step in drawn]

    if measurement.is_open:
        lines = [
            line(gettext("p99, from when it was due"), due, "p99"),
            line(gettext("p99, from when it was sent"), sent, "p99"),
            line(gettext("p50, from when it was due"), due, "p50"),
        ]
    else:
        lines = [line("p99", sent, "p99"), line("p50", sent, "p50")]
    highest = max(max(each.y) for each in lines)
    if bound is not None and bound / MS <= DRAWN_TO * highest:
        highest = max(highest, bound / MS)
        lines.append(charts.Line(gettext("bound of p99"), [min(x), max(x)], [bound / MS] * 2))
    held = measurement.knee.held if measurement.knee else None
    if held is not None and measurement.knee and measurement.knee.ended == "service":
        lines.append(
            charts.Line(
                gettext("maximum sustainable throughput"), [held, held], [0.0, highest], formatting.number(held)
            )
        )
    title = gettext("Latency against the load")
    left_out = len(steps) - len(drawn)
    caption = [gettext("{title}; one step a point (n = 1)", title=title)]
    if len({_x(measurement, step) for step in measurement.steps}) < len(measurement.steps):
        caption.append(gettext("of a rate that was measured twice, the better step"))
    if left_out:
        caption.append(
            ngettext(
                "{n} step further up, above {times} times the bound, is in the table only",
                "{n} steps further up, above {times} times the bound, are in the table only",
                left_out,
                n=left_out,
                times=DRAWN_TO,
            )
        )
    y_label = gettext("Latency ({unit})", unit="ms")
    return Plot(
        charts.line_plot(lines, f"{title}: {_label(measurement)}", _x_label(measurement), y_label),
        gettext("{sentence}.", sentence=sequence(caption)),
    )


def _cpu(measurement: LoadTest) -> Plot | None:
    """Draw the CPU of the service and of the generator against the load."""
    drawn, lines = _drawn(measurement), []
    for name, used in (
        (gettext("service"), [step.server for step in drawn]),
        (gettext("generator"), [step.generator for step in drawn]),
    ):
        points = [
            (_x(measurement, step), usage.cpu_percent)
            for step, usage in zip(drawn, used, strict=True)
            if usage.cpu_percent is not None
        ]
        lines.append(charts.Line(name, [x for x, _ in points], [y for _, y in points]))
    title = gettext("CPU against the load")
    return _against(measurement, lines, title, gettext("CPU ({unit} of one core)", unit="%"))


def _memory(measurement: LoadTest) -> Plot | None:
    """Draw the memory of the service against the load."""
    points = [
        (_x(measurement, step), rss / 1e6) for step in _drawn(measurement) if (rss := step.server.rss_bytes) is not None
    ]
    line = charts.Line(gettext("service"), [x for x, _ in points], [y for _, y in points])
    return _against(measurement, [line], gettext("Memory against the load"), gettext("Resident memory (MB)"))


def _against(measurement: LoadTest, lines: list[charts.Line], title: str, y_label: str) -> Plot | None:
    """Draw lines against the load; None where there is nothing to draw."""
    if max((len(line.x) for line in lines), default=0) < FEWEST_DRAWN:
        return None
    drawing = charts.line_plot(lines, f"{title}: {_label(measurement)}", _x_label(measurement), y_label)
    caption = gettext("{title}; one step a point (n = 1)", title=title)
    return Plot(drawing, gettext("{sentence}.", sentence=caption))


def _memory_over_time(rows: Sequence[Mapping[str, float | None]]) -> Plot | None:
    """Draw the memory of the service over the seconds of a step."""
    points = [(row["second"], rss) for row in rows if (rss := row["server_rss_bytes"]) is not None]
    if len(points) < FEWEST_DRAWN:
        return None
    points = [(second, (rss - points[0][1]) / 1e3) for second, rss in points]
    x = charts.thin([t or 0.0 for t, _ in points], CURVE_POINTS, min)
    y = charts.thin([rss for _, rss in points], CURVE_POINTS, max)
    title = gettext("Memory of the service under a steady load")
    line = charts.Line(gettext("service"), x, y)
    y_label = gettext("Resident memory, change since the first second (kB)")
    drawing = charts.line_plot([line], title, gettext("Seconds since the end of the ramp"), y_label, from_zero=False)
    return Plot(drawing, gettext("{title} (n = 1).", title=title))


def _by_time(rows: Sequence[Mapping[str, float | None]]) -> Table:
    """Write a step in a dozen stretches of time."""
    size = -(-len(rows) // BINS)
    body = []
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        known = {
            key: [value for row in part if (value := row[key]) is not None]
            for key in ("answered", "errors", "server_cpu_percent", "server_rss_bytes")
        }
        cpu, rss = known["server_cpu_percent"], known["server_rss_bytes"]
        body.append(
            [
                Cell(formatting.count(part[0]["second"] or 0.0)),
                _number(fmean(known["answered"]) if known["answered"] else None),
                elements.count(sum(known["errors"])),
                _number(fmean(cpu) if cpu else None),
                _number(max(rss, default=None), 1e6),
            ]
        )
    columns = (
        gettext("From second"),
        gettext("Answered (requests/s)"),
        gettext("Errors"),
        gettext("CPU of the service ({unit} of one core)", unit="%"),
        gettext("Memory of the service (MB)"),
    )
    return Table(gettext("The same in stretches of {n} s: means, and the highest memory", n=size), columns, body)


def _steps(measurement: LoadTest) -> Table:
    """Write every step of a load test."""
    steps = measurement.steps
    is_open = measurement.is_open
    body = [
        [
            Cell(gettext("{step}: {outcome}", step=step.number or place, outcome=_outcome(step))),
            _number(step.rate) if is_open else elements.count(step.users),
            elements.count(step.requests),
            _number(step.rate_achieved),
            *(_number(_percentile(step.from_due, key), MS) for key in _SHOWN),
            *([_number(_percentile(each, "p99"), MS) for each in (step.from_sent, step.late)] if is_open else []),
            elements.count(sum(step.errors.values())),
            _number(step.server.cpu_percent),
            _number(step.server.rss_bytes, 1e6),
            _number(step.generator.cpu_percent),
        ]
        for place, step in enumerate(steps, start=1)
    ]
    columns = (
        gettext("Step"),
        gettext("Due a second") if is_open else gettext("Callers"),
        gettext("Requests (n)"),
        gettext("Answered a second"),
        gettext("p50 ({unit})", unit="ms"),
        gettext("p99 ({unit})", unit="ms"),
        *(
            [
                gettext("p99 from sending ({unit})", unit="ms"),
                gettext("Generator late by itself, p99 ({unit})", unit="ms"),
            ]
            if is_open
            else []
        ),
        gettext("Errors"),
        gettext("Service's CPU (%)"),
        gettext("Its memory (MB)"),
        gettext("Generator's CPU (%)"),
    )
    return Table(_steps_caption(measurement), columns, body)


def _steps_caption(measurement: LoadTest) -> str:
    """Say what the steps are and what their figures count."""
    ramp, steady = (_seconds(each) for each in (measurement.ramp_seconds, measurement.steady_seconds))
    says = [
        gettext("Steps of {what}", what=_label(measurement)),
        gettext("each {steady} long, after a ramp of {ramp} that is left out", steady=steady, ramp=ramp),
    ]
    if measurement.is_open:
        says.append(
            gettext(
                "requests come independently of each other (Poisson), and latency counts from the moment a request "
                "was due, so that a service that stalls is seen in those that wait for it"
            )
        )
    else:
        says.append(gettext("each caller waits for its answer and asks again, so a service that stalls is asked less"))
    says.append(gettext("CPU in {unit} of one core, the mean; memory resident, the highest", unit="%"))
    if measurement.server_measured is None:
        says.append(gettext("CPU and memory of the service could not be measured from here"))
    return gettext("{sentence}.", sentence=sequence(says))


def _outcome(step: Step) -> str:
    """Say whether a step held its rate, or why not, and what errors there were."""
    if step.failed is None and not (step.rate is None and step.generator_limited):
        return gettext("held") if step.rate is not None else gettext("no errors")
    why = gettext("generator at its limit") if step.generator_limited else messages.say(step.failed)
    codes = listed(
        gettext("{n} times {error}", n=formatting.count(n), error=messages.say(name)) for name, n in step.errors.items()
    )
    return sequence([why, codes] if codes else [why])


def _jobs(measurement: LoadTest) -> str | None:
    """Say what became of the jobs that were submitted meanwhile."""
    jobs = measurement.jobs
    if not jobs:
        return None
    states = [str(job.status or gettext("refused")) for job in jobs]
    tally = [gettext("{n} {status}", n=states.count(state), status=state) for state in dict.fromkeys(states)]
    return gettext(
        "Meanwhile {n} toy jobs were submitted (two parties add up 1,024 numbers in secret): {tally}.",
        n=len(jobs),
        tally=listed(tally),
    )
