"""What the tests of the pages share: a reader of HTML, and a way to change a run before it is read."""

from __future__ import annotations

import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd

from bench.results import record
from bench.results.view import RunView


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


def made(splits: dict[str, list[tuple[float, float, float]]]) -> RunView:
    """A run of suite thesis, of two parties under each split; a repeat is (smaller alone, larger alone, together)."""
    cases, rows, known = [], [], {}
    for place, (split, repeats) in enumerate(splits.items()):
        done = list(range(1, len(repeats) + 1))
        shared = {"dataset": "d", "split": split, "balance": {}, "status": "ok", "repeats_done": done}
        cases.append({"id": f"t{place}", "engine": "federated", "kind": "federated", "privacy": "plain", **shared})
        cases.append({"id": f"l{place}", "engine": "local", "kind": "local", "privacy": "plain", **shared})
        share = float(split.split("/")[0]) if "/" in split else 50.0
        parties = [
            {"party": "9999", "role": "guest", "rows": round(100 * share)},
            {"party": "10000", "role": "host", "rows": round(100 * (100 - share))},
        ]
        known[split] = {"parties": parties}
        for repeat, values in enumerate(repeats, start=1):
            named = zip(("9999", "10000", "federated"), (f"l{place}", f"l{place}", f"t{place}"), values, strict=True)
            rows += [
                {"case": case, "repeat": repeat, "model": model, "specificity": value, "auc": value}
                for model, case, value in named
            ]
    content = {"schema_version": record.SCHEMA_VERSION, "run_id": "made", "suite": {"name": "thesis"}}
    content |= {"environment": {}, "datasets": {"d": {"splits": known}}, "cases": cases}
    run = RunView(Path("nowhere"), record.from_json(content))
    columns = ["case", "repeat", "model", "specificity", "auc"]
    vars(run)["scores"] = pd.DataFrame(rows, columns=columns)  # in the place of the file's
    return run
