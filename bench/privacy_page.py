"""The report's section on privacy: what each protection costs, who learns what, and whether the cost model holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from bench import cost, figures, findings, page, recorded
from bench.engines.federated.privacy import paillier_host
from bench.figures import dig
from bench.findings import Case, Run, label_of, on_same_rows, repeats_of
from bench.language import gettext, gettext_noop, listed, sequence
from bench.page import Cell, Table

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
        gettext("{case} {times} times ({interval})", case=label_of(case), times=cell.text, interval=cell.spread)
        for case, cell in _ratios(run)
    ]
    return gettext("Against plain, an epoch took: {cases}.", cases=sequence(parts)) if parts else None


def clause(run: Run) -> str | None:
    """Say the same for the answer: of many protections, of the cheapest and the dearest."""
    found = sorted(_ratios(run), key=lambda pair: pair[1].value or 0.0)
    shown = [found[0], found[-1]] if len(found) > _NAMED else found
    modes = [_mode(case) for case, _ in shown]
    parts = [
        gettext(
            "{times} times as long with {protection} ({interval})",
            times=cell.text,
            protection=mode if modes.count(mode) == 1 else label_of(case),
            interval=cell.spread,
        )
        for mode, (case, cell) in zip(modes, shown, strict=True)
    ]
    if len(found) > _NAMED:
        return gettext(
            "of {n} protections, against plain an epoch takes from {cheapest} to {dearest}",
            n=len(found),
            cheapest=parts[0],
            dearest=parts[1],
        )
    return gettext("against plain an epoch takes {cases}", cases=listed(parts)) if parts else None


def _ratios(run: Run) -> list[tuple[Case, Cell]]:
    """Return the first case of each protection with its time as a multiple of plain, where that can be told."""
    cases = _protected(run)
    found = []
    for case in _first_of_each(cases):
        base = plain(case, cases)
        if base and base is not case:
            found.append((case, page.ratio(case, base)))
    return [(case, cell) for case, cell in found if cell.value is not None]


def _protected(run: Run) -> list[Case]:
    """Return the finished cases of parties that talk to each other; none where all of them do so in plain."""
    cases = [
        case
        for case in run["cases"]
        if figures.finished(case) and case.get("privacy") and case.get("network") in ("loopback", "hosts")
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
        and figures.finished(other)
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


def _plot(cases: Sequence[Case]) -> page.Plot | None:
    """Stack the phases of the largest party and of the arbiter, a group a case."""
    rows = [(case, _who(name), facts) for case in cases for name, facts in _sides(case)]
    write, unit = page.time_writer(facts.get("epoch_seconds") for _, _, facts in rows)
    title = gettext("Time per epoch of the largest party and of the arbiter, in the first case of each mode")
    return page.phase_plot(rows, title, unit, write, repeats_of(cases)) if rows else None


def _who(name: str) -> str:
    return gettext("arbiter") if name.endswith("/arbiter") else gettext("largest party, {party}", party=name)


def _costs(cases: Sequence[Case], scores: pd.DataFrame) -> Table:
    """Hold time, bytes and scores of every mode against plain."""
    write, unit = page.time_writer(dig(case, "time", "epoch_seconds") for case in cases)
    write_bytes, bytes_unit = page.byte_writer(_both_ways(case) for case in cases)
    rows = []
    for case in cases:
        base = plain(case, cases)
        rows.append(
            [
                Cell(label_of(case)),
                Cell(_mode(case), _options(case)),
                page.figure(dig(case, "time", "epoch_seconds"), write),
                page.ratio(case, base) if base else Cell(gettext(_NOTHING)),
                page.figure(_both_ways(case), write_bytes),
                _times_the_bytes(case, base),
                page.figure(dig(case, "metrics", "auc"), figures.score),
                _gap(scores, case, base),
            ]
        )
    columns = (
        gettext("Case"),
        gettext("Privacy"),
        gettext("Epoch ({unit})", unit=unit),
        gettext("Times plain [{confidence} interval]", confidence=figures.CONFIDENCE),
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
    return figures.add_up(dig(case, "bytes", f"epoch_{way}") for way in ("sent", "received"))


def _times_the_bytes(case: Case, base: Case | None) -> Cell:
    if base is None or base is case:
        return Cell(gettext("the measure") if base else gettext(_NOTHING))
    pairs = figures.in_pairs(base, _both_ways(base), case, _both_ways(case))
    return page.figure(figures.quotients(*pairs) if pairs else None, figures.number)


def _gap(scores: pd.DataFrame, case: Case, base: Case | None) -> Cell:
    """Write the paired difference of the AUC."""
    if base is None or base is case:
        return Cell(gettext("the measure") if base else gettext(_NOTHING))
    gaps = findings.paired_differences(scores, case, base).get(findings.model_of(case) or "", {})
    return page.figure(gaps.get("auc"), figures.difference)


def _learns(cases: Sequence[Case]) -> Table:
    """Say who could learn what, once for each mode."""
    rows: dict[tuple[str, ...], list[Cell]] = {}
    for case in cases:
        learns = case.get("learns") or {}
        parts = [
            recorded.say(learns[part]) if learns.get(part) else gettext("not recorded")
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
    write, unit = page.time_writer(figures.add_up(products.values()) for *_, products in found)
    body = []
    for case, name, facts, products in found:
        total, spent = figures.add_up(products.values()), _spent(facts)
        ratio = figures.quotients(figures.values_of(total), figures.values_of(spent)) if total and spent else None
        body.append([Cell(gettext("{case}: {process}", case=label_of(case), process=_who(name)))])
        for operation, product in products.items():
            each = page.figure(facts["operations"][operation].get("seconds"), lambda value: figures.number(value * 1e6))
            count = page.figure(facts["operations"][operation].get("count"), _times)
            body.append([Cell(recorded.say(operation)), count, each, page.figure(product, write), Cell("")])
        body.append([Cell(gettext("all operations")), *[Cell("")] * 2, page.figure(total, write), Cell("")])
        body += _row_by_row(run, case, facts)
        measured = (page.figure(spent, write), page.figure(ratio, figures.number))
        phases = " + ".join(map(recorded.say, cost.CRYPTOGRAPHY))
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
    each, rows = (figures.measured(value) for value in (dig(facts, "operations", "multiply", "seconds"), facts["rows"]))
    features = dig(run, "datasets", str(case.get("dataset")), "features")
    if case["privacy"] != "paillier_host" or not each or not rows or not features:
        return []
    times = paillier_host.row_by_row_operations(int(rows["median"]), features)
    text = gettext(
        "not done: FATE 1.8 would multiply row by row, which would take {time}",
        time=figures.seconds(times * each["median"]),
    )
    return [[Cell(text), Cell(figures.count(times), "", times), *[Cell("")] * 3]]


def _products(facts: Mapping[str, Any]) -> dict[str, dict[str, Any] | None]:
    """Return count times seconds of each operation that a process did, repeat by repeat; None where it is not timed."""
    products = {}
    for name, operation in (facts.get("operations") or {}).items():
        count, seconds = (figures.values_of(operation.get(key)) for key in ("count", "seconds"))
        if any(count):
            pairs = zip(count, seconds, strict=True) if len(count) == len(seconds) else ()
            products[name] = figures.summarise([times * each for times, each in pairs])
    return products


def _times(count: float) -> str:
    """Write how often something is done; less than once an epoch where several epochs share a sum."""
    return figures.count(count) if float(count).is_integer() else figures.number(count)


def _spent(facts: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the CPU seconds of the phases that operations are done in."""
    return figures.add_up(dig(facts, "cpu_phases", phase) for phase in cost.CRYPTOGRAPHY)


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
    unit = figures.time_unit(value for _, epoch, predicted, _ in found for value in (epoch["median"], predicted))
    rows = [
        [
            Cell(label_of(check.case)),
            Cell(label_of(check.model.case)),
            page.figure(epoch, lambda value: figures.in_unit(value, unit)),
            Cell(figures.in_unit(predicted, unit), "", predicted),
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
