"""Between Ansible and a run's result folder: what goes to the hosts of a federation, and what comes back.

playbooks/bench.yml calls this; nobody needs to by hand.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from bench.cli import exit_status
from bench.engines.contract import HostsEngine
from bench.engines.registry import ENGINES
from bench.errors import UserError
from bench.results import store
from bench.run import runner
from bench.run.session import Session, prepare_repeat, reopen, workspace
from bench.suites import schema
from bench.suites.schema import Case

EXAMPLES = """\
examples:
  python -m bench.run.hosts order results/20260102-030405-cluster 1 /var/tmp/order
  python -m bench.run.hosts collect results/20260102-030405-cluster 1 /var/tmp/order

order writes FOLDER/<case>/<party>/ for each case still to be run on the hosts in this repeat, and prints what it wrote
as JSON. A party's folder holds that party's rows and no others'. collect reads the same folders when the hosts'
results have been put into them, adds them to the run and writes its report again.

exit status: 0 done, 1 a case failed, 2 wrong input
"""


def order(folder: Path, repeat: int, orders: Path) -> dict[str, Any]:
    """Write what each host needs for a repeat of the run's cases on hosts; return the cases and their parties.

    Raises UserError when the folder is no run, or its data have changed since.
    """
    with _session(folder, repeat) as (session, cases):
        for case in cases:
            _engine(case).write_order(runner.job_of(session, case, repeat), f"{case.id}.{repeat}", orders / case.id)
        store.save(session.folder, session.record)
        parties = {case.id: [shard.party for shard in session.prepared[case.preparation].shards] for case in cases}
        return {"repeats": session.suite.repeats, "cases": parties, "time_limit": session.suite.time_limit}


def collect(folder: Path, repeat: int, orders: Path) -> list[str]:
    """Add to the run what the hosts brought for a repeat, write its report, and return what failed, a line each."""
    with _session(folder, repeat) as (session, cases):
        session.record.finished = None
        for case in cases:
            runner.run_repeat(session, case, repeat, partial(_engine(case).collect, folder=orders / case.id))
        runner.note_end(session.record)
        store.save(session.folder, session.record)
        runner.close(session)
        entries = [session.case(case) for case in cases]
        return [f"{entry.id}: {entry.error}" for entry in entries if entry.status == "failed"]


def _engine(case: Case) -> HostsEngine:
    engine = ENGINES[case.engine]
    if not isinstance(engine, HostsEngine):
        raise UserError(f"engine {case.engine} has network hosts, and is no bench.engines.contract.HostsEngine")
    return engine


@contextmanager
def _session(folder: Path, repeat: int) -> Iterator[tuple[Session, list[Case]]]:
    """Open a run and prepare the data of a repeat; give the cases on hosts that are still to be run in it."""
    record = store.load(folder)
    if record.plan is None:
        raise UserError(f"{folder}: this run does not hold its plan; start a new one")
    checked = schema.check(record.plan)
    with workspace() as work:
        session = reopen(folder, record, checked, work)
        cases = [case for case in checked.cases if case.network == "hosts" and session.is_due(case, repeat)]
        if cases:
            prepare_repeat(session, repeat)
        yield session, [case for case in cases if session.case(case).status == "pending"]


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
            print(json.dumps(order(options.run, options.repeat, options.folder)))
        else:
            failed.extend(collect(options.run, options.repeat, options.folder))

    status = exit_status(work)
    for line in failed:
        print(f"error: {line}", file=sys.stderr)
    return status or (1 if failed else 0)


if __name__ == "__main__":
    sys.exit(main())
