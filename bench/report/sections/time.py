"""The report's section on time: an epoch by party and phase, whole cases, and the stages of a platform's job."""

from __future__ import annotations

from collections.abc import Sequence

from bench.i18n import messages
from bench.i18n.language import gettext, listed, sequence
from bench.measure.spans import PHASES
from bench.pages import elements
from bench.pages.elements import Cell, Table, repeats_of
from bench.report.section import Block, Paragraph, Section
from bench.results.record import PartyTime, Time
from bench.results.view import CaseView, RunView
from bench.stats import formatting
from bench.stats.comparison import LEAST_VALUES
from bench.stats.formatting import Write
from bench.stats.summaries import Summary, add_up, quotients


class TimePerEpoch(Section):
    """Where the seconds of an epoch go."""

    name, order = "time", 60

    def title(self) -> str:
        """Return its heading."""
        return gettext("Time per epoch")

    def short_title(self) -> str:
        """Return its name in the contents."""
        return gettext("Time")

    def blocks(self, run: RunView) -> Sequence[Block]:
        """Return sentences on the headline case, the phases drawn, and the tables."""
        found: list[Block] = []
        if run.headline:
            found += [Paragraph(_sentence(run.headline)), Paragraph(_parts_sentence(run.headline))]
        cases = [case for case in run.cases if case.record.time]
        found += _by_phase(cases) or [Paragraph(gettext("Time by party and phase: not measured."))]
        stages = _stages(cases)
        return [*found, *([_whole_cases(cases)] if cases else []), *([stages] if stages else [])]


SECTION = TimePerEpoch()


def _sentence(case: CaseView) -> str:
    """Compare the seconds per epoch with those of the baseline, with all that the comparison rests on."""
    base = case.baseline
    ours, theirs = case.epoch, base.epoch if base else None
    unit = formatting.time_unit(found.median for found in (ours, theirs) if found)
    spoken, reference = (_in_words(summary, unit) for summary in (ours, theirs))
    pairs = case.paired(base, ours, theirs) if base else None
    compared = case.times_against(base) if base else None
    if ours is None or theirs is None or pairs is None or compared is None:
        return gettext(
            "Time per epoch: {case} {time}, centralised {reference}.", case=case.label, time=spoken, reference=reference
        )
    if compared.estimate is None:
        return gettext(
            "{case} took {time} per epoch against {reference} centralised. "
            "No difference is called: that needs {least} repeats or more.",
            case=case.label,
            time=spoken,
            reference=reference,
            least=LEAST_VALUES,
        )
    mean = gettext("the geometric mean of the ratios of the {n} repeats", n=len(pairs[0]))
    ratios = quotients(*pairs)
    if ratios is not None:
        mean = gettext("{mean}, {spread}", mean=mean, spread=formatting.range_of(ratios, formatting.number))
    if compared.interval is not None:
        low, high = map(formatting.number, compared.interval)
        confidence = formatting.CONFIDENCE.replace(" ", formatting.SPACE)
        mean = gettext(
            "{mean}; {confidence} interval {low} to {high}", mean=mean, confidence=confidence, low=low, high=high
        )
    values = {"case": case.label, "times": formatting.number(compared.estimate), "mean": mean}
    medians = _medians(spoken, reference, ours, theirs)
    if compared.verdict in ("not significant", "identical"):
        return gettext(
            "Repeat by repeat, the seconds per epoch of {case} do not differ significantly from centralised: "
            "a ratio of {times} ({mean}). {medians}",
            **values,
            medians=medians,
        )
    return gettext(
        "Repeat by repeat, {case} took {times} times as long per epoch as centralised ({mean}). {medians}",
        **values,
        medians=medians,
    )


def _medians(spoken: str, reference: str, ours: Summary, theirs: Summary) -> str:
    """Write two medians and their ratio, which need not be the mean of the ratios."""
    if not theirs.median:
        return gettext("The medians are {time} and {reference}.", time=spoken, reference=reference)
    return gettext(
        "The medians are {time} and {reference}, the one {times} times the other.",
        time=spoken,
        reference=reference,
        times=formatting.number(ours.median / theirs.median),
    )


def _in_words(summary: Summary | None, unit: formatting.Unit) -> str:
    return formatting.in_words(summary, lambda value: formatting.in_unit(value, unit), f"{formatting.SPACE}{unit.name}")


def _parts_sentence(case: CaseView) -> str:
    """Say what the largest party's time went into, and how much went over the wire.

    The shares are those of each repeat's epoch, so that they add up, but for taking the median of each.
    """
    traffic = case.record.bytes
    ways = (traffic.epoch_sent, traffic.epoch_received) if traffic else (None, None)
    sent, received = (formatting.in_words(way, formatting.size) for way in ways)
    wire = gettext("All parties together sent {sent} and received {received} per epoch.", sent=sent, received=received)
    if case.anatomy is None or case.largest is None:
        return gettext("What the time went into was not measured. {bytes}", bytes=wire)
    whole, rows = case.largest.epoch_seconds, case.largest.rows
    unit = formatting.time_unit(whole.values if whole else [])
    named = []
    for name, summary in case.anatomy.parts.items():
        share = case.anatomy.shares[name]
        values = {"phase": gettext(name), "time": _in_words(summary, unit)}
        named.append(
            gettext("{phase} {share}, {time}", **values, share=formatting.percent(share.median))
            if share
            else gettext("{phase} {time}", **values)
        )
    values = {"party": case.anatomy.party, "phases": sequence(named), "bytes": wire}
    if not rows:
        return gettext("In the epoch of {party}, the largest party: {phases}. {bytes}", **values)
    return gettext(
        "In the epoch of {party}, the largest party ({rows} training rows): {phases}. {bytes}",
        **values,
        rows=formatting.count(rows.median),
    )


def _by_phase(cases: Sequence[CaseView]) -> list[Block]:
    """Draw and list the seconds of every phase, party by party; nothing where no party was measured."""
    rows = [(case, party, times) for case in cases for party, times in case.by_party.items() if times != PartyTime()]
    if not rows:
        return []
    phases = [name for name in PHASES if any(name in times.phases for _, _, times in rows)]
    write, unit = elements.time_writer(times.epoch_seconds for _, _, times in rows)
    body = [
        (
            case,
            [
                Cell(party),
                elements.figure(times.epoch_seconds, write),
                *(_phase_cell(times, name, write) for name in phases),
                elements.figure(times.cpu_seconds, write),
            ],
        )
        for case, party, times in rows
    ]
    columns = (
        gettext("Party"),
        gettext("Epoch ({unit})", unit=unit),
        *(gettext("{phase} ({unit})", phase=messages.say(name).capitalize(), unit=unit) for name in phases),
        f"CPU ({unit})",
    )
    spoken = gettext(
        "{repeats}; a repeat counts with its epochs after the warm-up (docs/results.md)", repeats=repeats_of(cases)
    )
    caption = gettext(
        "Time per epoch by party and phase; median and (below) lowest\N{EN DASH}highest, {repeats}", repeats=spoken
    )
    title = gettext("Time per epoch, by phase and party")
    words = gettext(
        "Computing is the phase compute. Communicating is serialise and transfer. Wait is time blocked on a slower "
        "party or the arbiter; it is part of neither."
    )
    table = Table(caption, columns, elements.by_case(body))
    return [Paragraph(words), elements.phase_plot(rows, title, unit, write, spoken), table]


def _phase_cell(times: PartyTime, phase: str, write: Write) -> Cell:
    """Return a phase's cell; a phase that a measured process never entered does not apply, it is no gap."""
    never_entered = bool(times.phases) and phase not in times.phases
    return elements.figure(
        times.phases.get(phase), write, elements.NOT_APPLICABLE if never_entered else formatting.NOT_MEASURED
    )


def _times(case: CaseView) -> Time:
    return case.record.time or Time()


def _whole_cases(cases: Sequence[CaseView]) -> Table:
    """Show the times of whole cases: start-up, training, epochs."""
    both = [(_times(case).startup_seconds, _times(case).training_seconds) for case in cases]
    write, unit = elements.time_writer(summary for pair in both for summary in pair)
    rows = []
    for case, pair in zip(cases, both, strict=True):
        least = case.least_attributed
        largest = _times(case).critical_party if case.record.network != "none" else ""
        absent = elements.NOT_APPLICABLE if case.without_epochs else formatting.NOT_MEASURED
        rows.append(
            [
                Cell(case.label),
                *(elements.figure(summary, write) for summary in pair),
                Cell(_epochs_run(case)),
                Cell(gettext(absent)) if case.without_epochs else elements.text(case.record.warmup_epochs),
                elements.figure(least[1] if least else None, formatting.percent, absent),
                elements.text(largest),
            ]
        )
    columns = (
        gettext("Case"),
        gettext("Start-up ({unit})", unit=unit),
        gettext("Training ({unit})", unit=unit),
        gettext("Epochs run"),
        gettext("Of them warm-up"),
        gettext("Epoch in named phases (the party with the least)"),
        gettext("Largest party (most training rows)"),
    )
    return Table(gettext("Whole cases; {repeats}", repeats=repeats_of(cases)), columns, rows, columns[-1:])


def _stages(cases: Sequence[CaseView]) -> Table | None:
    """Show where the jobs of a platform spent their time, epochs and all the rest; None where there was no platform."""
    staged = [(case, _times(case).stages) for case in cases if _times(case).stages]
    if not staged:
        return None
    rows = [
        [
            Cell(messages.say(name)),
            *(elements.figure(stages.get(name), formatting.number, elements.NOT_APPLICABLE) for _, stages in staged),
        ]
        for name in dict.fromkeys(name for _, stages in staged for name in stages)
    ]
    wholes = [add_up(stages.values()) for _, stages in staged]
    rows.append([Cell(gettext("all")), *(elements.figure(whole, formatting.number) for whole in wholes)])
    columns = (gettext("Stage"), *(f"{case.label} (s)" for case, _ in staged))
    caption = gettext(
        "Where the whole job's time went, platform and epochs, seen from the guest; {repeats}",
        repeats=repeats_of(case for case, _ in staged),
    )
    return Table(caption, columns, rows)


def _epochs_run(case: CaseView) -> str:
    """Write how many epochs the repeats took; one number where all took as many."""
    if case.without_epochs:
        return gettext("no epochs")
    return listed(str(n) for n in dict.fromkeys(case.record.epochs_run)) or gettext(formatting.NOT_MEASURED)
