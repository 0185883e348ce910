"""Mode ``paillier``: parties encrypt what they send with a common key; protocols/paillier.py says how."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.engines.contract import Visibility
from bench.engines.federated import wire
from bench.engines.federated.contract import PrivacyMode, Protocol, Shape, Side
from bench.engines.federated.protocols.names import ADD, DECRYPT, ENCRYPT, KEYS
from bench.engines.federated.protocols.packing import plan
from bench.engines.federated.wire_pb2 import PaillierSum
from bench.errors import UserError
from bench.i18n.language import gettext_noop
from bench.i18n.messages import Message
from bench.model.logistic import Training

KEY_BITS = (1024, 2048, 3072)
# NIST SP 800-57 part 1, revision 5, tables 2 and 4: a modulus of 2048 bits has the 112 bits of strength that are the
# least allowed until 2030, 3072 bits have 128; 1024 bits (80) have been disallowed since 2014.
_LEAST_KEY_BITS = 2048

_SHORT_KEY = Message(
    "paillier_short_key", gettext_noop("a key of {bits} bits is too short to protect data; use {least} or more")
)


def check_key_bits(key_bits: object) -> None:
    """Raise UserError when a key length is none of KEY_BITS."""
    if isinstance(key_bits, bool) or not isinstance(key_bits, int) or key_bits not in KEY_BITS:
        raise UserError(f"privacy_options.key_bits: {key_bits!r} is not one of {', '.join(map(str, KEY_BITS))}")


def short_key(options: Mapping[str, Any]) -> list[Message]:
    """Return a line when the key is too short to protect anything today."""
    bits = options["key_bits"]
    return [] if bits >= _LEAST_KEY_BITS else [_SHORT_KEY.of(bits=bits, least=_LEAST_KEY_BITS)]


class Paillier(PrivacyMode):
    """Sums of ciphertexts that the arbiter cannot read."""

    name, protects, order = "paillier", True, 30
    description = "parties encrypt with a common Paillier key, and the arbiter adds up ciphertexts that it cannot read"
    options = {"key_bits": 2048}
    cost_options = ("key_bits",)
    setup_steps = (KEYS,)
    visibility = Visibility(
        arbiter=gettext_noop("ciphertexts and their sums, which it cannot read: it never holds the private key"),
        parties=gettext_noop("the sum over all parties; of two parties, each can take away its own part"),
        assumptions=gettext_noop(
            "the arbiter follows the protocol, and no party gives it the private key: the arbiter and one party "
            "together could read what every party sends"
        ),
    )

    def protocol(self) -> Protocol:
        """Return its two sides."""
        from bench.engines.federated.protocols.paillier import PaillierProtocol  # loads phe

        return PaillierProtocol()

    def check(self, options: Mapping[str, Any], training: Training, parties: int | None) -> None:
        """Refuse a key length that is none of KEY_BITS."""
        check_key_bits(options["key_bits"])

    def notes(self, options: Mapping[str, Any]) -> list[Message]:
        """Say when the key is too short."""
        return short_key(options)

    def operations(self, shape: Shape, options: Mapping[str, Any], side: Side) -> dict[str, float]:
        """Return how often each operation is done in a round."""
        integers = _round_integers(shape, options)
        if side == "arbiter":
            return {ADD: integers * (shape.parties - 1)}
        return {ENCRYPT: integers, DECRYPT: integers}

    def sizes(self, shape: Shape, options: Mapping[str, Any]) -> tuple[float, float]:
        """Return the bytes of the messages of one party a round, (sent, received)."""
        ciphertexts = bytes(_round_integers(shape, options) * options["key_bits"] // 4)
        body = PaillierSum(key=bytes(32), ciphertexts=ciphertexts)
        answer = PaillierSum(key=bytes(32), ciphertexts=ciphertexts, added=shape.parties)
        return wire.size_of_message(wire.ROUND, body.ByteSize()), wire.size_of_answer(answer.ByteSize())


def _round_integers(shape: Shape, options: Mapping[str, Any]) -> int:
    values = wire.lengths(shape.features)[wire.ROUND]
    return plan(wire.ROUND, values, shape.parties, options["key_bits"]).integers


MODE = Paillier()
