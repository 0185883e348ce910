"""The report's section on whether its figures can be relied on."""

from __future__ import annotations

from collections.abc import Sequence

from bench.i18n.language import gettext, ngettext
from bench.report import reliability
from bench.report.section import Block, Items, Paragraph, Section
from bench.results.view import RunView


class Trust(Section):
    """What speaks against relying on the figures, and what they hold for."""

    name, order = "trust", 10

    def title(self) -> str:
        """Return its heading."""
        return gettext("Are these figures reliable?")

    def short_title(self) -> str:
        """Return its name in the contents."""
        return gettext("Reliability")

    def blocks(self, run: RunView) -> Sequence[Block]:
        """Return the verdict, all concerns, the conditions and the facts."""
        found = reliability.concerns(run)
        against = [concern.text for concern in found if concern.grade != "condition"]
        conditions = [concern.text for concern in found if concern.grade == "condition"]
        blocks: list[Block] = [Paragraph(reliability.basis(run), strong=reliability.verdict(found))]
        if against:
            text = ngettext(
                "{n} thing to consider before relying on them:",
                "{n} things to consider before relying on them:",
                len(against),
                n=len(against),
            )
            blocks += [Paragraph(text), Items(against)]
        else:
            blocks.append(Paragraph(gettext("Nothing that was recorded speaks against them.")))
        if conditions:
            blocks += [Paragraph(gettext("They hold under these conditions:")), Items(conditions)]
        return [*blocks, reliability.facts(run)]


SECTION = Trust()
