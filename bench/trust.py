"""Whether a run can be relied on: what speaks against it, how gravely, and the facts that this rests on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from bench import compare, figures, findings, page, recorded
from bench.figures import dig
from bench.findings import Case, Run, label_of, repeats_of
from bench.language import gettext, listed, ngettext, sequence
from bench.page import Cell, Table

# Grades of a concern. What is grave leaves nothing to decide by; a condition says for what the figures hold, and is
# nothing that a better run would not have.
GRAVE, RESERVATION, CONDITION = "grave", "reservation", "condition"

# Worth a reservation: repeats that lie this far apart (of their median), an interval of ratios whose ends have this
# ratio, less of the epoch than this in named phases, and more CPU time than this given to others.
WIDE_SPREAD = 0.2
WIDE_INTERVAL = 2.0
LEAST_ATTRIBUTED = 0.95
MOST_STOLEN = 0.01

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
    finished = [case for case in run["cases"] if figures.finished(case)]
    found = [
        *_unanswered(run),
        *_unfinished(run),
        *_repeats(run, finished),
        *_spreads(run, finished),
        *_gaps(finished),
        *_surroundings(run),
        *_conditions(run, finished),
    ]
    return sorted(found, key=lambda concern: (GRAVE, RESERVATION, CONDITION).index(concern.grade))


def _spoken_of(run: Run) -> list[Case]:
    """Return the cases that the answer speaks of: the federated one and the centralised one it is held against."""
    case = findings.headline(run)
    base = findings.baseline(case, run["cases"]) if case else None
    return [each for each in (case, base) if each is not None]


def _unanswered(run: Run) -> Iterator[Concern]:
    known = len(_spoken_of(run))
    if known == 0:
        yield Concern(GRAVE, gettext("No federated case finished, so there is no answer."))
    elif known == 1:
        yield Concern(
            GRAVE,
            gettext("No centralised case on the same rows finished, so there is nothing to hold the figures against."),
        )


def _unfinished(run: Run) -> Iterator[Concern]:
    if not run.get("finished"):
        yield Concern(
            RESERVATION,
            gettext("The run is unfinished or was interrupted; figures of the remaining cases are missing."),
        )
    other = [case for case in run["cases"] if case.get("status") in ("failed", "pending")]
    if other:
        yield Concern(
            RESERVATION,
            gettext(
                "{n} of {all} cases failed or did not finish; they are listed below.",
                n=len(other),
                all=len(run["cases"]),
            ),
        )


def _repeats(run: Run, finished: Sequence[Case]) -> Iterator[Concern]:
    few = [case for case in finished if len(case.get("repeats_done") or []) < compare.LEAST_VALUES]
    if few:
        yield Concern(
            GRAVE if any(case in few for case in _spoken_of(run)) else RESERVATION,
            gettext(
                "Fewer than {least} repeats, so no difference can be called (--repeats 5): {cases}.",
                least=compare.LEAST_VALUES,
                cases=_some(list(map(label_of, few))),
            ),
        )


def _some(names: Sequence[str]) -> str:
    """Name the first few of many."""
    rest = len(names) - _NAMED
    more = [ngettext("{n} more", "{n} more", rest, n=rest)] if rest > 0 else []
    return sequence([*names[:_NAMED], *more])


def _spreads(run: Run, finished: Sequence[Case]) -> Iterator[Concern]:
    """Name the cases whose repeats lie far apart, and the interval of the answer where it says little."""
    wide = sorted(((spread, label_of(case)) for case, spread in _known_spreads(finished)), reverse=True)
    wide = [(spread, name) for spread, name in wide if spread > WIDE_SPREAD]
    if wide:
        names = [gettext("{case} {share}", case=name, share=figures.percent(spread)) for spread, name in wide]
        yield Concern(
            RESERVATION,
            gettext(
                "In {n} of {all} cases the repeats' times per epoch lie more than {limit} of their median apart: "
                "{cases}.",
                n=len(wide),
                all=len(finished),
                limit=figures.percent(WIDE_SPREAD),
                cases=_some(names),
            ),
        )
    spoken_of = _spoken_of(run)
    relation = findings.relate_times(*spoken_of) if len(spoken_of) > 1 else None
    if relation and relation.low and relation.high and relation.high > WIDE_INTERVAL * relation.low:
        yield Concern(
            RESERVATION,
            gettext(
                "The times' ratio to centralised is known roughly only, between {low} and {high}: more repeats narrow "
                "it (--repeats 10).",
                low=figures.number(relation.low),
                high=figures.number(relation.high),
            ),
        )


def _known_spreads(cases: Sequence[Case]) -> list[tuple[Case, float]]:
    found = [(case, findings.relative_spread(dig(case, "time", "epoch_seconds"))) for case in cases]
    return [(case, spread) for case, spread in found if spread is not None]


def _gaps(finished: Sequence[Case]) -> Iterator[Concern]:
    """Name epochs that are not accounted for, and parties that were lost."""
    for case in finished:
        party, share = findings.least_attributed(case)
        if share and share["low"] < LEAST_ATTRIBUTED:
            yield Concern(
                RESERVATION,
                gettext(
                    "{case}: only {share} of the epoch of {party} is in named phases.",
                    case=label_of(case),
                    share=figures.percent(share["low"]),
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
                share=figures.percent(slowed["stolen_share"]),
            ),
        )
    if slowed.get("quota_periods"):
        yield Concern(
            RESERVATION,
            gettext(
                "The CPU quota was used up in {n} scheduling periods: the parties had to wait for it.",
                n=figures.count(slowed["quota_periods"]),
            ),
        )
    if slowed.get("heat_events"):
        yield Concern(
            RESERVATION,
            gettext(
                "The processors slowed down {n} times because of their heat.", n=figures.count(slowed["heat_events"])
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
    text = recorded.say(line)
    text = f"{text[:1].upper()}{text[1:]}"
    return text if text.endswith(".") else gettext("{sentence}.", sentence=text)


def section(run: Run) -> dict[str, Any]:
    """Return what the template shows: the verdict, all concerns by grade, and the table of facts."""
    found = concerns(run)
    against = [concern.text for concern in found if concern.grade != CONDITION]
    grade = found[0].grade if found else CONDITION
    return {
        "grade": {GRAVE: "unfit", RESERVATION: "reserved", CONDITION: "fit"}[grade],
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
            gettext("their times per epoch at most {share} of the median apart", share=figures.percent(max(spreads)))
        )
    if loads and cores:
        parts.append(gettext("load {load} on {cores} cores before the run", load=f"{loads[0]:.2f}", cores=cores))
    else:
        parts.append(gettext("load before the run not measured"))
    return gettext("{sentence}.", sentence=sequence([*parts, _slowed(run)]))


def _slowed(run: Run) -> str:
    """Say what slowed the processors down during the run, as far as the system tells."""
    slowed = dig(run, "environment", "slowed") or {}
    known = {key: value for key, value in slowed.items() if value is not None}
    words = []
    if known.get("stolen_share"):
        words.append(gettext("{share} of the CPU time went to others", share=figures.percent(known["stolen_share"])))
    if known.get("quota_periods"):
        words.append(gettext("CPU quota used up in {n} periods", n=figures.count(known["quota_periods"])))
    if known.get("heat_events"):
        words.append(gettext("slowed down {n} times by heat", n=figures.count(known["heat_events"])))
    if words:
        return listed(words)
    return gettext("no throttling seen") if known else gettext("throttling not measured")


def _facts(run: Run) -> Table:
    """List the facts that trust rests on."""
    states = [str(case.get("status")) for case in run["cases"]]
    tally = [
        gettext("{n} {status}", n=states.count(state), status=recorded.say(state)) for state in dict.fromkeys(states)
    ]
    spreads = [(spread, label_of(case)) for case, spread in _known_spreads(run["cases"])]
    shares = [
        (share["low"], gettext("{case}, {party}", case=label_of(case), party=party))
        for case in run["cases"]
        for party, share in [findings.least_attributed(case)]
        if share is not None
    ]
    sampler, rate = dig(run, "measuring", "sampler_cpu_percent"), dig(run, "measuring", "sampler_hertz")
    widest, least = max(spreads, default=None), min(shares, default=None)
    facts: Mapping[str, object] = {
        gettext("Cases"): listed(tally) or gettext("none"),
        gettext("Repeats"): repeats_of(run["cases"]),
        gettext("Widest spread of the time per epoch"): gettext("not measured (it takes two repeats)")
        if widest is None
        else gettext("{share} of the median ({case})", share=figures.percent(widest[0]), case=widest[1]),
        gettext("Least share of the epoch in named phases"): None
        if least is None
        else gettext("{share} of the epoch ({case})", share=figures.percent(least[0]), case=least[1]),
        gettext("Load average before (1, 5, 15 minutes)"): _loads(dig(run, "environment", "load_before")),
        gettext("Load average after"): _loads(dig(run, "environment", "load_after")),
        gettext("CPU time that went to others (steal)"): _share(dig(run, "environment", "slowed", "stolen_share")),
        gettext("Periods without CPU quota"): _count(dig(run, "environment", "slowed", "quota_periods")),
        gettext("Slow-downs for heat"): _count(dig(run, "environment", "slowed", "heat_events")),
        gettext("Cost of the resource sampler"): None if sampler is None else _sampler(sampler, rate),
    }
    rows = [[Cell(name), page.text(value)] for name, value in facts.items()]
    return Table(gettext("What the trust rests on"), ("", ""), rows)


def _share(share: float | None) -> str | None:
    return None if share is None else figures.percent(share)


def _count(n: float | None) -> str | None:
    return None if n is None else figures.count(n)


def _sampler(percent: float, rate: float | None) -> str:
    """Write what the sampler of CPU and memory cost."""
    share = f"{figures.number(percent, 2)} %"
    if rate is None:
        return gettext("{share} of one core", share=share)
    return gettext("{share} of one core, {rate} samples a second", share=share, rate=f"{rate:g}")


def _loads(loads: Any) -> str | None:
    return ", ".join(f"{load:.2f}" for load in loads) if loads else None
