"""The report's section on what each party gains: the model trained together against the party's own, split by split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from bench.i18n import messages
from bench.i18n.language import gettext, gettext_noop, ngettext, sequence
from bench.pages import charts, elements
from bench.pages.elements import Cell, Plot, Table
from bench.results import selection
from bench.results.selection import Case, Run, on_same_rows, repeats_of
from bench.stats import comparison, formatting, summaries
from bench.stats.comparison import Relation
from bench.stats.summaries import dig

# Recall of class 0 is what the thesis compares parties by (its figures 4-2 and 4-3); AUC needs no threshold.
_METRICS = {"specificity": gettext_noop("Specificity"), "auc": "AUC"}
# A curve takes so many splits over two parties.
_LEAST_POINTS = 3


class Gain(NamedTuple):
    """One party under one split: its rows, and for each metric the values alone and together, repeat by repeat."""

    local: Case
    together: Case
    party: str
    role: str
    rows: float
    alone: dict[str, dict[str, Any] | None]
    shared: dict[str, dict[str, Any] | None]
    relation: dict[str, Relation]


def gains(run: Run, scores: pd.DataFrame) -> list[Gain]:
    """Return every party of every finished case ``local`` beside the federated case on the same rows.

    Of several federated cases the first without protection, or else the first, stands for all.
    """
    found = []
    for local in run["cases"]:
        if local.get("engine") != "local" or not summaries.finished(local):
            continue
        together = _together(run, local)
        if together is None:
            continue
        ours = scores[scores["case"] == together["id"]]
        for party in (
            dig(run, "datasets", str(local.get("dataset")), "splits", str(local.get("split")), "parties") or []
        ):
            own = scores[(scores["case"] == local["id"]) & (scores["model"].astype(str) == party["party"])]
            both = own.merge(ours, on="repeat", suffixes=(".alone", ".together"))
            alone, shared, relation = {}, {}, {}
            for metric in _METRICS:
                pairs = both[[f"{metric}.alone", f"{metric}.together"]].dropna()
                a, b = (pairs[column].astype(float).tolist() for column in pairs)
                alone[metric], shared[metric] = summaries.summarise(a), summaries.summarise(b)
                relation[metric] = comparison.relate(a, b, "", paired=True, overlap=selection.overlap(run, local))
            found.append(Gain(local, together, party["party"], party["role"], party["rows"], alone, shared, relation))
    return found


def _together(run: Run, local: Case) -> Case | None:
    cases = [
        case
        for case in run["cases"]
        if case.get("engine") == "federated" and summaries.finished(case) and on_same_rows(case, local)
    ]
    return next((case for case in cases if case.get("privacy") == "plain"), cases[0] if cases else None)


def tally(found: Sequence[Gain]) -> tuple[list[Gain], list[Gain], int]:
    """Return the parties whose specificity is higher together, those with a lower one, and how many show neither."""
    called = [gain for gain in found if gain.relation["specificity"].low is not None]
    more = [gain for gain in called if gain.relation["specificity"].sign > 0]
    less = [gain for gain in called if gain.relation["specificity"].sign < 0]
    return more, less, len(called) - len(more) - len(less)


def clause(run: Run, found: Sequence[Gain]) -> str | None:
    """Count for the answer where training together finds more of class 0; None where that cannot be told of any."""
    more, less, rest = tally(found)
    parties = len(more) + len(less) + rest
    if not parties:
        return None
    names = dig(run, "datasets", str(found[0].local.get("dataset")), "class_names") or [gettext("class 0")]
    return gettext(
        "of {all} parties under {splits}, {more} find more of {class_name} with the common model than with their own, "
        "{less} less, and of {rest} no difference can be told{chance}",
        all=parties,
        splits=_splits(found),
        more=len(more),
        less=len(less),
        rest=rest,
        class_name=names[0],
        chance=_chance(parties),
    )


def _splits(found: Sequence[Gain]) -> str:
    splits = {str(gain.local.get("split")) for gain in found}
    return ngettext("{n} split", "{n} splits", len(splits), n=len(splits))


def _chance(parties: int) -> str:
    """Say how many of many comparisons are expected to show a difference where there is none."""
    expected = round((1 - comparison.CONFIDENCE) * parties)
    return gettext(" (chance alone shows about {n})", n=expected) if expected else ""


def sentence(found: Sequence[Gain]) -> str | None:
    """Say for how many parties training together found more of class 0; None where there is nothing to say."""
    more, less, rest = tally(found)
    parties = len(more) + len(less) + rest
    if not parties:
        return None
    lower = [gettext("{n} had a lower one", n=len(less))] if less else []
    if not more:
        none = gettext(
            "Of {all} parties under {splits}, none was shown to have a higher specificity with the common model than "
            "with its own",
            all=parties,
            splits=_splits(found),
        )
        return gettext("{sentence}.", sentence=sequence([none, *lower]))
    best = max(more, key=lambda gain: gain.relation["specificity"].estimate or 0.0)
    some = gettext(
        "Of {all} parties under {splits}, {n} had a higher specificity with the common model than with their own "
        "(at most {gain}, {rows} rows of split {split})",
        n=len(more),
        all=parties,
        splits=_splits(found),
        gain=formatting.difference(best.relation["specificity"].estimate or 0.0),
        rows=formatting.count(best.rows),
        split=messages.say(best.local["split"]),
    )
    equal = [gettext("of {n} no difference can be told", n=rest)] if rest else []
    return gettext("{sentence}{chance}.", sentence=sequence([some, *equal, *lower]), chance=_chance(parties))


def section(found: Sequence[Gain]) -> dict[str, Any] | None:
    """Return what the template shows; None where no party trained both ways."""
    if not found:
        return None
    columns = [gettext("Party"), gettext("Training rows")]
    for name in map(gettext, _METRICS.values()):
        columns += [
            gettext("{score}, alone", score=name),
            gettext("{score}, together", score=name),
            gettext("Difference [{confidence} interval]", confidence=formatting.CONFIDENCE),
        ]
    body: list[list[Cell]] = []
    for place, gain in enumerate(found):
        if place == 0 or gain.local is not found[place - 1].local:
            body.append([Cell(gettext("Split {split}", split=messages.say(gain.local["split"])))])
        cells = [Cell(f"{gain.party}/{gain.role}"), elements.count(gain.rows)]
        for metric in _METRICS:
            cells += [elements.figure(side[metric], formatting.score) for side in (gain.alone, gain.shared)]
            cells.append(_difference(gain.relation[metric]))
        body.append(cells)
    caption = gettext(
        "Each party's own model against the one trained together, both scored on the common test set; median and "
        "(below) lowest\N{EN DASH}highest, {repeats}. Differences are taken repeat by repeat, with their paired "
        "{confidence} interval, widened because the repeats draw from the same rows.",
        confidence=formatting.CONFIDENCE,
        repeats=repeats_of(gain.local for gain in found),
    )
    return {"said": sentence(found), "plot": _plot(found), "table": Table(caption, columns, body)}


def _difference(relation: Relation) -> Cell:
    if relation.estimate is None:
        return Cell(gettext("cannot tell"), messages.say(relation.verdict))
    text = formatting.difference(relation.estimate)
    if relation.low is None or relation.high is None:
        return Cell(text, messages.say(relation.verdict), relation.estimate)
    low, high = formatting.difference(relation.low), formatting.difference(relation.high)
    verdict = [] if relation.sign else [messages.say(comparison.NO_DIFFERENCE)]
    return Cell(text, sequence([*verdict, gettext("{low} to {high}", low=low, high=high)]), relation.estimate)


def _plot(found: Sequence[Gain]) -> Plot | None:
    """Draw specificity against the smaller party's share, over splits of one dataset into two parts by percent."""
    points: dict[float, Mapping[str, float]] = {}
    by_local: dict[str, list[Gain]] = {}
    for gain in found:
        by_local.setdefault(str(gain.local["id"]), []).append(gain)
    for pair in by_local.values():
        share = share_of(pair[0])
        values = {
            name: summary["median"]
            for name, summary in zip(
                (gettext("together"), gettext("smaller party alone"), gettext("larger party alone")),
                (pair[0].shared["specificity"], *(gain.alone["specificity"] for gain in sorted(pair, key=_rows))),
                strict=False,
            )
            if summary
        }
        if share is not None and len(values) == 3:
            points[share] = values
    if len(points) < _LEAST_POINTS:
        return None
    shares = sorted(points)
    lines = [
        charts.Line(name, [100 * share for share in shares], [points[share][name] for share in shares])
        for name in points[shares[0]]
    ]
    title = gettext("Specificity by the share of the smaller of two parties")
    x_label, y_label = gettext("Smaller party's share of the rows (%)"), gettext("Specificity")
    caption = gettext(
        "{title}; medians, {repeats}. The rows of both parties together stay the same.",
        title=title,
        repeats=repeats_of(gain.local for gain in found),
    )
    return Plot(charts.line_plot(lines, title, x_label, y_label, from_zero=False), caption)


def _rows(gain: Gain) -> float:
    return gain.rows


def share_of(gain: Gain) -> float | None:
    """Return the smaller party's share where a party's split is two percentages; None for other splits."""
    parts = str(gain.local["split"]).partition(",")[0].split("/")
    try:
        sizes = [float(part) for part in parts]
    except ValueError:
        return None
    return min(sizes) / sum(sizes) if len(sizes) == 2 else None
