"""Write a run's report again: ``python -m bench.report``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bench import cli
from bench.i18n import language
from bench.report.writer import render


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = cli.argument_parser(
        "report",
        "Write report.html of one or more runs again, from the files in their folders.",
        "example: python -m bench.report results/20261123-140501-quick",
    )
    made.add_argument("runs", metavar="RUN", type=Path, nargs="+", help="a run folder")
    made.add_argument(
        "--lang",
        choices=list(language.LANGUAGES),
        default=language.DEFAULT,
        help="the report's language: zh (Chinese) writes report.zh.html instead of report.html",
    )
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    options = parser().parse_args(arguments)

    def work() -> None:
        for run in options.runs:
            print(render(run, options.lang))

    return cli.exit_status(work)


if __name__ == "__main__":
    sys.exit(main())
