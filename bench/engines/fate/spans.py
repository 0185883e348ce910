"""The events of all workers of a FATE job (written by party/python/fate_probe.py), made into what the report reads.

A worker sees only how long a pull took. How much of that was waiting for the other party to send, and how much the
message was on its way, is found here, by holding the workers' events together.

Workers that share a clock (behind one FATE Flow, on one host): the message is on its way from the moment its sender
began to push it. What the pull took before that is ``wait``, the rest is ``transfer``.

Workers on different hosts: their clocks are never subtracted. A party pushes a request (its update) and pulls the
answer (the sum). This round trip, on its own clock, less the time that the other party held the request, on *that*
party's clock, was spent on the way; the half of it, where the round trip is not the pull's, is taken for each way. It
can only be told if both were blocked in their pulls until the message came, because that shows when it came. A message
that lay waiting to be pulled says nothing about its way: then the push alone counts as ``transfer``, and the pull as
``wait``. So between hosts transfer is underestimated, and waiting overestimated, for all but the last to be ready.

In either case both parts of a pull add up to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from math import isfinite
from typing import Any

from bench.errors import CaseError
from bench.measure.spans import PHASES, Epoch, Recorder, Span

# A pull that takes this long was blocked until the message came: to fetch one that lies there takes some milliseconds.
_BLOCKED_SECONDS = 0.01
_ROUNDING_SECONDS = 1e-6  # of the events' times, with room for one on top of another

Event = Mapping[str, Any]
Message = tuple[str, str, str, str]  # the sender's and the receiver's "party/role", the message's name and tag


@dataclass
class _Worker:
    """The events of one process of HomoLR; ``marks`` are its begin, its epochs' begins, and the last one's end."""

    party: str
    role: str
    job: str
    clock: str
    marks: list[Event]
    segments: list[Event] = field(default_factory=list)
    losses: dict[int, float] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return f"{self.party}/{self.role}"

    @property
    def name(self) -> str:
        return f"party {self.party} ({self.role})"


def recorders(events: Iterable[Event]) -> dict[str, Recorder]:
    """Return a recorder for each worker by "party/role": its epochs (0 is the set-up) with their losses, and its spans.

    ``events``: those of one file after the other. A party's loss is over its own rows, the arbiter's is the common one;
    both are of the weights with which the epoch begins. Raises CaseError, naming the party, when events are missing or
    damaged.
    """
    workers = _workers(events)
    messages = _Messages({}, {})
    for worker in workers.values():
        try:
            _check(worker, next(iter(workers.values())))
            _collect(worker, messages)
        except (KeyError, TypeError, ValueError) as error:
            raise CaseError(f"{worker.name}: its measurements are damaged: {_words(error)}") from error
    waits = _waits(workers, messages)
    return {worker.key: _recorder(worker, waits) for worker in workers.values()}


# --- reading ---------------------------------------------------------------------------------------------------------


def _workers(events: Iterable[Event]) -> dict[str, _Worker]:
    """Sort the events by worker: a file's first is "process", and what follows is of that process."""
    workers: dict[str, _Worker] = {}
    worker: _Worker | None = None
    for event in events:
        try:
            if event["e"] == "process":
                worker = _Worker(event["party"], event["role"], event["job"], event["clock"], [event])
                if worker.key in workers:
                    raise CaseError(f"{worker.name} was measured twice; events of an older job were left in its folder")
                workers[worker.key] = worker
            elif event["e"] == "failed":
                who = worker.name if worker and worker.marks[0].get("pid") == event.get("pid") else "a worker of FATE"
                raise CaseError(f"{who} could not be measured: {event['what']}: {event['error']}")
            elif worker is None:
                raise ValueError(f"{event['e']!r} comes before any process")
            else:
                _add(worker, event)
        except (KeyError, TypeError, ValueError) as error:
            who = worker.name if worker else "a worker of FATE"
            raise CaseError(f"{who}: its measurements are damaged: {_words(error)}") from error
    return workers


def _words(error: Exception) -> str:
    return f"an event without {error}" if isinstance(error, KeyError) else str(error)


def _add(worker: _Worker, event: Event) -> None:
    if event["e"] == "segment":
        worker.segments.append(event)
    elif event["e"] in ("epoch", "trained"):
        worker.marks.append(event)
    elif event["e"] == "loss":
        worker.losses[int(event["epoch"])] = float(event["value"])


def _check(worker: _Worker, first: _Worker) -> None:
    """Raise ValueError or CaseError when a worker's events cannot be all there are, or contradict each other."""
    if worker.marks[-1]["e"] != "trained":
        raise CaseError(f"{worker.name}: its measurements end before its training; it may have been killed")
    epochs = [mark["epoch"] for mark in worker.marks[1:-1]]
    if not epochs or epochs != [*range(1, len(epochs) + 1)]:
        raise ValueError(f"its epochs are {epochs}")
    if len(worker.marks) != len(first.marks) or worker.job != first.job:
        seen = [f"{len(one.marks) - 2} epochs of job {one.job}" for one in (worker, first)]
        raise CaseError(f"{worker.name} measured {seen[0]}, but {first.name} {seen[1]}")
    marks = [(float(mark["t"]), float(mark["c"])) for mark in worker.marks]
    pieces = [
        (float(one["t"]), float(one["d"]), float(0.0 if one["c"] is None else one["c"])) for one in worker.segments
    ]
    if not all(isfinite(number) for numbers in [*marks, *pieces] for number in numbers):
        raise ValueError("a time is not a number")
    if any(one["phase"] not in PHASES for one in worker.segments):
        raise ValueError("a segment is of no known phase")
    if any(length < 0 or cpu < 0 for _, length, cpu in pieces) or any(
        a > b for m, n in pairwise(marks) for a, b in zip(m, n, strict=True)
    ):
        raise ValueError("time runs backwards")
    bounds = sorted([*((begin, begin + length) for begin, length, _ in pieces), *((mark, mark) for mark, _ in marks)])
    if bounds[0][0] < marks[0][0] or any(
        after[0] < before[1] - _ROUNDING_SECONDS for before, after in pairwise(bounds)
    ):
        raise ValueError("segments overlap")


# --- dividing pulls --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Messages:
    """All messages of a job: the segment in which each was pushed, and the one in which it was pulled."""

    pushes: dict[Message, Event]
    pulls: dict[Message, Event]


def _collect(worker: _Worker, messages: _Messages) -> None:
    """Add a worker's messages."""
    for event in worker.segments:
        for role, party in event.get("peers", ()):
            peer, name, tag = f"{party}/{role}", event["name"], event["tag"]
            if event["phase"] == "wait":
                messages.pulls[peer, worker.key, name, tag] = event
            else:
                messages.pushes[worker.key, peer, name, tag] = event


def _waits(workers: Mapping[str, _Worker], messages: _Messages) -> dict[int, float]:
    """Return the seconds of waiting in each pull, by the id of its segment."""
    transfers = _between_hosts(workers, messages)
    waits: dict[int, float] = {}
    for message, pull in messages.pulls.items():
        if not _all_share_clock(workers, workers[message[1]], pull):
            waits[id(pull)] = pull["d"] - transfers.get(id(pull), 0.0)
            continue
        if message not in messages.pushes:
            sender = workers[message[0]].name
            raise CaseError(f"{sender}: its measurements are damaged: nothing of message {' '.join(message[2:])}")
        # Of several messages in one pull, the last one counts.
        waited = min(max(messages.pushes[message]["t"] - pull["t"], 0.0), pull["d"])
        waits[id(pull)] = max(waited, waits.get(id(pull), 0.0))
    return waits


def _all_share_clock(workers: Mapping[str, _Worker], receiver: _Worker, pull: Event) -> bool:
    senders = [workers.get(f"{party}/{role}") for role, party in pull["peers"]]
    return all(sender is not None and sender.clock == receiver.clock for sender in senders)


def _between_hosts(workers: Mapping[str, _Worker], messages: _Messages) -> dict[int, float]:
    """Return the seconds on the way in those pulls from another host of which that can be told, by the segment's id."""
    of_answers: dict[int, float] = {}
    of_requests: dict[int, float] = {}
    requests: dict[tuple[str, str, str], list[Message]] = {}  # by sender, receiver and tag, in the order they were sent
    for message in messages.pushes:
        requests.setdefault((message[0], message[1], message[3]), []).append(message)
    for answer, pull in messages.pulls.items():
        sender, receiver, _, tag = answer
        sent = [
            request
            for request in requests.get((receiver, sender, tag), ())
            if messages.pushes[request]["t"] <= pull["t"]
        ]
        if not sent or workers[sender].clock == workers[receiver].clock:
            continue
        push, taken, answered = (
            messages.pushes[sent[-1]],
            messages.pulls.get(sent[-1]),
            messages.pushes.get(answer),
        )
        if taken is None or answered is None or not (_saw_arrival(taken) and _saw_arrival(pull)):
            continue
        held = answered["t"] - (taken["t"] + taken["d"])
        if held < 0:  # sent before the request came, so no answer to it
            continue
        way = max(pull["t"] + pull["d"] - push["t"] - held, 0.0) / 2
        there = max(way - (pull["t"] - push["t"]), 0.0)  # what of the way there fell into the pull
        of_answers[id(pull)] = min(there + way, pull["d"])
        of_requests.setdefault(id(taken), min(way, taken["d"]))
    return {**of_requests, **of_answers}


def _saw_arrival(pull: Event) -> bool:
    """Say whether a pull ended because its message came, not because it was there already."""
    return len(pull["peers"]) == 1 and bool(pull["d"] >= _BLOCKED_SECONDS)


# --- spans -----------------------------------------------------------------------------------------------------------


def _recorder(worker: _Worker, waits: Mapping[int, float]) -> Recorder:
    recorder = Recorder()
    marks = worker.marks
    for number, (mark, following) in enumerate(pairwise(marks)):
        seconds, cpu_seconds = following["t"] - mark["t"], following["c"] - mark["c"]
        recorder.epochs.append(Epoch(number, mark["t"], seconds, cpu_seconds, worker.losses.get(number)))
    number = 0
    for event in worker.segments:
        while number + 1 < len(marks) and event["t"] >= marks[number + 1]["t"]:
            number += 1
        if number + 1 < len(marks):  # not after the training
            recorder.spans.extend(_spans(number, event, waits))
    return recorder


def _spans(epoch: int, event: Event, waits: Mapping[int, float]) -> Iterator[Span]:
    """Make a segment a span, or a pull two: first waiting, then transfer, which has its bytes."""
    size = event.get("bytes")
    if id(event) not in waits:
        yield Span(epoch, event["phase"], event["t"], event["d"], event["c"], bytes_sent=size)
        return
    waited = waits[id(event)]
    share = waited / event["d"] if event["d"] else 0.0
    cpu = [None, None] if event["c"] is None else [event["c"] * share, event["c"] * (1 - share)]
    yield Span(epoch, "wait", event["t"], waited, cpu[0])
    yield Span(epoch, "transfer", event["t"] + waited, event["d"] - waited, cpu[1], bytes_received=size)
