"""What the report and the comparison share as programs: they end in one line when the user can mend what is wrong."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from bench.errors import UserError


def exit_status(work: Callable[[], int | None]) -> int:
    """Do the work of a program and return its exit status: its own, or 2 with one line for what the user can mend.

    It is 141, as a shell says it of SIGPIPE, where whoever reads the output has stopped, as ``head`` does.
    """
    try:
        status = work() or 0
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more at its end
        return 141
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return status
