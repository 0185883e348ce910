"""A FATE Flow of this machine, of ``make fate``, that stays until it is ended: to be asked and put under load."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from bench import cli
from bench.engines.fate import engine, order
from bench.errors import CaseError, UserError

EXAMPLES = """\
examples:
  python -m bench.engines.fate &
  python -m bench.load --target flow http://127.0.0.1:PORT --run results/20261124-140501-quick

It stands for all parties, keeps nothing, and listens on this machine only, at a port that it says.
Exit status: 0 after Ctrl-C or SIGTERM, or 2 with one line where it cannot be started.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    argparse.ArgumentParser(
        prog="python -m bench.engines.fate",
        description="Run a FATE Flow on this machine until it is ended.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args(arguments)
    return cli.exit_status(_stay)


def _stay() -> None:
    """Run it until a signal comes.

    Raises UserError where it cannot be started.
    """
    if lack := engine.missing():
        raise UserError(lack)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    print("FATE Flow starts ...", flush=True)
    with suppress(KeyboardInterrupt), tempfile.TemporaryDirectory(prefix="bench-fate-") as name:
        folder = Path(name) / "party"
        order.scripts(folder, probe=False)
        try:
            with engine.flow(folder) as address:
                print(f"FATE Flow answers at http://{address}; Ctrl-C ends it", flush=True)
                while True:
                    signal.pause()
        except CaseError as error:
            raise UserError(str(error)) from error


if __name__ == "__main__":
    sys.exit(main())
