"""The cost model: what an epoch of a privacy mode is made of, measured in one case and predicted for another shape.

Every term is something that happens, with a size that one finished case, the calibrating one, has measured:

- computing: a fixed part, and a rate times rows x (features + 1), fitted over the parties;
- cryptography: how often each operation is done, by the mode's own arithmetic, times the CPU seconds of one; and what
  comes on top;
- messages: all other CPU seconds of a party for each step and of the arbiter for each message, and the wall seconds
  that a step takes beyond them;
- the network, where it is not the loopback: a round trip a step, and all bytes through the arbiter's link.

docs/predict.md says what the model leaves out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

from bench.engines.federated.privacy.contract import Shape
from bench.engines.federated.privacy.registry import MODES
from bench.i18n.language import gettext, listed, ngettext
from bench.stats import formatting, summaries
from bench.stats.summaries import dig, measured

Case = Mapping[str, Any]
Run = Mapping[str, Any]
Side = Literal["party", "arbiter"]

# An error above this, in whole per cents, is told plainly.
TOLERATED = 0.2

# Settings that say how long or how well a case trains, not what one epoch of it costs.
_NOT_OF_THE_COST = ("epochs", "tolerance", "learning_rate", "alpha")
# Options that decide what one operation costs; of the others the modes' arithmetic takes care.
_OF_ONE_OPERATION = ("key_bits", "protects")
# The phases that a privacy mode does its operations in.
CRYPTOGRAPHY = ("encrypt", "decrypt", "aggregate")
# Counts closer than this (relative) are the same.
_ROUNDING = 1e-6
# Parties with row counts closer than this say nothing about which part of the computing is fixed.
_LEAST_RATIO = 1.2


class NotMeasuredError(ValueError):
    """A case lacks what the model needs; the text names the case and what."""


@dataclass(frozen=True)
class Cryptography:
    """The operations of a process: ``units`` are the CPU seconds of one of each, ``rest`` what comes on top an epoch.

    The rest is what the phases encrypt, decrypt and aggregate take beyond the operations: numbers are packed, sums
    taken. Empty units: the process does none.
    """

    units: Mapping[str, float]
    rest: float


@dataclass(frozen=True)
class Party:
    """What an epoch costs a party, in CPU seconds; ``step`` is all but computing and cryptography, a message each way.

    Computing is ``fixed`` + ``rate`` x rows x (features + 1).
    """

    fixed: float
    rate: float
    cryptography: Cryptography
    step: float

    def computing(self, rows: float, features: int) -> float:
        """Return the CPU seconds of computing on so many rows."""
        return self.fixed + self.rate * rows * (features + 1)


@dataclass(frozen=True)
class Model:
    """What a mode costs, as ``case`` measured it; ``rows`` holds one number a party, the guest's first.

    ``guest`` and ``host`` differ in modes that have the guest train in plain. ``arbiter_message`` are the CPU seconds
    of the arbiter beside its cryptography, for each message, and ``delay`` the wall seconds that a step takes beyond
    the party's CPU seconds. ``passes`` go over the data between two sums.
    """

    case: Case
    rows: tuple[float, ...]
    features: int
    cores: int | None
    passes: int
    guest: Party
    host: Party
    arbiter: Cryptography
    arbiter_message: float
    delay: float

    @property
    def privacy(self) -> str:
        """The mode's name."""
        return str(self.case["privacy"])

    @property
    def options(self) -> Mapping[str, Any]:
        """The mode's options."""
        return self.case.get("privacy_options") or {}

    @property
    def steps(self) -> float:
        """Messages each way of a party in an epoch."""
        return len(MODES[self.privacy].load().STEPS) / self.passes

    def operations(self, side: Side, of: Cryptography, parties: int, features: int) -> float:
        """Return the CPU seconds of a process's cryptography in an epoch."""
        if not of.units:
            return 0.0
        due = MODES[self.privacy].load().operations(Shape(parties, features), self.options, side)
        return float(sum(times * of.units[operation] for operation, times in due.items())) / self.passes + of.rest


@dataclass(frozen=True)
class Work:
    """What is to be predicted: training ``rows`` (one number a party), ``features``, and where.

    On one machine of ``cores`` processors, or, where that is None, each process on a machine of its own, with round
    trips of ``rtt`` seconds and links of ``bandwidth`` bytes a second each way (None: no limit).
    """

    rows: tuple[float, ...]
    features: int
    cores: int | None
    rtt: float = 0.0
    bandwidth: float | None = None


@dataclass(frozen=True)
class Prediction:
    """Wall seconds of an epoch and its parts, which add up to it, and the message bytes of one party.

    ``computing`` and ``party`` (cryptography) are those of the party with the most to do, ``arbiter`` is the arbiter's
    cryptography, ``sharing`` the time that processes wait for a core that others use.
    """

    epoch: float
    computing: float
    party: float
    arbiter: float
    messages: float
    network: float
    sharing: float
    sent: float
    received: float


@dataclass(frozen=True)
class Check:
    """A prediction held against a case that the model was not calibrated on; ``trouble`` says why there is none."""

    model: Model
    run: str
    case: Case
    measured: summaries.Summary | None
    predicted: Prediction | None
    trouble: str = ""

    @property
    def error(self) -> float | None:
        """(predicted - measured) / measured."""
        if self.predicted is None or not self.measured:
            return None
        return float(self.predicted.epoch / self.measured["median"] - 1.0)


def candidates(run: Run) -> list[Case]:
    """Return the finished cases of the embedded engine, in the order of the run."""
    return [
        case
        for case in run["cases"]
        if case.get("engine") == "federated" and summaries.finished(case) and case.get("privacy") in MODES
    ]


def calibrated(run: Run) -> tuple[list[Model], list[str]]:
    """Return a model of each mode of a run, from its first finished case, and a line for each that lacks something.

    Cases of one mode that train in another way, or with keys of another length, get a model each.
    """
    models: list[Model] = []
    troubles = []
    seen: list[Case] = []
    for case in candidates(run):
        if any(alike(case, other) for other in seen):
            continue
        seen.append(case)
        try:
            models.append(calibrate(run, case))
        except NotMeasuredError as error:
            troubles.append(str(error))
    return models, troubles


def alike(one: Case, other: Case) -> bool:
    """Say whether two cases do the same work on rows, features and parties that may differ."""
    settings = [
        (
            case.get("privacy"),
            {key: value for key, value in (case.get("training") or {}).items() if key not in _NOT_OF_THE_COST},
            {key: dig(case, "privacy_options", key) for key in _OF_ONE_OPERATION},
        )
        for case in (one, other)
    ]
    return settings[0] == settings[1]


def work_of(run: Run, case: Case) -> Work:
    """Return what a finished case did.

    Raises NotMeasuredError where the run does not say.
    """
    parties = summaries.training_parties(case)
    rows = [dig(measured(facts.get("rows")), "median") for facts in parties.values()]
    features = dig(run, "datasets", str(case.get("dataset")), "features")
    if not rows or None in rows or not features:
        raise NotMeasuredError(f"case {case['id']}: its rows and features are not recorded")
    cores = dig(run, "environment", "cores_available")
    if not cores:
        raise NotMeasuredError(f"case {case['id']}: the machine's cores are not recorded")
    return Work(tuple(map(float, rows)), int(features), int(cores))


def calibrate(run: Run, case: Case) -> Model:
    """Take the sizes of all terms from a finished case of engine federated.

    Raises NotMeasuredError where the case lacks one, as those of older versions of the kit do.
    """
    work = work_of(run, case)
    parties = summaries.training_parties(case)
    by_party: Mapping[str, Any] = case["time"]["by_party"]
    arbiters = [facts for key, facts in by_party.items() if key not in parties]
    if len(arbiters) != 1:
        raise NotMeasuredError(f"case {case['id']}: the arbiter was not measured")
    passes = int(dig(case, "training", "local_epochs") or 1)
    steps = len(MODES[str(case["privacy"])].load().STEPS) / passes
    everybody = list(zip(work.rows, parties.values(), strict=True))
    # In some modes the guest trains in plain.
    groups = [everybody[:1], everybody[1:]] if _in_plain(everybody[0][1], everybody[-1][1]) else [everybody]
    kinds = [_party(case, work, group, list(parties.values()), steps, passes) for group in groups]
    cryptography, rest = _cryptography(case, work, "arbiter", arbiters, arbiters, passes)
    largest = by_party.get(dig(case, "time", "critical_party")) or {}
    transfer = dig(measured(dig(largest, "phases", "transfer")), "median") or 0.0
    return Model(
        case,
        work.rows,
        work.features,
        work.cores,
        passes,
        guest=kinds[0],
        host=kinds[-1],
        arbiter=cryptography,
        arbiter_message=rest[0] / steps / len(parties),
        delay=max(0.0, transfer - _cpu_of(largest, "transfer")) / steps,
    )


def _in_plain(guest: Mapping[str, Any], host: Mapping[str, Any]) -> bool:
    """Say whether the guest does none of the operations that a host does."""
    return _counts(host) > 0 and _counts(guest) == 0


def _counts(facts: Mapping[str, Any]) -> float:
    """Return how many operations, of any kind, a process does an epoch."""
    return sum(dig(measured(dig(of, "count")), "median") or 0.0 for of in (facts.get("operations") or {}).values())


def _party(
    case: Case,
    work: Work,
    group: Sequence[tuple[float, Mapping[str, Any]]],
    everybody: Sequence[Mapping[str, Any]],
    steps: float,
    passes: int,
) -> Party:
    """Take what a party costs from those (rows, measured) that do alike; ``everybody`` may have timed an operation."""
    processes = [facts for _, facts in group]
    cryptography, rest = _cryptography(case, work, "party", processes, everybody, passes)
    fixed, rate = line(
        [rows * (work.features + 1) for rows, _ in group], [_cpu_of(facts, "compute") for facts in processes]
    )
    return Party(fixed, rate, cryptography, fmean(rest) / steps)


def _cryptography(
    case: Case,
    work: Work,
    side: Side,
    processes: Sequence[Mapping[str, Any]],
    everybody: Sequence[Mapping[str, Any]],
    passes: int,
) -> tuple[Cryptography, list[float]]:
    """Return what the cryptography of ``processes``, which do alike, costs one of them, and what the rest of each does.

    The rest is an epoch's CPU seconds without computing and cryptography. Raises NotMeasuredError where the mode's
    arithmetic is not what was counted, or nobody of ``everybody`` timed an operation.
    """
    due: Mapping[str, float] = {}
    if side == "arbiter" or any(map(_counts, processes)):
        shape, mode = Shape(len(work.rows), work.features), MODES[str(case["privacy"])].load()
        due = mode.operations(shape, case.get("privacy_options") or {}, side)
    units = {}
    for operation, times in due.items():
        _check_counts(case, operation, times / passes, processes)
        timed = [measured(dig(facts, "operations", operation, "seconds")) for facts in everybody]
        known = [float(summary["median"]) for summary in timed if summary]
        if not known:
            raise NotMeasuredError(f"case {case['id']}: the operation {operation!r} is not timed; run it again")
        units[operation] = fmean(known)
    # A process without operations that adds up numbers does so as part of handling messages.
    spent = [sum(_cpu_of(facts, phase) for phase in CRYPTOGRAPHY) if due else 0.0 for facts in processes]
    product = sum(times * units[operation] for operation, times in due.items()) / passes
    rest = [
        max(0.0, _cpu(case, facts) - _cpu_of(facts, "compute") - seconds)
        for facts, seconds in zip(processes, spent, strict=True)
    ]
    return Cryptography(units, max(0.0, fmean(spent) - product)), rest


def _check_counts(case: Case, operation: str, due: float, processes: Sequence[Mapping[str, Any]]) -> None:
    """Raise NotMeasuredError where an operation was not done as often as the mode's arithmetic says."""
    for facts in processes:
        counted = dig(measured(dig(facts, "operations", operation, "count")), "median") or 0.0
        if abs(counted - due) > _ROUNDING * due:
            raise NotMeasuredError(
                f"case {case['id']}: {operation!r} was done {counted:g} times an epoch where {due:g} were expected; "
                "the model does not cover this training"
            )


def _cpu(case: Case, facts: Mapping[str, Any]) -> float:
    """Return the CPU seconds of a process's epoch."""
    whole = measured(facts.get("cpu_seconds"))
    if whole is None or not dig(facts, "cpu_phases"):
        raise NotMeasuredError(f"case {case['id']}: CPU seconds by phase are not measured; run it again")
    return float(whole["median"])


def _cpu_of(facts: Mapping[str, Any], phase: str) -> float:
    """Return the CPU seconds of a phase; a phase that a process never entered took none."""
    return float(dig(measured(dig(facts, "cpu_phases", phase)), "median") or 0.0)


def line(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """Return (fixed, rate) of y = fixed + rate x, by least squares; neither is negative.

    Where the values of x are about the same, or the fit goes below zero, the line goes through the origin.
    """
    if max(x) >= _LEAST_RATIO * min(x):
        middle = fmean(x)
        rate = sum((a - middle) * b for a, b in zip(x, y, strict=True)) / sum((a - middle) ** 2 for a in x)
        fixed = fmean(y) - rate * middle
        if fixed >= 0 and rate >= 0:
            return fixed, rate
    return 0.0, sum(a * b for a, b in zip(x, y, strict=True)) / sum(a * a for a in x)


def predict(model: Model, work: Work) -> Prediction:
    """Predict an epoch of the model's mode.

    An epoch ends when the busiest core is done with its parties' work, or all cores with everybody's, whichever is
    later; then the arbiter takes the last messages, and answers. With a machine for each process, the party with the
    most to do has a core to itself.
    """
    count = len(work.rows)
    shape = (count, work.features)
    kinds = [model.guest, *[model.host] * (count - 1)]
    computing = [kind.computing(rows, work.features) for kind, rows in zip(kinds, work.rows, strict=True)]
    own = [model.operations("party", kind.cryptography, *shape) for kind in kinds]
    talking = [model.steps * kind.step for kind in kinds]
    loads = [sum(parts) for parts in zip(computing, own, talking, strict=True)]
    most = loads.index(max(loads))
    taking = model.steps * model.arbiter_message
    if work.cores is None:
        parties_done, messages = loads[most], talking[most] + count * taking
    else:
        parties_done = max(_busiest(work.rows, loads, work.cores), (sum(loads) + (count - 1) * taking) / work.cores)
        messages = talking[most] + taking
    messages += model.steps * model.delay
    mode = MODES[model.privacy].load()
    sent, received = (size / model.passes for size in mode.sizes(Shape(*shape), model.options))
    network = model.steps * work.rtt
    if work.bandwidth is not None:
        network += count * (sent + received) / work.bandwidth
    arbiter = model.operations("arbiter", model.arbiter, *shape)
    parts = (computing[most], own[most], arbiter, messages, network, parties_done - loads[most])
    return Prediction(sum(parts), *parts, sent, received)


def _busiest(rows: Sequence[float], loads: Sequence[float], cores: int) -> float:
    """Return the seconds of the core with the most to do.

    More parties than cores are each given one of them, as the embedded engine does: most rows first, each to the core
    with the fewest.
    """
    if len(rows) <= cores:
        return max(loads)
    held, seconds = [0.0] * cores, [0.0] * cores
    for count, load in sorted(zip(rows, loads, strict=True), key=lambda party: -party[0]):
        core = held.index(min(held))
        held[core] += count
        seconds[core] += load
    return max(seconds)


def checks(models: Sequence[Model], runs: Sequence[Run]) -> list[Check]:
    """Hold each model against the other finished cases of its mode in ``runs``."""
    found = []
    for model in models:
        for run in runs:
            for case in candidates(run):
                if case is model.case or not alike(case, model.case):
                    continue
                epoch = measured(dig(case, "time", "epoch_seconds"))
                try:
                    predicted, trouble = predict(model, work_of(run, case)), ""
                except NotMeasuredError as error:
                    predicted, trouble = None, str(error)
                if epoch is None:
                    trouble = f"case {case['id']}: its epoch is not measured"
                found.append(Check(model, str(run["run_id"]), case, epoch, predicted, trouble))
    return found


def error_in_words(error: float) -> str:
    """Write a relative error with its sign; above zero the prediction is too long."""
    return f"{100 * error:+.0f}{formatting.SPACE}%".replace("-", "\N{MINUS SIGN}")


def verdict(errors: Mapping[str, float]) -> str:
    """Say plainly whether the model holds; ``errors`` are those of held-out cases by name."""
    limit = f"{100 * TOLERATED:.0f}{formatting.SPACE}%"
    off = [
        gettext("{case} ({error})", case=name, error=error_in_words(error))
        for name, error in errors.items()
        if round(abs(error), 2) > TOLERATED
    ]
    if off:
        return gettext(
            "Off by more than {limit} in {n} of {all} cases: {cases}.",
            limit=limit,
            n=len(off),
            all=len(errors),
            cases=listed(off),
        )
    return ngettext(
        "Within {limit} in the one case.", "Within {limit} in all {n} cases.", len(errors), limit=limit, n=len(errors)
    )
