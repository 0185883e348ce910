"""What the report and the comparison share as programs: they end in one line when the user can mend what is wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable

from bench.errors import UserError


def exit_status(work: Callable[[], None]) -> int:
    """Do the work of a program and return its exit status: 2 with one line for what the user can mend."""
    try:
        work()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0
