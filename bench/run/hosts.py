"""Between Ansible and a run's result folder: what goes to the hosts of a federation, and what comes back.

playbooks/bench.yml calls this; nobody needs to by hand.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from bench.cli import exit_status
from bench.errors import UserError
from bench.run import runner

EXAMPLES = """\
examples:
  python -m bench.run.hosts order results/20260102-030405-cluster 1 /var/tmp/order
  python -m bench.run.hosts collect results/20260102-030405-cluster 1 /var/tmp/order

order writes FOLDER/<case>/<party>/ for each case still to be run on the hosts in this repeat, and prints what it wrote
as JSON. A party's folder holds that party's rows and no others'. collect reads the same folders when the hosts'
results have been put into them, adds them to the run and writes its report again.

exit status: 0 done, 1 a case failed, 2 wrong input
"""


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, write or read the folders, and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.run.hosts",
        description=(__doc__ or "").partition("\n")[0],
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=["order", "collect"])
    parser.add_argument("run", type=Path, help="the run's result folder")
    parser.add_argument("repeat", type=int, help="which repeat, from 1")
    parser.add_argument("folder", type=Path, help="where orders are written, and results read")
    options = parser.parse_args(arguments)
    failed: list[str] = []

    def work() -> None:
        if options.repeat < 1:
            raise UserError(f"repeat {options.repeat}: repeats are counted from 1")
        if options.command == "order":
            print(json.dumps(runner.order_hosts(options.run, options.repeat, options.folder)))
        else:
            failed.extend(runner.collect_hosts(options.run, options.repeat, options.folder))

    status = exit_status(work)
    for line in failed:
        print(f"error: {line}", file=sys.stderr)
    return status or (1 if failed else 0)


if __name__ == "__main__":
    sys.exit(main())
