"""Mode ``paillier_host``: hosts train on an encrypted model, as in FATE 1.8; protocols/paillier_host.py says how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.engines.contract import Visibility
from bench.engines.federated import wire
from bench.engines.federated.contract import PrivacyMode, Protocol, Shape, Side
from bench.engines.federated.privacy.paillier import check_key_bits, short_key
from bench.engines.federated.protocols.names import ADD, DECRYPT, ENCRYPT, KEYS, MULTIPLY, RENEW
from bench.engines.federated.protocols.weights import FACTOR_BITS, GROWTH_BITS, MAGNITUDE_BITS, START_BITS
from bench.engines.federated.wire_pb2 import EncryptedModel
from bench.errors import UserError
from bench.i18n.language import gettext_noop
from bench.i18n.messages import Message
from bench.model.logistic import Training

_ROW_BY_ROW = Message(
    "row_by_row", gettext_noop("not done: FATE 1.8 would multiply row by row, which would take {time}")
)


class PaillierHost(PrivacyMode):
    """Hosts train on weights that only the arbiter can decrypt; the guest trains in plain."""

    name, protects, order = "paillier_host", True, 40
    description = "hosts train on a model encrypted with the arbiter's Paillier key, the guest in plain (FATE 1.8)"
    options = {"key_bits": 2048, "re_encrypt_batches": 2}
    cost_options = ("key_bits",)
    setup_steps, direct_steps = (KEYS,), (RENEW,)
    visibility = Visibility(
        arbiter=gettext_noop(
            "every party's weights of each round, for it holds the private key, and the sums of each for the scaling. "
            "With full batches the weights of some rounds give it each host's products of columns, X'X"
        ),
        parties=gettext_noop(
            "the guest the average of all weights of each round; hosts never a weight, but the loss on the guest's rows"
        ),
        assumptions=gettext_noop(
            "everybody trusts the arbiter with what weights tell of rows, and it gives no host the key"
        ),
    )

    def protocol(self) -> Protocol:
        """Return its two sides."""
        from bench.engines.federated.protocols.paillier_host import PaillierHostProtocol  # loads phe

        return PaillierHostProtocol()

    def check(self, options: Mapping[str, Any], training: Training, parties: int | None) -> None:
        """Refuse what cannot be trained on an encrypted model."""
        check_key_bits(options["key_bits"])
        if training.aggregation != "fedavg":
            raise UserError("training.aggregation: privacy paillier_host averages weights; use aggregation: fedavg")
        if training.optimiser != "sgd":
            raise UserError(f"training.optimiser: {training.optimiser!r} cannot run on an encrypted model; use sgd")
        batches = options["re_encrypt_batches"]
        if isinstance(batches, bool) or not isinstance(batches, int) or batches < 1:
            raise UserError(f"privacy_options.re_encrypt_batches: {batches!r} is not a whole number of at least 1")
        room = options["key_bits"] - 3 - MAGNITUDE_BITS - START_BITS - FACTOR_BITS
        most = room // (FACTOR_BITS + GROWTH_BITS)
        if batches > most:
            key = f"a key of {options['key_bits']} bits"
            raise UserError(f"privacy_options.re_encrypt_batches: {batches} steps do not fit {key}; {most} do")

    def notes(self, options: Mapping[str, Any]) -> list[Message]:
        """Say when the key is too short."""
        return short_key(options)

    def operations(self, shape: Shape, options: Mapping[str, Any], side: Side) -> dict[str, float]:
        """Return how often a host, or the arbiter, does each operation in a round of one step, so without renewal."""
        weights = shape.features + 1
        if side == "arbiter":
            return {ENCRYPT: weights, DECRYPT: weights * (shape.parties - 1)}
        return {MULTIPLY: weights**2 + weights, ADD: weights**2}

    def reference_operations(self, rows: int, features: int) -> Sequence[tuple[Message, str, int]]:
        """Return how many products of a ciphertext and a number FATE 1.8's host takes for a pass over its rows.

        For each row the margin x . w, a quarter of it, and the row's part of the gradient (TaylorLogisticGradient in
        federatedml/optim/gradient/homo_lr_gradient.py).
        """
        return [(_ROW_BY_ROW, MULTIPLY, rows * (2 * features + 1))]

    def sizes(self, shape: Shape, options: Mapping[str, Any]) -> tuple[float, float]:
        """Return the bytes of the messages of one host a round without renewal, (sent, received)."""
        ciphertexts = bytes((shape.features + 1) * options["key_bits"] // 4)
        sent = EncryptedModel(key=bytes(32), ciphertexts=ciphertexts, fraction_bits=START_BITS + 2 * FACTOR_BITS)
        received = EncryptedModel(key=bytes(32), ciphertexts=ciphertexts, fraction_bits=START_BITS, loss=0.5)
        return wire.size_of_message(wire.ROUND, sent.ByteSize()), wire.size_of_answer(received.ByteSize())


MODE = PaillierHost()
