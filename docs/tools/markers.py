"""Replaces what a tool has written into a page, between two comments that a reader of the page does not see."""

from __future__ import annotations


def replace(page: str, name: str, content: str) -> str:
    """Return the page with ``content`` between ``<!-- begin NAME -->`` and ``<!-- end NAME -->``.

    Raises ValueError where the page has not exactly one such pair.
    """
    begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->"
    if page.count(begin) != 1 or page.count(end) != 1 or page.index(begin) > page.index(end):
        raise ValueError(f"the page needs one pair of lines {begin.strip()} and {end}")
    head, rest = page.split(begin)
    tail = rest.split(end)[1]
    return f"{head}{begin}{content.rstrip()}\n{end}{tail}"
