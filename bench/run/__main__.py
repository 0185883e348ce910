"""Run a suite and write a result folder with its report: ``python -m bench.run``."""

from __future__ import annotations

import argparse
import signal
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench import cli
from bench.data.kinds import KINDS
from bench.engines.registry import ENGINES
from bench.errors import UserError
from bench.i18n import language
from bench.model.metric import Metric
from bench.model.scoring import metrics
from bench.run.runner import resume, start
from bench.suites import schema

DEFAULT_SUITE = "quick"
EXAMPLES = """\
examples:
  python -m bench.run                                  synthetic loans, suite quick
  python -m bench.run --data loan.csv.gz               Lending Club's own file
  python -m bench.run --data cases.csv --label ill --id patient
  python -m bench.run --data a.csv b.csv --test t.csv --label y     one file a party
  python -m bench.run --split label:3:0.5 --engine federated local
  python -m bench.run --suite throughput --repeats 10
  python -m bench.run --engine fate --repeats 1        FATE itself on this machine (make fate)
  python -m bench.run --privacy plain masked paillier  what protections cost (suite privacy)
  python -m bench.run --resume results/20260102-030405-quick

exit status: 0 all cases ok, 1 a case failed, 2 wrong input, 130 interrupted
"""


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, run, and return the exit status."""
    options = parser().parse_args(arguments)
    for name in ("SIGTERM", "SIGHUP"):  # ended from outside, or the terminal closed: as with Ctrl-C
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.default_int_handler)
    command = [*cli.program("run").split(), *(sys.argv[1:] if arguments is None else arguments)]

    def work() -> int:
        try:
            if options.list:
                return _print_choices()
            if options.resume:
                return resume(Path(options.resume), options.lang)
            return start(schema.check(_plan(options)), Path(options.out), command, options.lang)
        except UserError:
            if options.debug:
                traceback.print_exc()
            raise

    try:
        return cli.exit_status(work)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = cli.argument_parser(
        "run", "Measure what federated logistic regression costs against centralised, and write a report.", EXAMPLES
    )
    add = made.add_argument
    add(
        "--suite",
        metavar="S",
        help="a suite of the kit (see --list) or a .yml file; default: quick, or the first that has what is wanted",
    )
    add("--data", nargs="+", metavar="FILE", help="your data instead of synthetic loans; several files: one a party")
    add("--test", metavar="FILE", help="a test file of your own (with --label)")
    add("--label", metavar="L", help="--data is any CSV with this label column, not Lending Club's loan.csv")
    add("--id", metavar="I", help="the column that names the rows; it is not a feature (with --label)")
    add("--charged-off-share", type=float, metavar="SHARE", help="subsample loans so that Charged Off has this share")
    add("--engine", nargs="+", metavar="E", help="only the suite's cases of these engines")
    add("--privacy", nargs="+", metavar="P", help="only the suite's cases of these privacy modes")
    add(
        "--split",
        metavar="SPLIT",
        help="how rows are split over the parties, for example 25/25/50 or label:3:0.5 (docs/data.md)",
    )
    add("--repeats", type=int, metavar="N", help="how often each case runs, each time on a fresh split")
    add("--out", default="results", metavar="DIR", help="where result folders go; default: results")
    add(
        "--lang",
        choices=list(language.LANGUAGES),
        default=language.DEFAULT,
        help="write the report in this language too; zh: report.zh.html",
    )
    add("--resume", metavar="RUN", help="finish an interrupted or failed run; other options but --lang do not apply")
    add("--list", action="store_true", help="show engines, privacy modes, datasets, metrics and suites")
    add("--debug", action="store_true", help="show where an error arose")
    return made


def _print_choices() -> int:
    _print_choice("engines", {name: engine.description for name, engine in ENGINES.items()})
    for name, engine in ENGINES.items():
        if engine.network != "none":
            modes = {mode.name: mode.description for mode in engine.privacy_modes.values()}
            _print_choice(f"privacy modes of engine {name}", modes)
    _print_choice("datasets", {name: kind.description for name, kind in KINDS.items()})
    _print_choice("metrics", {metric.name: _label(metric) for metric in metrics().values()})
    _print_choice("suites", schema.available())
    return 0


def _label(metric: Metric) -> str:
    return metric.label if metric.per_class is None else f"{metric.label} of class {metric.per_class}"


def _print_choice(title: str, entries: Mapping[str, str]) -> None:
    print(f"{title}:")
    for name, text in entries.items():
        print(f"  {name:<19} {text}")


def _plan(options: argparse.Namespace) -> dict[str, Any]:
    """Return the suite's plan with the command line laid over it."""
    plan = schema.read(options.suite or _suite_with(options.engine or [], options.privacy or []))
    schema.check(plan)
    if options.repeats is not None:
        plan["repeats"] = options.repeats
    if options.split is not None:
        plan["defaults"] = {**plan.get("defaults", {}), "split": options.split}
        plan["cases"] = [{**case, "split": options.split} for case in plan["cases"]]
    chosen = options.data or options.label or options.id or options.test or options.charged_off_share is not None
    if chosen:
        plan["datasets"] = {name: _dataset(options, entry) for name, entry in plan["datasets"].items()}
        if options.data and len(options.data) > 1 and options.split is None:
            plan["cases"] = [{**case, "split": "given"} for case in plan["cases"]]
    for key, wanted in (("engine", options.engine), ("privacy", options.privacy)):
        if wanted:
            plan["cases"] = _only(plan, key, wanted)
    return plan


def _suite_with(wanted: list[str], privacies: list[str]) -> str:
    """Return the suite to run where none is named: quick, unless only another one has all that is wanted.

    A privacy mode is looked for in suite privacy first; cases between hosts count where their engine is named only.
    """
    for name in (DEFAULT_SUITE, *(["privacy"] if privacies else []), *schema.available()):
        kept = [
            case
            for case in schema.check(schema.read(name)).cases
            if case.privacy in (privacies or [case.privacy])
            and (case.engine in wanted if wanted else case.network != "hosts")
        ]
        if set(wanted) <= {case.engine for case in kept} and set(privacies) <= {case.privacy for case in kept}:
            return name
    return DEFAULT_SUITE


def _dataset(options: argparse.Namespace, entry: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a dataset with the files and columns of the command line in them."""
    files = [str(Path(file).resolve()) for file in options.data or []]
    share = options.charged_off_share
    if options.label:
        if not files:
            raise UserError("--label: name the CSV that it is a column of with --data FILE")
        if share is not None:
            raise UserError("--charged-off-share: for Lending Club's loans only, not with --label")
        test = str(Path(options.test).resolve()) if options.test else None
        extra = {"id": options.id, "test": test}
        return {"kind": "tabular", "files": files, "label": options.label, **{k: v for k, v in extra.items() if v}}
    for flag, value in (("--id", options.id), ("--test", options.test)):
        if value:
            raise UserError(f"{flag}: needs --label, which names the label column of your CSV")
    if len(files) > 1:
        raise UserError("--data: several files, one a party, need --label, which names their label column")
    kept = {"charged_off_share": entry["charged_off_share"]} if "charged_off_share" in entry else {}
    wanted = kept if share is None else {"charged_off_share": share}
    return {"kind": "lending_club", "file": files[0], **wanted} if files else {**entry, **wanted}


def _only(plan: dict[str, Any], key: str, wanted: list[str]) -> list[dict[str, Any]]:
    default = plan.get("defaults", {}).get(key, schema.CASE_DEFAULTS["privacy"] if key == "privacy" else None)
    kept = [case for case in plan["cases"] if case.get(key, default) in wanted]
    offered = sorted({str(case.get(key, default)) for case in plan["cases"]})
    missing = [name for name in wanted if name not in offered]
    if missing:
        raise UserError(f"--{key}: the suite has no case with {missing[0]!r}; it has {', '.join(offered)}")
    return kept


if __name__ == "__main__":
    sys.exit(main())
