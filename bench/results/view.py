"""A run as everything that reads one sees it: read once, checked once, each derived figure computed once.

``open_run(folder)`` gives a RunView; its cases are CaseViews. Neither is changed after it was opened.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.i18n import messages
from bench.i18n.language import gettext, gettext_noop
from bench.measure.spans import COMMUNICATING, PHASES
from bench.results import load_tests, store
from bench.results.load_record import LoadTest
from bench.results.record import CaseRecord, DatasetFacts, EnvironmentFacts, PartyTime, RunRecord, SplitFacts
from bench.stats.summaries import Summary, add_up, in_pairs, quotients, summarise

if TYPE_CHECKING:
    import pandas as pd

    from bench.stats.comparison import Comparison, Unit

Parts = Mapping[str, Summary | None]
"""What an epoch went into: computing, communicating and waiting first, then other phases under their own names."""


def open_run(folder: Path) -> RunView:
    """Return the view of a run folder.

    Raises UserError when the folder is not a run, run.json is damaged, or its schema is newer than this program. A
    damaged table is found when it is first looked at.
    """
    return RunView(Path(folder), store.load(folder))


class RunView:
    """A run. ``cases`` are in the order of the suite."""

    def __init__(self, folder: Path, record: RunRecord) -> None:
        self.folder, self.record = folder, record
        self.cases = tuple(CaseView(self, case, place) for place, case in enumerate(record.cases))

    @property
    def environment(self) -> EnvironmentFacts:
        """The machine and its software."""
        return self.record.environment

    @property
    def datasets(self) -> Mapping[str, DatasetFacts]:
        """The datasets by their names in the suite."""
        return self.record.datasets

    @cached_property
    def scores(self) -> pd.DataFrame:
        """scores.csv. Raises UserError when it is damaged."""
        return store.read_csv(self.folder, "scores.csv")

    @cached_property
    def resources(self) -> pd.DataFrame:
        """resources.csv. Raises UserError when it is damaged."""
        return store.read_csv(self.folder, "resources.csv")

    @cached_property
    def load_tests(self) -> Sequence[LoadTest]:
        """The load tests of load.json. Raises UserError when it is damaged."""
        return load_tests.load(self.folder)

    @cached_property
    def events(self) -> Sequence[Mapping[str, Any]]:
        """The events of trace.json, those that can be read."""
        return store.read_events(self.folder)

    @cached_property
    def finished(self) -> tuple[CaseView, ...]:
        """The cases whose every repeat came to its end."""
        return tuple(case for case in self.cases if case.finished)

    def case(self, identifier: str) -> CaseView | None:
        """Return the case of this id."""
        return next((case for case in self.cases if case.id == identifier), None)

    @cached_property
    def headline(self) -> CaseView | None:
        """The finished case that the answer speaks of: the one with the id "federated", else the first federated."""
        return _headline(self.finished)

    @cached_property
    def protected(self) -> tuple[CaseView, ...]:
        """The finished federated cases; none where no case protects anything."""
        cases = tuple(case for case in self.finished if case.is_federated and case.record.privacy)
        return cases if any(case.is_protected for case in cases) else ()

    @cached_property
    def intended_headline(self) -> CaseView | None:
        """The case that the answer would speak of if every case had finished."""
        return _headline(self.cases)

    @cached_property
    def spoken_of(self) -> tuple[CaseView, ...]:
        """The cases that the answer compares: the headline, and its baseline where there is one."""
        if self.headline is None:
            return ()
        return (self.headline,) if self.headline.baseline is None else (self.headline, self.headline.baseline)


def _headline(cases: Sequence[CaseView]) -> CaseView | None:
    candidates = [case for case in cases if case.is_federated]
    return next((case for case in candidates if case.id == "federated"), candidates[0] if candidates else None)


@dataclass(frozen=True)
class Anatomy:
    """The largest party of a case, and what its epoch went into: seconds that add up to it in each repeat."""

    party: str
    parts: Parts
    shares: Parts


class CaseView:
    """One case of a run. Summaries and comparisons are None where there is nothing to summarise or compare."""

    def __init__(self, run: RunView, record: CaseRecord, place: int) -> None:
        self.run, self.record, self.place = run, record, place
        self._times: dict[str, Comparison | None] = {}
        self._scores: dict[tuple[str, str], Comparison | None] = {}

    @property
    def id(self) -> str:
        """Its id in the suite."""
        return self.record.id

    @property
    def title(self) -> str:
        """Its title, or its id where it has none."""
        return self.record.title or self.record.id

    @property
    def label(self) -> str:
        """Its title; with its status where it did not finish, whose figures must not be taken for a result."""
        if self.finished:
            return self.title
        return gettext("{title} ({status})", title=self.title, status=messages.say(self.record.status))

    @property
    def finished(self) -> bool:
        """Whether every repeat came to its end."""
        return self.record.status == "ok"

    @property
    def kind(self) -> str:
        """Who held the rows: "centralised" (one process all of them), "local" (each party alone), "federated"."""
        return self.record.kind or ""

    @property
    def is_federated(self) -> bool:
        """Whether the parties trained together."""
        return self.kind == "federated"

    @property
    def is_protected(self) -> bool:
        """Whether its privacy mode protects anything."""
        return bool(self.record.protected)

    @property
    def dataset(self) -> DatasetFacts | None:
        """The facts of its dataset."""
        return self.run.datasets.get(self.record.dataset or "")

    @property
    def split(self) -> SplitFacts | None:
        """The facts of its split."""
        return self.dataset.splits.get(self.record.split or "") if self.dataset else None

    @property
    def split_title(self) -> str:
        """Its split and balancing, for a reader."""
        return messages.say((self.split and self.split.title) or self.record.split or "")

    @property
    def epoch(self) -> Summary | None:
        """Seconds of an epoch: of the largest party, which the others wait for."""
        return self.record.time.epoch_seconds if self.record.time else None

    @property
    def without_epochs(self) -> bool:
        """Whether it trained with a solver that knows no epochs."""
        run = self.record.epochs_run
        return bool(run) and all(epochs is None for epochs in run)

    @property
    def by_party(self) -> Mapping[str, PartyTime]:
        """The times of each process by "party/role"."""
        return self.record.time.by_party if self.record.time else {}

    @property
    def training_parties(self) -> Mapping[str, PartyTime]:
        """The times of those that train: all but the arbiter."""
        return {key: times for key, times in self.by_party.items() if not is_arbiter(key)}

    @cached_property
    def largest(self) -> PartyTime | None:
        """The times of the party with the most rows."""
        critical = self.record.time.critical_party if self.record.time else None
        return self.by_party.get(critical or "")

    @cached_property
    def anatomy(self) -> Anatomy | None:
        """What the largest party's epoch went into; None where no phase was measured."""
        if self.largest is None or not self.largest.phases or self.record.time is None:
            return None
        parts = parts_of(self.largest)
        whole = self.largest.epoch_seconds.values if self.largest.epoch_seconds else []
        shares = {name: quotients(whole, part.values) if part else None for name, part in parts.items()}
        return Anatomy(str(self.record.time.critical_party), parts, shares)

    @property
    def parts(self) -> Parts:
        """What the largest party's epoch went into; empty where no phase was measured."""
        return self.anatomy.parts if self.anatomy else {}

    @cached_property
    def both_ways(self) -> Summary | None:
        """Message bytes of all parties an epoch, sent and received together."""
        traffic = self.record.bytes
        return add_up([traffic.epoch_sent, traffic.epoch_received]) if traffic else None

    @property
    def model(self) -> str | None:
        """The name of its one model; None where it has several, or none."""
        return next(iter(self.record.models)) if len(self.record.models) == 1 else None

    def metric(self, name: str) -> Summary | None:
        """Return a score of its one model."""
        return self.record.metrics.get(name)

    @cached_property
    def baseline(self) -> CaseView | None:
        """The finished centralised case with epochs on the same rows.

        Of several, the one with most training settings in common. A centralised case is its own baseline.
        """
        candidates = [
            other
            for other in self.run.finished
            if other.kind == "centralised" and other.record.training.get("solver") != "lbfgs" and self.same_rows(other)
        ]
        return max(candidates, key=self._settings_in_common, default=None)

    @cached_property
    def unprotected(self) -> CaseView | None:
        """The finished case of the same rows whose messages are not protected, which a protection's cost is held to.

        Of several, one of the same engine, that aggregates in the same way, and has most training settings in common.
        """

        def closeness(other: CaseView) -> tuple[bool, bool, int]:
            ours, theirs = self.record, other.record
            same_way = ours.training.get("aggregation") == theirs.training.get("aggregation")
            return ours.engine == theirs.engine, same_way, self._settings_in_common(other)

        candidates = [
            other
            for other in self.run.finished
            if other.is_federated and not other.is_protected and self.same_rows(other)
        ]
        return max(candidates, key=closeness, default=None)

    def _settings_in_common(self, other: CaseView) -> int:
        ours, theirs = self.record.training, other.record.training
        return sum(ours[key] == theirs.get(key) for key in ours)

    def same_rows(self, other: CaseView) -> bool:
        """Say whether another case of the run trained on the same rows: the same dataset, split and balancing."""
        ours, theirs = self.record, other.record
        return (ours.dataset, ours.split, ours.balance) == (theirs.dataset, theirs.split, theirs.balance)

    @cached_property
    def overlap(self) -> float:
        """Test rows / training rows, for compare_samples; 0 where they were not recorded."""
        split = self.split
        return split.test_rows / split.train_rows if split and split.test_rows and split.train_rows else 0.0

    def paired(
        self, base: CaseView, ours: Summary | None, theirs: Summary | None
    ) -> tuple[list[float], list[float]] | None:
        """Return the values of ``base`` and of this case in the repeats that both finished; None without any."""
        return in_pairs(theirs, base.record.repeats_done, ours, self.record.repeats_done)

    def times_against(self, base: CaseView) -> Comparison | None:
        """Compare the seconds per epoch with those of ``base``, repeat by repeat, as a ratio.

        Cases are interleaved, so drift of the machine affects both alike.
        """
        if base.id not in self._times:
            found = self._compared(base, self.epoch, base.epoch, "s", 0.0)
            self._times[base.id] = found if found and found.kind == "ratio" else None
        return self._times[base.id]

    def score_against(self, base: CaseView, metric: str) -> Comparison | None:
        """Compare a score with that of ``base`` in the same repeats, so on the same rows, as a difference."""
        key = base.id, metric
        if key not in self._scores:
            self._scores[key] = self._compared(base, self.metric(metric), base.metric(metric), "", self.overlap)
        return self._scores[key]

    def _compared(
        self, base: CaseView, ours: Summary | None, theirs: Summary | None, unit: Unit, overlap: float
    ) -> Comparison | None:
        from bench.stats.comparison import compare_samples  # SciPy takes a while to import

        pairs = self.paired(base, ours, theirs)
        return compare_samples(*pairs, unit, paired=True, overlap=overlap) if pairs else None

    @property
    def time_ratio(self) -> Comparison | None:
        """Its seconds per epoch against its baseline's."""
        return self.times_against(self.baseline) if self.baseline else None

    def score_differences(self, base: CaseView) -> Mapping[str, Mapping[str, Summary]]:
        """Return {model: {metric: summary}} of this case's scores less those of ``base``'s one model, by repeat.

        Both were trained and tested on the same rows in the same repeat. A repeat that either lacks is left out.
        """
        scores = self.run.scores
        metrics = [column for column in scores.columns if column not in store.KEYS_OF_SCORES]
        theirs = scores[(scores["case"] == base.id) & (scores["model"] == base.model)].set_index("repeat")
        found = {}
        for model, rows in scores[scores["case"] == self.id].groupby("model", sort=False):
            ours = rows.set_index("repeat")
            gaps = {m: summarise([float(gap) for gap in (ours[m] - theirs[m]).dropna()]) for m in metrics}
            found[str(model)] = {metric: gap for metric, gap in gaps.items() if gap}
        return found

    @cached_property
    def least_attributed(self) -> tuple[str, Summary] | None:
        """The party with the least share of its epoch in named phases in any repeat, and its share."""
        shares = [(key, times.attributed_share) for key, times in self.by_party.items()]
        known = [(key, share) for key, share in shares if share is not None]
        return min(known, key=lambda each: each[1].low, default=None)

    def sides(self) -> Iterator[tuple[str, PartyTime]]:
        """Give what was measured of the largest party and, where there is one, of the arbiter."""
        if self.largest is not None and self.record.time is not None:
            yield str(self.record.time.critical_party), self.largest
        yield from ((key, times) for key, times in self.by_party.items() if is_arbiter(key))


def is_arbiter(key: str) -> bool:
    """Say whether "party/role" is an arbiter, which trains nothing."""
    return key.endswith("/arbiter")


def communicating(times: PartyTime) -> Summary | None:
    """Return serialise + transfer, seconds an epoch; where only one of them was measured, that one."""
    return add_up(times.phases.get(phase) for phase in COMMUNICATING)


def parts_of(times: PartyTime) -> Parts:
    """Return what a process's epoch went into, in seconds."""
    grouped = {
        gettext_noop("computing"): times.phases.get("compute"),
        gettext_noop("communicating"): communicating(times),
        gettext_noop("waiting"): times.phases.get("wait"),
    }
    others = [phase for phase in PHASES if phase in times.phases and phase not in ("compute", "wait", *COMMUNICATING)]
    return {**grouped, **{phase: times.phases[phase] for phase in others}}
