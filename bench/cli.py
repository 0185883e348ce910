"""What the kit's programs share: how they were called, and that they end in one line when the user can mend it."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

from bench.errors import UserError

COMMAND = "federated-bench"


def program(name: str) -> str:
    """Return how a program of the kit was called: "federated-bench run", or "python -m bench.run"."""
    return f"{COMMAND} {name}" if Path(sys.argv[0]).stem == COMMAND else f"python -m bench.{name}"


def argument_parser(name: str, description: str, examples: str) -> argparse.ArgumentParser:
    """Return an empty parser of a program's command line; --help ends with ``examples``, as they are."""
    return argparse.ArgumentParser(
        prog=program(name),
        description=description,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def typed(path: Path) -> str:
    """Return a path as a reader would type it: from the current folder if it is below, else the absolute one."""
    whole = path.resolve()
    return shlex.quote(str(whole.relative_to(Path.cwd()) if whole.is_relative_to(Path.cwd()) else whole))


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
