"""The language that a page is written in: English, or that of a catalogue of the same messages.

A message is looked up by its English text in bench/i18n/locale/<language>/LC_MESSAGES/report.mo, which `make messages`
compiles from the .po beside it. It is a whole sentence or label with named placeholders, for the order of words differs
between languages. Outside of ``spoken`` everything is English, as it is in the programs' own output.
"""

from __future__ import annotations

import gettext as standard
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from bench.errors import UserError

# Each language that a report can be written in, and how HTML calls it. English needs no catalogue.
LANGUAGES = {"en": "en-GB", "zh": "zh-CN"}
DEFAULT = "en"

LOCALE = Path(__file__).resolve().parent / "locale"
_ENGLISH = standard.NullTranslations()
_messages: ContextVar[standard.NullTranslations] = ContextVar("messages", default=_ENGLISH)
_spoken: ContextVar[str] = ContextVar("spoken", default=DEFAULT)


@contextmanager
def spoken(language: str) -> Iterator[None]:
    """Have all messages within a ``with`` block come in ``language``, a key of LANGUAGES.

    Raises UserError where its catalogue is missing.
    """
    try:
        found = standard.translation("report", LOCALE, [language], fallback=language == DEFAULT)
    except FileNotFoundError as error:
        raise UserError(f"language {language}: its messages are not in {LOCALE}; install the kit again") from error
    tokens = _messages.set(found), _spoken.set(language)
    try:
        yield
    finally:
        _messages.reset(tokens[0])
        _spoken.reset(tokens[1])


def current() -> str:
    """Return the language spoken, a key of LANGUAGES."""
    return _spoken.get()


def gettext(message: str, **values: object) -> str:
    """Return a message in the language spoken, with ``values`` at its placeholders."""
    # The empty message is where a catalogue keeps its header.
    found = _messages.get().gettext(message) if message else ""
    return found.format(**values) if values else found


def ngettext(singular: str, plural: str, number: int, **values: object) -> str:
    """Return the form of a message that goes with ``number``, with ``values`` at its placeholders."""
    return _messages.get().ngettext(singular, plural, number).format(**values)


def gettext_noop(message: str) -> str:
    """Mark a message that is looked up later, as constants are."""
    return message


def listed(parts: Iterable[str]) -> str:
    """Join what is of a kind."""
    return gettext(", ").join(parts)


def sequence(parts: Iterable[str]) -> str:
    """Join the parts of a sentence."""
    return gettext("; ").join(parts)
