"""The report's section on the data: where they come from, what each preparation step left, how they were split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.i18n import messages
from bench.i18n.language import gettext, listed
from bench.pages import charts, elements
from bench.pages.elements import Cell, Plot, Table
from bench.report.section import Block, Paragraph, Section, Subheading
from bench.results.record import DatasetFacts, FunnelStepFacts, PartyRows, SplitFacts
from bench.results.view import RunView
from bench.stats import formatting


class Data(Section):
    """The datasets of the run."""

    name, order = "data", 100

    def title(self) -> str:
        """Return its heading."""
        return gettext("The data")

    def short_title(self) -> str:
        """Return its name in the contents."""
        return gettext("Data")

    def blocks(self, run: RunView) -> Sequence[Block]:
        """Return every dataset with its splits."""
        found = [block for facts in run.datasets.values() for block in _dataset(facts)]
        return found or [Paragraph(gettext("No data was loaded."))]


SECTION = Data()


def _dataset(facts: DatasetFacts) -> Iterator[Block]:
    names = facts.class_names or [gettext("class 0"), gettext("class 1")]
    title = messages.say(facts.title or facts.name or "") or gettext("Untitled dataset")
    yield Subheading(f"{title}{gettext(' (synthetic)')}" if facts.synthetic else title)
    rows, features = (elements.count(count).text for count in (facts.rows, facts.features))
    shape = gettext(
        "{rows} rows of {features} features; {classes}",
        rows=rows,
        features=features,
        classes=_classes(facts.class_counts, names),
    )
    source = messages.say(facts.source or "") or gettext("not recorded")
    yield Paragraph(gettext("{shape}. Source: {source}.", shape=shape, source=source))
    if facts.funnel:
        yield from _funnel(facts.funnel)
    for name, split in facts.splits.items():
        yield from _split(name, split, names)


def _funnel(steps: Sequence[FunnelStepFacts]) -> Iterator[Block]:
    """Draw and list what each step of the preparation left."""
    title = gettext("Rows left after each preparation step")
    bars = [
        (
            messages.say(step.step),
            step.rows,
            gettext(
                "{rows} rows, {columns} columns",
                rows=formatting.count(step.rows),
                columns=elements.count(step.columns).text,
            ),
        )
        for step in steps
        if step.rows is not None
    ]
    if bars:
        yield Plot(charts.bar_list(bars, title), gettext("{title} (n = 1 file).", title=title))
    body = [
        [
            elements.text(step.step and messages.say(step.step)),
            elements.count(step.rows),
            elements.count(step.columns),
            Cell(messages.say(step.note or "")),
        ]
        for step in steps
    ]
    columns = (gettext("Step"), gettext("Rows"), gettext("Columns"), gettext("Note"))
    yield Table(title, columns, body, columns[-1:])


def _classes(counts: Sequence[int], names: Sequence[str]) -> str:
    """Write class counts with their shares."""
    if not counts:
        return gettext(formatting.NOT_MEASURED)
    total = sum(counts)
    shares = [
        gettext(
            "{n} {class_name} ({share})", n=formatting.count(n), class_name=name, share=formatting.percent(n / total)
        )
        for n, name in zip(counts, names, strict=False)
        if total
    ]
    return listed(shares) or gettext("no rows")


def _split(name: str, split: SplitFacts, names: Sequence[str]) -> Iterator[Block]:
    """Show how the rows were split, with the classes of every party before and after balancing."""
    yield Subheading(gettext("Split {split}", split=messages.say(split.title or name)))
    train, test = (elements.count(count).text for count in (split.train_rows, split.test_rows))
    yield Paragraph(
        gettext(
            "In repeat 1: {train} rows for training before balancing, {test} rows for the common test "
            "({classes}), which is never balanced.",
            train=train,
            test=test,
            classes=_classes(split.test_class_counts, names),
        )
    )
    if not split.parties:
        return
    title = gettext("Training rows of each party by class, before and after balancing")
    caption = gettext("{title}; repeat 1; every repeat draws its own split", title=title)
    bars = [bar for party in split.parties for bar in _bars(party, names)]
    yield Plot(charts.stacked_bars(bars, title, formatting.count), gettext("{sentence}.", sentence=caption))
    parts = (gettext("Rows"), *names)
    columns = (
        gettext("Party"),
        *(gettext("{what} before", what=part) for part in parts),
        *(gettext("{what} after", what=part) for part in parts),
    )
    rows = [
        [Cell(f"{party.party}/{party.role}"), *(elements.count(n) for _, counts in _states(party) for n in counts)]
        for party in split.parties
    ]
    yield Table(caption, columns, rows)


def _states(party: PartyRows) -> Iterator[tuple[str, list[int | None]]]:
    """Give a party's rows, and those of each class, before and after balancing."""
    for state, rows, counts in (
        (gettext("{what}, before"), party.rows_before_balance, party.class_counts_before_balance),
        (gettext("{what}, after"), party.rows, party.class_counts),
    ):
        of_classes: Sequence[int | None] = counts or (None, None)
        yield state, [rows, *of_classes]


def _bars(party: PartyRows, names: Sequence[str]) -> Iterator[charts.Bar]:
    for state, (rows, *counts) in _states(party):
        segments = [charts.Segment(f"class{i}", names[i], n) for i, n in enumerate(counts) if n is not None]
        yield charts.Bar(state.format(what=f"{party.party}/{party.role}"), segments, elements.count(rows).text)
