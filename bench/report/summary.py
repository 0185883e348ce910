"""The answer of a run, a sentence on each of what is asked: accuracy, time, and what goes over the wire."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from bench.i18n import messages
from bench.i18n.language import gettext, listed, ngettext, sequence
from bench.report.sections import gains, privacy
from bench.report.sections.gains import Gain
from bench.results import selection
from bench.results.selection import Case, Run, label_of
from bench.stats import comparison, formatting, summaries
from bench.stats.comparison import Relation
from bench.stats.summaries import dig, measured

# A difference of AUC that lies within this with its whole interval is none that matters.
SAME_AUC = 0.005
# What is asked of every epoch; other parts below this share are left to the section on time.
_ALWAYS = ("computing", "communicating", "waiting")
_LEAST_SHARE = 0.01


class Said(NamedTuple):
    """A sentence, and the word in front of it that says what it is about."""

    about: str
    sentence: str


def answer(run: Run, found: Sequence[Gain]) -> list[Said]:
    """Say in three sentences what federated training gave and cost; in one where no federated case finished.

    ``found`` are the gains of the parties, bench.report.sections.gains.gains.
    """
    case = selection.headline(run)
    if case is None:
        return [Said("", gettext("No federated case finished in this run, so there is no answer yet.")), *_why_not(run)]
    base = selection.baseline(case, run["cases"])
    return [
        Said(gettext("Accuracy:"), _closed([_accuracy(run, case, base), gains.clause(run, found)])),
        Said(gettext("Time:"), _closed([_time(case, base), *_other_engines(run, case, base), privacy.time(run)])),
        Said(gettext("Network:"), _closed([_bytes(case), privacy.sizes(run)])),
    ]


def _why_not(run: Run) -> list[Said]:
    """Say of the first federated case why it has no result."""
    case = next((case for case in run["cases"] if selection.is_federated(case)), None)
    if case is None:
        return []
    name = str(case.get("title") or case["id"])
    if case.get("status") == "pending":
        text = gettext(
            "{case}: {done} of {all} repeats are done; the rest can be run (--resume).",
            case=name,
            done=len(case.get("repeats_done") or []),
            all=case.get("repeats"),
        )
    else:
        text = gettext(
            "{case} ({status}): {why}.",
            case=name,
            status=messages.say(case.get("status")),
            why=str(case.get("error") or gettext("no reason recorded")).rstrip("."),
        )
    return [Said("", text)]


def _closed(clauses: Sequence[str | None]) -> str:
    return gettext("{sentence}.", sentence=sequence(clause for clause in clauses if clause))


def _accuracy(run: Run, case: Case, base: Case | None) -> str:
    """Hold the AUC against that of centralised, in the same repeats and so on the same rows."""
    ours, theirs = (dig(side, "metrics", "auc") for side in (case, base))
    values = {"case": label_of(case), "ours": _median(ours)}
    if base is None:
        return gettext(
            "trained together ({case}), the model reaches an AUC of {ours}; there is no centralised case on the same "
            "rows",
            **values,
        )
    rows = dig(run, "datasets", str(case.get("dataset")), "splits", str(case.get("split")), "test_rows")
    tested = gettext("{n} test rows", n=formatting.count(rows)) if rows else gettext("the common test set")
    values |= {"theirs": _median(theirs), "tested": tested}
    relation = selection.relate_scores(run, case, base, "auc")
    if relation is None or relation.estimate is None:
        return gettext(
            "trained together ({case}), the model reaches an AUC of {ours} against {theirs} centralised, on {tested}; "
            "no difference is called",
            **values,
        )
    values |= {"gap": _gap(relation, ours["n"])}
    ends = [abs(end) for end in (relation.low, relation.high, relation.estimate) if end is not None]
    if max(ends) <= SAME_AUC:
        return gettext(
            "trained together ({case}), the model ranks as well as centralised: on {tested}, AUC {ours} against "
            "{theirs}; {gap}",
            **values,
        )
    if relation.verdict == comparison.NO_DIFFERENCE:
        return gettext(
            "trained together ({case}), the model shows no difference to centralised that can be told: on {tested}, "
            "AUC {ours} against {theirs}; {gap}",
            **values,
        )
    if relation.estimate < 0:
        return gettext(
            "trained together ({case}), the model ranks worse than centralised: on {tested}, AUC {ours} against "
            "{theirs}; {gap}",
            **values,
        )
    return gettext(
        "trained together ({case}), the model ranks better than centralised: on {tested}, AUC {ours} against {theirs}; "
        "{gap}",
        **values,
    )


def _median(summary: object) -> str:
    found = measured(summary)
    return gettext(formatting.NOT_MEASURED) if found is None else formatting.score(found["median"])


def _gap(relation: Relation, repeats: int) -> str:
    """Write a paired difference with its interval."""
    gap = formatting.difference(relation.estimate or 0.0)
    if relation.low is None or relation.high is None:
        return gettext("paired difference {gap}, the same in all {n} repeats", gap=gap, n=repeats)
    return gettext(
        "paired difference {gap}, {interval}", gap=gap, interval=_interval(relation, formatting.difference, repeats)
    )


def _interval(relation: Relation, write: selection.Write, repeats: int) -> str:
    assert relation.low is not None and relation.high is not None
    return ngettext(
        "{confidence} interval {low} to {high} over {n} repeat",
        "{confidence} interval {low} to {high} over {n} repeats",
        repeats,
        confidence=formatting.CONFIDENCE.replace(" ", formatting.SPACE),
        low=write(relation.low),
        high=write(relation.high),
        n=repeats,
    )


def _time(case: Case, base: Case | None) -> str:
    """Say what an epoch takes and what for, and hold that against centralised."""
    ours, theirs = (measured(dig(side, "time", "epoch_seconds")) for side in (case, base))
    if ours is None:
        return gettext("the time per epoch was not measured")
    unit = formatting.time_unit(side["median"] for side in (ours, theirs) if side)
    time, reference = (
        f"{formatting.in_unit(side['median'], unit)}{formatting.SPACE}{unit.name}" if side else ""
        for side in (ours, theirs)
    )
    parts = _parts(case)
    taken = gettext("{time} (largest party: {parts})", time=time, parts=parts) if parts else time
    if base is None or theirs is None:
        return gettext("an epoch takes {time}", time=taken)
    values = {"time": taken, "reference": reference}
    relation = selection.relate_times(case, base)
    if relation is None or relation.estimate is None or relation.low is None:
        return gettext("an epoch takes {time} against {reference} centralised; no difference is called", **values)
    values |= {
        "times": formatting.number(relation.estimate),
        "interval": _interval(relation, formatting.number, ours["n"]),
    }
    if relation.verdict in (comparison.NO_DIFFERENCE, comparison.IDENTICAL):
        return gettext(
            "an epoch takes {time}, {times} times as long as centralised, a difference that cannot be told from none "
            "({interval})",
            **values,
        )
    return gettext("an epoch takes {time}, {times} times as long as centralised ({interval})", **values)


def _parts(case: Case) -> str:
    """Say which shares of the largest party's epoch went into what."""
    party, parts = selection.anatomy(case)
    whole = summaries.values_of(dig(case, "time", "by_party", party, "epoch_seconds")) if party else []
    shares = {name: summaries.quotients(whole, summaries.values_of(summary)) for name, summary in parts.items()}
    return listed(
        gettext("{phase} {share}", phase=gettext(name), share=formatting.percent(share["median"]))
        for name, share in shares.items()
        if share and (name in _ALWAYS or (share["median"] >= _LEAST_SHARE and name != "unattributed"))
    )


def _other_engines(run: Run, case: Case, base: Case | None) -> list[str]:
    """Say what an epoch takes on each other engine, in its first finished case on the same rows."""
    firsts: dict[str, Case] = {}
    for other in run["cases"]:
        if summaries.finished(other) and selection.is_federated(other) and selection.on_same_rows(case, other):
            firsts.setdefault(str(other.get("engine")), other)
    clauses = []
    for engine, other in firsts.items():
        time = measured(dig(other, "time", "epoch_seconds"))
        if engine == case.get("engine") or time is None:
            continue
        values = {"case": label_of(other), "time": formatting.seconds(time["median"])}
        relation = selection.relate_times(other, base) if base else None
        if relation and relation.estimate is not None and relation.low is not None:
            values |= {
                "times": formatting.number(relation.estimate),
                "interval": _interval(relation, formatting.number, time["n"]),
            }
            clauses.append(gettext("{case}: {time}, {times} times ({interval})", **values))
        else:
            clauses.append(gettext("{case}: {time}", **values))
    return clauses


def _bytes(case: Case) -> str:
    """Say what all parties send and receive."""
    ways = [dig(case, "bytes", f"epoch_{way}") for way in ("sent", "received")]
    if not all(map(measured, ways)):
        return gettext("how much went over the wire was not measured")
    sent, received = (selection.in_words(way, formatting.size) for way in ways)
    return gettext("all parties together send {sent} and receive {received} per epoch", sent=sent, received=received)
