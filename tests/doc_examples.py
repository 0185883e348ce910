"""The examples of code in the documentation, for the tests that run them."""

from __future__ import annotations

import re
from pathlib import Path

from helpers import ROOT


def example(page: str, file: str) -> str:
    """Return the block of code that follows the first mention of ``file`` on a page."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.search(r"```\w+\n(.*?)```", text[text.index(f"`{file}`") :], re.DOTALL)
    assert found, f"{page} has no code after `{file}`"
    return found[1]


def write_example(folder: Path, page: str, file: str) -> Path:
    """Write an example into a folder, under its own name."""
    path = folder / Path(file).name
    path.write_text(example(page, file), encoding="utf-8")
    return path
