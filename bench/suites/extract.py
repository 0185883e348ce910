"""Finds the sentences of suite files for ``make messages``: pages show them in the reader's language."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import IO

import yaml


def extract(
    file: IO[bytes], keywords: Collection[str], comments: Collection[str], options: object
) -> Iterator[tuple[int, str, str, list[str]]]:
    """Give the description of a suite, as Babel's extractors give messages: (line, function, message, comments)."""
    del keywords, comments, options  # a suite file has neither
    description = yaml.safe_load(file).get("description")
    if description:
        yield 1, "", " ".join(str(description).split()), []
