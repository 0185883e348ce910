"""What each party gains by training together: the common model against its own, split by split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from bench.i18n.language import gettext_noop
from bench.results.record import PartyRows
from bench.results.view import CaseView, RunView
from bench.stats.comparison import Comparison, compare_samples
from bench.stats.summaries import Summary, summarise

# Recall of class 0 is what the thesis compares parties by (its figures 4-2 and 4-3); AUC needs no threshold.
METRICS = {"specificity": gettext_noop("Specificity"), "auc": "AUC"}


class Gain(NamedTuple):
    """One party under one split: its rows, and for each metric the values alone and together, repeat by repeat."""

    local: CaseView
    together: CaseView
    party: str
    role: str
    rows: int | None
    alone: dict[str, Summary | None]
    shared: dict[str, Summary | None]
    compared: dict[str, Comparison]

    @property
    def smaller_share(self) -> float | None:
        """The smaller party's share where the split is two percentages; None for other splits."""
        parts = str(self.local.record.split).partition(",")[0].split("/")
        try:
            sizes = [float(part) for part in parts]
        except ValueError:
            return None
        return min(sizes) / sum(sizes) if len(sizes) == 2 else None


class Tally(NamedTuple):
    """The parties whose specificity is higher together, those with a lower one, and how many show neither."""

    more: Sequence[Gain]
    less: Sequence[Gain]
    unsure: int

    @property
    def parties(self) -> int:
        """How many parties were compared."""
        return len(self.more) + len(self.less) + self.unsure


def gains(run: RunView) -> list[Gain]:
    """Return every party of every finished case whose parties train alone, beside the common model on the same rows.

    Of several federated cases the first without protection, or else the first, stands for all.
    """
    found = []
    for local in run.finished:
        together = _together(run, local) if local.kind == "local" else None
        if together is not None and local.split is not None:
            found += [_gain(run, local, together, party) for party in local.split.parties]
    return found


def _gain(run: RunView, local: CaseView, together: CaseView, party: PartyRows) -> Gain:
    ours = run.scores[run.scores["case"] == together.id]
    own = run.scores[(run.scores["case"] == local.id) & (run.scores["model"].astype(str) == party.party)]
    both = own.merge(ours, on="repeat", suffixes=(".alone", ".together"))
    alone, shared, compared = {}, {}, {}
    for metric in METRICS:
        pairs = both[[f"{metric}.alone", f"{metric}.together"]].dropna()
        a, b = (pairs[column].astype(float).tolist() for column in pairs)
        alone[metric], shared[metric] = summarise(a), summarise(b)
        compared[metric] = compare_samples(a, b, "", paired=True, overlap=local.overlap)
    return Gain(local, together, party.party, party.role, party.rows, alone, shared, compared)


def _together(run: RunView, local: CaseView) -> CaseView | None:
    cases = [case for case in run.finished if case.is_federated and case.same_rows(local)]
    return next((case for case in cases if not case.is_protected), cases[0] if cases else None)


def tally(found: Sequence[Gain]) -> Tally:
    """Count the parties by what their interval of specificity shows."""
    called = [gain for gain in found if gain.compared["specificity"].interval]
    more = [gain for gain in called if gain.compared["specificity"].sign > 0]
    less = [gain for gain in called if gain.compared["specificity"].sign < 0]
    return Tally(more, less, len(called) - len(more) - len(less))
