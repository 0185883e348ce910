"""The privacy modes by name, and their options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from types import ModuleType
from typing import Any

from bench.errors import UserError
from bench.i18n.language import gettext_noop
from bench.i18n.messages import Message
from bench.model.logistic import Training


@dataclass(frozen=True)
class Mode:
    """An entry of the registry.

    ``options`` are the settings and their defaults. ``learns`` says who could learn what: the ``arbiter``, the other
    ``parties``, and what that ``assumes``. A mode with ``outlives`` goes on when a party is lost, as long as its
    option ``threshold`` is met.
    """

    description: str
    module: str
    options: Mapping[str, Any] = field(default_factory=dict)
    learns: Mapping[str, str] = field(default_factory=dict)
    outlives: bool = False

    @property
    def steps(self) -> tuple[str, ...]:
        """The steps of a sum."""
        return tuple(self.load().STEPS)

    def operations(self, shape: Any, options: Any, side: Any) -> dict[str, float]:
        """Return how often each operation is done in a sum."""
        return dict(self.load().operations(shape, options, side))

    def sizes(self, shape: Any, options: Any) -> tuple[float, float]:
        """Return the bytes of a party's messages in a sum."""
        sent, received = self.load().sizes(shape, options)
        return sent, received

    def reference_operations(self, rows: int, features: int) -> list[Any]:
        """Return what another implementation would do."""
        count = getattr(self.load(), "row_by_row_operations", None)
        return [(_ROW_BY_ROW, "multiply", count(rows, features))] if count else []

    def load(self) -> ModuleType:
        """Import the mode's module."""
        return import_module(self.module)


_ROW_BY_ROW = Message(
    "row_by_row", gettext_noop("not done: FATE 1.8 would multiply row by row, which would take {time}")
)
_HERE = "bench.engines.federated.privacy"

MODES = {
    "plain": Mode(
        "parties send their sums as they are",
        f"{_HERE}.plain",
        learns={
            "arbiter": "every party's gradient (or weights) and loss of each round, its number of rows, and the sums "
            "and squares of its columns",
            "parties": "the sum over all parties, so the common model of each round",
            "assumes": "everybody trusts the arbiter with what gradients tell of rows",
        },
    ),
    "masked": Mode(
        "parties add random masks that cancel in the sum (secure aggregation, Bonawitz et al. 2017)",
        f"{_HERE}.masked",
        options={"threshold": None},
        learns={
            "arbiter": "the sum over all parties of each round. When a party is lost, two sums that differ by it tell "
            "its share of the rows, and roughly its gradient",
            "parties": "the sum over all parties; of two that are left, each can take away its own part",
            "assumes": "the arbiter follows the protocol, and fewer than the threshold of the parties collude with it; "
            "those that do learn the sum of the others",
        },
        outlives=True,
    ),
    "paillier": Mode(
        "parties encrypt with a common Paillier key, and the arbiter adds up ciphertexts that it cannot read",
        f"{_HERE}.paillier",
        options={"key_bits": 2048},
        learns={
            "arbiter": "ciphertexts and their sums, which it cannot read: it never holds the private key",
            "parties": "the sum over all parties; of two parties, each can take away its own part",
            "assumes": "the arbiter follows the protocol, and no party gives it the private key: the arbiter and one "
            "party together could read what every party sends",
        },
    ),
    "paillier_host": Mode(
        "hosts train on a model encrypted with the arbiter's Paillier key, the guest in plain (FATE 1.8)",
        f"{_HERE}.paillier_host",
        options={"key_bits": 2048, "re_encrypt_batches": 2},
        learns={
            "arbiter": "every party's weights of each round, for it holds the private key, and the sums of each for "
            "the scaling. With full batches the weights of some rounds give it each host's products of columns, X'X",
            "parties": "the guest the average of all weights of each round; hosts never a weight, but the loss on the "
            "guest's rows",
            "assumes": "everybody trusts the arbiter with what weights tell of rows, and it gives no host the key",
        },
    ),
    "dp": Mode(
        "parties clip gradients and add Gaussian noise (differential privacy)",
        f"{_HERE}.dp",
        options={"epsilon": 1.0, "delta": 1e-6, "clip": 1.0, "protects": "row"},
        learns={
            "arbiter": "every party's gradients under noise: of what one row (or one party) holds, no more than "
            "epsilon and delta allow. Exactly: sums and squares of each party's columns, once, and its number of rows",
            "parties": "the sum of the gradients under noise, so the common model of each round. Exactly: the common "
            "means and deviations",
            "assumes": "nobody is trusted with a row in the rounds; the sums for the scaling are not covered",
        },
    ),
}


def complete(name: str, options: Mapping[str, Any], training: Training, parties: int | None) -> dict[str, Any]:
    """Return the mode's options with its defaults in place.

    ``parties`` is None where only the data can tell. Raises UserError naming the option and what may stand there.
    """
    mode = MODES[name]
    unknown = set(options) - set(mode.options)
    if unknown:
        offered = f"choose from {', '.join(mode.options)}" if mode.options else "it has none"
        raise UserError(f"privacy_options: {sorted(unknown)[0]!r} is no option of {name}; {offered}")
    settings = {**mode.options, **options}
    mode.load().check(settings, training, parties)
    return settings
