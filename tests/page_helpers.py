"""What the tests of the pages share: a reader of HTML, and a way to change a run before it is read."""

from __future__ import annotations

import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any


class Page(HTMLParser):
    """The text of the page, its tables as rows of cells (text, exact value), and the attributes of all its tags."""

    VOID = ("meta", "br", "link", "img", "input", "hr", "path")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[tuple[str, float | None]]]] = {}
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._rows: list[list[tuple[str, float | None]]] = []
        self._cell: str | None = None
        self._value: float | None = None
        self._caption = ""
        self._open: list[str] = []
        self.feed(html)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)
        if tag == "table":
            self._rows, self._caption = [], ""
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("td", "th"):
            self._cell, self._value = "", None
        elif tag == "data":
            self._value = float(dict(attrs)["value"] or "nan")

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self._open.pop() == tag
        if tag in ("td", "th"):
            self._rows[-1].append((" ".join((self._cell or "").split()), self._value))
            self._cell = None
        elif tag == "table":
            self.tables[self._caption] = self._rows

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] != "style":
            self.text += data
        if self._cell is not None:
            self._cell += data
        if "caption" in self._open:
            self._caption += data

    def table(self, beginning: str) -> list[list[tuple[str, float | None]]]:
        return next(rows for caption, rows in self.tables.items() if caption.startswith(beginning))

    def column(self, beginning: str, heading: str) -> dict[str, tuple[str, float | None]]:
        """A column of a table by row; rows under a heading of their own are named "heading: row"."""
        header, *rows = self.table(beginning)
        index = next(i for i, (text, _) in enumerate(header) if text.startswith(heading))
        found, over = {}, ""
        for row in rows:
            if len(row) == 1:
                over = f"{row[0][0]}: "
            else:
                found[over + row[0][0]] = row[index]
        return found


def change(run: Path, edit: Callable[[dict[str, Any]], object]) -> Path:
    content = json.loads((run / "run.json").read_text(encoding="utf-8"))
    edit(content)
    (run / "run.json").write_text(json.dumps(content), encoding="utf-8")
    return run
