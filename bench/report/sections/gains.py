"""The report's section on what each party gains: the common model against the party's own, split by split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.i18n.language import gettext, ngettext
from bench.pages import charts, elements
from bench.pages.elements import Cell, Plot, Table, repeats_of
from bench.report.section import Block, Paragraph, Section
from bench.results.gains import METRICS, Gain, gains, tally
from bench.results.view import RunView
from bench.stats import formatting
from bench.stats.comparison import CONFIDENCE, Comparison

# A curve takes so many splits over two parties.
_LEAST_POINTS = 3


class Gains(Section):
    """What training together is worth to each party."""

    name, order = "gains", 30

    def title(self) -> str:
        """Return its heading."""
        return gettext("What each party gains")

    def short_title(self) -> str:
        """Return its name in the contents."""
        return gettext("Gains")

    def blocks(self, run: RunView) -> Sequence[Block]:
        """Return a sentence, specificity drawn by the smaller party's share, and the table; nothing without parties."""
        found = gains(run)
        if not found:
            return []
        said, drawn = _sentence(found), _drawn(found)
        return [*([Paragraph(said)] if said else []), *([drawn] if drawn else []), _table(found)]


SECTION = Gains()


def _sentence(found: Sequence[Gain]) -> str | None:
    """Say for how many parties training together found more of class 0; None where there is nothing to say."""
    counted = tally(found)
    if not counted.parties:
        return None
    splits = len({gain.local.record.split for gain in found})
    under = ngettext("{n} split", "{n} splits", splits, n=splits)
    sentences = [
        gettext(
            "Of {all} parties under {splits}, {n} had a significantly higher specificity with the common model than "
            "with their own model.",
            all=counted.parties,
            splits=under,
            n=len(counted.more),
        )
    ]
    if counted.more:
        best = max(counted.more, key=lambda gain: gain.compared["specificity"].estimate or 0.0)
        sentences.append(
            gettext(
                "The largest gain was {gain}, for a party of {rows} rows in split {split}.",
                gain=formatting.difference(best.compared["specificity"].estimate or 0.0),
                rows=formatting.count(best.rows or 0),
                split=best.local.split_title,
            )
        )
    if counted.less:
        sentences.append(gettext("{n} had a significantly lower one.", n=len(counted.less)))
    if counted.unsure:
        sentences.append(gettext("For {n} the difference is not significant.", n=counted.unsure))
    chance = round((1 - CONFIDENCE) * counted.parties)
    if chance:
        sentences.append(gettext("Chance alone would show about {n} differences.", n=chance))
    return " ".join(sentences)


def _table(found: Sequence[Gain]) -> Table:
    columns = [gettext("Party"), gettext("Training rows")]
    for name in map(gettext, METRICS.values()):
        columns += [
            gettext("{score}, alone", score=name),
            gettext("{score}, together", score=name),
            gettext("Difference [{confidence} interval]", confidence=formatting.CONFIDENCE),
        ]
    body: list[list[Cell]] = []
    for place, gain in enumerate(found):
        if place == 0 or gain.local is not found[place - 1].local:
            body.append([Cell(gettext("Split {split}", split=gain.local.split_title))])
        cells = [Cell(f"{gain.party}/{gain.role}"), elements.count(gain.rows)]
        for metric in METRICS:
            cells += [elements.figure(side[metric], formatting.score) for side in (gain.alone, gain.shared)]
            cells.append(_difference(gain.compared[metric]))
        body.append(cells)
    caption = gettext(
        "Each party's own model against the one trained together, both scored on the common test set; median and "
        "(below) lowest\N{EN DASH}highest, {repeats}. Differences are taken repeat by repeat, with their paired "
        "{confidence} interval, widened because the repeats draw from the same rows.",
        confidence=formatting.CONFIDENCE,
        repeats=repeats_of(gain.local for gain in found),
    )
    return Table(caption, columns, body)


def _difference(compared: Comparison) -> Cell:
    if compared.estimate is None:
        return Cell(gettext("unknown"), formatting.reason(compared))
    text = formatting.difference(compared.estimate)
    if compared.interval is None:
        return Cell(text, formatting.verdict(compared), compared.estimate)
    low, high = map(formatting.difference, compared.interval)
    interval = gettext("{low} to {high}", low=low, high=high)
    shown = interval if compared.sign else gettext("not significant, {interval}", interval=interval)
    return Cell(text, shown, compared.estimate)


def _drawn(found: Sequence[Gain]) -> Plot | None:
    """Draw specificity against the smaller party's share, over splits of one dataset into two parts by percent."""
    points: dict[float, Mapping[str, float]] = {}
    by_local: dict[str, list[Gain]] = {}
    for gain in found:
        by_local.setdefault(gain.local.id, []).append(gain)
    names = (gettext("together"), gettext("smaller party alone"), gettext("larger party alone"))
    for pair in by_local.values():
        own = (gain.alone["specificity"] for gain in sorted(pair, key=lambda gain: gain.rows or 0))
        summaries = zip(names, (pair[0].shared["specificity"], *own), strict=False)
        values = {name: summary.median for name, summary in summaries if summary}
        share = pair[0].smaller_share
        if share is not None and len(values) == 3:
            points[share] = values
    if len(points) < _LEAST_POINTS:
        return None
    shares = sorted(points)
    lines = [
        charts.Line(name, [100 * share for share in shares], [points[share][name] for share in shares])
        for name in points[shares[0]]
    ]
    title = gettext("Specificity by the share of the smaller of two parties")
    x_label, y_label = gettext("Smaller party's share of the rows (%)"), gettext("Specificity")
    caption = gettext(
        "{title}; medians, {repeats}. The rows of both parties together stay the same.",
        title=title,
        repeats=repeats_of(gain.local for gain in found),
    )
    return Plot(charts.line_plot(lines, title, x_label, y_label, from_zero=False), caption)
