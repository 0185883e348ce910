"""What the report says of a FATE job's time, from made-up events of parties and arbiter that exchange messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.engines.fate import spans
from bench.errors import CaseError
from bench.measure.spans import Recorder, epoch_rows

Events = list[dict[str, Any]]
ARBITER = "10000/arbiter"
CLIENTS = ("9999/guest", "9998/host", "10000/host")
FETCH = 0.002  # seconds to fetch a message that has come


@dataclass(frozen=True)
class Client:
    """A made-up party: seconds of computing, of no phase, of a push, and of a message's way to or from the arbiter."""

    compute: float
    lost: float
    push: float
    way: float


class Stage:
    """The clocks of made-up workers, and the events that each of them writes."""

    def __init__(self, clocks: Mapping[str, str], offsets: Mapping[str, float]) -> None:
        self.now = dict.fromkeys([*CLIENTS, ARBITER], 0.0)
        self.offset = {key: offsets.get(clocks[key], 0.0) for key in self.now}
        self.events: dict[str, Events] = {key: [] for key in self.now}
        for number, key in enumerate(self.now):
            party, role = key.split("/")
            process = {"party": party, "role": role, "job": "1", "task": "homo_lr", "pid": number}
            self.write(key, e="process", clock=clocks[key], c=0.0, **process)

    def write(self, key: str, **event: Any) -> None:
        self.events[key].append({"t": self.now[key] + self.offset[key], **event})

    def spend(self, key: str, phase: str, seconds: float, **more: Any) -> float:
        """Spend time in a phase; return when that began."""
        began = self.now[key]
        self.write(key, e="segment", phase=phase, what=phase, d=seconds, c=seconds / 2, **more)
        self.now[key] += seconds
        return began

    def message(self, key: str, phase: str, seconds: float, name: str, tag: str, peer: str, size: int) -> float:
        party, role = peer.split("/")
        return self.spend(key, phase, seconds, name=name, tag=tag, peers=[[role, party]], bytes=size)

    def push(self, key: str, seconds: float, name: str, tag: str, peer: str, size: int) -> float:
        return self.message(key, "transfer", seconds, name, tag, peer, size)

    def pull(self, key: str, arrival: float, name: str, tag: str, peer: str, size: int) -> float:
        seconds = max(arrival - self.now[key], 0.0) + FETCH
        return self.message(key, "wait", seconds, name, tag, peer, size)


def job(
    rounds: list[list[Client]], clocks: Mapping[str, str], offsets: Mapping[str, float] | None = None
) -> dict[str, Events]:
    """Play a job: every round each client computes, sends its update, and takes the sum from the arbiter."""
    stage = Stage(clocks, offsets or {})
    for key in stage.now:
        stage.spend(key, "framework", 1.0)
    for number, clients in enumerate(rounds):
        of = dict(zip(CLIENTS, clients, strict=True))
        tag = f"aggregation-{number}"
        for key in stage.now:
            stage.write(key, e="epoch", epoch=number + 1, c=float(number))
        arrivals = {}
        for key, client in of.items():
            stage.spend(key, "compute", client.compute)
            stage.now[key] += client.lost
            arrivals[key] = stage.push(key, client.push, "update", tag, ARBITER, 1325) + client.way
        for key in CLIENTS:
            stage.pull(ARBITER, arrivals[key], "update", tag, key, 1325)
        stage.spend(ARBITER, "aggregate", 0.001)
        for key, client in of.items():
            arrivals[key] = stage.push(ARBITER, client.push, "sum", tag, key, 737) + client.way
        for key in CLIENTS:
            stage.pull(key, arrivals[key], "sum", tag, ARBITER, 737)
            stage.write(key, e="loss", epoch=number + 1, value=1 / (number + 1))
    for key in stage.now:
        stage.write(key, e="trained", c=float(len(rounds)))
        stage.spend(key, "framework", 0.1)  # the probe itself: no epoch's
        stage.write(key, e="ended")
    return stage.events


def together(events: Mapping[str, Events]) -> Events:
    return [event for of_one in events.values() for event in of_one]


seconds = st.integers(0, 1000).map(lambda milliseconds: milliseconds / 1000)
rounds = st.lists(
    st.lists(st.builds(Client, seconds, seconds, seconds, seconds), min_size=3, max_size=3), min_size=1, max_size=4
)
ONE_HOST = dict.fromkeys([*CLIENTS, ARBITER], "one")
HOSTS = {"9999/guest": "9999", "9998/host": "9998", "10000/host": "10000", ARBITER: "10000"}
either = st.sampled_from([ONE_HOST, HOSTS])


@given(rounds, either)
def test_the_phases_and_what_is_unattributed_are_an_epochs_time(
    rounds: list[list[Client]], clocks: Mapping[str, str]
) -> None:
    events = job(rounds, clocks)
    recorders = spans.recorders(together(events))
    assert set(recorders) == set(events)
    for key, recorder in recorders.items():
        marks = [event["t"] for event in events[key] if event["e"] in ("process", "epoch", "trained")]
        assert [epoch.epoch for epoch in recorder.epochs] == [*range(len(rounds) + 1)]
        for epoch in recorder.epochs:
            rows = [row["seconds"] for row in epoch_rows(recorder) if row["epoch"] == epoch.epoch]
            assert sum(rows) == pytest.approx(marks[epoch.epoch + 1] - marks[epoch.epoch], abs=1e-6)
    for key, lost in zip(CLIENTS, zip(*rounds, strict=True), strict=True):
        unattributed = phase(recorders[key], "unattributed")
        assert unattributed[1:] == pytest.approx([client.lost for client in lost], abs=1e-6)


@given(rounds, either)
def test_waiting_and_transfer_of_a_pull_are_its_time_and_neither_is_negative(
    rounds: list[list[Client]], clocks: Mapping[str, str]
) -> None:
    events = job(rounds, clocks)
    for key, recorder in spans.recorders(together(events)).items():
        assert all(span.seconds >= 0 for span in recorder.spans)
        pulls = [(event["t"], event["d"]) for event in events[key] if event.get("phase") == "wait"]
        waits = [span for span in recorder.spans if span.phase == "wait"]
        ways = [span for span in recorder.spans if span.phase == "transfer" and span.bytes_received is not None]
        assert [span.start for span in waits] == [begin for begin, _ in pulls]
        for (_, length), wait, way in zip(pulls, waits, ways, strict=True):
            assert wait.seconds + way.seconds == pytest.approx(length)
            assert way.start == pytest.approx(wait.start + wait.seconds)


@given(rounds, st.sampled_from(["9999", "9998", "10000"]), st.integers(-10_000_000, 10_000_000))
def test_a_hosts_clock_may_show_any_time(rounds: list[list[Client]], host: str, offset: int) -> None:
    as_is = spans.recorders(together(job(rounds, HOSTS)))
    shifted = spans.recorders(together(job(rounds, HOSTS, {host: float(offset)})))
    for key, recorder in as_is.items():
        for row, other in zip(epoch_rows(recorder), epoch_rows(shifted[key]), strict=True):
            times = {name: row[name] for name in ("seconds", "cpu_seconds")}
            assert other == {**row, **{name: pytest.approx(times[name], abs=1e-6) for name in times}}


@given(rounds)
def test_on_one_host_a_message_is_on_its_way_from_when_it_was_sent(rounds: list[list[Client]]) -> None:
    events = job(rounds, ONE_HOST)
    pushed = {
        (key, event["name"], event["tag"], *event["peers"][0]): event["t"]
        for key, of_one in events.items()
        for event in of_one
        if event.get("phase") == "transfer"
    }
    for key, recorder in spans.recorders(together(events)).items():
        ways = iter([span for span in recorder.spans if span.bytes_received is not None])
        party, role = key.split("/")
        for event in events[key]:
            if event.get("phase") == "wait":
                (its_role, its_party), end = event["peers"][0], event["t"] + event["d"]
                sent = pushed[f"{its_party}/{its_role}", event["name"], event["tag"], role, party]
                assert next(ways).seconds == pytest.approx(end - max(sent, event["t"]), abs=1e-6)


@given(rounds)
def test_between_hosts_no_more_is_called_transfer_than_was_on_the_way(rounds: list[list[Client]]) -> None:
    recorders = spans.recorders(together(job(rounds, HOSTS)))
    for key, clients in zip(CLIENTS[:2], zip(*rounds, strict=True), strict=False):
        for client, took in zip(clients, phase(recorders[key], "transfer")[1:], strict=True):
            # On the way there and back, and fetched at both ends; or the push itself took longer than the way there.
            assert took <= client.push + 2 * client.way + 2 * FETCH + 1e-6


def test_between_hosts_the_way_of_the_last_to_be_ready_is_all_seen() -> None:
    quick, slow = Client(0.2, 0, 0.001, 0.03), Client(0.9, 0, 0.001, 0.05)
    recorders = spans.recorders(together(job([[quick, slow, quick]], HOSTS, {"9998": 1000.0})))
    there_and_back = 2 * 0.05 + 2 * FETCH
    assert phase(recorders["9998/host"], "transfer")[1] == pytest.approx(there_and_back, abs=1e-6)
    # The guest was first in the arbiter's order and blocked it too; what the arbiter held longest is waiting.
    assert phase(recorders["9999/guest"], "transfer")[1] == pytest.approx(2 * 0.03 + 2 * FETCH, abs=1e-6)
    assert phase(recorders["9999/guest"], "wait")[1] > 0.6
    # The arbiter: its three pushes, the ways of both messages that it was blocked for, and the fetch of the third.
    ways = 3 * 0.001 + (0.03 + FETCH) + (0.05 + FETCH) + FETCH
    assert phase(recorders[ARBITER], "transfer")[1] == pytest.approx(ways, abs=1e-6)


def test_between_hosts_a_message_that_lay_waiting_counts_with_its_push_only() -> None:
    slow, quick = Client(0.9, 0, 0.001, 0.05), Client(0.1, 0, 0.004, 0.05)
    recorders = spans.recorders(together(job([[slow, quick, quick]], HOSTS)))
    assert phase(recorders["9998/host"], "transfer")[1] == pytest.approx(0.004, abs=1e-6)


def test_bytes_and_losses_are_where_they_belong() -> None:
    recorders = spans.recorders(together(job([[Client(0.1, 0, 0.1, 0.1)] * 3] * 2, HOSTS)))
    for key, sent, received in ((CLIENTS[0], 1325, 737), (ARBITER, 3 * 737, 3 * 1325)):
        rows = [row for row in epoch_rows(recorders[key]) if row["epoch"] > 0]
        of_transfer = [(row["bytes_sent"], row["bytes_received"]) for row in rows if row["phase"] == "transfer"]
        assert of_transfer == [(sent, received)] * 2
        assert all(row["bytes_sent"] is None for row in rows if row["phase"] != "transfer")
    assert [epoch.loss for epoch in recorders[CLIENTS[0]].epochs] == [None, 1.0, 0.5]


def test_a_pull_from_several_parties_on_one_host_waits_for_the_last() -> None:
    events = job([[Client(0.1, 0, 0.1, 0.1)] * 3], ONE_HOST)
    first, last = 2.0, 2.5
    for key, when in ((CLIENTS[1], first), (CLIENTS[2], last)):
        size = {"name": "parameters", "tag": "default", "peers": [["arbiter", "10000"]], "bytes": 10}
        events[key] += [{"e": "segment", "phase": "transfer", "what": "push", "t": when, "d": 0.1, "c": 0.0, **size}]
    pulled = {"name": "parameters", "tag": "default", "peers": [["host", "9998"], ["host", "10000"]], "bytes": 20}
    events[ARBITER] += [{"e": "segment", "phase": "wait", "what": "pull", "t": 1.9, "d": 0.8, "c": 0.0, **pulled}]
    for of_one in events.values():  # in a round of its own, which lasts until 3 s
        of_one[:] = [event for event in of_one if event["e"] not in ("trained", "ended")]
        of_one[:] = [event for event in of_one if event.get("phase") != "framework" or event["t"] < 1.0]
        of_one += [{"e": "epoch", "epoch": 2, "t": 1.8, "c": 1.0}, {"e": "trained", "t": 3.0, "c": 2.0}]
    recorder = spans.recorders(together(events))[ARBITER]
    assert phase(recorder, "wait")[2] == pytest.approx(last - 1.9)
    assert phase(recorder, "transfer")[2] == pytest.approx(1.9 + 0.8 - last)


# --- damage ----------------------------------------------------------------------------------------------------------


@given(rounds, either, st.data())
def test_a_lost_line_is_refused_or_leaves_the_epochs_whole(
    rounds: list[list[Client]], clocks: Mapping[str, str], data: st.DataObject
) -> None:
    events = together(job(rounds, clocks))
    del events[data.draw(st.integers(0, len(events) - 1))]
    try:
        recorders = spans.recorders(events)
    except CaseError as error:
        assert "party " in str(error) or "a worker of FATE" in str(error)
        assert "\n" not in str(error)
        return
    for recorder in recorders.values():
        for epoch in recorder.epochs:
            rows = [row["seconds"] for row in epoch_rows(recorder) if row["epoch"] == epoch.epoch]
            assert sum(rows) == pytest.approx(epoch.seconds)
            assert min(rows) > -1e-6


@given(st.data())
def test_a_damaged_value_is_refused_by_the_partys_name(data: st.DataObject) -> None:
    events = together(job([[Client(0.1, 0.1, 0.1, 0.1)] * 3], HOSTS))
    event = data.draw(st.sampled_from([event for event in events if event["e"] in ("segment", "epoch", "trained")]))
    key = data.draw(st.sampled_from(sorted({"t", "d", "c", "phase", "epoch", "peers"} & set(event))))
    event[key] = data.draw(st.sampled_from(["x", float("nan"), -50.0, [[]]]))
    with pytest.raises(CaseError, match=r"party \d+ \(\w+\)"):
        spans.recorders(events)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda events: [event for event in events if event["e"] != "trained"], "end before its training"),
        (lambda events: [event for event in events if event.get("epoch") != 1], r"epochs are \[2\]"),
        (lambda events: [*events[:-3], events[-1]], "end before its training"),
        (lambda events: [*events, *events], "measured twice"),
        (lambda events: [{**events[0], "job": "2"}, *events[1:]], "2 epochs of job 2, but .* 2 epochs of job 1"),
        (
            lambda events: [*events, {"e": "failed", "what": "Trainer.train", "error": "AttributeError: x", "pid": 1}],
            "could not be measured: Trainer.train: AttributeError: x",
        ),
    ],
)
def test_events_that_cannot_be_all_are_refused_by_the_partys_name(change: Any, says: str) -> None:
    events = job([[Client(0.1, 0.1, 0.1, 0.1)] * 3] * 2, HOSTS)
    events["9998/host"] = change(events["9998/host"])
    with pytest.raises(CaseError, match=rf"party 9998 \(host\).*{says}"):
        spans.recorders(together(events))


def phase(recorder: Recorder, name: str) -> list[float]:
    """The seconds of a phase in each epoch; 0 is the set-up."""
    found = {row["epoch"]: row["seconds"] for row in epoch_rows(recorder) if row["phase"] == name}
    return [found.get(epoch.epoch, 0.0) for epoch in recorder.epochs]
