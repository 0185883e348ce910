"""What a run says: which cases its answer speaks of, how they differ, and the sentences on them with all figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from bench.i18n import messages
from bench.i18n.language import gettext, gettext_noop, listed, ngettext, sequence
from bench.measure.spans import COMMUNICATING, PHASES
from bench.stats import comparison, formatting, summaries
from bench.stats.comparison import Relation
from bench.stats.summaries import dig, measured

Case = Mapping[str, Any]
Run = Mapping[str, Any]
Write = Callable[[float], str]

OVERALL = {
    "accuracy": gettext_noop("Accuracy"),
    "auc": "AUC",
    "ks": "KS",
    "average_precision": gettext_noop("Average precision"),
    "log_loss": gettext_noop("Log loss"),
    "specificity": gettext_noop("Specificity"),
}
PER_CLASS = ("precision", "recall", "f1")

_EQUALS = f"{formatting.SPACE}={formatting.SPACE}"


def first_line(run: Run) -> str:
    """Say whether the figures stand on real or on generated data."""
    kinds = {True: [], False: []}  # type: dict[bool, list[str]]
    for identifier, facts in run["datasets"].items():
        kinds[bool(facts.get("synthetic"))].append(messages.say(facts.get("title") or facts.get("name") or identifier))
    generated, other = listed(kinds[True]), listed(kinds[False])
    if generated and other:
        return gettext(
            "Partly synthetic data: {generated} (generated), {other} (not synthetic).", generated=generated, other=other
        )
    if generated:
        return gettext(
            "Synthetic data: {generated} (generated). Times and bytes are measured; "
            "the scores say nothing about real records.",
            generated=generated,
        )
    return (
        gettext("Data, not synthetic: {other}.", other=other) if other else gettext("No data was loaded in this run.")
    )


def headline(run: Run) -> Case | None:
    """Return the finished case that the answer speaks of: "federated" if there, else the first federated one."""
    return intended({**run, "cases": [case for case in run["cases"] if summaries.finished(case)]})


def intended(run: Run) -> Case | None:
    """Return the case that the answer would speak of if every case had finished."""
    candidates = [case for case in run["cases"] if is_federated(case)]
    return next((case for case in candidates if case["id"] == "federated"), candidates[0] if candidates else None)


def is_federated(case: Case) -> bool:
    """Say whether the parties of a case trained together."""
    return case.get("engine") not in ("centralised", "local")


def baseline(case: Case, cases: Sequence[Case]) -> Case | None:
    """Return the centralised case that ``case`` is to be held against, or None.

    It has the same rows (dataset, split, balancing) and our own optimiser; of several, the one with most training
    settings in common.
    """

    def same_settings(other: Case) -> int:
        ours, theirs = case.get("training") or {}, other.get("training") or {}
        return sum(ours[key] == theirs.get(key) for key in ours)

    candidates = [
        other
        for other in cases
        if other.get("engine") == "centralised"
        and summaries.finished(other)
        and dig(other, "training", "solver") != "lbfgs"
        and on_same_rows(case, other)
    ]
    return max(candidates, key=same_settings, default=None)


def on_same_rows(one: Case, other: Case) -> bool:
    """Say whether two cases of a run trained on the same rows: the same dataset, split and balancing."""
    return all(one.get(key) == other.get(key) for key in ("dataset", "split", "balance"))


def relate_times(case: Case, base: Case) -> Relation | None:
    """Relate the seconds per epoch of ``case`` to those of ``base``, repeat by repeat; None where they share none.

    The cases take turns, so that both meet the machine's moods.
    """
    ours, theirs = (dig(side, "time", "epoch_seconds") for side in (case, base))
    pairs = summaries.in_pairs(base, theirs, case, ours)
    relation = comparison.relate(*pairs, "s", paired=True) if pairs else None
    return relation if relation and relation.kind == "ratio" else None


def relate_scores(run: Run, case: Case, base: Case, metric: str) -> Relation | None:
    """Relate a score of ``case`` to that of ``base`` in the same repeats, so on the same rows; None without pairs."""
    ours, theirs = (dig(side, "metrics", metric) for side in (case, base))
    pairs = summaries.in_pairs(base, theirs, case, ours)
    return comparison.relate(*pairs, "", paired=True, overlap=overlap(run, case)) if pairs else None


def overlap(run: Run, case: Case) -> float:
    """Return test rows / training rows of a case, for bench.stats.comparison.relate; 0 where they were not recorded."""
    split = dig(run, "datasets", str(case.get("dataset")), "splits", str(case.get("split")))
    train, test = (dig(split, f"{part}_rows") for part in ("train", "test"))
    return float(test / train) if train and test else 0.0


def time_sentence(case: Case, base: Case | None) -> str:
    """Compare the seconds per epoch with those of centralised, with all that the comparison rests on."""
    ours, theirs = (dig(side, "time", "epoch_seconds") for side in (case, base))
    unit = formatting.time_unit(found["median"] for found in map(measured, (ours, theirs)) if found)
    spoken, reference = (_time_in_words(summary, unit) for summary in (ours, theirs))
    name = label_of(case)
    pairs = summaries.in_pairs(base, theirs, case, ours) if base else None
    if base is None or pairs is None:
        return gettext(
            "Time per epoch: {case} {time}, centralised {reference}.", case=name, time=spoken, reference=reference
        )
    relation = comparison.relate(*pairs, "s", paired=True)
    if relation.estimate is None:
        return gettext(
            "{case} took {time} per epoch against {reference} centralised. "
            "No difference is called: that needs {least} repeats or more.",
            case=name,
            time=spoken,
            reference=reference,
            least=comparison.LEAST_VALUES,
        )
    ratios = summaries.quotients(*pairs)
    mean = gettext("the geometric mean of the ratios of the {n} repeats", n=len(pairs[0]))
    if ratios is not None:
        mean = gettext("{mean}, {spread}", mean=mean, spread=spread_of(ratios, formatting.number))
    if relation.low is not None and relation.high is not None:
        low, high = formatting.number(relation.low), formatting.number(relation.high)
        mean = gettext(
            "{mean}; {confidence} interval {low} to {high}",
            mean=mean,
            confidence=formatting.CONFIDENCE.replace(" ", formatting.SPACE),
            low=low,
            high=high,
        )
    values = {"case": name, "times": formatting.number(relation.estimate), "mean": mean}
    medians = _medians(spoken, reference, ours, theirs)
    if relation.verdict in (comparison.NO_DIFFERENCE, comparison.IDENTICAL):
        return gettext(
            "Repeat by repeat, {case} and centralised do not differ in seconds per epoch beyond the spread: "
            "a ratio of {times} ({mean}). {medians}",
            **values,
            medians=medians,
        )
    return gettext(
        "Repeat by repeat, {case} took {times} times as long per epoch as centralised ({mean}). {medians}",
        **values,
        medians=medians,
    )


def _medians(spoken: str, reference: str, ours: summaries.Summary, theirs: summaries.Summary) -> str:
    """Write two medians and their ratio, which need not be the mean of the ratios."""
    if not theirs["median"]:
        return gettext("The medians are {time} and {reference}.", time=spoken, reference=reference)
    return gettext(
        "The medians are {time} and {reference}, the one {times} times the other.",
        time=spoken,
        reference=reference,
        times=formatting.number(ours["median"] / theirs["median"]),
    )


def _time_in_words(summary: Any, unit: formatting.Unit) -> str:
    return in_words(summary, lambda value: formatting.in_unit(value, unit), f"{formatting.SPACE}{unit.name}")


def parts_sentence(case: Case) -> str:
    """Say what the largest party's time went into, and how much went over the wire.

    The shares are those of each repeat's epoch, so that they add up, but for taking the median of each.
    """
    party, parts = anatomy(case)
    sent, received = (in_words(dig(case, "bytes", f"epoch_{way}"), formatting.size) for way in ("sent", "received"))
    wire = gettext("All parties together sent {sent} and received {received} per epoch.", sent=sent, received=received)
    if party is None:
        return gettext("What the time went into was not measured. {bytes}", bytes=wire)
    facts = case["time"]["by_party"][party]
    whole, rows = summaries.values_of(facts.get("epoch_seconds")), measured(facts.get("rows"))
    unit = formatting.time_unit(whole)
    named = []
    for name, summary in parts.items():
        share = summaries.quotients(whole, summaries.values_of(summary))
        values = {"phase": gettext(name), "time": _time_in_words(summary, unit)}
        named.append(
            gettext("{phase} {share}, {time}", **values, share=formatting.percent(share["median"]))
            if share
            else gettext("{phase} {time}", **values)
        )
    values = {"party": party, "phases": sequence(named), "bytes": wire}
    if not rows:
        return gettext("In the epoch of {party}, the largest party: {phases}. {bytes}", **values)
    return gettext(
        "In the epoch of {party}, the largest party ({rows} training rows): {phases}. {bytes}",
        **values,
        rows=formatting.count(rows["median"]),
    )


def anatomy(case: Case) -> tuple[str | None, dict[str, Any]]:
    """Return the largest party and what its epoch went into: summaries in seconds that add up to it in each repeat.

    Computing, communicating and waiting always come first; other phases follow under their own names.
    """
    party = dig(case, "time", "critical_party")
    phases = dig(case, "time", "by_party", party, "phases") if party else None
    if not phases:
        return None, {}
    grouped = {
        gettext_noop("computing"): phases.get("compute"),
        gettext_noop("communicating"): summaries.communicating(phases),
        gettext_noop("waiting"): phases.get("wait"),
    }
    others = [phase for phase in PHASES if phase in phases and phase not in ("compute", "wait", *COMMUNICATING)]
    return party, {**grouped, **{phase: phases[phase] for phase in others}}


def scores_sentence(run: Run, scores: pd.DataFrame, case: Case, base: Case) -> str:
    """Compare the scores that matter most: AUC, and how much of class 0 is found."""
    ours, theirs = case.get("metrics"), base.get("metrics")
    if not ours or not theirs:
        return gettext("The scores of one of the two were not measured.")
    paired = paired_differences(scores, case, base).get(model_of(case) or "", {})
    class_name = (dig(run, "datasets", str(case.get("dataset")), "class_names") or [gettext("class 0")])[0]
    parts = []
    for metric, name in (("auc", "AUC"), ("specificity", gettext("recall of {class_name}", class_name=class_name))):
        gap = measured(paired.get(metric))
        both = [in_words(side.get(metric), formatting.score) for side in (ours, theirs)]
        values = {"score": name, "ours": both[0], "theirs": both[1]}
        parts.append(
            gettext(
                "{score} was {ours} against {theirs}, a paired difference of {gap}",
                **values,
                gap=in_words(gap, formatting.difference),
            )
            if gap and gap["n"] > 1
            else gettext("{score} was {ours} against {theirs}", **values)
        )
    rows = dig(run, "datasets", str(case.get("dataset")), "splits", str(case.get("split")), "test_rows")
    if not rows:
        return gettext("On the common test set, {scores}.", scores=sequence(parts))
    return gettext(
        "On the common test set of {rows} rows, {scores}.", rows=formatting.count(rows), scores=sequence(parts)
    )


def paired_differences(scores: pd.DataFrame, case: Case, base: Case) -> dict[str, dict[str, Any]]:
    """Return {model: {metric: summary}} of score(case) - score(base), repeat by repeat.

    Both were trained and tested on the same rows in the same repeat. A repeat that either lacks is left out.
    """
    theirs = scores[(scores["case"] == base["id"]) & (scores["model"] == model_of(base))].set_index("repeat")
    found = {}
    for model, rows in scores[scores["case"] == case["id"]].groupby("model", sort=False):
        ours = rows.set_index("repeat")
        gaps = {}
        for metric in (*OVERALL, *(f"{name}_{label}" for name in PER_CLASS for label in (0, 1))):
            gap = (ours[metric] - theirs[metric]).dropna()
            gaps[metric] = summaries.summarise([float(value) for value in gap])
        found[str(model)] = gaps
    return {model: {m: gap for m, gap in gaps.items() if gap} for model, gaps in found.items()}


def model_of(case: Case) -> str | None:
    """Return the name of a case's one model."""
    models = case.get("models") or {}
    return next(iter(models)) if len(models) == 1 else None


def least_attributed(case: Case) -> tuple[str, summaries.Summary] | tuple[None, None]:
    """Return the party with the least share of its epoch in named phases in any repeat, and its share."""
    by_party = dig(case, "time", "by_party") or {}
    shares = {party: share for party in by_party if (share := measured(dig(by_party, party, "attributed_share")))}
    party = min(shares, key=lambda party: shares[party]["low"], default=None)
    return (None, None) if party is None else (party, shares[party])


def relative_spread(summary: Any) -> float | None:
    """Return (highest - lowest) / median of a summary, None where one value has no spread."""
    found = measured(summary)
    if found is None or found["n"] < 2 or not found["median"]:
        return None
    return float((found["high"] - found["low"]) / found["median"])


def label_of(case: Case) -> str:
    """Name a case; figures of one that did not finish must not be taken for a result."""
    title = str(case.get("title") or case["id"])
    if summaries.finished(case):
        return title
    return gettext("{title} ({status})", title=title, status=messages.say(case.get("status")))


def repeats_of(cases: Iterable[Case]) -> str:
    """Write how many repeats the figures stand on, for captions."""
    counts = sorted({len(case.get("repeats_done") or []) for case in cases} - {0})
    if not counts:
        return gettext("n = 0 repeats")
    several = gettext("{low} to {high}", low=counts[0], high=counts[-1])
    spoken = f"n{_EQUALS}{several if len(counts) > 1 else counts[0]}"
    return ngettext("{n} repeat a case", "{n} repeats a case", counts[-1], n=spoken)


def in_words(summary: Any, write: Write, unit: str = "") -> str:
    """Write a summary for a sentence: the median, then the spread and the number of repeats in brackets."""
    found = measured(summary)
    if found is None:
        return gettext(formatting.NOT_MEASURED)
    value, spread = f"{write(found['median'])}{unit}", spread_of(found, write)
    if found["n"] == 1:
        return gettext("{value} {spread}", value=value, spread=spread)
    if found["low"] == found["high"]:
        return gettext("{value} ({spread})", value=value, spread=spread)
    return gettext("{value} ({spread}, {n})", value=value, spread=f"{spread}{unit}", n=f"n{_EQUALS}{found['n']}")


def spread_of(summary: summaries.Summary, write: Write) -> str:
    """Write how far the repeats lie apart."""
    if summary["n"] == 1:
        return gettext(formatting.ONE_VALUE)
    if summary["low"] == summary["high"]:
        return gettext("all {n} equal", n=summary["n"])
    low, high = write(summary["low"]), write(summary["high"])
    # A dash between two signs would read as one more sign.
    signed = low[:1] in formatting.SIGNS or high[:1] in formatting.SIGNS
    return gettext("{low} to {high}", low=low, high=high) if signed else f"{low}{formatting.TO}{high}"
