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
from typing import Any

from bench.engines import registry
from bench.engines.federated.contract import PrivacyMode, Shape, Side
from bench.i18n.language import gettext, listed, ngettext
from bench.i18n.messages import Message
from bench.results.record import Operation, PartyTime
from bench.results.view import CaseView, RunView, is_arbiter
from bench.stats import formatting
from bench.stats.comparison import Comparison
from bench.stats.summaries import Summary, median_of

# An error above this, in whole per cents, is told plainly.
TOLERATED = 0.2

# Settings that say how long or how well a case trains, not what one epoch of it costs.
_NOT_OF_THE_COST = ("epochs", "tolerance", "learning_rate", "alpha")
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

    case: CaseView
    mode: PrivacyMode
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
        return self.mode.name

    @property
    def options(self) -> Mapping[str, Any]:
        """The mode's options."""
        return self.case.record.privacy_options

    @property
    def steps(self) -> float:
        """Messages each way of a party in an epoch."""
        return len(self.mode.steps) / self.passes

    def operations(self, side: Side, of: Cryptography, parties: int, features: int) -> float:
        """Return the CPU seconds of a process's cryptography in an epoch."""
        if not of.units:
            return 0.0
        due = self.mode.operations(Shape(parties, features), self.options, side)
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
    case: CaseView
    measured: Summary | None
    predicted: Prediction | None
    trouble: str = ""

    @property
    def error(self) -> float | None:
        """(predicted - measured) / measured."""
        if self.predicted is None or not self.measured:
            return None
        return float(self.predicted.epoch / self.measured.median - 1.0)


def candidates(run: RunView) -> list[CaseView]:
    """Return the finished cases in a privacy mode whose arithmetic the kit knows, in the order of the run."""
    return [case for case in run.finished if known_mode(case)]


def known_mode(case: CaseView) -> PrivacyMode | None:
    """Return a case's privacy mode; None where it is a platform's own, or a plug-in's that is not installed."""
    mode = registry.mode(case.record.engine, case.record.privacy)
    return mode if isinstance(mode, PrivacyMode) else None


def name_of_mode(case: CaseView) -> str:
    """Name a case's privacy mode; that of a platform is the platform's own."""
    platform = case.record.platform
    return f"{case.record.privacy} ({platform})" if platform else str(case.record.privacy)


def first_of_each(cases: Sequence[CaseView]) -> list[CaseView]:
    """Return the first case of each engine, privacy mode and way to train."""

    def again(case: CaseView, other: CaseView) -> bool:
        return case.record.engine == other.record.engine and alike(case, other)

    return [case for place, case in enumerate(cases) if not any(again(case, other) for other in cases[:place])]


def against_plain(cases: Sequence[CaseView]) -> list[tuple[CaseView, Comparison]]:
    """Return how the time of each protected case compares with plain on the same rows, where that is known."""
    found = []
    for case in cases:
        base = case.unprotected
        compared = case.times_against(base) if base and base is not case else None
        if compared and compared.interval:
            found.append((case, compared))
    return found


def reference_operations(case: CaseView, rows: int, features: int) -> Sequence[tuple[Message, str, int]]:
    """Return what another implementation of the case's mode would do in an epoch: (line, operation, how often)."""
    mode = known_mode(case)
    return mode.reference_operations(rows, features) if mode else ()


def calibrated(run: RunView) -> tuple[list[Model], list[str]]:
    """Return a model of each mode of a run, from its first finished case, and a line for each that lacks something.

    Cases of one mode that train in another way, or with keys of another length, get a model each.
    """
    models: list[Model] = []
    troubles = []
    for case in first_of_each(candidates(run)):
        try:
            models.append(calibrate(case))
        except NotMeasuredError as error:
            troubles.append(str(error))
    return models, troubles


def alike(one: CaseView, other: CaseView) -> bool:
    """Say whether two cases do the same work on rows, features and parties that may differ."""
    mode = known_mode(one)
    options = mode.cost_options if mode else ()
    settings = [
        (
            case.record.privacy,
            {key: value for key, value in case.record.training.items() if key not in _NOT_OF_THE_COST},
            {key: case.record.privacy_options.get(key) for key in options},
        )
        for case in (one, other)
    ]
    return settings[0] == settings[1]


def work_of(case: CaseView) -> Work:
    """Return what a finished case did.

    Raises NotMeasuredError where the run does not say.
    """
    rows = [median_of(times.rows) for times in case.training_parties.values()]
    features = case.dataset.features if case.dataset else None
    known = [count for count in rows if count is not None]
    if not rows or len(known) < len(rows) or not features:
        raise NotMeasuredError(f"case {case.id}: its rows and features are not recorded")
    cores = case.run.environment.cores_available
    if not cores:
        raise NotMeasuredError(f"case {case.id}: the machine's cores are not recorded")
    return Work(tuple(known), features, cores)


def calibrate(case: CaseView) -> Model:
    """Take the sizes of all terms from a finished case.

    Raises NotMeasuredError where the case lacks one.
    """
    work = work_of(case)
    parties = list(case.training_parties.values())
    arbiters = [times for key, times in case.by_party.items() if is_arbiter(key)]
    if len(arbiters) != 1:
        raise NotMeasuredError(f"case {case.id}: the arbiter was not measured")
    passes = int(case.record.training.get("local_epochs") or 1)
    mode = _mode(case)
    steps = len(mode.steps) / passes
    everybody = list(zip(work.rows, parties, strict=True))
    # In some modes the guest trains in plain.
    groups = [everybody[:1], everybody[1:]] if _in_plain(parties[0], parties[-1]) else [everybody]
    kinds = [_party(case, work, group, parties, steps, passes) for group in groups]
    cryptography, rest = _cryptography(case, work, "arbiter", arbiters, arbiters, passes)
    largest = case.largest or PartyTime()
    transfer = median_of(largest.phases.get("transfer")) or 0.0
    return Model(
        case,
        mode,
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


def _mode(case: CaseView) -> PrivacyMode:
    mode = known_mode(case)
    if mode is None:
        raise NotMeasuredError(f"case {case.id}: privacy mode {case.record.privacy!r} is not known here")
    return mode


def _in_plain(guest: PartyTime, host: PartyTime) -> bool:
    """Say whether the guest does none of the operations that a host does."""
    return _counts(host) > 0 and _counts(guest) == 0


def _counts(times: PartyTime) -> float:
    """Return how many operations, of any kind, a process does an epoch."""
    return sum(median_of(operation.count) or 0.0 for operation in times.operations.values())


def _party(
    case: CaseView,
    work: Work,
    group: Sequence[tuple[float, PartyTime]],
    everybody: Sequence[PartyTime],
    steps: float,
    passes: int,
) -> Party:
    """Take what a party costs from those (rows, measured) that do alike; ``everybody`` may have timed an operation."""
    processes = [times for _, times in group]
    cryptography, rest = _cryptography(case, work, "party", processes, everybody, passes)
    fixed, rate = line(
        [rows * (work.features + 1) for rows, _ in group], [_cpu_of(times, "compute") for times in processes]
    )
    return Party(fixed, rate, cryptography, fmean(rest) / steps)


def _cryptography(
    case: CaseView,
    work: Work,
    side: Side,
    processes: Sequence[PartyTime],
    everybody: Sequence[PartyTime],
    passes: int,
) -> tuple[Cryptography, list[float]]:
    """Return what the cryptography of ``processes``, which do alike, costs one of them, and what the rest of each does.

    The rest is an epoch's CPU seconds without computing and cryptography. Raises NotMeasuredError where the mode's
    arithmetic is not what was counted, or nobody of ``everybody`` timed an operation.
    """
    due: Mapping[str, float] = {}
    if side == "arbiter" or any(map(_counts, processes)):
        shape = Shape(len(work.rows), work.features)
        due = _mode(case).operations(shape, case.record.privacy_options, side)
    units = {}
    for operation, times in due.items():
        _check_counts(case, operation, times / passes, processes)
        timed = [median_of(each.operations.get(operation, Operation()).seconds) for each in everybody]
        known = [seconds for seconds in timed if seconds is not None]
        if not known:
            raise NotMeasuredError(f"case {case.id}: the operation {operation!r} is not timed; run it again")
        units[operation] = fmean(known)
    # A process without operations that adds up numbers does so as part of handling messages.
    spent = [sum(_cpu_of(each, phase) for phase in CRYPTOGRAPHY) if due else 0.0 for each in processes]
    product = sum(times * units[operation] for operation, times in due.items()) / passes
    rest = [
        max(0.0, _cpu(case, each) - _cpu_of(each, "compute") - seconds)
        for each, seconds in zip(processes, spent, strict=True)
    ]
    return Cryptography(units, max(0.0, fmean(spent) - product)), rest


def _check_counts(case: CaseView, operation: str, due: float, processes: Sequence[PartyTime]) -> None:
    """Raise NotMeasuredError where an operation was not done as often as the mode's arithmetic says."""
    for times in processes:
        counted = median_of(times.operations.get(operation, Operation()).count) or 0.0
        if abs(counted - due) > _ROUNDING * due:
            raise NotMeasuredError(
                f"case {case.id}: {operation!r} was done {counted:g} times an epoch where {due:g} were expected; "
                "the model does not cover this training"
            )


def _cpu(case: CaseView, times: PartyTime) -> float:
    """Return the CPU seconds of a process's epoch."""
    if times.cpu_seconds is None or not times.cpu_phases:
        raise NotMeasuredError(f"case {case.id}: CPU seconds by phase are not measured; run it again")
    return times.cpu_seconds.median


def _cpu_of(times: PartyTime, phase: str) -> float:
    """Return the CPU seconds of a phase; a phase that a process never entered took none."""
    return median_of(times.cpu_phases.get(phase)) or 0.0


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
    sent, received = (size / model.passes for size in model.mode.sizes(Shape(*shape), model.options))
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


def checks(models: Sequence[Model], runs: Sequence[RunView]) -> list[Check]:
    """Compare each model with the other finished cases of its mode in ``runs``."""
    found = []
    for model in models:
        for run in runs:
            for case in candidates(run):
                if case is model.case or not alike(case, model.case):
                    continue
                epoch = case.epoch
                try:
                    predicted, trouble = predict(model, work_of(case)), ""
                except NotMeasuredError as error:
                    predicted, trouble = None, str(error)
                if epoch is None:
                    trouble = f"case {case.id}: its epoch is not measured"
                found.append(Check(model, run.record.run_id, case, epoch, predicted, trouble))
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
