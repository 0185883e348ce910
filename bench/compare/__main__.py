"""The command line of a comparison: ``python -m bench.compare``."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from bench import cli
from bench.compare.runs import NAMES, as_text, check_all, failed, share_of
from bench.errors import UserError
from bench.results.view import open_run

EXAMPLES = """\
examples:
  python -m bench.compare results/20261123-140501-quick results/20261124-091500-quick
  python -m bench.compare results/before results/after --html difference.html
  python -m bench.compare results/base results/variant-1 results/variant-2 > difference.txt
  python -m bench.compare results/main results/branch --fail-above 5%

The first run is the base, A; the verdict says what each of the others is, seen from A. Seconds are those of one epoch.
It needs three repeats or more on each side (python -m bench.run --repeats 5).

Exit status: 0; 1 when --fail-above is given and the 95 % interval of a case's time per epoch, as a ratio to A's, lies
above the limit as a whole (what is unknown does not fail, and is named); 2 when a folder cannot be read.
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = cli.argument_parser(
        "compare",
        "Say what differs significantly between runs.",
        EXAMPLES,
    )
    made.add_argument("base", metavar="BASE", type=Path, help="folder of the run that the others are compared with")
    made.add_argument("runs", metavar="RUN", type=Path, nargs="+", help="folder of a run")
    made.add_argument("--html", metavar="FILE", type=Path, help="write the comparison as one self-contained page, too")
    made.add_argument(
        "--fail-above",
        metavar="SHARE",
        help="exit with status 1 when a case is slower per epoch by more than this for certain: 5%% or 0.05",
    )
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    chosen = parser().parse_args(words)

    def work() -> int:
        limit = None if chosen.fail_above is None else share_of(chosen.fail_above)
        folders = [chosen.base, *chosen.runs]
        if len(folders) > len(NAMES):
            raise UserError(f"{len(folders)} runs: at most {len(NAMES)} can be compared at once")
        runs = [open_run(folder) for folder in folders]
        if chosen.html is not None:
            from bench.compare import page  # SciPy and the templates take seconds to import

            page.write(chosen.html, runs, limit, shlex.join([*cli.program("compare").split(), *words]))
        sys.stdout.write(as_text(runs, limit))
        return int(limit is not None and failed(check_all(runs, limit)))

    return cli.exit_status(work)


if __name__ == "__main__":
    sys.exit(main())
