"""Mode ``masked``: secure aggregation by masks that cancel in the sum; protocols/masked.py says how."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.engines.contract import Visibility
from bench.engines.federated import wire, wire_pb2
from bench.engines.federated.contract import PrivacyMode, Protocol, Shape, Side
from bench.engines.federated.protocols.names import AGREE, INPUT, JOIN, KEYS, MAKE, MASK, SEAL, SHARE, UNMASK
from bench.engines.federated.protocols.shamir import SHARE_BYTES, least_parties
from bench.errors import UserError
from bench.i18n.language import gettext_noop
from bench.model.logistic import Training


class Masked(PrivacyMode):
    """Secure aggregation after Bonawitz et al. 2017."""

    name, protects, order = "masked", True, 20
    description = "parties add random masks that cancel in the sum (secure aggregation, Bonawitz et al. 2017)"
    options = {"threshold": None}
    setup_steps, steps = (KEYS,), (INPUT, UNMASK)
    tolerates_dropout = True
    visibility = Visibility(
        arbiter=gettext_noop(
            "the sum over all parties of each round. When a party drops out, two sums that differ by it tell its share "
            "of the rows, and roughly its gradient"
        ),
        parties=gettext_noop("the sum over all parties; of two that are left, each can take away its own part"),
        assumptions=gettext_noop(
            "the arbiter follows the protocol, and fewer than the threshold of the parties collude with it; those that "
            "do learn the sum of the others"
        ),
    )

    def protocol(self) -> Protocol:
        """Return its two sides."""
        from bench.engines.federated.protocols.masked import MaskedProtocol  # loads cryptography

        return MaskedProtocol()

    def check(self, options: Mapping[str, Any], training: Training, parties: int | None) -> None:
        """Refuse a threshold that no sum could meet, or that would let one party alone be seen."""
        threshold = options["threshold"]
        if threshold is None:
            return
        if isinstance(threshold, bool) or not isinstance(threshold, int) or threshold < 2:
            raise UserError(f"privacy_options.threshold: {threshold!r} is not a whole number of at least 2")
        if parties is not None and threshold > parties:
            raise UserError(f"privacy_options.threshold: {threshold} parties are needed and there are {parties}")

    def threshold(self, options: Mapping[str, Any], parties: int) -> int:
        """Return how many parties must be left for a sum."""
        return least_parties(options, parties)

    def operations(self, shape: Shape, options: Mapping[str, Any], side: Side) -> dict[str, float]:
        """Return how often each operation is done in a round from which nobody drops out."""
        parties, threshold = shape.parties, least_parties(options, shape.parties)
        numbers = float(parties * wire.lengths(shape.features)[wire.ROUND])
        if side == "arbiter":
            return {JOIN: float(threshold * parties), MASK: numbers}
        return {
            MAKE: 1.0,
            SHARE: 2.0 * threshold * parties,
            SEAL: 2.0 * (parties - 1),
            AGREE: parties - 1.0,
            MASK: numbers,
        }

    def sizes(self, shape: Shape, options: Mapping[str, Any]) -> tuple[float, float]:
        """Return the bytes of the messages of one party a round, (sent, received), party ids of four digits."""
        ids = [f"{9999 - number:04}" for number in range(shape.parties)]
        box, share = bytes(2 * SHARE_BYTES + wire.SEAL_BYTES), bytes(SHARE_BYTES)
        body = 8 * wire.lengths(shape.features)[wire.ROUND]
        key, boxes = bytes(wire.KEY_BYTES), dict.fromkeys(ids[1:], box)
        unmask = wire_pb2.Unmask(
            seed_shares=dict.fromkeys(ids, share), next=wire_pb2.MaskKeys(public_key=key, shares=boxes)
        ).ByteSize()
        result = wire_pb2.UnmaskedSum(
            total=bytes(body), next=wire_pb2.OthersKeys(public_keys=dict.fromkeys(ids, key), shares=boxes)
        ).ByteSize()
        sent = wire.size_of_message(wire.label(INPUT, wire.ROUND), body)
        received = wire.size_of_answer(wire_pb2.Survivors(parties=ids).ByteSize())
        return (
            sent + wire.size_of_message(wire.label(UNMASK, wire.ROUND), unmask),
            received + wire.size_of_answer(result),
        )


MODE = Masked()
