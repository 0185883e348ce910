"""Whether a run can be relied on: what speaks against it, how gravely, and the facts that this rests on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from bench.i18n import messages
from bench.i18n.language import gettext, listed, ngettext, sequence
from bench.pages import elements
from bench.pages.elements import Cell, Table
from bench.results import selection
from bench.results.selection import Case, Run, label_of, repeats_of
from bench.stats import comparison, formatting, summaries
from bench.stats.summaries import dig, measured

# Grades of a concern, the gravest first. What is grave leaves nothing to decide by; rough are times that are known
# roughly only; a condition says for what the figures hold, and is nothing that a better run would not have.
GRAVE, ROUGH, RESERVATION, CONDITION = "grave", "rough", "reservation", "condition"
GRADES = {GRAVE: "unfit", ROUGH: "rough", RESERVATION: "reserved", CONDITION: "fit"}

# Worth a concern: repeats that lie this far apart (of their median), an interval of ratios whose ends have this ratio,
# one of AUC as wide as this, less of the epoch than this in named phases, more CPU time than this given to others.
WIDE_SPREAD = 0.2
WIDE_INTERVAL = 1.5
WIDE_GAP = 0.02
LEAST_ATTRIBUTED = 0.95
MOST_STOLEN = 0.01

# Written as 0.0 %, it is none.
_LEAST_STOLEN = 0.0005
# So many cases are named; the tables have them all.
_NAMED = 3
# So many concerns stand on the first screen.
_AT_FIRST = 2


class Concern(NamedTuple):
    """A sentence that speaks against relying on the figures, and its grade."""

    grade: str
    text: str


def concerns(run: Run) -> list[Concern]:
    """List what speaks against relying on the figures, the gravest first."""
    finished = [case for case in run["cases"] if summaries.finished(case)]
    found = [
        *_unanswered(run),
        *_unfinished(run),
        *_repeats(run, finished),
        *_spreads(run, finished),
        *_gaps(finished),
        *_surroundings(run),
        *_conditions(run, finished),
    ]
    return sorted(found, key=lambda concern: list(GRADES).index(concern.grade))


def _spoken_of(run: Run) -> list[Case]:
    """Return the cases that the answer speaks of: the federated one and the centralised one it is held against."""
    case = selection.headline(run)
    base = selection.baseline(case, run["cases"]) if case else None
    return [each for each in (case, base) if each is not None]


def _unanswered(run: Run) -> Iterator[Concern]:
    """Say what of the answer is missing, or stands on another case than it was to."""
    spoken_of = _spoken_of(run)
    if not spoken_of:
        yield Concern(GRAVE, gettext("No federated case finished, so there is no answer."))
        return
    if len(spoken_of) == 1:
        yield Concern(
            GRAVE,
            gettext("No centralised case on the same rows finished, so there is nothing to hold the figures against."),
        )
    for case in spoken_of:
        lacks = [
            name
            for name, path in (
                (gettext("AUC"), ("metrics", "auc")),
                (gettext("time per epoch"), ("time", "epoch_seconds")),
            )
            if not measured(dig(case, *path))
        ]
        if lacks:
            yield Concern(GRAVE, gettext("{case}: not measured: {what}.", case=label_of(case), what=listed(lacks)))
    due = selection.intended(run)
    if due is not None and due is not spoken_of[0]:
        yield Concern(
            RESERVATION,
            gettext(
                "The answer speaks of {case}, for {failed} has no result.",
                case=label_of(spoken_of[0]),
                failed=label_of(due),
            ),
        )


def _unfinished(run: Run) -> Iterator[Concern]:
    if not run.get("finished"):
        yield Concern(
            RESERVATION,
            gettext("The run is unfinished or was interrupted; figures of the remaining cases are missing."),
        )
    other = [
        str(case.get("title") or case["id"]) for case in run["cases"] if case.get("status") in ("failed", "pending")
    ]
    if other:
        yield Concern(
            RESERVATION,
            gettext(
                "{n} of {all} cases failed or did not finish: {cases}.",
                n=len(other),
                all=len(run["cases"]),
                cases=_some(other),
            ),
        )


def _repeats(run: Run, finished: Sequence[Case]) -> Iterator[Concern]:
    few = [case for case in finished if len(case.get("repeats_done") or []) < comparison.LEAST_VALUES]
    if few:
        yield Concern(
            GRAVE if any(case in few for case in _spoken_of(run)) else RESERVATION,
            gettext(
                "Fewer than {least} repeats, so no difference can be called (--repeats 5): {cases}.",
                least=comparison.LEAST_VALUES,
                cases=_some(list(map(label_of, few))),
            ),
        )


def _some(names: Sequence[str]) -> str:
    """Name the first few of many."""
    rest = len(names) - _NAMED
    more = [ngettext("{n} more", "{n} more", rest, n=rest)] if rest > 0 else []
    return sequence([*names[:_NAMED], *more])


def _spreads(run: Run, finished: Sequence[Case]) -> Iterator[Concern]:
    """Name intervals of the answer that say little, and the cases whose repeats lie far apart."""
    spoken_of = _spoken_of(run)
    times = selection.relate_times(*spoken_of) if len(spoken_of) > 1 else None
    if times and times.low and times.high and times.high > WIDE_INTERVAL * times.low:
        yield Concern(
            ROUGH,
            gettext(
                "The times' ratio to centralised is known roughly only, between {low} and {high}: more repeats and a "
                "quiet machine narrow it (--repeats 10).",
                low=formatting.number(times.low),
                high=formatting.number(times.high),
            ),
        )
    gap = selection.relate_scores(run, spoken_of[0], spoken_of[1], "auc") if len(spoken_of) > 1 else None
    if gap and gap.low is not None and gap.high is not None and gap.high - gap.low > WIDE_GAP:
        yield Concern(
            RESERVATION,
            gettext(
                "The difference of AUC is known roughly only, between {low} and {high}: more rows or repeats narrow "
                "it.",
                low=formatting.difference(gap.low),
                high=formatting.difference(gap.high),
            ),
        )
    known = _known_spreads(finished)
    wide = [(case not in spoken_of, -spread, label_of(case)) for case, spread in known if spread > WIDE_SPREAD]
    if wide:
        yield Concern(
            RESERVATION,
            gettext(
                "In {n} of {all} cases with epochs the repeats' times per epoch lie more than {limit} of their median "
                "apart: {cases}.",
                n=len(wide),
                all=len(known),
                limit=formatting.percent(WIDE_SPREAD),
                cases=_some(
                    [
                        gettext("{case} {share}", case=name, share=formatting.percent(-less))
                        for _, less, name in sorted(wide)
                    ]
                ),
            ),
        )


def _known_spreads(cases: Sequence[Case]) -> list[tuple[Case, float]]:
    found = [(case, selection.relative_spread(dig(case, "time", "epoch_seconds"))) for case in cases]
    return [(case, spread) for case, spread in found if spread is not None]


def _gaps(finished: Sequence[Case]) -> Iterator[Concern]:
    """Name epochs that are not accounted for, and parties that were lost."""
    for case in finished:
        party, share = selection.least_attributed(case)
        if share and share["low"] < LEAST_ATTRIBUTED:
            yield Concern(
                RESERVATION,
                gettext(
                    "{case}: only {share} of the epoch of {party} is in named phases.",
                    case=label_of(case),
                    share=f"{100 * share['low']:.1f}{formatting.SPACE}%",
                    party=party,
                ),
            )
        for lost in case.get("lost_parties") or []:
            yield Concern(
                RESERVATION,
                gettext(
                    "{case}: party {party} was lost in repeat {repeat}, whose figures are those of "
                    "the parties that were left.",
                    case=label_of(case),
                    party=lost["party"],
                    repeat=lost["repeat"],
                ),
            )


def _surroundings(run: Run) -> Iterator[Concern]:
    """Name what the code and the machine add to the doubts."""
    if dig(run, "revision", "dirty"):
        yield Concern(
            RESERVATION, gettext("The code had local changes: its revision alone does not reproduce the run.")
        )
    slowed = dig(run, "environment", "slowed") or {}
    if (slowed.get("stolen_share") or 0.0) > MOST_STOLEN:
        yield Concern(
            RESERVATION,
            gettext(
                "The hypervisor gave {share} of the CPU time to others during the run.",
                share=formatting.percent(slowed["stolen_share"]),
            ),
        )
    if slowed.get("quota_periods"):
        yield Concern(
            RESERVATION,
            gettext(
                "The CPU quota was used up in {n} scheduling periods: the parties had to wait for it.",
                n=formatting.count(slowed["quota_periods"]),
            ),
        )
    if slowed.get("heat_events"):
        yield Concern(
            RESERVATION,
            gettext(
                "The processors slowed down {n} times because of their heat.", n=formatting.count(slowed["heat_events"])
            ),
        )
    for line in dig(run, "environment", "warnings") or []:
        yield Concern(RESERVATION, _sentence(line))


def _conditions(run: Run, finished: Sequence[Case]) -> Iterator[Concern]:
    """Say who had the machine to itself and who shared it: a ratio of their times holds for such a machine."""
    together = [case for case in finished if case.get("network") == "loopback"]
    if together and any(case.get("engine") == "centralised" for case in finished):
        parties = max(sum(dig(party, "role") != "arbiter" for party in case.get("parties") or []) for case in together)
        cores = dig(run, "environment", "cores_available")
        most = gettext("up to {n}", n=min(parties, cores)) if parties and cores else gettext("more")
        yield Concern(
            CONDITION,
            gettext(
                "Centralised used one core, the parties together {most}: on one machine the parties share cores and "
                "memory, on machines of their own they would not.",
                most=most,
            ),
        )
    alone = [label_of(case) for case in finished if case.get("engine") == "local"]
    if alone:
        yield Concern(
            CONDITION,
            gettext(
                "Trained one party after the other, so that none shared the machine with another: {cases}.",
                cases=_some(alone),
            ),
        )
    for line in dig(run, "environment", "conditions") or []:
        yield Concern(CONDITION, _sentence(line))


def _sentence(line: object) -> str:
    """Make a line of the environment a sentence."""
    text = messages.say(line)
    text = f"{text[:1].upper()}{text[1:]}"
    return text if text.endswith(".") else gettext("{sentence}.", sentence=text)


def section(run: Run) -> dict[str, Any]:
    """Return what the template shows: the verdict, all concerns by grade, and the table of facts."""
    found = concerns(run)
    against = [concern.text for concern in found if concern.grade != CONDITION]
    grade = found[0].grade if found else CONDITION
    return {
        "grade": GRADES[grade],
        "verdict": _verdict(grade, len(against)),
        "rests_on": _rests_on(run),
        "first": against[:_AT_FIRST],
        "rest": max(0, len(against) - _AT_FIRST),
        "against": against,
        "conditions": [concern.text for concern in found if concern.grade == CONDITION],
        "facts": _facts(run),
    }


def _verdict(grade: str, reservations: int) -> str:
    if grade == GRAVE:
        return gettext("Not fit to decide by.")
    if grade == ROUGH:
        return gettext("Scores and bytes can be relied on, times only roughly.")
    if grade == RESERVATION:
        return ngettext(
            "Can be relied on, with {n} reservation.",
            "Can be relied on, with {n} reservations.",
            reservations,
            n=reservations,
        )
    return gettext("Can be relied on.")


def _rests_on(run: Run) -> str:
    """Say in a line what the verdict looked at, of the cases that the answer speaks of."""
    spoken_of = _spoken_of(run)
    spreads = [spread for _, spread in _known_spreads(spoken_of)]
    loads, cores = dig(run, "environment", "load_before"), dig(run, "environment", "cores_available")
    parts = [repeats_of(spoken_of or run["cases"])]
    if spreads:
        parts.append(
            gettext(
                "the times per epoch of the two cases compared at most {share} of their median apart",
                share=formatting.percent(max(spreads)),
            )
            if len(spoken_of) > 1
            else gettext(
                "its times per epoch at most {share} of their median apart", share=formatting.percent(max(spreads))
            )
        )
    if loads and cores:
        parts.append(gettext("load {load} on {cores} cores before the run", load=f"{loads[0]:.2f}", cores=cores))
    else:
        parts.append(gettext("load before the run not measured"))
    return gettext("{sentence}.", sentence=sequence([*parts, _slowed(run)]))


def _slowed(run: Run) -> str:
    """Say what slowed the processors down during the run, of what the system counts."""
    slowed = dig(run, "environment", "slowed") or {}
    watched = {
        "stolen_share": gettext("CPU time of others"),
        "quota_periods": gettext("CPU quota"),
        "heat_events": gettext("heat"),
    }
    known = [name for key, name in watched.items() if slowed.get(key) is not None]
    words = []
    if (slowed.get("stolen_share") or 0.0) >= _LEAST_STOLEN:
        words.append(
            gettext("{share} of the CPU time went to others", share=formatting.percent(slowed["stolen_share"]))
        )
    if slowed.get("quota_periods"):
        words.append(gettext("CPU quota used up in {n} periods", n=formatting.count(slowed["quota_periods"])))
    if slowed.get("heat_events"):
        words.append(gettext("slowed down {n} times by heat", n=formatting.count(slowed["heat_events"])))
    if words:
        return listed(words)
    if not known:
        return gettext("throttling not measured")
    return gettext("no throttling seen (watched: {what})", what=listed(known))


def _facts(run: Run) -> Table:
    """List the facts that trust rests on."""
    states = [str(case.get("status")) for case in run["cases"]]
    tally = [
        gettext("{n} {status}", n=states.count(state), status=messages.say(state)) for state in dict.fromkeys(states)
    ]
    spreads = [(spread, label_of(case)) for case, spread in _known_spreads(run["cases"])]
    shares = [
        (share["low"], gettext("{case}, {party}", case=label_of(case), party=party))
        for case in run["cases"]
        for party, share in [selection.least_attributed(case)]
        if share is not None
    ]
    sampler, rate = dig(run, "measuring", "sampler_cpu_percent"), dig(run, "measuring", "sampler_hertz")
    widest, least = max(spreads, default=None), min(shares, default=None)
    facts: Mapping[str, object] = {
        gettext("Cases"): listed(tally) or gettext("none"),
        gettext("Repeats"): repeats_of(run["cases"]),
        gettext("Widest spread of the time per epoch"): gettext("not measured (it takes two repeats)")
        if widest is None
        else gettext("{share} of the median ({case})", share=formatting.percent(widest[0]), case=widest[1]),
        gettext("Least share of the epoch in named phases"): None
        if least is None
        else gettext("{share} of the epoch ({case})", share=formatting.percent(least[0]), case=least[1]),
        gettext("Load average before (1, 5, 15 minutes)"): _loads(dig(run, "environment", "load_before")),
        gettext("Load average after"): _loads(dig(run, "environment", "load_after")),
        gettext("CPU time that went to others (steal)"): _share(dig(run, "environment", "slowed", "stolen_share")),
        gettext("Periods without CPU quota"): _count(dig(run, "environment", "slowed", "quota_periods")),
        gettext("Slow-downs for heat"): _count(dig(run, "environment", "slowed", "heat_events")),
        gettext("Cost of the resource sampler"): None if sampler is None else _sampler(sampler, rate),
    }
    rows = [[Cell(name), elements.text(value)] for name, value in facts.items()]
    return Table(gettext("What the trust rests on"), ("", ""), rows)


def _share(share: float | None) -> str | None:
    return None if share is None else formatting.percent(share)


def _count(n: float | None) -> str | None:
    return None if n is None else formatting.count(n)


def _sampler(percent: float, rate: float | None) -> str:
    """Write what the sampler of CPU and memory cost."""
    share = f"{formatting.number(percent, 2)} %"
    if rate is None:
        return gettext("{share} of one core", share=share)
    return gettext("{share} of one core, {rate} samples a second", share=share, rate=f"{rate:g}")


def _loads(loads: Any) -> str | None:
    return ", ".join(f"{load:.2f}" for load in loads) if loads else None
