"""Write the report of a run: one self-contained HTML page, answers first, then its sections.

The figures are the summaries of run.json as they stand there. Only the paired differences of scores and the curves over
time are taken from the other files. What a section shows is built in bench/report/sections; how its blocks look is in
templates/report.html.j2.
"""

from __future__ import annotations

from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from bench.i18n import language, messages
from bench.i18n.language import gettext
from bench.pages import elements, provenance
from bench.pages.elements import Cell, Table, repeats_of
from bench.pages.template import template
from bench.plugins import discover
from bench.report import reliability, sections, summary
from bench.report.section import GROUP, Section
from bench.results import store
from bench.results.view import CaseView, RunView, open_run
from bench.stats import formatting

# So many concerns stand on the first screen.
_AT_FIRST = 2


def render(folder: Path, lang: str = language.DEFAULT) -> Path:
    """Write the report in a language into the run folder and return its path, that of ``page_path``.

    Raises UserError when the folder is not a run, a file in it is damaged, or the page cannot be written.
    """
    return _write(open_run(folder), lang)


def render_all(folder: Path, lang: str = language.DEFAULT) -> list[Path]:
    """Write the report in English, in ``lang``, and in each language that the run has one in already, which is old now.

    Raises UserError as ``render`` does.
    """
    always = (language.DEFAULT, lang)
    due = [each for each in language.LANGUAGES if each in always or page_path(folder, each).exists()]
    run = open_run(folder)
    return [_write(run, each) for each in due]


def page_path(folder: Path, lang: str) -> Path:
    """Return where a run's report in a language is: report.html is the English one, and the others lie beside it."""
    return Path(folder) / ("report.html" if lang == language.DEFAULT else f"report.{lang}.html")


def _write(run: RunView, lang: str) -> Path:
    with language.spoken(lang):
        html = template("report.html.j2").render(_contents(run), lang=lang, html_lang=language.LANGUAGES[lang])
    path = page_path(run.folder, lang)
    store.write_text(path, html)
    return path


@cache
def all_sections() -> tuple[Section, ...]:
    """Return the report's sections in their order."""
    return tuple(discover(sections, Section, GROUP).values())


def _contents(run: RunView) -> dict[str, Any]:
    """Build everything that the template shows."""
    concerns = reliability.concerns(run)
    against = [concern.text for concern in concerns if concern.grade != "condition"]
    shown = [(section, section.blocks(run)) for section in all_sections()]
    suite = run.record.suite
    return {
        "run": {
            "id": run.record.run_id,
            "created": _moment(run.record.created),
            "finished": bool(run.record.finished),
            "took": _took(run),
        },
        "title": suite.title or suite.name,
        "description": messages.say(suite.description or ""),
        "first_line": provenance.first_line(run),
        "synthetic": any(facts.synthetic for facts in run.datasets.values()),
        "answer": summary.answer(run),
        "reliability": {
            "grade": concerns[0].grade if concerns else "condition",
            "verdict": reliability.verdict(concerns),
            "basis": reliability.basis(run),
            "first": against[:_AT_FIRST],
            "rest": max(0, len(against) - _AT_FIRST),
        },
        "glance": _glance(run),
        "sections": [
            {"name": section.name, "title": section.title(), "short": section.short_title(), "blocks": blocks}
            for section, blocks in shown
            if blocks
        ],
    }


def _moment(written: str | None) -> str:
    """Write a moment to the minute, with its zone; what is no moment as it stands."""
    if written is None:
        return ""
    try:
        moment = datetime.fromisoformat(written)
    except ValueError:
        return written
    return f"{moment:%Y-%m-%d %H:%M %Z}".strip()


def _took(run: RunView) -> str | None:
    """Write how long the run took; None where it is unknown."""
    try:
        begun, ended = (datetime.fromisoformat(str(each)) for each in (run.record.created, run.record.finished))
        seconds = round((ended - begun).total_seconds())
    except (ValueError, TypeError):
        return None
    if seconds < 0:  # the clock was set back
        return None
    minutes, rest = divmod(seconds, 60)
    if not minutes:
        return gettext("{n} s", n=rest)
    return gettext("{minutes} min {seconds} s", minutes=formatting.count(minutes), seconds=rest)


def _glance(run: RunView) -> Table | None:
    """Show all finished cases in one table: time against centralised, its parts, bytes and AUC."""
    if not run.finished:
        return None
    write, unit = elements.time_writer(found for case in run.finished for found in (case.epoch, *case.parts.values()))
    sent = {case: case.record.bytes.epoch_sent if case.record.bytes else None for case in run.finished}
    write_bytes, bytes_unit = elements.byte_writer(sent.values())
    rows = []
    for case in run.finished:
        absent = elements.absent(case)
        rows.append(
            [
                Cell(case.label),
                elements.figure(case.epoch, write, absent),
                elements.ratio(case, case.baseline),
                *(
                    elements.figure(case.parts.get(name), write, absent)
                    for name in ("computing", "communicating", "waiting")
                ),
                elements.figure(sent[case], write_bytes, absent),
                _auc(case),
            ]
        )
    columns = (
        gettext("Case"),
        gettext("Epoch ({unit})", unit=unit),
        gettext("Times centralised [{confidence} interval]", confidence=formatting.CONFIDENCE),
        gettext("Computing ({unit})", unit=unit),
        gettext("Communicating ({unit})", unit=unit),
        gettext("Waiting ({unit})", unit=unit),
        gettext("Sent per epoch ({unit})", unit=bytes_unit),
        "AUC",
    )
    caption = gettext(
        "Every finished case; median and (below) lowest\N{EN DASH}highest, {repeats}. Where there are "
        "several parties, the epoch and its parts are those of the largest (most training rows). Times centralised is "
        "the geometric mean of the ratios repeat by repeat, with their paired interval; it need not be the ratio of "
        "the medians.",
        repeats=repeats_of(run.finished),
    )
    return Table(caption, columns, rows)


def _auc(case: CaseView) -> Cell:
    if case.record.metrics or not case.record.models:
        return elements.figure(case.metric("auc"), formatting.score)
    return Cell(gettext("one per party, below"))
