"""The report's section on the thesis: what it says or asks, what came out here, and the answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from bench.i18n.language import gettext, listed, sequence
from bench.pages import elements
from bench.pages.elements import Cell, Table
from bench.report.section import Block, Section
from bench.results.gains import Gain, gains, tally
from bench.results.view import CaseView, RunView
from bench.stats import formatting

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


class Thesis(Section):
    """The thesis held against a run of suite thesis."""

    name, order = "thesis", 35

    def title(self) -> str:
        """Return its heading."""
        return gettext("Compared with the thesis")

    def short_title(self) -> str:
        """Return its name in the contents."""
        return gettext("Thesis")

    def blocks(self, run: RunView) -> Sequence[Block]:
        """Return one table; nothing for any other suite.

        On made-up loans nothing is said of scores: they follow from how the loans were made up.
        """
        if run.record.suite.name != SUITE:
            return []
        real = not any(facts.synthetic for facts in run.datasets.values())
        found = [*(_on_scores(run, gains(run)) if real else ()), *_on_paillier(run)]
        return [_table(run, found)] if found else []


SECTION = Thesis()


class Held(NamedTuple):
    """A finding of the thesis beside ours: where it stands, what it says or asks, what came out here, the answer."""

    where: str
    theirs: str
    ours: str
    verdict: str


def _table(run: RunView, found: Sequence[Held]) -> Table:
    columns = (
        gettext("Thesis"),
        gettext("What it says or asks"),
        gettext("What came out here"),
        gettext("Answer here"),
    )
    rows = [[Cell(held.where), Cell(held.theirs), Cell(held.ours), Cell(held.verdict)] for held in found]
    caption = gettext(
        "The thesis compared with this run; medians, and differences with their {confidence} intervals, {repeats}. A "
        "difference counts where its whole interval is on one side of zero; one that is not significant may still "
        "exist. Table 3-4 counts as reproduced up to {tolerance}: its loans were drawn otherwise",
        confidence=formatting.CONFIDENCE,
        repeats=elements.repeats_of(run.cases),
        tolerance=f"{TOLERANCE:.2f}",
    )
    return Table(caption, columns, rows, columns[1:])


def _on_scores(run: RunView, found: Sequence[Gain]) -> Iterator[Held]:
    centralised = run.case("centralised")
    if centralised and centralised.finished:
        yield _table_3_4(centralised)
    three = [gain for gain in found if gain.local.id == "local"]
    if three:
        yield _figure_4_2(three)
    two = [gain for gain in found if gain.smaller_share is not None]
    if two:
        yield _figure_4_3(two)


def _table_3_4(case: CaseView) -> Held:
    scores = {metric: case.metric(metric) for metric in TABLE_3_4}
    gaps = [abs(found.median - TABLE_3_4[metric]) for metric, found in scores.items() if found]
    if len(gaps) < len(TABLE_3_4):
        verdict = gettext("cannot tell")
    elif max(gaps) <= TOLERANCE:
        verdict = gettext("yes: no figure more than {gap} off", gap=f"{max(gaps):.2f}")
    else:
        verdict = gettext("no: a figure is {gap} off", gap=f"{max(gaps):.2f}")
    ours = [f"{found.median:.2f}" if found else gettext(formatting.NOT_MEASURED) for found in scores.values()]
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


def _figure_4_2(found: Sequence[Gain]) -> Held:
    counted = tally(found)
    verdict = gettext(
        "yes for {more} of {all} parties, the contrary for {less}; not significant for {rest}",
        more=len(counted.more),
        all=len(found),
        less=len(counted.less),
        rest=len(found) - len(counted.more) - len(counted.less),
    )
    return Held(
        gettext("Figure 4-2: three parties, 25/25/50"),
        gettext("trained together, every party finds more of the Charged Off than with its own model"),
        sequence(_gain_in_words(gain) for gain in found),
        verdict,
    )


def _gain_in_words(gain: Gain) -> str:
    gap = elements.gap(gain.compared["specificity"])
    return gettext("{party}: specificity {gap}", party=f"{gain.party}/{gain.role}", gap=gap)


def _figure_4_3(found: Sequence[Gain]) -> Held:
    """Look at the smaller parties, the smallest share first."""
    by_case: dict[str, list[Gain]] = {}
    for gain in found:
        by_case.setdefault(gain.local.id, []).append(gain)
    pairs = [pair for pair in by_case.values() if len(pair) == 2]
    smaller = sorted(
        (min(pair, key=lambda gain: gain.rows or 0) for pair in pairs), key=lambda gain: gain.smaller_share or 0.0
    )
    counted = tally(smaller)
    rest = [gain for gain in smaller if not gain.compared["specificity"].sign]
    answers = [
        gettext("{answer} at {shares}", answer=answer, shares=listed(_percent(gain) for gain in those))
        for answer, those in (
            (gettext("yes"), counted.more),
            (gettext("the contrary"), counted.less),
            (gettext("not significant"), rest),
        )
        if those
    ]
    return Held(
        gettext("Figure 4-3: two parties, 1/99 to 50/50"),
        gettext("two parties, the same rows in all: does the smaller find more of the Charged Off together?"),
        sequence(
            gettext("with {share}: {gap}", share=_percent(gain), gap=elements.gap(gain.compared["specificity"]))
            for gain in smaller
        ),
        sequence(answers),
    )


def _percent(gain: Gain) -> str:
    return f"{100 * (gain.smaller_share or 0.0):g}{formatting.SPACE}%"


def _on_paillier(run: RunView) -> Iterator[Held]:
    """Say what encryption adds to the time and the bytes of an epoch."""
    for case in run.finished:
        base = case.unprotected
        if "key_bits" not in case.record.privacy_options or base is None:  # no other encryption has keys
            continue
        compared = case.times_against(base)
        if compared is None or compared.estimate is None or compared.interval is None:
            continue
        ours, theirs = case.both_ways, base.both_ways
        low, high = map(formatting.number, compared.interval)
        said = gettext(
            "{case}: an epoch {times} times as long ({low} to {high}), {bytes} times the bytes",
            case=case.label,
            times=formatting.number(compared.estimate),
            low=low,
            high=high,
            bytes=formatting.number(ours.median / theirs.median)
            if ours and theirs
            else gettext(formatting.NOT_MEASURED),
        )
        yield Held(
            gettext("Section 4.3: Paillier"),
            gettext("what encryption costs in computing and in communicating: is an epoch longer?"),
            said,
            gettext("yes") if compared.sign > 0 else formatting.verdict(compared),
        )
