"""The report's section on bytes: each way, by party and for all parties together."""

from __future__ import annotations

from collections.abc import Sequence

from bench.i18n.language import gettext
from bench.pages import charts, elements
from bench.pages.elements import Cell, Plot, Table, repeats_of
from bench.report.section import Block, Paragraph, Section
from bench.results.record import PartyBytes, Traffic, Wire
from bench.results.view import CaseView, RunView
from bench.stats import formatting
from bench.stats.formatting import Write
from bench.stats.summaries import add_up


class Bytes(Section):
    """What went over the wire."""

    name, order = "bytes", 70

    def title(self) -> str:
        """Return its heading."""
        return gettext("Bytes")

    def short_title(self) -> str:
        """Return its name in the contents."""
        return gettext("Bytes")

    def blocks(self, run: RunView) -> Sequence[Block]:
        """Return the bytes of every party drawn, and the table."""
        traffic = [(case, case.record.bytes) for case in run.cases if case.record.bytes]
        if not traffic:
            return [Paragraph(gettext("Bytes: not measured."))]
        parties = [(case, key, part) for case, of_case in traffic for key, part in of_case.by_party.items()]
        each = [(part.epoch_sent, part.epoch_received) for _, _, part in parties]
        each += [(whole.epoch_sent, whole.epoch_received) for _, whole in traffic]
        write, unit = elements.byte_writer(way for ways in each for way in ways)
        drawn = [_drawn(parties, write, unit)] if parties else []
        return [*drawn, _table(traffic, write, unit)]


SECTION = Bytes()


def _drawn(parties: Sequence[tuple[CaseView, str, PartyBytes]], write: Write, unit: str) -> Plot:
    bars = [
        charts.Bar(
            party,
            [
                charts.Segment(way, name, summary.median if summary else 0)
                for way, name, summary in (
                    ("sent", gettext("sent"), part.epoch_sent),
                    ("received", gettext("received"), part.epoch_received),
                )
            ],
            _both_ways(part, write, unit),
            case.label,
        )
        for case, party, part in parties
    ]
    title = gettext("Bytes per epoch and party, sent and received")
    repeats = repeats_of(dict.fromkeys(case for case, _, _ in parties))
    below = gettext("{title}, in {unit}; medians, {repeats}.", title=title, unit=unit, repeats=repeats)
    return Plot(charts.stacked_bars(bars, title, write), below)


def _both_ways(part: PartyBytes, write: Write, unit: str) -> str:
    """Write bytes sent + received of a party."""
    total = add_up([part.epoch_sent, part.epoch_received])
    return f"{write(total.median)}{formatting.SPACE}{unit}" if total else gettext(formatting.NOT_MEASURED)


def _table(traffic: Sequence[tuple[CaseView, Traffic]], write: Write, unit: str) -> Table:
    body = []
    for case, whole in traffic:
        body += [
            (case, [Cell(party), *_cells(part, write), Cell(""), Cell("")]) for party, part in whole.by_party.items()
        ]
        wire = whole.wire or Wire()
        carried = [elements.figure(way, formatting.size) for way in (wire.sent, wire.received)]
        body.append((case, [Cell(gettext("all parties, without the arbiter")), *_cells(whole, write), *carried]))
    columns = (
        gettext("Party"),
        gettext("Sent per epoch ({unit})", unit=unit),
        gettext("Received per epoch ({unit})", unit=unit),
        gettext("Sent, carried by the sockets in the whole case"),
        gettext("Received, carried by the sockets in the whole case"),
    )
    caption = gettext(
        "Bytes; kB and MB are 1,000 and 1,000,000 bytes. Per epoch they are those of the messages; in the whole case, "
        "those carried by the sockets (HTTP/2 framing included, TCP/IP headers not); {repeats}",
        repeats=repeats_of(case for case, _ in traffic),
    )
    return Table(caption, columns, elements.by_case(body))


def _cells(part: PartyBytes | Traffic, write: Write) -> list[Cell]:
    return [elements.figure(way, write) for way in (part.epoch_sent, part.epoch_received)]
