"""The answer of a run in plain sentences: accuracy, time, and what goes over the wire."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from bench.i18n import messages
from bench.i18n.language import gettext, listed, ngettext, sequence
from bench.predict import cost
from bench.results.gains import gains, tally
from bench.results.view import CaseView, RunView
from bench.stats import formatting
from bench.stats.comparison import Comparison
from bench.stats.formatting import Write

# A difference of AUC that lies within this with its whole interval does not matter.
SAME_AUC = 0.005
# What is asked of every epoch; other parts below this share are left to the section on time.
_ALWAYS = ("computing", "communicating", "waiting")
_LEAST_SHARE = 0.01
# So many protections are named one by one.
_NAMED = 3


class Said(NamedTuple):
    """Sentences, and the word in front of them that says what they are about."""

    about: str
    sentence: str


def answer(run: RunView) -> list[Said]:
    """Say what federated training gave and cost; or that no federated case finished, and why."""
    case = run.headline
    if case is None:
        none = gettext("No federated case finished in this run, so there is no answer yet.")
        return [Said("", none), *_why_not(run)]
    return [
        Said(gettext("Accuracy:"), " ".join([_accuracy(case), *_gained(run)])),
        Said(gettext("Time:"), " ".join([_time(case), *_parts(case), *_other_engines(run, case), *_protections(run)])),
        Said(gettext("Network:"), " ".join([_bytes(case), *_protected_bytes(run)])),
    ]


def _why_not(run: RunView) -> list[Said]:
    """Say of the first federated case why it has no result."""
    case = next((case for case in run.cases if case.is_federated), None)
    if case is None:
        return []
    if case.record.status == "pending":
        text = gettext(
            "{case}: {done} of {all} repeats are done; the rest can be run (--resume).",
            case=case.title,
            done=len(case.record.repeats_done),
            all=case.record.repeats,
        )
    else:
        text = gettext(
            "{case} ({status}): {why}.",
            case=case.title,
            status=messages.say(case.record.status),
            why=(case.record.error or gettext("no reason recorded")).rstrip("."),
        )
    return [Said("", text)]


def _accuracy(case: CaseView) -> str:
    """Compare the AUC with that of the baseline, in the same repeats and so on the same rows."""
    base = case.baseline
    ours, theirs = case.metric("auc"), base.metric("auc") if base else None
    values = {"case": case.label, "ours": formatting.score(ours.median) if ours else gettext(formatting.NOT_MEASURED)}
    if base is None:
        return gettext(
            "The federated model ({case}) reaches an AUC of {ours}. There is no centralised case on the same rows.",
            **values,
        )
    rows = case.split.test_rows if case.split else None
    tested = gettext("{n} test rows", n=formatting.count(rows)) if rows else gettext("the common test set")
    values |= {
        "theirs": formatting.score(theirs.median) if theirs else gettext(formatting.NOT_MEASURED),
        "tested": tested,
    }
    compared = case.score_against(base, "auc")
    if compared is None or compared.estimate is None or ours is None:
        return gettext(
            "The federated model ({case}) reaches an AUC of {ours} on {tested}, against {theirs} centralised. "
            "No difference is called.",
            **values,
        )
    values |= {"gap": _gap(compared, ours.n)}
    ends = [abs(end) for end in (*(compared.interval or ()), compared.estimate)]
    if max(ends) <= SAME_AUC:
        claim = gettext("The federated model ({case}) ranks as well as the centralised one.", **values)
    elif compared.verdict == "not significant":
        claim = gettext(
            "The federated model ({case}) does not differ significantly from the centralised one.", **values
        )
    elif compared.estimate < 0:
        claim = gettext("The federated model ({case}) ranks worse than the centralised one.", **values)
    else:
        claim = gettext("The federated model ({case}) ranks better than the centralised one.", **values)
    figures = gettext("On {tested}, its AUC is {ours} against {theirs}: {gap}.", **values)
    return f"{claim} {figures}"


def _gap(compared: Comparison, repeats: int) -> str:
    """Write a paired difference with its interval."""
    gap = formatting.difference(compared.estimate or 0.0)
    if compared.interval is None:
        return gettext("paired difference {gap}, the same in all {n} repeats", gap=gap, n=repeats)
    interval = _interval(compared.interval, formatting.difference, repeats)
    return gettext("paired difference {gap}, {interval}", gap=gap, interval=interval)


def _interval(ends: tuple[float, float], write: Write, repeats: int) -> str:
    return ngettext(
        "{confidence} interval {low} to {high} over {n} repeat",
        "{confidence} interval {low} to {high} over {n} repeats",
        repeats,
        confidence=_confidence(),
        low=write(ends[0]),
        high=write(ends[1]),
        n=repeats,
    )


def _confidence() -> str:
    return formatting.CONFIDENCE.replace(" ", formatting.SPACE)


def _gained(run: RunView) -> Iterator[str]:
    """Count the parties for which training together finds more of class 0; nothing where that is unknown of all."""
    found = gains(run)
    counted = tally(found)
    if not counted.parties:
        return
    dataset = found[0].local.dataset
    names = (dataset.class_names if dataset else None) or [gettext("class 0")]
    splits = len({gain.local.record.split for gain in found})
    yield gettext(
        "Compared with its own model, the common model finds significantly more {class_name} for {more} of {all} "
        "parties ({splits}), and significantly less for {less}.",
        class_name=names[0],
        more=len(counted.more),
        all=counted.parties,
        splits=ngettext("{n} split", "{n} splits", splits, n=splits),
        less=len(counted.less),
    )
    if counted.unsure:
        yield gettext("For {n} the difference is not significant.", n=counted.unsure)


def _time(case: CaseView) -> str:
    """Say what an epoch takes, and compare that with the baseline."""
    base = case.baseline
    ours, theirs = case.epoch, base.epoch if base else None
    if ours is None:
        return gettext("The time per epoch was not measured.")
    unit = formatting.time_unit(side.median for side in (ours, theirs) if side)
    time, reference = (
        f"{formatting.in_unit(side.median, unit)}{formatting.SPACE}{unit.name}" if side else ""
        for side in (ours, theirs)
    )
    if base is None or theirs is None:
        return gettext("An epoch takes {time}.", time=time)
    values = {"time": time, "reference": reference}
    compared = case.times_against(base)
    if compared is None or compared.estimate is None or compared.interval is None:
        return gettext("An epoch takes {time}, against {reference} centralised. No difference is called.", **values)
    values |= {
        "times": formatting.number(compared.estimate),
        "interval": _interval(compared.interval, formatting.number, ours.n),
    }
    if compared.sign == 0:
        return gettext(
            "An epoch takes {time}, {times} times as long as centralised ({interval}): the difference is not "
            "significant.",
            **values,
        )
    return gettext("An epoch takes {time}, {times} times as long as centralised ({interval}).", **values)


def _parts(case: CaseView) -> Iterator[str]:
    """Say which shares of the largest party's epoch went into what."""
    shares = case.anatomy.shares if case.anatomy else {}
    parts = listed(
        gettext("{phase} {share}", phase=gettext(name), share=formatting.percent(share.median))
        for name, share in shares.items()
        if share and (name in _ALWAYS or (share.median >= _LEAST_SHARE and name != "unattributed"))
    )
    if parts:
        yield gettext("Of the largest party's epoch: {parts}.", parts=parts)


def _other_engines(run: RunView, case: CaseView) -> Iterator[str]:
    """Say what an epoch takes on each other engine, in its first finished case on the same rows."""
    firsts: dict[str | None, CaseView] = {}
    for other in run.finished:
        if other.is_federated and case.same_rows(other):
            firsts.setdefault(other.record.engine, other)
    for engine, other in firsts.items():
        if engine == case.record.engine or other.epoch is None:
            continue
        values = {"case": other.label, "time": formatting.seconds(other.epoch.median)}
        compared = other.times_against(case.baseline) if case.baseline else None
        if compared and compared.estimate is not None and compared.interval:
            values |= {
                "times": formatting.number(compared.estimate),
                "interval": _interval(compared.interval, formatting.number, other.epoch.n),
            }
            yield gettext("{case} takes {time}, {times} times as long as centralised ({interval}).", **values)
        else:
            yield gettext("{case} takes {time}.", **values)


def _protections(run: RunView) -> Iterator[str]:
    """Say what the protections cost an epoch against plain: of many, the cheapest and the most expensive."""
    found = cost.against_plain(cost.first_of_each(run.protected))
    found = sorted(found, key=lambda each: each[1].estimate or 0.0)
    if not found:
        return
    shown = [found[0], found[-1]] if len(found) > _NAMED else found
    parts = [
        gettext(
            "{protection} {times} times as long ({low} to {high})",
            protection=name,
            times=formatting.number(compared.estimate or 0.0),
            low=formatting.number(compared.low or 0.0),
            high=formatting.number(compared.high or 0.0),
        )
        for name, (_, compared) in zip(_names([case for case, _ in shown]), shown, strict=True)
    ]
    if len(found) > _NAMED:
        yield gettext(
            "Against plain, of {n} protections the cheapest is {cheapest}, the most expensive {dearest} "
            "({confidence} intervals).",
            n=len(found),
            cheapest=parts[0],
            dearest=parts[1],
            confidence=_confidence(),
        )
    else:
        yield gettext(
            "Against plain, an epoch takes: {cases} ({confidence} intervals).",
            cases=listed(parts),
            confidence=_confidence(),
        )


def _protected_bytes(run: RunView) -> Iterator[str]:
    """Say how many times the bytes of plain each protection takes."""
    found = []
    for case, _ in cost.against_plain(cost.first_of_each(run.protected)):
        ours, theirs = case.both_ways, case.unprotected.both_ways if case.unprotected else None
        if ours and theirs and theirs.median:
            found.append((ours.median / theirs.median, case))
    found.sort(key=lambda pair: pair[0])
    shown = [found[0], found[-1]] if len(found) > _NAMED else found
    parts = [
        gettext("{protection} {times} times", protection=name, times=formatting.number(times))
        for name, (times, _) in zip(_names([case for _, case in shown]), shown, strict=True)
    ]
    if parts:
        yield gettext("Against plain, the bytes are: {cases}.", cases=sequence(parts))


def _names(cases: Sequence[CaseView]) -> list[str]:
    """Name protections by their mode, or by their case where two have the same."""
    modes = [cost.name_of_mode(case) for case in cases]
    return [mode if modes.count(mode) == 1 else case.label for mode, case in zip(modes, cases, strict=True)]


def _bytes(case: CaseView) -> str:
    """Say what all parties send and receive."""
    traffic = case.record.bytes
    if traffic is None or traffic.epoch_sent is None or traffic.epoch_received is None:
        return gettext("How much went over the wire was not measured.")
    sent, received = (formatting.in_words(way, formatting.size) for way in (traffic.epoch_sent, traffic.epoch_received))
    return gettext("All parties together send {sent} and receive {received} per epoch.", sent=sent, received=received)
