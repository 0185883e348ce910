"""The report's section on the thesis: what it says or asks, what came out here, and the answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from bench.i18n.language import gettext, listed, sequence
from bench.pages import elements
from bench.pages.elements import Cell, Table
from bench.report.sections import privacy
from bench.report.sections.gains import Gain, share_of, tally
from bench.results import selection
from bench.results.selection import Case, Run
from bench.stats import formatting, summaries
from bench.stats.summaries import dig, measured

SUITE = "thesis"

# The thesis's table 3-4: centralised logistic regression, class by class.
TABLE_3_4 = {
    "precision_0": 0.28,
    "recall_0": 0.66,
    "f1_0": 0.40,
    "precision_1": 0.90,
    "recall_1": 0.65,
    "f1_1": 0.75,
}
# Scores of another draw of the loans, given to two decimals, agree when they are this close.
TOLERANCE = 0.03


class Held(NamedTuple):
    """A finding of the thesis beside ours: where it stands, what it says or asks, what came out here, the answer."""

    where: str
    theirs: str
    ours: str
    verdict: str


def section(run: Run, gains: Sequence[Gain]) -> Table | None:
    """Return the table that the template shows; None for any other suite.

    On made-up loans nothing is said of scores: they follow from how the loans were made up.
    """
    if dig(run, "suite", "name") != SUITE:
        return None
    real = not any(facts.get("synthetic") for facts in run["datasets"].values())
    found = [*(_on_scores(run, gains) if real else ()), *_on_paillier(run)]
    if not found:
        return None
    columns = (
        gettext("Thesis"),
        gettext("What it says or asks"),
        gettext("What came out here"),
        gettext("Answer here"),
    )
    rows = [[Cell(held.where), Cell(held.theirs), Cell(held.ours), Cell(held.verdict)] for held in found]
    caption = gettext(
        "The thesis held against this run; medians, and differences with their {confidence} intervals, {repeats}. A "
        "difference is shown, or the contrary, where its whole interval is on one side of zero; that none is told is "
        "no proof that there is none. Table 3-4 counts as reproduced up to {tolerance}: its loans were drawn otherwise",
        confidence=formatting.CONFIDENCE,
        repeats=selection.repeats_of(run["cases"]),
        tolerance=f"{TOLERANCE:.2f}",
    )
    return Table(caption, columns, rows, columns[1:])


def _on_scores(run: Run, gains: Sequence[Gain]) -> Iterator[Held]:
    centralised = next((case for case in run["cases"] if case["id"] == "centralised"), None)
    if centralised and summaries.finished(centralised):
        yield _table_3_4(centralised)
    three = [gain for gain in gains if gain.local["id"] == "local"]
    if three:
        yield _figure_4_2(three)
    two = [gain for gain in gains if share_of(gain) is not None]
    if two:
        yield _figure_4_3(two)


def _table_3_4(case: Case) -> Held:
    summaries = {metric: measured(dig(case, "metrics", metric)) for metric in TABLE_3_4}
    gaps = [abs(found["median"] - TABLE_3_4[metric]) for metric, found in summaries.items() if found]
    if len(gaps) < len(TABLE_3_4):
        verdict = gettext("cannot tell")
    elif max(gaps) <= TOLERANCE:
        verdict = gettext("yes: no figure more than {gap} off", gap=f"{max(gaps):.2f}")
    else:
        verdict = gettext("no: a figure is {gap} off", gap=f"{max(gaps):.2f}")
    ours = [f"{found['median']:.2f}" if found else gettext(formatting.NOT_MEASURED) for found in summaries.values()]
    return Held(
        gettext("Table 3-4: centralised logistic regression"),
        _by_class([f"{value:.2f}" for value in TABLE_3_4.values()]),
        _by_class(ours),
        verdict,
    )


def _by_class(values: Sequence[str]) -> str:
    return gettext(
        "precision, recall, F1: Charged Off {charged_off}; Fully Paid {fully_paid}",
        charged_off=listed(values[:3]),
        fully_paid=listed(values[3:]),
    )


def _figure_4_2(gains: Sequence[Gain]) -> Held:
    more, less, _ = tally(gains)
    verdict = gettext(
        "shown for {more} of {all} parties, the contrary for {less}; not told for {rest}",
        more=len(more),
        all=len(gains),
        less=len(less),
        rest=len(gains) - len(more) - len(less),
    )
    return Held(
        gettext("Figure 4-2: three parties, 25/25/50"),
        gettext("trained together, every party finds more of the Charged Off than with its own model"),
        sequence(_gain_in_words(gain) for gain in gains),
        verdict,
    )


def _gain_in_words(gain: Gain) -> str:
    relation = gain.relation["specificity"]
    values = {"party": f"{gain.party}/{gain.role}", "gap": elements.gap(relation)}
    return gettext("{party}: specificity {gap}", **values)


def _figure_4_3(gains: Sequence[Gain]) -> Held:
    """Look at the smaller parties, the smallest share first."""
    by_case: dict[str, list[Gain]] = {}
    for gain in gains:
        by_case.setdefault(str(gain.local["id"]), []).append(gain)
    pairs = [pair for pair in by_case.values() if len(pair) == 2]
    smaller = sorted((min(pair, key=lambda gain: gain.rows) for pair in pairs), key=_share)
    more, less, _ = tally(smaller)
    rest = [gain for gain in smaller if not gain.relation["specificity"].sign]
    answers = [
        gettext("{answer} at {shares}", answer=answer, shares=listed(_percent(gain) for gain in found))
        for answer, found in (
            (gettext("yes"), more),
            (gettext("the contrary"), less),
            (gettext("not told"), rest),
        )
        if found
    ]
    verdict = sequence(answers)
    return Held(
        gettext("Figure 4-3: two parties, 1/99 to 50/50"),
        gettext("two parties, the same rows in all: does the smaller find more of the Charged Off together?"),
        sequence(
            gettext("with {share}: {gap}", share=_percent(gain), gap=elements.gap(gain.relation["specificity"]))
            for gain in smaller
        ),
        verdict,
    )


def _share(gain: Gain) -> float:
    return share_of(gain) or 0.0


def _percent(gain: Gain) -> str:
    return f"{100 * _share(gain):g}{formatting.SPACE}%"


def _on_paillier(run: Run) -> Iterator[Held]:
    """Say what encryption adds to the time and the bytes of an epoch."""
    for case in run["cases"]:
        if not summaries.finished(case) or case.get("privacy") not in ("paillier", "paillier_host"):
            continue
        base = privacy.plain(case, run["cases"])
        if base is None:
            continue
        relation = selection.relate_times(case, base)
        if relation is None or relation.estimate is None or relation.low is None or relation.high is None:
            continue
        both = [
            summaries.add_up([dig(side, "bytes", f"epoch_{way}") for way in ("sent", "received")])
            for side in (case, base)
        ]
        sizes = formatting.number(both[0]["median"] / both[1]["median"]) if both[0] and both[1] else None
        ours = gettext(
            "{case}: an epoch {times} times as long ({low} to {high}), {bytes} times the bytes",
            case=selection.label_of(case),
            times=formatting.number(relation.estimate),
            low=formatting.number(relation.low),
            high=formatting.number(relation.high),
            bytes=sizes or gettext(formatting.NOT_MEASURED),
        )
        yield Held(
            gettext("Section 4.3: Paillier"),
            gettext("what encryption costs in computing and in communicating: is an epoch longer?"),
            ours,
            gettext("yes") if relation.low > 1 else gettext("no difference beyond the spread"),
        )
