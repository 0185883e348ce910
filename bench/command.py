"""What the report and the comparison share as programs: they end in one line when the user can mend what is wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable

from bench.errors import UserError


def exit_status(work: Callable[[], int | None]) -> int:
    """Do the work of a program and return its exit status: its own, or 2 with one line for what the user can mend."""
    try:
        return work() or 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
