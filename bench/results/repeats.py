"""From what a repeat measured to the figures of run.json: one value a repeat, then the summary over repeats."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from statistics import median
from typing import Any

import msgspec

from bench.engines.contract import Outcome, PartyTrace
from bench.measure.spans import PHASES, epoch_rows
from bench.results.record import Resources, Time, Traffic
from bench.stats.summaries import Summary, summarise

Tree = dict[str, Any]


def figures(outcome: Outcome, scores: Mapping[str, Mapping[str, float | None]], warmup: int, local_epochs: int) -> Tree:
    """Return one repeat's figures in the shape of a case of run.json, a number where that has a summary.

    Epochs up to ``warmup`` passes are left out of the times. Seconds of a round are divided by its ``local_epochs``
    passes.
    """
    parties = {f"{party.party}/{party.role}": party for party in outcome.parties}
    times = {key: _party_time(party, warmup, local_epochs) for key, party in parties.items()}
    traffic = {
        key: _party_bytes(party, warmup, local_epochs) for key, party in parties.items() if party.role != "arbiter"
    }
    traffic = {key: value for key, value in traffic.items() if value["epoch_sent"] is not None}
    wires = [party.wire for party in outcome.parties if party.wire is not None]
    return {
        "metrics": dict(next(iter(scores.values()))) if len(scores) == 1 else None,
        "models": {name: dict(values) for name, values in scores.items()},
        "time": {
            "training_seconds": outcome.training_seconds,
            "startup_seconds": outcome.startup_seconds,
            "stages": dict(outcome.stages) or None,
            "by_party": {key: value for key, value in times.items() if value is not None},
        },
        "bytes": {
            "epoch_sent": sum(value["epoch_sent"] for value in traffic.values()),
            "epoch_received": sum(value["epoch_received"] for value in traffic.values()),
            "by_party": traffic,
            "wire": {way: sum(wire[way] for wire in wires) for way in ("sent", "received")} if wires else None,
        }
        if traffic
        else None,
        "resources": {"by_party": {key: _party_resources(key, party, outcome) for key, party in parties.items()}},
    }


def _measured(number: int, warmup: int, local_epochs: int) -> bool:
    """Tell whether a round counts: not the set-up (0), and no pass of it within the warm-up."""
    return number > 0 and (number - 1) * local_epochs >= warmup


def _party_time(party: PartyTrace, warmup: int, local_epochs: int) -> Tree | None:
    """Return the times of one process's measured epochs; None when it recorded none.

    All are means over the middle half of the epochs, by wall time: as robust as medians, and the phases add up to the
    epoch, which medians do not (where either of two phases is long, both medians are short).
    """
    epochs = [epoch for epoch in party.recorder.epochs if _measured(epoch.epoch, warmup, local_epochs)]
    if not epochs:
        return None
    by_wall = sorted(epochs, key=lambda epoch: epoch.seconds)
    quarter = len(by_wall) // 4
    middle = {epoch.epoch: epoch for epoch in by_wall[quarter : len(by_wall) - quarter]}
    totals: dict[str, float] = {}
    cpu: dict[str, float] = {}
    for row in epoch_rows(party.recorder):
        if row["epoch"] in middle:
            totals[row["phase"]] = totals.get(row["phase"], 0.0) + row["seconds"]
            if row["cpu_seconds"] is not None:
                cpu[row["phase"]] = cpu.get(row["phase"], 0.0) + row["cpu_seconds"]
    wall = sum(epoch.seconds for epoch in middle.values())
    passes = len(middle) * local_epochs
    operations = _operations(party, middle.keys(), passes)
    return {
        "epoch_seconds": wall / passes,
        "cpu_seconds": sum(epoch.cpu_seconds for epoch in middle.values()) / passes,
        "attributed_share": 1.0 - totals["unattributed"] / wall,
        "phases": {phase: totals[phase] / passes for phase in PHASES if phase in totals},
        "cpu_phases": {phase: cpu[phase] / passes for phase in PHASES if phase in cpu},
        "rows": party.rows,
        **({"operations": operations} if operations else {}),
    }


def _operations(party: PartyTrace, epochs: Collection[int], passes: int) -> Tree:
    """Return how often each operation of a protection was done a pass, over ``epochs``, and its CPU seconds each.

    The seconds are None where nobody measured that operation by itself.
    """
    seconds: dict[str, float] = party.operations
    counts: dict[str, float] = dict.fromkeys(seconds, 0.0)
    for (epoch, operation), times in party.recorder.counts.items():
        if epoch in epochs:
            counts[operation] = counts.get(operation, 0.0) + times
    return {
        operation: {"count": times / passes, "seconds": seconds.get(operation)} for operation, times in counts.items()
    }


def _party_bytes(party: PartyTrace, warmup: int, local_epochs: int) -> Tree:
    """Return median message bytes of a measured round each way; None where no message was exchanged."""
    result: Tree = {}
    rows = [row for row in epoch_rows(party.recorder) if _measured(row["epoch"], warmup, local_epochs)]
    for way in ("sent", "received"):
        of_rounds = [row[f"bytes_{way}"] for row in rows if row[f"bytes_{way}"] is not None]
        result[f"epoch_{way}"] = median(of_rounds) / local_epochs if of_rounds else None
    return result


def _party_resources(key: str, party: PartyTrace, outcome: Outcome) -> Tree:
    """Return CPU over the epochs (from the process's own clock) and memory peaks (the kernel's, largest USS seen)."""
    epochs = [epoch for epoch in party.recorder.epochs if epoch.epoch > 0]  # in the set-up it waits for others to start
    wall, cpu = sum(epoch.seconds for epoch in epochs), sum(epoch.cpu_seconds for epoch in epochs)
    rows = [row for row in outcome.samples.rows if row["party"] == key]
    sampled_rss = [row["rss"] for row in rows if row.get("rss") is not None]
    uss = [value for value in (party.uss, *(row.get("uss") for row in rows)) if value is not None]
    return {
        "cpu_percent": 100.0 * cpu / wall if wall else None,
        "cpu_seconds": cpu if wall else None,
        "rss_peak_bytes": party.peak_rss if party.peak_rss is not None else max(sampled_rss, default=None),
        "uss_peak_bytes": max(uss, default=None),
    }


class Measured(msgspec.Struct):
    """The part of a case's record that its repeats' figures are summarised to."""

    metrics: dict[str, Summary] = {}
    models: dict[str, dict[str, Summary]] = {}
    time: Time | None = None
    bytes: Traffic | None = None
    resources: Resources | None = None


def over_repeats(repeats: Sequence[Tree]) -> Measured:
    """Summarise the figures of finished repeats, and name the critical party: the one with the most rows.

    Its computing takes longest, so the others wait for it, and its epoch stands for the case.
    """
    measured = msgspec.convert(_merge(repeats) or {}, Measured)
    time = measured.time
    sizes = {key: times.rows.median for key, times in time.by_party.items() if times.rows} if time else {}
    if time and sizes:
        time.critical_party = max(sizes, key=lambda key: sizes[key])
        largest = time.by_party[time.critical_party]
        time.epoch_seconds, time.attributed_share = largest.epoch_seconds, largest.attributed_share
    return measured


def _merge(values: Sequence[Any]) -> Any:
    """Merge trees of the same shape: a summary where there were numbers, nothing where nothing was measured."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    if isinstance(known[0], dict):
        keys = list(dict.fromkeys(key for value in known for key in value))
        merged = {key: _merge([value.get(key) for value in known]) for key in keys}
        return {key: value for key, value in merged.items() if value is not None}
    return msgspec.to_builtins(summarise(known))
