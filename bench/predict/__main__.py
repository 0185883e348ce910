"""Predict what an epoch of each privacy mode takes for other rows, features, parties and networks, and check that.

The model (cost.py, docs/predict.md) is calibrated on the first finished case of each mode in a run. Its other finished
cases, which the model has not seen, tell how far off it is.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from bench import cli
from bench.errors import UserError
from bench.predict import cost
from bench.predict.cost import Check, Model, Prediction, Work
from bench.results.view import RunView, open_run
from bench.stats import formatting

RESULTS = Path("results")
MBIT = 1e6 / 8  # bytes a second

EXAMPLES = """\
examples:
  python -m bench.predict                                        as measured, and how far off the model is
  python -m bench.predict --rows 2000000 --features 100 --parties 10
  python -m bench.predict --parties 5 --bandwidth 100 --rtt 20   each party on a machine of its own
  python -m bench.predict results/20261124-140501-privacy --privacy plain masked
  python -m bench.predict --against results/20261125-091500-privacy

What is not given is as in the case that the mode is calibrated on; without --bandwidth and --rtt all processes share
the machine of the run. Exit status: 0, or 2 with one line where there is nothing to predict from.
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = cli.argument_parser(
        "predict", "Predict seconds and bytes of an epoch of each privacy mode from what a run has measured.", EXAMPLES
    )
    add = made.add_argument
    add(
        "run",
        metavar="RUN",
        nargs="?",
        type=Path,
        help="a run folder; default: the newest in results/ with federated cases of several privacy modes",
    )
    add("--rows", type=int, metavar="N", help="training rows of all parties together")
    add("--features", type=int, metavar="D", help="features")
    add("--parties", type=int, metavar="K", help="training parties; others than the calibrating case's hold even parts")
    add("--bandwidth", type=float, metavar="MBIT", help="of each machine's link, each way, in Mbit/s")
    add("--rtt", type=float, metavar="MS", help="round trip between a party and the arbiter, in milliseconds")
    add("--privacy", nargs="+", metavar="P", help="only these privacy modes")
    add("--against", nargs="+", metavar="RUN", type=Path, default=[], help="compare the model with these runs too")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    chosen = parser().parse_args(arguments)

    def work() -> None:
        sys.stdout.write(as_text(chosen))

    return cli.exit_status(work)


def as_text(chosen: argparse.Namespace) -> str:
    """Write everything that the command line asks for as plain text.

    Raises UserError where an option is wrong or the run has nothing to predict from.
    """
    for name in ("rows", "features", "parties", "bandwidth"):
        value = getattr(chosen, name)
        if value is not None and not (value > 0 and math.isfinite(value)):
            raise UserError(f"--{name}: {value} is not above zero")
    if chosen.rtt is not None and not (chosen.rtt >= 0 and math.isfinite(chosen.rtt)):
        raise UserError(f"--rtt: {chosen.rtt} is not zero or more")
    folder = chosen.run or _newest()
    run = open_run(folder)
    models = _models(folder, run, chosen.privacy)
    works = [_work(model, chosen) for model in models]
    predictions = [cost.predict(model, work) for model, work in zip(models, works, strict=True)]
    found = cost.checks(models, [run, *map(open_run, chosen.against)])
    lines = [f"Calibrated on {run.record.run_id}, the first finished case of each mode:"]
    lines += [f"  {_named(model)}: {_shape(cost.work_of(model.case))}" for model in models]
    lines += ["", *_predicted(models, works, predictions), "", *_held_out(found, run.record.run_id)]
    return "\n".join(lines) + "\n"


def _newest() -> Path:
    """Return the folder of the newest run that has finished federated cases of several privacy modes."""
    found = []
    for path in RESULTS.glob("*/run.json"):
        try:
            run = open_run(path.parent)
        except UserError:
            continue
        if len({case.record.privacy for case in cost.candidates(run)}) > 1:
            found.append((str(run.record.created), path.parent))
    if not found:
        raise UserError(
            f"{RESULTS}: no run with federated cases of several privacy modes; "
            "make one with python -m bench.run --suite privacy, or name a RUN"
        )
    return max(found)[1]


def _models(folder: Path, run: RunView, wanted: Sequence[str] | None) -> list[Model]:
    """Return the models of a run, of the privacy modes that are ``wanted``.

    Raises UserError where there is none, or not of each mode.
    """
    models, troubles = cost.calibrated(run)
    offered = list(dict.fromkeys(model.privacy for model in models))
    if not models:
        why = troubles[0] if troubles else "no case of engine federated has finished"
        raise UserError(f"{folder}: nothing to predict from: {why}")
    for name in wanted or []:
        if name not in offered:
            why = next((line for line in troubles if _mode_of(run, line) == name), f"it has {', '.join(offered)}")
            raise UserError(f"--privacy: {name!r} cannot be predicted from {folder}: {why}")
    return [model for model in models if not wanted or model.privacy in wanted]


def _mode_of(run: RunView, trouble: str) -> str | None:
    """Return the mode of the case that a trouble names."""
    return next((case.record.privacy for case in run.cases if trouble.startswith(f"case {case.id}:")), None)


def _work(model: Model, chosen: argparse.Namespace) -> Work:
    """Return what is asked for; what is not given is as in the calibrating case."""
    parties, rows = chosen.parties or len(model.rows), chosen.rows or sum(model.rows)
    if rows < parties:
        raise UserError(f"--rows: {rows:,.0f} rows are not enough for {parties} parties")
    shares = [part / sum(model.rows) for part in model.rows] if parties == len(model.rows) else [1 / parties] * parties
    apart = chosen.bandwidth is not None or chosen.rtt is not None
    return Work(
        tuple(rows * share for share in shares),
        chosen.features or model.features,
        None if apart else model.cores,
        rtt=(chosen.rtt or 0.0) / 1e3,
        bandwidth=None if chosen.bandwidth is None else chosen.bandwidth * MBIT,
    )


def _shape(work: Work) -> str:
    """Write rows, features and parties."""
    shares = [rows / sum(work.rows) for rows in work.rows]
    even = max(shares) < 1.01 * min(shares)
    spread = "even" if even else "/".join(f"{100 * share:.0f}" for share in shares)
    return (
        f"{formatting.count(sum(work.rows))} rows x {work.features} features, "
        f"{len(work.rows)} part{'y' if len(work.rows) == 1 else 'ies'} ({spread})"
    )


def _named(model: Model) -> str:
    """Name a model: by its mode, what decides its cost, and the case that it is calibrated on."""
    training, options = model.case.record.training, model.case.record.privacy_options
    how = [str(training["aggregation"])] if training.get("aggregation") else []
    how += [f"{key} {value}" for key, value in options.items() if value is not None]
    return f"{model.privacy} ({', '.join(how)}), case {model.case.id}" if how else f"case {model.case.id}"


def _where(work: Work) -> str:
    """Write where the processes run."""
    if work.cores is not None:
        return f"all processes on one machine with {work.cores} core{'' if work.cores == 1 else 's'}, as measured"
    speed = (
        "as fast as the loopback" if work.bandwidth is None else f"{formatting.number(work.bandwidth / MBIT)} Mbit/s"
    )
    return f"each process on a machine of its own, links of {speed}, round trip {formatting.number(1e3 * work.rtt)} ms"


def _predicted(models: Sequence[Model], works: Sequence[Work], predictions: Sequence[Prediction]) -> list[str]:
    """Lay out the predictions, one column a model, with the parts that add up to each epoch."""
    unit = formatting.time_unit(prediction.epoch for prediction in predictions)
    names = {
        "epoch": f"epoch ({unit.name})",
        "computing": "  computing",
        "party": "  cryptography, party",
        "arbiter": "  cryptography, arbiter",
        "messages": "  messages",
        "network": "  network",
        "sharing": "  waiting for a core",
    }
    lines = []
    places = [(_shape(work), _where(work)) for work in works]
    for place in dict.fromkeys(places):
        here = [number for number, other in enumerate(places) if other == place]
        rows = [["", *(str(models[number].case.id) for number in here)]]
        for key, name in names.items():
            rows.append([name, *(formatting.number(getattr(predictions[number], key) / unit.size) for number in here)])
        for key, name in (("sent", "sent a party (B)"), ("received", "received a party (B)")):
            rows.append([name, *(formatting.count(getattr(predictions[number], key)) for number in here)])
        lines += ["", f"Predicted, an epoch of {place[0]};", f"{place[1]}:", *_columns(rows)]
    return lines[1:]


def _held_out(found: Sequence[Check], run: str) -> list[str]:
    """Lay out what the model predicts for cases it was not calibrated on; those of other runs than ``run`` name it."""
    if not found:
        return ["No other finished case of these modes: the error of the model is not known."]
    both = [(check.measured.median, check.predicted.epoch) for check in found if check.measured and check.predicted]
    unit = formatting.time_unit(value for pair in both for value in pair)
    rows = [["", "calibrated on", *(f"{name} ({unit.name})" for name in ("measured", "predicted")), "error"]]
    errors: dict[str, float] = {}
    troubles = []
    for check in found:
        where = check.case.id if check.run == run else f"{check.run}: {check.case.id}"
        if check.error is None or check.measured is None or check.predicted is None:
            troubles.append(f"Not checked, {check.trouble}.")
            continue
        times = [formatting.number(value / unit.size) for value in (check.measured.median, check.predicted.epoch)]
        rows.append([where, str(check.model.case.id), *times, cost.error_in_words(check.error)])
        errors[where] = check.error
    lines = ["Held-out cases, which the model has not seen:", *_columns(rows)] if len(rows) > 1 else []
    return [*lines, *troubles, cost.verdict(errors)] if errors else troubles


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lay rows out in columns, words to the left and numbers to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            (
                "",
                *(
                    cell.rjust(width) if place else cell.ljust(width)
                    for place, (cell, width) in enumerate(zip(row, widths, strict=True))
                ),
            )
        ).rstrip()
        for row in rows
    ]


if __name__ == "__main__":
    sys.exit(main())
