"""What the tests of pages in two languages share: their texts, their numbers, and what is left in English."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

from bench.report import writer

# Attributes whose value a reader sees or hears.
SPOKEN = ("aria-label", "title", "lang")
# Names that are not translated, beside those of the run itself.
NAMES = ("FATE Flow", "Lending Club", "Charged Off", "Fully Paid", "run.json", "make fate")
WORDS = re.compile(r"[A-Za-z][a-z]+[ ,;:'-]+[A-Za-z]?[a-z]+")


class Texts(HTMLParser):
    """Every piece of text of a page, and the attributes that a reader sees or hears; not what is code."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self._tag = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._tag = tag
        self.found += [value or "" for name, value in attrs if name in SPOKEN]

    def handle_endtag(self, tag: str) -> None:
        self._tag = ""

    def handle_data(self, text: str) -> None:
        if self._tag not in ("style", "pre", "code"):
            self.found.append(" ".join(text.split()))


def both(run: Path) -> tuple[str, str]:
    """The page in English and in Chinese."""
    english, chinese = (writer.render(run, lang).read_text(encoding="utf-8") for lang in ("en", "zh"))
    return english, chinese


def numbers(text: str) -> list[str]:
    return sorted(re.findall(r"\d[\d.,]*\d|\d", text))


def untranslated(html: str, names: list[str]) -> list[str]:
    """The texts of a page with words of English in them, but for ``names``."""
    found = []
    for text in Texts(html).found:
        rest = text
        for name in sorted((*names, *NAMES), key=len, reverse=True):
            rest = rest.replace(name, "0")
        if WORDS.search(re.sub(r"\w+_\w+", "0", rest)):  # names of columns and options
            found.append(text)
    return found
