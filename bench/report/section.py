"""What a section of the report is, and the blocks that it is made of.

A new section is a module in bench/report/sections with an instance of a Section, or an entry point of another
distribution in the group federated_bench.sections; the page finds it there.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from bench.pages.elements import Plot, Table
from bench.plugins import Plugin
from bench.results.view import RunView

GROUP = "federated_bench.sections"


@dataclass(frozen=True)
class Paragraph:
    """A paragraph; ``strong`` comes first, in bold."""

    kind: ClassVar[str] = "paragraph"
    text: str
    strong: str = ""


@dataclass(frozen=True)
class Subheading:
    """A heading within the section."""

    kind: ClassVar[str] = "subheading"
    text: str


@dataclass(frozen=True)
class Items:
    """Lines of a bulleted list."""

    kind: ClassVar[str] = "items"
    lines: Sequence[str]


@dataclass(frozen=True)
class Command:
    """A command to be typed, on a line of its own."""

    kind: ClassVar[str] = "command"
    text: str


@dataclass(frozen=True)
class SideBySide:
    """Plots beside each other, where the page is wide enough."""

    kind: ClassVar[str] = "side_by_side"
    plots: Sequence[Plot]


@dataclass(frozen=True)
class Folded:
    """A table behind a line that opens it."""

    kind: ClassVar[str] = "folded"
    summary: str
    table: Table


Block = Paragraph | Subheading | Items | Command | SideBySide | Folded | Table | Plot


class Section(Plugin):
    """A section of the report.

    ``name`` is its anchor on the page, ``order`` its place: sections come in rising order.
    """

    @abstractmethod
    def title(self) -> str:
        """Return its heading, in the language spoken."""

    @abstractmethod
    def short_title(self) -> str:
        """Return its name in the table of contents."""

    @abstractmethod
    def blocks(self, run: RunView) -> Sequence[Block]:
        """Return its content; nothing where the section does not apply to the run, which then goes without it.

        Raises UserError where a file of the run is damaged.
        """
