"""Mode ``paillier_host``: hosts train on an encrypted model that they cannot read, as in FATE 1.8's HomoLR.

The arbiter makes the Paillier key pair and keeps the private key. The guest trains in plain. A host gets the model
encrypted and takes the gradient of the log loss's Taylor polynomial at 0 (Hardy et al. 2017, arXiv:1711.10677),
0.25 z - 0.5 y with y = -1 or 1, which is linear in the weights. A step of gradient descent over a batch of b rows
is then itself linear,

    w - rate (0.25 X'X w / b - 0.5 X'y / b + alpha w) = M w + v,

and the host knows M (d + 1, d + 1) and v in plain. So it takes (d + 1)^2 products of a ciphertext and a number, however
many rows there are. FATE 1.8 multiplies row by row: the same mathematics, and far
more work.

Each step multiplies the fixed point's scale. After ``re_encrypt_batches`` steps the host has the arbiter decrypt, round
and encrypt its weights anew. After its local epochs it multiplies them by its share of the rows; the arbiter decrypts
the hosts' weights, adds the guest's, and answers the guest in plain and the hosts encrypted. A host ends without a
model. The sums for the scaling go in plain, as in mode ``plain``; the loss is the guest's own.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import chain
from math import log2
from operator import mul
from typing import Any

import numpy as np
from numpy.typing import NDArray
from phe.paillier import EncryptedNumber, PaillierPrivateKey, PaillierPublicKey, generate_paillier_keypair

from bench.engines import training as in_plain
from bench.engines.federated import wire
from bench.engines.federated.contract import (
    Combine,
    Protocol,
    Setup,
    Side,
    Talk,
    WrongBodyError,
    sent_by,
    timed,
)
from bench.engines.federated.protocols import paillier
from bench.engines.federated.protocols.names import ADD, DECRYPT, ENCRYPT, KEYS, MULTIPLY, RENEW
from bench.engines.federated.protocols.plain import PlainProtocol
from bench.engines.federated.protocols.weights import FACTOR_BITS, MAGNITUDE_BITS, START_BITS
from bench.engines.federated.wire_pb2 import EncryptedModel, PaillierKeys
from bench.engines.training import AllReduce
from bench.errors import CaseError
from bench.measure.spans import Recorder
from bench.model import logistic
from bench.model.logistic import Array, Training

_TOO_LARGE = f"weights of {2**MAGNITUDE_BITS} or more (lower learning_rate)"


@dataclass(frozen=True)
class _HostAllReduce:
    """A host's side: called, it adds up in plain, for the scaling; for the rest it has the way out and the key."""

    add_up: AllReduce
    talk: Talk
    public: PaillierPublicKey

    def __call__(self, kind: str, vector: Array) -> Array:
        return self.add_up(kind, vector)

    def swap(self, step: str, kind: str, model: _Model, setup: Setup) -> tuple[_Model, float]:
        """Send a model to the arbiter, and return the one that it answers with, and the loss on the guest's rows."""
        n, key_bits = self.public.n, setup.options["key_bits"]
        with setup.recorder.span("serialise"):
            ciphertexts = paillier.write([weight.ciphertext(be_secure=False) for weight in model.weights], key_bits)
            message = EncryptedModel(
                key=paillier.fingerprint(n), ciphertexts=ciphertexts, fraction_bits=model.fraction_bits
            )
            body = message.SerializeToString()
        answer = self.talk(step, kind, body)
        with setup.recorder.span("serialise"):
            answered = wire.parse(EncryptedModel, answer)
            if answered.fraction_bits != START_BITS:
                raise wire.WireError(f"weights with {answered.fraction_bits} bits behind the point, not {START_BITS}")
            read = paillier.read(answered.ciphertexts, len(model.weights), n)
            return _start([EncryptedNumber(self.public, ciphertext) for ciphertext in read]), answered.loss


@dataclass(frozen=True)
class _Model:
    """Weights that the holder cannot read: whole numbers, 2^fraction_bits times the weights.

    No weight is larger in magnitude than ``bound``, which the holder knows from the public side: the arbiter refuses
    larger ones, and what a step can do is computed in plain.
    """

    weights: list[EncryptedNumber]
    fraction_bits: int
    bound: float


def _start(weights: list[EncryptedNumber]) -> _Model:
    return _Model(weights, START_BITS, 2.0**MAGNITUDE_BITS)


class PaillierHostProtocol(Protocol):
    """The two sides of mode ``paillier_host``."""

    def party(self, setup: Setup, talk: Talk) -> AllReduce:
        """Join and take the arbiter's public key; the guest's way of adding up is that of mode ``plain``."""
        add_up = PlainProtocol().party(setup, talk)
        keys = wire.parse(PaillierKeys, talk(KEYS, "", b""))
        public = paillier.public_key(keys.n, setup.options["key_bits"])
        return add_up if setup.roles[setup.party] == "guest" else _HostAllReduce(add_up, talk, public)

    def train(
        self, setup: Setup, X: Array, y: Array, training: Training, seed: int, all_reduce: AllReduce
    ) -> dict[str, Any]:
        """Train: the guest as in mode ``plain``, a host on the encrypted model; its result has no weights.

        ``X`` (n, d) is scaled in place, ``y`` (n,) is of 0 and 1. Raises CaseError when weights could outgrow the key.
        """
        recorder = setup.recorder
        if not isinstance(all_reduce, _HostAllReduce):
            return in_plain.train(X, y, training, seed, setup.who, recorder, all_reduce)
        rows = 0.0

        def total(kind: str, vector: Array) -> Array:
            nonlocal rows
            summed = all_reduce(kind, vector)
            rows = float(summed[-1]) if kind == "sums" else rows
            return summed

        means, deviations = logistic.standardise_in_place(X, total)
        with recorder.span("encrypt"):
            zeros = [
                EncryptedNumber(all_reduce.public, all_reduce.public.raw_encrypt(0)) for _ in range(X.shape[1] + 1)
            ]
            recorder.count(ENCRYPT, len(zeros))
        one_pass = _passes(X, y, training, seed, recorder)
        recorder.end_epoch()
        model, losses = _start(zeros), []
        for number in range(1, training.rounds + 1):
            recorder.begin_epoch(number)
            steps = chain.from_iterable(one_pass() for _ in range(training.local_epochs))
            model = _local_steps(setup, all_reduce, model, steps)
            part = _weighted(setup, model, len(y) / rows)
            model, loss = all_reduce.swap(wire.SUM, wire.ROUND, part, setup)
            recorder.end_epoch(loss)
            losses.append(loss)
            if logistic.converged(losses, training.tolerance):
                break
        return {
            "means": means.tolist(),
            "deviations": deviations.tolist(),
            "losses": losses,
            "epochs_run": len(losses) * training.local_epochs,
        }

    def arbiter(self, setup: Setup) -> Combine:
        """Return the function that holds the private key: it renews hosts' weights, and averages."""
        recorder, key_bits = setup.recorder, setup.options["key_bits"]
        add_up = PlainProtocol().arbiter(setup)
        with recorder.span("encrypt"):
            private = generate_paillier_keypair(n_length=key_bits)[1]
        n = paillier.to_bytes(private.public_key.n, key_bits // 8)

        def combine(step: str, kind: str, bodies: dict[str, bytes]) -> dict[str, bytes]:
            if step == KEYS:
                return dict.fromkeys(bodies, PaillierKeys(n=n).SerializeToString())
            if step == RENEW:
                weights = {party: _decrypted(setup, private, party, body) for party, body in bodies.items()}
                return {party: _encrypted(setup, private.public_key, own) for party, own in weights.items()}
            if kind == wire.ROUND:
                return _average(setup, private, bodies)
            return add_up(step, kind, bodies)

        return combine

    def calibrate(self, setup: Setup, side: Side) -> dict[str, float]:
        """Return the CPU seconds of one call of the library each, for this key length on this machine.

        A host multiplies by numbers of both signs and mostly of some 24 bits: only the diagonal of M is near 1.
        """
        public, private = paillier.sample_keys(setup.options["key_bits"])
        plaintext = secrets.randbelow(public.n >> 2)
        ciphertext = public.raw_encrypt(plaintext)
        encrypt = timed(partial(public.raw_encrypt, plaintext))
        if side == "arbiter":
            return {ENCRYPT: encrypt, DECRYPT: timed(partial(private.raw_decrypt, ciphertext))}
        weight, factor = EncryptedNumber(public, ciphertext), secrets.randbits(24)
        return {
            ENCRYPT: encrypt,
            MULTIPLY: timed(lambda: (weight * factor, weight * -factor)) / 2,
            ADD: timed(lambda: weight + weight),
        }


def _passes(
    X: Array, y: Array, training: Training, seed: int, recorder: Recorder
) -> Callable[[], Iterable[tuple[Array, Array]]]:
    """Return a function that gives the steps of one pass over the rows, in the batches of logistic.run_epoch."""
    rows, rng = len(y), np.random.default_rng(seed)
    size = min(training.batch_size or rows, rows)

    def step_of(batch: slice | NDArray[np.int64]) -> tuple[Array, Array]:
        with recorder.span("compute"):
            return linear_step(X[batch], y[batch], training)

    if size == rows:
        whole = [step_of(slice(None))]  # the same in every pass
        return lambda: whole

    def one_pass() -> Iterable[tuple[Array, Array]]:
        order = rng.permutation(rows)
        return (step_of(order[first : first + size]) for first in range(0, rows, size))

    return one_pass


def _local_steps(
    setup: Setup, all_reduce: _HostAllReduce, model: _Model, steps: Iterable[tuple[Array, Array]]
) -> _Model:
    """Take the steps of one round, and have the weights renewed in between."""
    for number, (matrix, shift) in enumerate(steps):
        if number and number % setup.options["re_encrypt_batches"] == 0:
            model, _ = all_reduce.swap(RENEW, "", model, setup)
        model = _step(setup, model, matrix, shift)
    return model


def linear_step(X: Array, y: Array, training: Training) -> tuple[Array, Array]:
    """Return M (d + 1, d + 1) and v (d + 1,): a step of gradient descent on the Taylor polynomial takes w to M w + v.

    ``X`` (n, d) and ``y`` (n,), of 0 and 1, are the batch.
    """
    rows, width = X.shape
    sign = 2.0 * y - 1.0
    columns = X.sum(axis=0)
    gram = np.empty((width + 1, width + 1))
    gram[:-1, :-1], gram[-1, :-1], gram[:-1, -1], gram[-1, -1] = X.T @ X, columns, columns, rows
    penalty = np.diag(np.append(np.full(width, training.alpha), 0.0))
    matrix = np.eye(width + 1) - training.learning_rate * (0.25 * gram / rows + penalty)
    return matrix, training.learning_rate * 0.5 * np.append(sign @ X, sign.sum()) / rows


def _step(setup: Setup, model: _Model, matrix: Array, shift: Array) -> _Model:
    """Take w to M w + v under encryption.

    Raises CaseError when a weight could then outgrow the key.
    """
    recorder, fraction_bits = setup.recorder, model.fraction_bits + FACTOR_BITS
    with recorder.span("compute"):
        bound = model.bound * float(np.abs(matrix).sum(axis=1).max()) + float(np.abs(shift).max())
        # The share of the rows that they are multiplied by in the end takes its bits too.
        if not log2(bound) + fraction_bits + FACTOR_BITS <= setup.options["key_bits"] - 3:
            raise CaseError(f"{setup.who}: weights may outgrow the key; lower learning_rate or re_encrypt_batches")
        factors = [[int(factor) for factor in row] for row in np.rint(np.ldexp(matrix, FACTOR_BITS))]
        addends = [int(np.rint(np.ldexp(value, START_BITS))) << fraction_bits - START_BITS for value in shift]
    with recorder.span("encrypt"):
        weights = [sum(map(mul, model.weights, row), addend) for row, addend in zip(factors, addends, strict=True)]
        recorder.count(MULTIPLY, len(weights) ** 2)
        recorder.count(ADD, len(weights) ** 2)
    return _Model(weights, fraction_bits, bound)


def _weighted(setup: Setup, model: _Model, share: float) -> _Model:
    """Multiply a model by its party's share of the rows."""
    factor = round(share * 2**FACTOR_BITS)
    with setup.recorder.span("encrypt"):
        weights = [weight * factor for weight in model.weights]
        setup.recorder.count(MULTIPLY, len(weights))
    return _Model(weights, model.fraction_bits + FACTOR_BITS, model.bound)


def _average(setup: Setup, private: PaillierPrivateKey, bodies: dict[str, bytes]) -> dict[str, bytes]:
    """Add up the parties' weighted models, and answer the guest in plain and the hosts encrypted."""
    recorder = setup.recorder
    guest = next(party for party in bodies if setup.roles[party] == "guest")
    with recorder.span("serialise"), sent_by(guest):
        own = wire.numbers(bodies[guest], wire.lengths(setup.features)[wire.ROUND])
    parts = {party: _decrypted(setup, private, party, body) for party, body in bodies.items() if party != guest}
    parts[guest] = own[:-2]
    with recorder.span("aggregate"):
        weights = np.sum(list(parts.values()), axis=0)
        if np.abs(weights).max() >= 2**MAGNITUDE_BITS:
            raise WrongBodyError(max(parts, key=lambda party: float(np.abs(parts[party]).max())), _TOO_LARGE)
        # All parties' shares add up to 1. The loss was weighted by the guest's share and is its own rows' mean again.
        loss = float(own[-2] / own[-1])
    encrypted = _encrypted(setup, private.public_key, weights, loss)
    with recorder.span("serialise"):
        return {**dict.fromkeys(bodies, encrypted), guest: np.append(weights, (loss, 1.0)).astype("<f8").tobytes()}


def _decrypted(setup: Setup, private: PaillierPrivateKey, party: str, body: bytes) -> Array:
    """Return the weights that a host sent (d + 1,).

    Raises WrongBodyError, naming it, when they are none, or too large to be added up and encrypted again.
    """
    public = private.public_key
    with setup.recorder.span("serialise"), sent_by(party):
        message = wire.parse(EncryptedModel, body)
        if message.key != paillier.fingerprint(public.n):
            raise wire.WireError("weights encrypted with another key than the one of this case")
        if not START_BITS <= message.fraction_bits < setup.options["key_bits"]:
            raise wire.WireError(f"weights with {message.fraction_bits} bits behind the point")
        ciphertexts = paillier.read(message.ciphertexts, setup.features + 1, public.n)
    with setup.recorder.span("decrypt"):
        plaintexts = [private.raw_decrypt(ciphertext) for ciphertext in ciphertexts]
        setup.recorder.count(DECRYPT, len(plaintexts))
        numbers = [number - public.n if number > public.n // 2 else number for number in plaintexts]
        if max(map(abs, numbers)) >> message.fraction_bits >= 2**MAGNITUDE_BITS:
            raise WrongBodyError(party, _TOO_LARGE)
        return np.array([number / (1 << message.fraction_bits) for number in numbers])


def _encrypted(setup: Setup, public: PaillierPublicKey, weights: Array, loss: float = 0.0) -> bytes:
    """Return the message that holds ``weights`` (d + 1,) encrypted."""
    with setup.recorder.span("encrypt"):
        numbers = [int(number) % public.n for number in np.rint(np.ldexp(weights, START_BITS))]
        ciphertexts = [public.raw_encrypt(number) for number in numbers]
        setup.recorder.count(ENCRYPT, len(ciphertexts))
    with setup.recorder.span("serialise"):
        message = EncryptedModel(
            key=paillier.fingerprint(public.n),
            ciphertexts=paillier.write(ciphertexts, setup.options["key_bits"]),
            fraction_bits=START_BITS,
            loss=loss,
        )
        return message.SerializeToString()
