"""What a privacy mode of the embedded engine is: how vectors are added up over the parties, and what that costs.

A new mode is a module in bench/engines/federated/privacy with an instance of PrivacyMode, or an entry point of another
distribution (docs/privacy.md has an example). The report imports every mode; what is heavy to import belongs to its
``protocol``, which only the processes of a training load.

A protocol has two sides, at a party and at the arbiter, that talk in steps: first "join", then those of the mode's
``setup_steps``, then for every sum those of its ``steps``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import process_time
from typing import Any, Literal

from bench.engines.contract import Privacy
from bench.engines.federated.wire import SUM, WireError
from bench.engines.training import AllReduce, train
from bench.i18n.messages import Message
from bench.measure.spans import Recorder
from bench.model.logistic import Array, Training

GROUP = "federated_bench.privacy_modes"

Side = Literal["party", "arbiter"]

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
    """What one side of a protocol is told. ``roles``: party id -> role of all that train, in their order.

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


class Protocol(ABC):
    """The two sides of a privacy mode, as they run in the processes of a training."""

    @abstractmethod
    def party(self, setup: Setup, talk: Talk) -> AllReduce:
        """Join, agree on what sums take, and return the function that adds a vector up over all parties.

        That function raises WireError when the arbiter answers what was not due.
        """

    @abstractmethod
    def arbiter(self, setup: Setup) -> Combine:
        """Return the function that turns the parties' messages of a step into the answers.

        It raises WrongBodyError, naming the party, when one sent what it should not.
        """

    def train(
        self, setup: Setup, X: Array, y: Array, training: Training, seed: int, all_reduce: AllReduce
    ) -> dict[str, Any]:
        """Train one party: ``X`` (n, d) is scaled in place, ``y`` (n,) holds 0 and 1."""
        return train(X, y, training, seed, setup.who, setup.recorder, all_reduce)

    def calibrate(self, setup: Setup, side: Side) -> dict[str, float]:
        """Return the CPU seconds of each operation by itself, measured now in this process."""
        return {}


class PrivacyMode(Privacy):
    """A privacy mode of the embedded engine.

    ``setup_steps`` and ``steps`` are those of the set-up and of a sum; ``direct_steps`` stand outside of the sequence:
    a party may ask at any time. ``tolerates_dropout``: the training goes on without a party that dropped out, as long
    as ``threshold`` parties are left. ``cost_options``: the options that decide what one operation costs.
    """

    setup_steps: tuple[str, ...] = ()
    steps: tuple[str, ...] = (SUM,)
    direct_steps: tuple[str, ...] = ()
    tolerates_dropout: bool = False
    cost_options: tuple[str, ...] = ()

    @abstractmethod
    def protocol(self) -> Protocol:
        """Return its two sides; packages that are heavy to import are imported here."""

    def check(self, options: Mapping[str, Any], training: Training, parties: int | None) -> None:
        """Raise UserError, naming the option or setting, where the mode cannot train so.

        ``parties`` is None where only the data can tell.
        """

    def resolve(self, options: Mapping[str, Any], training: Training) -> dict[str, Any]:
        """Return checked options with what follows from them; the protocol gets these."""
        return dict(options)

    def notes(self, options: Mapping[str, Any]) -> list[Message]:
        """Return what a reader must know of a training with resolved options."""
        return []

    def threshold(self, options: Mapping[str, Any], parties: int) -> int:
        """Return how many parties must be left for a sum."""
        return parties

    def operations(self, shape: Shape, options: Mapping[str, Any], side: Side) -> dict[str, float]:
        """Return how often each operation is done in a round."""
        return {}

    @abstractmethod
    def sizes(self, shape: Shape, options: Mapping[str, Any]) -> tuple[float, float]:
        """Return the bytes of the messages of one party a round, (sent, received)."""

    def reference_operations(self, rows: int, features: int) -> Sequence[tuple[Message, str, int]]:
        """Return what another implementation would do in an epoch on so many rows: (line, operation, how often).

        The line has a placeholder ``time``.
        """
        return ()
