"""The report's section on privacy: what each protection costs, what each party can see, and the cost model's error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from bench.cli import typed
from bench.i18n import messages
from bench.i18n.language import gettext, gettext_noop, listed, sequence
from bench.pages import elements
from bench.pages.elements import Cell, Plot, Table, repeats_of
from bench.predict import cost
from bench.report.section import Block, Command, Paragraph, Section, Subheading
from bench.results.record import PartyTime
from bench.results.view import CaseView, RunView, is_arbiter
from bench.stats import formatting
from bench.stats.summaries import Summary, add_up, quotients, summarise, values_of

_NO_REFERENCE = gettext_noop("no plain case")


class Privacy(Section):
    """Protections against the same training in plain."""

    name, order = "privacy", 20

    def title(self) -> str:
        """Return its heading."""
        return gettext("What each protection costs")

    def short_title(self) -> str:
        """Return its name in the contents."""
        return gettext("Privacy")

    def blocks(self, run: RunView) -> Sequence[Block]:
        """Return costs, visibility, operations and the cost model's error; nothing where no case protects anything."""
        if not run.protected:
            return []
        first = cost.first_of_each(run.protected)
        said, drawn, operations = _sentence(first), _drawn(first), _operations(first)
        found: list[Block] = [*([Paragraph(said)] if said else []), *([drawn] if drawn else []), _costs(run.protected)]
        found += [Subheading(gettext("What each party can see")), _visibility(run.protected)]
        if operations:
            found += [Subheading(gettext("What the time of a protection is made of")), operations]
        found.append(Subheading(gettext("Predicting other rows, features, parties and networks")))
        return [*found, *_held_out(run)]


SECTION = Privacy()


def _sentence(first: Sequence[CaseView]) -> str | None:
    """Say what each protection costs against plain on the same rows; None where that is unknown of all."""
    parts = [
        gettext(
            "{case} {times} times as long ({low} to {high})",
            case=case.label,
            times=formatting.number(compared.estimate or 0.0),
            low=formatting.number(compared.low or 0.0),
            high=formatting.number(compared.high or 0.0),
        )
        for case, compared in cost.against_plain(first)
    ]
    confidence = formatting.CONFIDENCE.replace(" ", formatting.SPACE)
    text = gettext(
        "Against plain, an epoch takes ({confidence} intervals): {cases}.", confidence=confidence, cases=sequence(parts)
    )
    return text if parts else None


def _drawn(cases: Sequence[CaseView]) -> Plot | None:
    """Stack the phases of the largest party and of the arbiter, a group a case."""
    rows = [(case, _who(name), times) for case in cases for name, times in case.sides()]
    if not rows:
        return None
    write, unit = elements.time_writer(times.epoch_seconds for _, _, times in rows)
    title = gettext("Time per epoch of the largest party and of the arbiter, in the first case of each mode")
    return elements.phase_plot(rows, title, unit, write, repeats_of(cases))


def _who(name: str) -> str:
    return gettext("arbiter") if is_arbiter(name) else gettext("largest party, {party}", party=name)


def _costs(cases: Sequence[CaseView]) -> Table:
    """Compare time, bytes and scores of every mode with plain."""
    write, unit = elements.time_writer(case.epoch for case in cases)
    write_bytes, bytes_unit = elements.byte_writer(case.both_ways for case in cases)
    rows = [
        [
            Cell(case.label),
            Cell(cost.name_of_mode(case), _options(case)),
            elements.figure(case.epoch, write),
            elements.ratio(case, case.unprotected) if case.unprotected else Cell(gettext(_NO_REFERENCE)),
            elements.figure(case.both_ways, write_bytes),
            _times_the_bytes(case),
            elements.figure(case.metric("auc"), formatting.score),
            _gap(case),
        ]
        for case in cases
    ]
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


def _options(case: CaseView) -> str:
    """Write a mode's options as a reader would set them."""
    options = case.record.privacy_options.items()
    return listed(f"{name} {_value(value)}" for name, value in options if value is not None)


def _value(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _times_the_bytes(case: CaseView) -> Cell:
    base = case.unprotected
    if base is None or base is case:
        return Cell(gettext("reference") if base else gettext(_NO_REFERENCE))
    pairs = case.paired(base, case.both_ways, base.both_ways)
    return elements.figure(quotients(*pairs) if pairs else None, formatting.number)


def _gap(case: CaseView) -> Cell:
    """Write the paired difference of the AUC."""
    base = case.unprotected
    if base is None or base is case:
        return Cell(gettext("reference") if base else gettext(_NO_REFERENCE))
    gaps = case.score_differences(base).get(case.model or "", {})
    return elements.figure(gaps.get("auc"), formatting.difference)


def _visibility(cases: Sequence[CaseView]) -> Table:
    """Say what each party can see, once for each mode."""
    rows: dict[tuple[str, ...], list[Cell]] = {}
    for case in cases:
        seen = case.record.visibility
        parts = [
            messages.say(seen[part]) if seen.get(part) else gettext("not recorded")
            for part in ("arbiter", "parties", "assumptions")
        ]
        mode = cost.name_of_mode(case)
        rows.setdefault((mode, *parts), [Cell(text) for text in (mode, *parts)])
    columns = (
        gettext("Privacy"),
        gettext("The arbiter can see"),
        gettext("The other parties can see"),
        gettext("Assumptions"),
    )
    caption = gettext("What each party can see in each mode, and what that assumes")
    return Table(caption, columns, list(rows.values()), columns[1:])


def _operations(cases: Sequence[CaseView]) -> Table | None:
    """Compare the operations of each protection, as counted and timed, with the phases that they were done in."""
    found = [(case, name, times, _products(times)) for case in cases for name, times in case.sides()]
    found = [entry for entry in found if entry[-1]]
    if not found:
        return None
    write, unit = elements.time_writer(add_up(products.values()) for *_, products in found)
    body = []
    for case, name, times, products in found:
        total, spent = add_up(products.values()), add_up(times.cpu_phases.get(phase) for phase in cost.CRYPTOGRAPHY)
        ratio = quotients(total.values, spent.values) if total and spent else None
        body.append([Cell(gettext("{case}: {process}", case=case.label, process=_who(name)))])
        for operation, product in products.items():
            done = times.operations[operation]
            each = elements.figure(done.seconds, lambda value: formatting.number(value * 1e6))
            count = elements.figure(done.count, _times)
            body.append([Cell(messages.say(operation)), count, each, elements.figure(product, write), Cell("")])
        body.append([Cell(gettext("all operations")), *[Cell("")] * 2, elements.figure(total, write), Cell("")])
        body += _reference_operations(case, times)
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
        repeats=repeats_of(dict.fromkeys(case for case, *_ in found)),
    )
    return Table(caption, columns, body)


def _reference_operations(case: CaseView, times: PartyTime) -> list[list[Cell]]:
    """Return what another implementation of the mode would take of this party, where the mode names one."""
    features = case.dataset.features if case.dataset else None
    if not times.rows or not features:
        return []
    found = []
    for text, operation, count in cost.reference_operations(case, int(times.rows.median), features):
        each = times.operations[operation].seconds if operation in times.operations else None
        if each:
            line = messages.say(text.of(time=formatting.seconds(count * each.median)))
            found.append([Cell(line), Cell(formatting.count(count), "", count), *[Cell("")] * 3])
    return found


def _products(times: PartyTime) -> Mapping[str, Summary | None]:
    """Return count times seconds of each operation that a process did, repeat by repeat; None where it is not timed."""
    products = {}
    for name, operation in times.operations.items():
        count, seconds = values_of(operation.count), values_of(operation.seconds)
        if any(count):
            pairs = zip(count, seconds, strict=True) if len(count) == len(seconds) else ()
            products[name] = summarise([times * each for times, each in pairs])
    return products


def _times(count: float) -> str:
    """Write how often something is done; less than once an epoch where several epochs share a sum."""
    return formatting.count(count) if float(count).is_integer() else formatting.number(count)


def _held_out(run: RunView) -> Iterator[Block]:
    """Give the predictions for cases that the cost model was not calibrated on, and what they say about it."""
    models, _ = cost.calibrated(run)
    found = [
        (check, check.measured, check.predicted.epoch, check.error)
        for check in cost.checks(models, [run])
        if check.measured and check.predicted and check.error is not None
    ]
    if not found:
        yield Paragraph(
            gettext("The error of the cost model is unknown: no mode has a second finished case to compare it with.")
        )
        return
    errors = {check.case.label: error for check, _, _, error in found}
    command = f"python -m bench.predict {typed(run.folder)} --rows N --features D --parties K --bandwidth MBIT --rtt MS"
    yield Paragraph(gettext("{verdict} The same model answers:", verdict=cost.verdict(errors)))
    yield Command(command)
    unit = formatting.time_unit(value for _, epoch, predicted, _ in found for value in (epoch.median, predicted))
    rows = [
        [
            Cell(check.case.label),
            Cell(check.model.case.label),
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
    yield Table(caption, columns, rows, columns[1:2])
