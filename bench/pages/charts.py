"""Bars, lines and intervals for the pages, as strings of HTML and SVG.

No chart library: four kinds of plot do not justify 30 MB of installation, and a page that must work without network,
on paper, on a phone and in the dark is easier to get from HTML boxes and one SVG path a line.

Colours are classes that the page's style sheet defines, for light and dark. All text is escaped here, so the
results are marked as safe. Labels are HTML beside the SVG, not text in it: they keep their size when a narrow screen
squeezes the plot.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

_SIDE = 1000  # the plot's inner coordinates; the page stretches them to the width there is
_COLOURS = 6
_LEAST_DIFFERENCE = 1e-4  # as scores are written: less needs no scale of its own


@dataclass(frozen=True)
class Segment:
    """A part of a stacked bar; ``kind`` is the CSS class that colours it, ``name`` stands in the legend."""

    kind: str
    name: str
    value: float


@dataclass(frozen=True)
class Bar:
    """A labelled bar of one or more segments; ``group`` is a heading over the bars that share it."""

    label: str
    segments: Sequence[Segment]
    total: str
    group: str = ""


@dataclass(frozen=True)
class Line:
    """A named series of points; ``note`` stands behind the name in the legend."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    note: str = ""


@dataclass(frozen=True)
class Interval:
    """A ratio or a difference with its interval (None: not known; an estimate of None: nothing to draw).

    ``kind`` is the CSS class that colours it, ``text`` stands behind it, ``group`` is a heading over its rows.
    """

    label: str
    estimate: float | None
    low: float | None
    high: float | None
    kind: str
    text: str
    group: str = ""


def stacked_bars(bars: Sequence[Bar], title: str, write: Callable[[float], str], per_group: bool = False) -> Markup:
    """Draw horizontal stacked bars from zero on a common scale (or one scale for each group), with a legend.

    ``write`` writes a segment's value; name and value stand inside a segment where they fit.
    """
    parts = []
    group = None
    for bar in bars:
        if bar.group and bar.group != group:
            parts.append(Markup("<p class='group'>{}</p>").format(bar.group))
            group = bar.group
        peers = [other for other in bars if not per_group or other.group == bar.group]
        full = max((sum(part.value for part in other.segments) for other in peers), default=0.0)
        inner = Markup("").join(_segment(part, full, write) for part in bar.segments if part.value > 0 and full > 0)
        parts.append(
            Markup("<div class='bar'><span class='label'>{}</span><span class='track'>{}</span>").format(
                bar.label, inner
            )
            + Markup("<span class='total'>{}</span></div>").format(bar.total)
        )
    fullest_first = sorted(bars, key=lambda bar: -len(bar.segments))  # so the legend has the order of the segments
    kinds = {part.kind: part.name for bar in fullest_first for part in bar.segments if part.value > 0}
    keys = Markup("").join(Markup("<li><i class='{}'></i>{}</li>").format(kind, name) for kind, name in kinds.items())
    legend = Markup("<ul class='legend' aria-hidden='true'>{}</ul>").format(keys) if len(kinds) > 1 else ""
    chart = Markup("<div class='bars' role='img' aria-label='{}'>{}</div>").format(title, Markup("").join(parts))
    return Markup("{}{}").format(legend, chart)


def _segment(part: Segment, full: float, write: Callable[[float], str]) -> Markup:
    """Draw one segment. The empty <b> lets a label that does not fit wrap out of sight instead of being cut."""
    label = Markup("<b></b><span>{} {}</span>").format(part.name, write(part.value))
    width = Markup("{:.3f}").format(100 * part.value / full)
    tip = f"{part.name}: {write(part.value)}"
    return Markup("<i class='{}' style='width:{}%' title='{}'>{}</i>").format(part.kind, width, tip, label)


def bar_list(rows: Sequence[tuple[str, float, str]], title: str) -> Markup:
    """Draw one bar a row from (label, value, text of the value), all from zero on one scale."""
    bars = [Bar(label, [Segment("plain", "", value)], text) for label, value, text in rows]
    return stacked_bars(bars, title, lambda _: "")


def line_plot(
    lines: Sequence[Line],
    title: str,
    x_label: str,
    y_label: str,
    from_zero: bool = True,
    above: Markup | str = "",
    x_range: tuple[float, float] | None = None,
) -> Markup:
    """Draw lines over a common grid, with a legend; ``above`` lies over the grid and is as wide as it is.

    ``x_range`` is what the grid spans; without it, that is what the lines do.

    Series without points are left out; without any series the result is empty.
    """
    lines = [line for line in lines if len(line.x)]
    if not lines:
        return Markup("")
    x_range = x_range or (min(min(line.x) for line in lines), max(max(line.x) for line in lines))
    x_ticks = ticks(*x_range, inside=True)
    low = 0.0 if from_zero else min(min(line.y) for line in lines)
    y_ticks = ticks(low, max(max(line.y) for line in lines))
    y_range = (y_ticks[0], y_ticks[-1])
    grid = Markup("").join(
        Markup("<path class='grid' d='M0 {0}H{1}'/>").format(_SIDE - _place(tick, y_range), _SIDE) for tick in y_ticks
    )
    paths = Markup("").join(_path(line, index, x_range, y_range) for index, line in enumerate(lines))
    svg = Markup(
        "<svg role='img' viewBox='0 0 {0} {0}' preserveAspectRatio='none'><title>{1}</title>{2}{3}</svg>"
    ).format(_SIDE, title, grid, paths)
    marks = _marks(y_ticks, y_range, "y", "bottom") + _marks(x_ticks, x_range, "x", "left")
    keys = Markup("").join(_key(line, index) for index, line in enumerate(lines))
    return Markup(
        "<ul class='legend'>{}</ul><div class='lines'>{}<p class='axis'>{}</p>"
        "<div class='plot'>{}{}</div><p class='axis x'>{}</p></div>"
    ).format(keys, above, y_label, svg, marks, x_label)


def strip(shares: Sequence[Mapping[str, float]], names: Mapping[str, str], title: str) -> Markup:
    """Draw a band over equal stretches of time, each filled to the shares of what it was spent on.

    ``names`` maps the keys of the shares, which are CSS classes that colour them, to their names, from the bottom up.
    """
    width = _SIDE / len(shares)
    paths, keys = [], []
    for kind, name in names.items():
        if not any(kind in part for part in shares):
            continue
        boxes = []
        for place, part in enumerate(shares):
            below = sum(part.get(other, 0.0) for other in list(names)[: list(names).index(kind)])
            x, right = round(place * width), round((place + 1) * width)
            bottom, top = (100 - round(100 * min(height, 1.0)) for height in (below, below + part.get(kind, 0.0)))
            if bottom > top:
                boxes.append(f"M{x} {bottom}V{top}H{right}V{bottom}z")
        paths.append(Markup("<path class='{}' d='{}'/>").format(kind, "".join(boxes)))
        keys.append(Markup("<li><i class='{}'></i>{}</li>").format(kind, name))
    return Markup(
        "<ul class='legend'>{}</ul><div class='strip'><svg role='img' viewBox='0 0 {} 100' preserveAspectRatio='none'>"
        "<title>{}</title>{}</svg></div>"
    ).format(Markup("").join(keys), _SIDE, title, Markup("").join(paths))


def forest(rows: Sequence[Interval], title: str, x_label: str, limit: float | None = None) -> Markup:
    """Draw ratios and their intervals on one logarithmic scale, with lines at 1 and at ``limit`` (dashed).

    The scale spans the estimates and a bit more: an end of an interval that lies further out is drawn as an arrow.
    Without any estimate the result is empty.
    """
    estimates = [row.estimate for row in rows if row.estimate is not None and _is_ratio(row.estimate)]
    if not estimates:
        return Markup("")
    low, high = _ratio_range(rows, [*estimates, 1.0, *([] if limit is None else [limit])])

    def place(value: float) -> float:
        return 100 * (math.log(value) - math.log(low)) / (math.log(high) - math.log(low))

    lines = Markup("<i class='one' style='left:{:.2f}%'></i>").format(place(1.0))
    if limit is not None:
        lines += Markup("<i class='limit' style='left:{:.2f}%'></i>").format(place(limit))
    drawn = [_whisker(row, low, high, place) if _is_ratio(row.estimate) else Markup("") for row in rows]
    marks = [(place(tick), _tick_text(tick)) for tick in _ratio_ticks(low, high)]
    return _on_one_scale(rows, [lines + each for each in drawn], marks, title, x_label)


def _is_ratio(estimate: float | None) -> bool:
    return estimate is not None and 0 < estimate < math.inf


def differences(rows: Sequence[Interval], title: str, x_label: str) -> Markup:
    """Draw differences and their intervals on one scale, with a line at 0; without any estimate the result is empty."""
    ends = [end for row in rows for end in (row.estimate, row.low, row.high) if end is not None]
    if not ends:
        return Markup("")
    scale = ticks(min(0.0, *ends), max(_LEAST_DIFFERENCE, *ends))
    low, high = scale[0], scale[-1]

    def place(value: float) -> float:
        return 100 * (value - low) / (high - low)

    line = Markup("<i class='one' style='left:{:.2f}%'></i>").format(place(0.0))
    drawn = [Markup("") if row.estimate is None else _whisker(row, low, high, place) for row in rows]
    marks = [(place(tick), _tick_text(tick)) for tick in scale]
    return _on_one_scale(rows, [line + each for each in drawn], marks, title, x_label)


def _on_one_scale(
    rows: Sequence[Interval],
    drawn: Sequence[Markup],
    marks: Sequence[tuple[float, str]],
    title: str,
    x_label: str,
) -> Markup:
    """Put what is drawn of each row beside its label and its text, over an axis; ``marks`` are (place in %, text)."""
    parts = []
    group = ""
    for row, inner in zip(rows, drawn, strict=True):
        if row.group != group:
            parts.append(Markup("<p class='group'>{}</p>").format(row.group))
            group = row.group
        parts.append(
            Markup(
                "<div class='bar'><span class='label'>{}</span><span class='scale'>{}</span>"
                "<span class='total'>{}</span></div>"
            ).format(row.label, inner, row.text)
        )
    axis = Markup(
        "<div class='bar' aria-hidden='true'><span></span><span class='scale axis'>{}</span><span></span></div>"
    ).format(
        Markup("").join(
            Markup("<span class='tick x' style='left:{:.2f}%'>{}</span>").format(place, text) for place, text in marks
        )
    )
    return Markup("<div class='bars forest' role='img' aria-label='{}'>{}{}</div><p class='axis x'>{}</p>").format(
        title, Markup("").join(parts), axis, x_label
    )


def _ratio_range(rows: Sequence[Interval], shown: Sequence[float]) -> tuple[float, float]:
    """Return the ends of a scale of ratios: all of ``shown``, and the intervals as far as they do not squeeze it."""
    least, most = min(shown), max(shown)
    room = max(most / least, 1.1)
    ends = [end for row in rows for end in (row.low, row.high) if end is not None and 0 < end < math.inf]
    low, high = max(min([least, *ends]), least / room), min(max([most, *ends]), most * room)
    margin = max((high / low) ** 0.04, 1.02)  # equal times, too, need a scale
    return low / margin, high * margin


def _whisker(row: Interval, low: float, high: float, place: Callable[[float], float]) -> Markup:
    """Draw one interval with its estimate; an end out of the scale is an arrow."""
    assert row.estimate is not None
    drawn = Markup("")
    if row.low is not None and row.high is not None:
        ends = [place(min(max(end, low), high)) for end in (row.low, row.high)]
        arrows = "".join(f" {side}" for side, out in (("below", row.low < low), ("above", row.high > high)) if out)
        drawn = Markup("<i class='range {}{}' style='left:{:.2f}%;width:{:.2f}%'></i>").format(
            row.kind, arrows, ends[0], ends[1] - ends[0]
        )
    return drawn + Markup("<i class='estimate {}' style='left:{:.2f}%'></i>").format(row.kind, place(row.estimate))


def _ratio_ticks(low: float, high: float) -> list[float]:
    """Return a few round ratios between ``low`` and ``high``, close enough for a logarithmic scale."""
    if high / low < 4:
        return [tick for tick in ticks(low, high, inside=True) if tick > 0]
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if high / low < 100 else (1,)
    step = -(-len(powers) // 8)
    found = [float(f"{factor}e{power}") for power in powers[::step] for factor in factors]
    return [tick for tick in found if low <= tick <= high]


def ticks(low: float, high: float, inside: bool = False) -> list[float]:
    """Return about five round numbers that span ``low`` to ``high``, or lie ``inside`` them."""
    if high - low <= 1e-12 * max(abs(low), abs(high)):  # one value, but for its last digits
        high = low + (abs(low) or 1.0)
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    first, last = (math.ceil, math.floor) if inside else (math.floor, math.ceil)
    start, end = first(low / step + (-1e-9 if inside else 1e-9)), last(high / step + (1e-9 if inside else -1e-9))
    return [float(f"{index * step:.12g}") for index in range(start, end + 1)]


def thin(values: Sequence[float], points: int, keep: Callable[[Sequence[float]], float]) -> list[float]:
    """Reduce a series to at most ``points`` values: ``keep`` (max, mean, first) of each of equal stretches."""
    stretch = max(1, math.ceil(len(values) / max(1, points)))
    return [keep(values[start : start + stretch]) for start in range(0, len(values), stretch)]


def _place(value: float, limits: tuple[float, float]) -> int:
    """Turn a value into an inner coordinate."""
    low, high = limits
    return round(_SIDE * (value - low) / (high - low)) if high > low else _SIDE // 2


def _path(line: Line, index: int, x_range: tuple[float, float], y_range: tuple[float, float]) -> Markup:
    """Draw one series; a single point becomes a short stroke."""
    points = [(_place(x, x_range), _SIDE - _place(y, y_range)) for x, y in zip(line.x, line.y, strict=True)]
    if len(points) == 1:
        points.append((points[0][0] + 10, points[0][1]))
    steps = "".join(f"l{x - x0} {y - y0}" for (x0, y0), (x, y) in pairwise(points))
    start = f"M{points[0][0]} {points[0][1]}"
    return Markup("<path class='line {}' d='{}'/>").format(_style(index), start + steps)


def _style(index: int) -> str:
    """Return the classes of the index-th series: colours first, then the same colours with another dash."""
    return f"c{index % _COLOURS} d{index % _COLOURS + index // _COLOURS}"


def _key(line: Line, index: int) -> Markup:
    """Draw one entry of a legend."""
    sample = Markup(
        "<svg class='key' viewBox='0 0 28 8' aria-hidden='true'><path class='line {}' d='M0 4H28'/></svg>"
    ).format(_style(index))
    return Markup("<li>{}{} <small>{}</small></li>").format(sample, line.name, line.note)


def _marks(values: Sequence[float], limits: tuple[float, float], axis: str, side: str) -> Markup:
    """Place the numbers along an axis."""
    low, high = limits
    return Markup("").join(
        Markup("<span class='tick {}' style='{}:{}%' aria-hidden='true'>{}</span>").format(
            axis, side, f"{100 * (value - low) / (high - low):.2f}" if high > low else "50", _tick_text(value)
        )
        for value in values
    )


def _tick_text(value: float) -> str:
    """Write a tick's round number as short as it is."""
    return f"{value:,.10g}".replace("-", "\N{MINUS SIGN}")
