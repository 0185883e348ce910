"""The report's section on privacy: what each protection costs, who learns what, and whether the cost model holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from bench.engines.federated.privacy import paillier_host
from bench.i18n import messages
from bench.i18n.language import gettext, gettext_noop, listed, sequence
from bench.pages import elements
from bench.pages.elements import Cell, Table
from bench.predict import cost
from bench.results import selection
from bench.results.selection import Case, Run, label_of, on_same_rows, repeats_of
from bench.stats import formatting, summaries
from bench.stats.comparison import Relation
from bench.stats.summaries import dig

_NOTHING = gettext_noop("no plain case")
# So many protections are named in the answer one by one.
_NAMED = 3


def section(run: Run, scores: pd.DataFrame) -> dict[str, Any] | None:
    """Return what the template shows; None where no finished case protects anything."""
    cases = _protected(run)
    if not cases:
        return None
    first = _first_of_each(cases)
    return {
        "said": sentence(run),
        "plot": _plot(first),
        "costs": _costs(cases, scores),
        "learns": _learns(cases),
        "operations": _operations(run, first),
        "held_out": _held_out(run),
    }


def sentence(run: Run) -> str | None:
    """Say what each protection costs against plain on the same rows; None where that cannot be told of any."""
    parts = [
        gettext("{case} {times}", case=label_of(case), times=_in_words(relation)) for case, _, relation in _ratios(run)
    ]
    return (
        gettext(
            "Against plain, an epoch takes ({confidence} intervals): {cases}.", cases=sequence(parts), **_CONFIDENCE
        )
        if parts
        else None
    )


def time(run: Run) -> str | None:
    """Say the same for the answer: of many protections, of the cheapest and the dearest."""
    found = sorted(_ratios(run), key=lambda each: each[2].estimate or 0.0)
    shown = [found[0], found[-1]] if len(found) > _NAMED else found
    names = _names([case for case, _, _ in shown])
    parts = [
        gettext("{protection} {times}", protection=name, times=_in_words(relation))
        for name, (_, _, relation) in zip(names, shown, strict=True)
    ]
    if len(found) > _NAMED:
        return gettext(
            "against plain, of {n} protections the cheapest is {cheapest} and the dearest {dearest} ({confidence} "
            "intervals)",
            n=len(found),
            cheapest=parts[0],
            dearest=parts[1],
            **_CONFIDENCE,
        )
    return (
        gettext("against plain, {cases} ({confidence} intervals)", cases=listed(parts), **_CONFIDENCE)
        if parts
        else None
    )


def sizes(run: Run) -> str | None:
    """Say for the answer how many times the bytes of plain each protection takes."""
    found = []
    for case, base, _ in _ratios(run):
        ours, theirs = (_both_ways(side) for side in (case, base))
        if ours and theirs and theirs["median"]:
            found.append((ours["median"] / theirs["median"], case))
    found.sort(key=lambda pair: pair[0])
    shown = [found[0], found[-1]] if len(found) > _NAMED else found
    names = _names([case for _, case in shown])
    parts = [
        gettext("{protection} {times} times", protection=name, times=formatting.number(times))
        for name, (times, _) in zip(names, shown, strict=True)
    ]
    return gettext("against plain, the bytes of {cases}", cases=listed(parts)) if parts else None


_CONFIDENCE = {"confidence": formatting.CONFIDENCE.replace(" ", formatting.SPACE)}


def _names(cases: Sequence[Case]) -> list[str]:
    """Name protections by their mode, or by their case where two have the same."""
    modes = [_mode(case) for case in cases]
    return [mode if modes.count(mode) == 1 else label_of(case) for mode, case in zip(modes, cases, strict=True)]


def _in_words(relation: Relation) -> str:
    return gettext(
        "{times} times as long ({low} to {high})",
        times=formatting.number(relation.estimate or 0.0),
        low=formatting.number(relation.low or 0.0),
        high=formatting.number(relation.high or 0.0),
    )


def _ratios(run: Run) -> list[tuple[Case, Case, Relation]]:
    """Return the first case of each protection, the plain one, and how their times stand, where that can be told."""
    cases = _protected(run)
    found = []
    for case in _first_of_each(cases):
        base = plain(case, cases)
        relation = selection.relate_times(case, base) if base and base is not case else None
        if base and relation and relation.low is not None:
            found.append((case, base, relation))
    return found


def _protected(run: Run) -> list[Case]:
    """Return the finished cases of parties that talk to each other; none where all of them do so in plain."""
    cases = [
        case
        for case in run["cases"]
        if summaries.finished(case) and case.get("privacy") and case.get("network") in ("loopback", "hosts")
    ]
    return [] if all(case["privacy"] == "plain" for case in cases) else cases


def _first_of_each(cases: Sequence[Case]) -> list[Case]:
    """Return the first case of each mode and way to train."""
    return [case for place, case in enumerate(cases) if not any(_alike(case, other) for other in cases[:place])]


def plain(case: Case, cases: Sequence[Case]) -> Case | None:
    """Return the case that a protected one is held against: embedded, in plain, and on the same rows.

    Of several, one that aggregates in the same way, and then the one with most training settings in common.
    """

    def in_common(other: Case) -> tuple[bool, int]:
        ours, theirs = case.get("training") or {}, other.get("training") or {}
        same = sum(ours[key] == theirs.get(key) for key in ours)
        return ours.get("aggregation") == theirs.get("aggregation"), same

    candidates = [
        other
        for other in cases
        if other.get("engine") == "federated"
        and other.get("privacy") == "plain"
        and summaries.finished(other)
        and on_same_rows(case, other)
    ]
    return max(candidates, key=in_common, default=None)


def _alike(one: Case, other: Case) -> bool:
    """Say whether two cases protect and train in the same way, so that only their rows and parties differ."""
    return one.get("engine") == other.get("engine") and cost.alike(one, other)


def _mode(case: Case) -> str:
    """Name a case's privacy mode; FATE's own are FATE's."""
    return f"{case['privacy']} (FATE)" if str(case.get("engine")).startswith("fate") else str(case["privacy"])


def _sides(case: Case) -> list[tuple[str, Mapping[str, Any]]]:
    """Return what was measured of the largest party and, where there is one, of the arbiter."""
    by_party = dig(case, "time", "by_party") or {}
    largest = dig(case, "time", "critical_party")
    names = [largest, *(name for name in by_party if name.endswith("/arbiter"))]
    return [(name, by_party[name]) for name in names if by_party.get(name)]


def _plot(cases: Sequence[Case]) -> elements.Plot | None:
    """Stack the phases of the largest party and of the arbiter, a group a case."""
    rows = [(case, _who(name), facts) for case in cases for name, facts in _sides(case)]
    write, unit = elements.time_writer(facts.get("epoch_seconds") for _, _, facts in rows)
    title = gettext("Time per epoch of the largest party and of the arbiter, in the first case of each mode")
    return elements.phase_plot(rows, title, unit, write, repeats_of(cases)) if rows else None


def _who(name: str) -> str:
    return gettext("arbiter") if name.endswith("/arbiter") else gettext("largest party, {party}", party=name)


def _costs(cases: Sequence[Case], scores: pd.DataFrame) -> Table:
    """Hold time, bytes and scores of every mode against plain."""
    write, unit = elements.time_writer(dig(case, "time", "epoch_seconds") for case in cases)
    write_bytes, bytes_unit = elements.byte_writer(_both_ways(case) for case in cases)
    rows = []
    for case in cases:
        base = plain(case, cases)
        rows.append(
            [
                Cell(label_of(case)),
                Cell(_mode(case), _options(case)),
                elements.figure(dig(case, "time", "epoch_seconds"), write),
                elements.ratio(case, base) if base else Cell(gettext(_NOTHING)),
                elements.figure(_both_ways(case), write_bytes),
                _times_the_bytes(case, base),
                elements.figure(dig(case, "metrics", "auc"), formatting.score),
                _gap(scores, case, base),
            ]
        )
    columns = (
        gettext("Case"),
        gettext("Privacy"),
        gettext("Epoch ({unit})", unit=unit),
        gettext("Times plain [{confidence} interval]", confidence=formatting.CONFIDENCE),
        gettext("Bytes per epoch ({unit})", unit=bytes_unit),
        gettext("Bytes, times plain"),
        "AUC",
        gettext("AUC, less plain's"),
    )
    caption = gettext(
        "What each protection costs; median and (below) lowest\N{EN DASH}highest, {repeats}. Plain is the "
        "embedded case without protection on the same rows and with the same aggregation, or, where there is none, "
        "with another. Times plain is the geometric mean of the ratios repeat by repeat, with their paired interval; "
        "the difference of the AUC is paired too. Bytes are those of all parties' messages, both ways.",
        repeats=repeats_of(cases),
    )
    return Table(caption, columns, rows, columns[1:2])


def _options(case: Case) -> str:
    """Write a mode's options as a reader would set them."""
    options = case.get("privacy_options")
    return listed(f"{name} {_value(value)}" for name, value in (options or {}).items() if value is not None)


def _value(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _both_ways(case: Case) -> dict[str, Any] | None:
    """Return the message bytes of all parties in an epoch, sent and received."""
    return summaries.add_up(dig(case, "bytes", f"epoch_{way}") for way in ("sent", "received"))


def _times_the_bytes(case: Case, base: Case | None) -> Cell:
    if base is None or base is case:
        return Cell(gettext("the measure") if base else gettext(_NOTHING))
    pairs = summaries.in_pairs(base, _both_ways(base), case, _both_ways(case))
    return elements.figure(summaries.quotients(*pairs) if pairs else None, formatting.number)


def _gap(scores: pd.DataFrame, case: Case, base: Case | None) -> Cell:
    """Write the paired difference of the AUC."""
    if base is None or base is case:
        return Cell(gettext("the measure") if base else gettext(_NOTHING))
    gaps = selection.paired_differences(scores, case, base).get(selection.model_of(case) or "", {})
    return elements.figure(gaps.get("auc"), formatting.difference)


def _learns(cases: Sequence[Case]) -> Table:
    """Say who could learn what, once for each mode."""
    rows: dict[tuple[str, ...], list[Cell]] = {}
    for case in cases:
        learns = case.get("learns") or {}
        parts = [
            messages.say(learns[part]) if learns.get(part) else gettext("not recorded")
            for part in ("arbiter", "parties", "assumes")
        ]
        rows.setdefault((_mode(case), *parts), [Cell(text) for text in (_mode(case), *parts)])
    columns = (
        gettext("Privacy"),
        gettext("The arbiter learns"),
        gettext("The other parties learn"),
        gettext("Which rests on"),
    )
    caption = gettext("Who could learn what in each mode, and what that rests on")
    return Table(caption, columns, list(rows.values()), columns[1:])


def _operations(run: Run, cases: Sequence[Case]) -> Table | None:
    """Hold the operations of each protection, as counted and timed, against the phases that they were done in."""
    found = [(case, name, facts, _products(facts)) for case in cases for name, facts in _sides(case)]
    found = [entry for entry in found if entry[-1]]
    write, unit = elements.time_writer(summaries.add_up(products.values()) for *_, products in found)
    body = []
    for case, name, facts, products in found:
        total, spent = summaries.add_up(products.values()), _spent(facts)
        ratio = summaries.quotients(summaries.values_of(total), summaries.values_of(spent)) if total and spent else None
        body.append([Cell(gettext("{case}: {process}", case=label_of(case), process=_who(name)))])
        for operation, product in products.items():
            each = elements.figure(
                facts["operations"][operation].get("seconds"), lambda value: formatting.number(value * 1e6)
            )
            count = elements.figure(facts["operations"][operation].get("count"), _times)
            body.append([Cell(messages.say(operation)), count, each, elements.figure(product, write), Cell("")])
        body.append([Cell(gettext("all operations")), *[Cell("")] * 2, elements.figure(total, write), Cell("")])
        body += _row_by_row(run, case, facts)
        measured = (elements.figure(spent, write), elements.figure(ratio, formatting.number))
        phases = " + ".join(map(messages.say, cost.CRYPTOGRAPHY))
        body.append([Cell(gettext("measured: {phases}", phases=phases)), *[Cell("")] * 2, *measured])
    columns = (
        gettext("Operation"),
        gettext("Count an epoch"),
        gettext("CPU time of one (µs)"),
        gettext("CPU time an epoch ({unit})", unit=unit),
        gettext("Measured, times the operations"),
    )
    caption = gettext(
        "The cost model against the measurement, for the largest party and the arbiter in the first case of each mode: "
        "operations as counted in the epochs, CPU time of one as timed by itself after the training of the same run, "
        "and their product; below, the CPU time of the phases that they are done in. Median and (below) "
        "lowest\N{EN DASH}highest, {repeats}.",
        repeats=repeats_of(case for case, *_ in found),
    )
    return Table(caption, columns, body) if body else None


def _row_by_row(run: Run, case: Case, facts: Mapping[str, Any]) -> list[list[Cell]]:
    """Return what FATE 1.8's own order of operations would take of a host on an encrypted model; [] for others."""
    each, rows = (
        summaries.measured(value) for value in (dig(facts, "operations", "multiply", "seconds"), facts["rows"])
    )
    features = dig(run, "datasets", str(case.get("dataset")), "features")
    if case["privacy"] != "paillier_host" or not each or not rows or not features:
        return []
    times = paillier_host.row_by_row_operations(int(rows["median"]), features)
    text = gettext(
        "not done: FATE 1.8 would multiply row by row, which would take {time}",
        time=formatting.seconds(times * each["median"]),
    )
    return [[Cell(text), Cell(formatting.count(times), "", times), *[Cell("")] * 3]]


def _products(facts: Mapping[str, Any]) -> dict[str, dict[str, Any] | None]:
    """Return count times seconds of each operation that a process did, repeat by repeat; None where it is not timed."""
    products = {}
    for name, operation in (facts.get("operations") or {}).items():
        count, seconds = (summaries.values_of(operation.get(key)) for key in ("count", "seconds"))
        if any(count):
            pairs = zip(count, seconds, strict=True) if len(count) == len(seconds) else ()
            products[name] = summaries.summarise([times * each for times, each in pairs])
    return products


def _times(count: float) -> str:
    """Write how often something is done; less than once an epoch where several epochs share a sum."""
    return formatting.count(count) if float(count).is_integer() else formatting.number(count)


def _spent(facts: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the CPU seconds of the phases that operations are done in."""
    return summaries.add_up(dig(facts, "cpu_phases", phase) for phase in cost.CRYPTOGRAPHY)


def _held_out(run: Run) -> dict[str, Any] | None:
    """Return the predictions for cases that the model was not calibrated on, and what they say about it."""
    models, _ = cost.calibrated(run)
    found = [
        (check, check.measured, check.predicted.epoch, check.error)
        for check in cost.checks(models, [run])
        if check.measured and check.predicted and check.error is not None
    ]
    if not found:
        return None
    unit = formatting.time_unit(value for _, epoch, predicted, _ in found for value in (epoch["median"], predicted))
    rows = [
        [
            Cell(label_of(check.case)),
            Cell(label_of(check.model.case)),
            elements.figure(epoch, lambda value: formatting.in_unit(value, unit)),
            Cell(formatting.in_unit(predicted, unit), "", predicted),
            Cell(cost.error_in_words(error), "", error),
        ]
        for check, epoch, predicted, error in found
    ]
    columns = (
        gettext("Case"),
        gettext("Model calibrated on"),
        gettext("Epoch, measured ({unit})", unit=unit.name),
        gettext("Epoch, predicted ({unit})", unit=unit.name),
        gettext("Error"),
    )
    caption = gettext(
        "The model's error on cases that it has not seen: it is calibrated on the first case of each mode, and "
        "predicts the others from their rows, features and parties. Above zero, the prediction is too long. Measured: "
        "median and (below) lowest\N{EN DASH}highest, {repeats}.",
        repeats=repeats_of(check.case for check, *_ in found),
    )
    errors = {label_of(check.case): error for check, _, _, error in found}
    return {"table": Table(caption, columns, rows, columns[1:2]), "verdict": cost.verdict(errors)}
