"""Whether a run can be relied on: what speaks against it, how serious that is, and the facts that this rests on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from bench.i18n import messages
from bench.i18n.language import gettext, listed, ngettext, sequence
from bench.pages import elements
from bench.pages.elements import Table, repeats_of
from bench.results.view import CaseView, RunView
from bench.stats import formatting
from bench.stats.comparison import LEAST_VALUES

Grade = Literal["critical", "warning", "notice", "condition"]
GRADES: tuple[Grade, ...] = ("critical", "warning", "notice", "condition")
"""The most serious first. With a critical concern nothing can be decided; a warning means that times are imprecise; a
condition says for what the figures hold, and is nothing that a better run would not have."""

# Worth a concern: repeats whose range is this wide (of their median), an interval of ratios whose ends have this ratio,
# one of AUC as wide as this, less of the epoch than this in named phases, more CPU time than this given to others.
WIDE_RANGE = 0.2
WIDE_INTERVAL = 1.5
WIDE_GAP = 0.02
LEAST_ATTRIBUTED = 0.95
MOST_STOLEN = 0.01

# Written as 0.0 %, it is nothing.
_LEAST_STOLEN = 0.0005
# So many cases are named; the tables have them all.
_NAMED = 3


class Concern(NamedTuple):
    """A sentence that speaks against relying on the figures, its grade, and a code for programs."""

    grade: Grade
    code: str
    text: str


def concerns(run: RunView) -> list[Concern]:
    """List what speaks against relying on the figures, the most serious first."""
    found = [
        *_unanswered(run),
        *_unfinished(run),
        *_repeats(run),
        *_intervals(run),
        *_ranges(run),
        *_gaps(run),
        *_surroundings(run),
        *_conditions(run),
    ]
    return sorted(found, key=lambda concern: GRADES.index(concern.grade))


def _unanswered(run: RunView) -> Iterator[Concern]:
    """Say what of the answer is missing, or stands on another case than it was to."""
    if not run.spoken_of:
        yield Concern("critical", "no_answer", gettext("No federated case finished, so there is no answer."))
        return
    if len(run.spoken_of) == 1:
        yield Concern(
            "critical",
            "no_baseline",
            gettext("No centralised case on the same rows finished, so there is no baseline to compare with."),
        )
    for case in run.spoken_of:
        figures = ((gettext("AUC"), case.metric("auc")), (gettext("time per epoch"), case.epoch))
        lacks = [name for name, summary in figures if summary is None]
        if lacks:
            text = gettext("{case}: not measured: {what}.", case=case.label, what=listed(lacks))
            yield Concern("critical", "not_measured", text)
    due = run.intended_headline
    if due is not None and due is not run.spoken_of[0]:
        text = gettext(
            "The answer speaks of {case}, because {failed} has no result.",
            case=run.spoken_of[0].label,
            failed=due.label,
        )
        yield Concern("notice", "other_case", text)


def _unfinished(run: RunView) -> Iterator[Concern]:
    if not run.record.finished:
        text = gettext("The run is unfinished or was interrupted; figures of the remaining cases are missing.")
        yield Concern("notice", "unfinished", text)
    other = [case.title for case in run.cases if case.record.status in ("failed", "pending")]
    if other:
        text = gettext(
            "{n} of {all} cases failed or did not finish: {cases}.",
            n=len(other),
            all=len(run.cases),
            cases=_some(other),
        )
        yield Concern("notice", "cases_without_result", text)


def _repeats(run: RunView) -> Iterator[Concern]:
    few = [case for case in run.finished if len(case.record.repeats_done) < LEAST_VALUES]
    if few:
        text = gettext(
            "Fewer than {least} repeats, so no difference can be called (--repeats 5): {cases}.",
            least=LEAST_VALUES,
            cases=_some([case.label for case in few]),
        )
        grade: Grade = "critical" if any(case in few for case in run.spoken_of) else "notice"
        yield Concern(grade, "few_repeats", text)


def _some(names: Sequence[str]) -> str:
    """Name the first few of many."""
    rest = len(names) - _NAMED
    more = [ngettext("{n} more", "{n} more", rest, n=rest)] if rest > 0 else []
    return sequence([*names[:_NAMED], *more])


def _intervals(run: RunView) -> Iterator[Concern]:
    """Name intervals of the answer that say little."""
    if len(run.spoken_of) < 2:
        return
    case, base = run.spoken_of
    times, gap = case.times_against(base), case.score_against(base, "auc")
    if times and times.interval and times.interval[1] > WIDE_INTERVAL * times.interval[0]:
        text = gettext(
            "The ratio of the times to centralised is imprecise: it lies between {low} and {high}. More repeats and a "
            "quiet machine narrow the interval (--repeats 10).",
            low=formatting.number(times.interval[0]),
            high=formatting.number(times.interval[1]),
        )
        yield Concern("warning", "imprecise_time", text)
    if gap and gap.interval and gap.interval[1] - gap.interval[0] > WIDE_GAP:
        text = gettext(
            "The difference of AUC is imprecise: it lies between {low} and {high}. More rows or repeats narrow the "
            "interval.",
            low=formatting.difference(gap.interval[0]),
            high=formatting.difference(gap.interval[1]),
        )
        yield Concern("notice", "imprecise_auc", text)


def _ranges(run: RunView) -> Iterator[Concern]:
    """Name the cases whose repeats lie far apart."""
    known = _known_ranges(run.finished)
    wide = [(case not in run.spoken_of, -share, case.label) for case, share in known if share > WIDE_RANGE]
    if wide:
        shares = [
            gettext("{case} {share}", case=name, share=formatting.percent(-less)) for _, less, name in sorted(wide)
        ]
        text = gettext(
            "In {n} of {all} cases with epochs, the range of the time per epoch is wider than {limit} of its median: "
            "{cases}.",
            n=len(wide),
            all=len(known),
            limit=formatting.percent(WIDE_RANGE),
            cases=_some(shares),
        )
        yield Concern("notice", "wide_range", text)


def _known_ranges(cases: Sequence[CaseView]) -> list[tuple[CaseView, float]]:
    found = [(case, case.epoch.relative_range) for case in cases if case.epoch]
    return [(case, share) for case, share in found if share is not None]


def _gaps(run: RunView) -> Iterator[Concern]:
    """Name epochs that are not accounted for, and parties that dropped out."""
    for case in run.finished:
        if case.least_attributed and case.least_attributed[1].low < LEAST_ATTRIBUTED:
            party, share = case.least_attributed
            text = gettext(
                "{case}: only {share} of the epoch of {party} is in named phases.",
                case=case.label,
                share=f"{100 * share.low:.1f}{formatting.SPACE}%",
                party=party,
            )
            yield Concern("notice", "unattributed", text)
        for gone in case.record.dropped_out:
            text = gettext(
                "{case}: party {party} dropped out in repeat {repeat}, whose figures are those of "
                "the remaining parties.",
                case=case.label,
                party=gone.party,
                repeat=gone.repeat,
            )
            yield Concern("notice", "dropped_out", text)


def _surroundings(run: RunView) -> Iterator[Concern]:
    """Name what the code and the machine add to the doubts."""
    if run.record.revision and run.record.revision.dirty:
        text = gettext("The code had local changes: its revision alone does not reproduce the run.")
        yield Concern("notice", "local_changes", text)
    slowed = run.environment.slowed
    if (slowed.stolen_share or 0.0) > MOST_STOLEN:
        text = gettext(
            "The hypervisor gave {share} of the CPU time to others during the run.",
            share=formatting.percent(slowed.stolen_share or 0.0),
        )
        yield Concern("notice", "stolen_time", text)
    if slowed.quota_periods:
        text = gettext(
            "The CPU quota was used up in {n} scheduling periods: the parties had to wait for it.",
            n=formatting.count(slowed.quota_periods),
        )
        yield Concern("notice", "cpu_quota", text)
    if slowed.heat_events:
        text = gettext(
            "The processors slowed down {n} times because of their heat.", n=formatting.count(slowed.heat_events)
        )
        yield Concern("notice", "heat", text)
    for line in run.environment.warnings:
        yield Concern("notice", "environment", _sentence(line))


def _conditions(run: RunView) -> Iterator[Concern]:
    """Say who had the machine to itself and who shared it: a ratio of their times holds for such a machine."""
    together = [case for case in run.finished if case.record.network == "loopback"]
    if together and any(case.kind == "centralised" for case in run.finished):
        parties = max(sum(member.role != "arbiter" for member in case.record.parties) for case in together)
        cores = run.environment.cores_available
        most = gettext("up to {n}", n=min(parties, cores)) if parties and cores else gettext("more")
        text = gettext(
            "Centralised used one core, the parties together {most}: on one machine the parties share cores and "
            "memory, on machines of their own they would not.",
            most=most,
        )
        yield Concern("condition", "shared_machine", text)
    alone = [case.label for case in run.finished if case.kind == "local"]
    if alone:
        text = gettext(
            "Trained one party after the other, so that none shared the machine with another: {cases}.",
            cases=_some(alone),
        )
        yield Concern("condition", "one_after_the_other", text)
    for line in run.environment.conditions:
        yield Concern("condition", "environment", _sentence(line))


def _sentence(line: object) -> str:
    """Make a line of the environment a sentence."""
    text = messages.say(line)
    text = f"{text[:1].upper()}{text[1:]}"
    return text if text.endswith(".") else gettext("{sentence}.", sentence=text)


def verdict(found: Sequence[Concern]) -> str:
    """Say in a sentence whether the figures can be relied on."""
    grade = found[0].grade if found else "condition"
    if grade == "critical":
        return gettext("Not enough to decide by.")
    if grade == "warning":
        return gettext("Scores and bytes are reliable, times are imprecise.")
    if grade == "notice":
        notices = sum(concern.grade != "condition" for concern in found)
        return ngettext("Reliable, with {n} caveat.", "Reliable, with {n} caveats.", notices, n=notices)
    return gettext("Reliable.")


def basis(run: RunView) -> str:
    """Say in a line what the verdict looked at, of the cases that the answer speaks of."""
    ranges = [share for _, share in _known_ranges(run.spoken_of)]
    loads, cores = run.environment.load_before, run.environment.cores_available
    parts = [repeats_of(run.spoken_of or run.cases)]
    if ranges:
        share = formatting.percent(max(ranges))
        parts.append(
            gettext("the times per epoch of the two cases have a range of at most {share} of their median", share=share)
            if len(run.spoken_of) > 1
            else gettext("its times per epoch have a range of at most {share} of their median", share=share)
        )
    if loads and cores:
        parts.append(gettext("load {load} on {cores} cores before the run", load=f"{loads[0]:.2f}", cores=cores))
    else:
        parts.append(gettext("load before the run not measured"))
    return gettext("{sentence}.", sentence=sequence([*parts, _slowed(run)]))


def _slowed(run: RunView) -> str:
    """Say what slowed the processors down during the run, of what the system counts."""
    slowed = run.environment.slowed
    watched = {
        gettext("CPU time of others"): slowed.stolen_share,
        gettext("CPU quota"): slowed.quota_periods,
        gettext("heat"): slowed.heat_events,
    }
    known = [name for name, value in watched.items() if value is not None]
    words = []
    if (slowed.stolen_share or 0.0) >= _LEAST_STOLEN:
        share = formatting.percent(slowed.stolen_share or 0.0)
        words.append(gettext("{share} of the CPU time went to others", share=share))
    if slowed.quota_periods:
        words.append(gettext("CPU quota used up in {n} periods", n=formatting.count(slowed.quota_periods)))
    if slowed.heat_events:
        words.append(gettext("slowed down {n} times by heat", n=formatting.count(slowed.heat_events)))
    if words:
        return listed(words)
    if not known:
        return gettext("throttling not measured")
    return gettext("no throttling seen (watched: {what})", what=listed(known))


def facts(run: RunView) -> Table:
    """List the facts that reliability rests on."""
    states = [str(case.record.status) for case in run.cases]
    tally = [
        gettext("{n} {status}", n=states.count(state), status=messages.say(state)) for state in dict.fromkeys(states)
    ]
    ranges = [(share, case.label) for case, share in _known_ranges(run.cases)]
    shares = [
        (case.least_attributed[1].low, gettext("{case}, {party}", case=case.label, party=case.least_attributed[0]))
        for case in run.cases
        if case.least_attributed
    ]
    widest, least = max(ranges, default=None), min(shares, default=None)
    environment, measuring = run.environment, run.record.measuring
    values: Mapping[str, object] = {
        gettext("Cases"): listed(tally) or gettext("none"),
        gettext("Repeats"): repeats_of(run.cases),
        gettext("Widest range of the time per epoch"): gettext("not measured (it takes two repeats)")
        if widest is None
        else gettext("{share} of the median ({case})", share=formatting.percent(widest[0]), case=widest[1]),
        gettext("Least share of the epoch in named phases"): None
        if least is None
        else gettext("{share} of the epoch ({case})", share=formatting.percent(least[0]), case=least[1]),
        gettext("Load average before (1, 5, 15 minutes)"): _loads(environment.load_before),
        gettext("Load average after"): _loads(environment.load_after),
        gettext("CPU time that went to others (steal)"): _share(environment.slowed.stolen_share),
        gettext("Periods without CPU quota"): _count(environment.slowed.quota_periods),
        gettext("Slow-downs for heat"): _count(environment.slowed.heat_events),
        gettext("Cost of the resource sampler"): _sampler(measuring.sampler_cpu_percent, measuring.sampler_hertz),
    }
    return elements.facts(gettext("What reliability rests on"), values)


def _share(share: float | None) -> str | None:
    return None if share is None else formatting.percent(share)


def _count(n: float | None) -> str | None:
    return None if n is None else formatting.count(n)


def _sampler(percent: float | None, rate: float | None) -> str | None:
    """Write what the sampler of CPU and memory cost."""
    if percent is None:
        return None
    share = f"{formatting.number(percent, 2)} %"
    if rate is None:
        return gettext("{share} of one core", share=share)
    return gettext("{share} of one core, {rate} samples a second", share=share, rate=f"{rate:g}")


def _loads(loads: Sequence[float]) -> str | None:
    return ", ".join(f"{load:.2f}" for load in loads) or None
