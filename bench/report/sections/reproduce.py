"""The report's section on how to get the figures again: code, command, and the page itself."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from bench.cli import typed
from bench.i18n import language
from bench.i18n.language import gettext
from bench.report.section import Block, Command, Paragraph, Section
from bench.results.view import RunView


class Reproduce(Section):
    """How to repeat the run, and how to write its page again."""

    name, order = "reproduce", 130

    def title(self) -> str:
        """Return its heading."""
        return gettext("How to reproduce it")

    def short_title(self) -> str:
        """Return its name in the contents."""
        return gettext("Reproduce")

    def blocks(self, run: RunView) -> Sequence[Block]:
        """Return the revision and the commands."""
        folder = typed(run.folder)
        found: list[Block] = [Paragraph(_code(run))]
        command = shlex.join(run.record.command)
        found.append(Command(command) if command else Paragraph(gettext("The command was not recorded.")))
        if not run.record.finished:
            found.append(Paragraph(gettext("The rest of it can be run with:")))
            found.append(Command(f"python -m bench.run --resume {folder}"))
        text = gettext(
            "The figures are in run.json, epochs.csv, scores.csv and resources.csv beside this page. This page can be "
            "written again from them:"
        )
        spoken = language.current()
        chosen = "" if spoken == language.DEFAULT else f" --lang {spoken}"
        return [*found, Paragraph(text), Command(f"python -m bench.report {folder}{chosen}")]


SECTION = Reproduce()


def _code(run: RunView) -> str:
    """Say which code the run was made with."""
    revision = run.record.revision
    if revision is None or not revision.commit:
        return gettext("Code: the revision was not recorded (not a git checkout).")
    if revision.dirty:
        return gettext("Code: revision {commit}, with local changes that are not in it.", commit=revision.commit)
    return gettext("Code: revision {commit}.", commit=revision.commit)
