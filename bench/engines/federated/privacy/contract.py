"""The privacy modes of the embedded engine: what a party lets out of its hands, and who could learn what from it.

A mode is a module that adds up vectors over the parties in its own way. Its two sides, at a party and at the arbiter,
talk in steps: first "join", then those of its ``SETUP``, then for every sum those of its ``STEPS``. A new mode is a
module and a line in MODES.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from time import process_time
from typing import Any

from bench.engines.federated.wire import WireError
from bench.measure.spans import Recorder

# talk(step, kind, body) sends one message to the arbiter and returns its answer.
Talk = Callable[[str, str, bytes], bytes]

# combine(step, kind, bodies) turns what the parties sent, in their order, into the answer to each.
Combine = Callable[[str, str, dict[str, bytes]], dict[str, bytes]]

_TIMING_SECONDS = 0.03


class WrongBodyError(ValueError):
    """A party sent what was not due; ``party`` is its id and the text says what it sent."""

    def __init__(self, party: str, what: str) -> None:
        super().__init__(what)
        self.party = party


@contextmanager
def sent_by(party: str) -> Iterator[None]:
    """Turn what is wrong with a message into a WrongBodyError that names the party which sent it."""
    try:
        yield
    except WireError as error:
        raise WrongBodyError(party, str(error)) from error


def timed(call: Callable[[], object]) -> float:
    """Return the CPU seconds that one call takes, from as many as fit into a moment."""
    calls, began = 0, process_time()
    while (spent := process_time() - began) < _TIMING_SECONDS:
        call()
        calls += 1
    return spent / calls


@dataclass(frozen=True)
class Setup:
    """What one side of a mode is told. ``roles``: party id -> role of all that train, in their order.

    ``party`` is the own id, empty at the arbiter; ``who`` names it for a reader.
    """

    party: str
    who: str
    roles: Mapping[str, str]
    features: int
    options: Mapping[str, Any]
    recorder: Recorder


@dataclass(frozen=True)
class Shape:
    """What the number of operations and bytes depends on."""

    parties: int
    features: int
