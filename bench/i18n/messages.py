"""Lines that are recorded, so that they can be said in the reader's language later."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from bench.i18n.language import gettext

Value = str | int | float


@dataclass(frozen=True)
class Message:
    """A line that is recorded: a ``code`` for programs, and for readers its English ``text`` with ``values``.

    ``text`` is a template of str.format, marked with gettext_noop where it is written, so that the line can be said in
    another language later. A template is made once, as a constant of the module whose line it is:
    ``ITERATIONS = Message("solver_iterations", gettext_noop("the solver took {n} iterations"))``; its lines are
    ``ITERATIONS.of(n=7)``.
    """

    code: str
    text: str
    values: Mapping[str, Value] = field(default_factory=dict)

    def of(self, **values: Value) -> Message:
        """Return the line of this template with ``values``."""
        return Message(self.code, self.text, values)

    def __str__(self) -> str:
        """Say the line in the language spoken."""
        return gettext(self.text).format(**self.values) if self.values else gettext(self.text)


Line = str | Message
"""A recorded line for a reader; a plain string, marked with gettext_noop, where there are no values in it."""


def say(recorded: object) -> str:
    """Return a recorded line or word in the language spoken; one that no catalogue has, such as an error, as it is."""
    return str(recorded) if isinstance(recorded, Message) else gettext(str(recorded).strip())


def english(recorded: Line) -> str:
    """Return a recorded line in English."""
    return recorded.text.format(**recorded.values) if isinstance(recorded, Message) else recorded


def as_line(content: object) -> Line:
    """Return a line that was written as JSON."""
    return Message(**content) if isinstance(content, dict) else str(content)


def distinct(lines: Iterable[Line]) -> list[Line]:
    """Return the lines in their order, each once."""
    found: list[Line] = []
    for line in lines:
        if line not in found:
            found.append(line)
    return found
