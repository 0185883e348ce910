"""The report's section on cases without a result, and the notes on all."""

from __future__ import annotations

from collections.abc import Sequence

from bench.i18n import messages
from bench.i18n.language import gettext
from bench.pages import elements
from bench.pages.elements import Cell, Table
from bench.report.section import Block, Items, Paragraph, Section
from bench.results.record import Note
from bench.results.view import CaseView, RunView


class Cases(Section):
    """What did not finish, and why."""

    name, order = "cases", 110

    def title(self) -> str:
        """Return its heading."""
        return gettext("Cases without a result, and notes")

    def short_title(self) -> str:
        """Return its name in the contents."""
        return gettext("Cases")

    def blocks(self, run: RunView) -> Sequence[Block]:
        """Return the table of cases without a result, and all notes."""
        notes = [
            gettext("{case}: {note}", case=case.label, note=_said(note))
            for case in run.cases
            for note in case.record.notes
        ]
        table = _unfinished([case for case in run.cases if not case.finished])
        return [table or Paragraph(gettext("Every case finished.")), *([Items(notes)] if notes else [])]


SECTION = Cases()


def _said(note: Note) -> str:
    line = messages.say(note.line)
    return line if note.repeat is None else gettext("repeat {repeat}: {line}", repeat=note.repeat, line=line)


def _unfinished(cases: Sequence[CaseView]) -> Table | None:
    rows = [
        [
            Cell(case.title),
            elements.text(case.record.status and messages.say(case.record.status)),
            Cell(gettext("{n} of {all}", n=len(case.record.repeats_done), all=case.record.repeats)),
            Cell(_why(case)),
        ]
        for case in cases
    ]
    columns = (gettext("Case"), gettext("Status"), gettext("Repeats done"), gettext("Why"))
    caption = gettext("Cases that failed, were skipped or are pending")
    return Table(caption, columns, rows, columns[1::2]) if rows else None


def _why(case: CaseView) -> str:
    """Say why a case has no result; errors are shown as they were recorded."""
    if case.record.status == "pending":
        return gettext("not run yet")
    return case.record.error or gettext("no reason recorded")
