"""Mode ``masked``: secure aggregation by masks that cancel (Bonawitz et al. 2017, "Practical Secure Aggregation").

Every sum is one run of the paper's protocol (its figure 4, parties that follow it), with keys made for that sum alone:

- each party draws a seed and an X25519 key pair, and gives every other party a Shamir share of both, sealed;
- "input": it sends its numbers plus a mask from its seed and, for each other party, plus or minus a mask from a secret
  of the two. The arbiter answers whose numbers have come in;
- "unmask": of those, each party gives its share of the seed; of a party that was lost, its share of the private key,
  so that the masks shared with the lost one can be taken away too. Never both of one party.

The keys for the next sum travel with "unmask", so that a sum takes two round trips. Masks are ChaCha20 streams over
whole numbers modulo 2^64 (fixed_point.py). FATE 2 does the same without seeds and shares: one round trip, but a party
that is lost ends the job there. Bytes of a party grow with the number of parties, work and the arbiter's bytes with its
square.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

from bench.engines.federated import wire, wire_pb2
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
from bench.engines.federated.protocols import fixed_point, names, sealed, shamir
from bench.engines.federated.protocols.fixed_point import Format, Words
from bench.engines.federated.wire import WireError
from bench.engines.training import AllReduce
from bench.model.logistic import Array

_STREAM_NONCE = bytes(16)  # every key makes one stream only


@dataclass
class _Sum:
    """A party's secrets for one sum, and what the others gave it for that sum."""

    seed: bytes = field(repr=False)
    keys: sealed.KeyPair
    public_keys: dict[str, bytes] = field(default_factory=dict)
    shares: dict[str, bytes] = field(default_factory=dict)


class MaskedProtocol(Protocol):
    """The two sides of secure aggregation."""

    def party(self, setup: Setup, talk: Talk) -> AllReduce:
        """Join, agree on keys, and return the function that adds up vectors without showing one.

        Raises WireError when the arbiter answers what was not due, OverflowError when a number is too large to add.
        """
        who, recorder, everybody = setup.party, setup.recorder, list(setup.roles)
        places = {party: place for place, party in enumerate(everybody, start=1)}
        threshold = shamir.least_parties(setup.options, len(everybody))
        with recorder.span("encrypt"):
            own = sealed.KeyPair.make()
        public = wire.parse(wire_pb2.ByParty, talk(wire.JOIN, "", own.public)).values
        if set(public) != set(everybody):
            raise WireError("keys of other parties than those of the case")
        with recorder.span("encrypt"):
            boxes = {peer: sealed.agree(own.private, public[peer], "shares") for peer in everybody if peer != who}
            current, message = _new_sum(setup, everybody, boxes, places, threshold)
        _take_keys(current, wire.parse(wire_pb2.OthersKeys, talk(names.KEYS, "", message.SerializeToString())))

        def all_reduce(kind: str, vector: Array) -> Array:
            nonlocal current
            form = fixed_point.format_of(kind)
            with recorder.span("encrypt"):
                words = fixed_point.encode(vector, form, len(everybody))
                body = fixed_point.to_bytes(_masked(setup, current, words, form))
            answer = talk(names.INPUT, kind, body)
            with recorder.span("serialise"):
                survivors = _survivors(answer, who, current, threshold)
            with recorder.span("decrypt"):
                unmask = _reveal(setup, current, survivors, boxes)
            with recorder.span("encrypt"):
                following, message = _new_sum(setup, survivors, boxes, places, threshold)
                unmask.next.CopyFrom(message)
            with recorder.span("serialise"):
                body = unmask.SerializeToString()
            answer = talk(names.UNMASK, kind, body)
            with recorder.span("serialise"):
                result = wire.parse(wire_pb2.UnmaskedSum, answer)
                wire.check_length(result.total, len(vector), 8 * form.words)
                total = fixed_point.decode(fixed_point.from_bytes(result.total, form), form)
                _take_keys(following, result.next)
                current = following
            return total

        return all_reduce

    def arbiter(self, setup: Setup) -> Combine:
        """Return the function that passes keys on, adds up masked vectors, and takes the masks off their sum."""
        places = {party: place for place, party in enumerate(setup.roles, start=1)}
        threshold = shamir.least_parties(setup.options, len(places))
        keys: dict[str, wire_pb2.MaskKeys] = {}
        inputs: dict[str, Words] = {}

        def combine(step: str, kind: str, bodies: dict[str, bytes]) -> dict[str, bytes]:
            nonlocal keys, inputs
            form = fixed_point.format_of(kind)
            if step == wire.JOIN:
                return dict.fromkeys(bodies, sealed.public_keys(bodies))
            if step == names.KEYS:
                keys = {party: _parse(party, wire_pb2.MaskKeys, body) for party, body in bodies.items()}
                return {party: others.SerializeToString() for party, others in _pass_on(keys).items()}
            if step == names.INPUT:
                with setup.recorder.span("serialise"):
                    count = wire.lengths(setup.features)[kind]
                    inputs = {party: _words(party, body, count, form) for party, body in bodies.items()}
                return dict.fromkeys(bodies, wire_pb2.Survivors(parties=list(bodies)).SerializeToString())
            with setup.recorder.span("serialise"):
                revealed = {party: _parse(party, wire_pb2.Unmask, body) for party, body in bodies.items()}
            with setup.recorder.span("aggregate"):
                total = _added(inputs.values())
            with setup.recorder.span("decrypt"):
                # As many as it takes: more shares give the same secrets.
                enough = {places[party]: revealed[party] for party in list(revealed)[:threshold]}
                total = fixed_point.add(total, fixed_point.negate(_masks(setup, keys, inputs, enough, form)))
            with setup.recorder.span("serialise"):
                keys = {party: message.next for party, message in revealed.items()}
                raw = fixed_point.to_bytes(total)
                return {
                    party: wire_pb2.UnmaskedSum(total=raw, next=others).SerializeToString()
                    for party, others in _pass_on(keys).items()
                }

        return combine

    def calibrate(self, setup: Setup, side: Side) -> dict[str, float]:
        """Return the CPU seconds of each operation by itself, measured now in this process."""
        parties, values = len(setup.roles), wire.lengths(setup.features)[wire.ROUND]
        threshold = shamir.least_parties(setup.options, parties)
        one, other, text = sealed.KeyPair.make(), sealed.KeyPair.make(), bytes(2 * shamir.SHARE_BYTES)
        key = sealed.agree(one.private, other.public, "mask")
        box, places = sealed.seal(key, text, ""), range(1, parties + 1)
        shares = dict(zip(places, shamir.split(key, threshold, places), strict=True))
        enough = {place: shares[place] for place in list(places)[:threshold]}
        mask = _stream(key, values, fixed_point.NARROW)
        mine = {
            names.MASK: timed(lambda: fixed_point.add(mask, _stream(key, values, fixed_point.NARROW))) / mask.size,
            names.AGREE: timed(lambda: sealed.agree(one.private, other.public, "mask")),
        }
        if side == "arbiter":
            return {**mine, names.JOIN: timed(lambda: shamir.join(enough)) / threshold}
        return {
            **mine,
            names.MAKE: timed(sealed.KeyPair.make),
            names.SHARE: timed(lambda: shamir.split(key, threshold, places)) / (threshold * parties),
            names.SEAL: (timed(lambda: sealed.seal(key, text, "")) + timed(lambda: sealed.unseal(key, box, ""))) / 2,
        }


def _new_sum(
    setup: Setup, members: Iterable[str], boxes: Mapping[str, bytes], places: Mapping[str, int], threshold: int
) -> tuple[_Sum, wire_pb2.MaskKeys]:
    """Draw the secrets for a sum of ``members``, and share them out among the others."""
    new, recorder = _Sum(secrets.token_bytes(32), sealed.KeyPair.make()), setup.recorder
    message = wire_pb2.MaskKeys(public_key=new.keys.public)
    members = list(members)
    order = [places[member] for member in members]
    seed_shares = shamir.split(new.seed, threshold, order)
    key_shares = shamir.split(new.keys.private.private_bytes_raw(), threshold, order)
    for member, seed_share, key_share in zip(members, seed_shares, key_shares, strict=True):
        if member == setup.party:
            new.shares[member] = seed_share + key_share
        else:
            message.shares[member] = sealed.seal(boxes[member], seed_share + key_share, f"{setup.party}>{member}")
    recorder.count(names.MAKE)
    recorder.count(names.SHARE, 2 * threshold * len(members))
    recorder.count(names.SEAL, len(members) - 1)
    return new, message


def _take_keys(current: _Sum, others: wire_pb2.OthersKeys) -> None:
    current.public_keys = dict(others.public_keys)
    current.shares |= others.shares
    if set(current.shares) != set(current.public_keys):
        raise WireError("keys without shares, or shares without keys")


def _masked(setup: Setup, current: _Sum, words: Words, form: Format) -> Words:
    """Return ``words`` under all masks of this party."""
    total = fixed_point.add(words, _stream(current.seed, len(words), form))
    for peer, public in current.public_keys.items():
        if peer != setup.party:
            mask = _pair_mask(current.keys.private, public, len(words), form)
            total = fixed_point.add(total, mask if setup.party < peer else fixed_point.negate(mask))
    setup.recorder.count(names.AGREE, len(current.public_keys) - 1)
    setup.recorder.count(names.MASK, len(current.public_keys) * words.size)
    return total


def _pair_mask(private: X25519PrivateKey, public: bytes, count: int, form: Format) -> Words:
    """Return the mask that two parties share; the one whose id sorts first adds it, the other takes it away."""
    return _stream(sealed.agree(private, public, "mask"), count, form)


def _stream(key: bytes, count: int, form: Format) -> Words:
    """Return ``count`` random numbers of a format from a key of 32 bytes."""
    encryptor = Cipher(ChaCha20(key, _STREAM_NONCE), mode=None).encryptor()
    return fixed_point.from_bytes(encryptor.update(bytes(8 * form.words * count)), form)


def _survivors(answer: bytes, who: str, current: _Sum, threshold: int) -> list[str]:
    """Read whose numbers came in; a party gives nothing away for fewer than the threshold."""
    survivors = list(wire.parse(wire_pb2.Survivors, answer).parties)
    if who not in survivors or not set(survivors) <= set(current.public_keys) or len(set(survivors)) != len(survivors):
        raise WireError("a list of parties that cannot be")
    if len(survivors) < threshold:
        raise WireError(f"a sum of {len(survivors)} parties where at least {threshold} must take part")
    return survivors


def _reveal(setup: Setup, current: _Sum, survivors: list[str], boxes: Mapping[str, bytes]) -> wire_pb2.Unmask:
    """Return this party's shares: of the seeds of those who are in the sum, of the keys of those who are not."""
    message = wire_pb2.Unmask()
    for peer in current.public_keys:
        if peer == setup.party:
            both = current.shares[peer]
        else:
            both = sealed.unseal(boxes[peer], current.shares[peer], f"{peer}>{setup.party}")
        if peer in survivors:
            message.seed_shares[peer] = both[: shamir.SHARE_BYTES]
        else:
            message.key_shares[peer] = both[shamir.SHARE_BYTES :]
    setup.recorder.count(names.SEAL, len(current.public_keys) - 1)
    return message


def _parse(party: str, kind: type[wire.Parsed], body: bytes) -> wire.Parsed:
    with sent_by(party):
        return wire.parse(kind, body)


def _words(party: str, body: bytes, count: int, form: Format) -> Words:
    with sent_by(party):
        wire.check_length(body, count, 8 * form.words)
    return fixed_point.from_bytes(body, form)


def _pass_on(keys: Mapping[str, wire_pb2.MaskKeys]) -> dict[str, wire_pb2.OthersKeys]:
    """Return for each party everybody's public keys and the shares that are meant for it."""
    public = {party: message.public_key for party, message in keys.items()}
    for party, message in keys.items():
        if len(message.public_key) != wire.KEY_BYTES or not set(message.shares) | {party} >= set(keys):
            raise WrongBodyError(party, "keys that are not complete")
    return {
        party: wire_pb2.OthersKeys(
            public_keys=public,
            shares={sender: message.shares[party] for sender, message in keys.items() if sender != party},
        )
        for party in keys
    }


def _added(vectors: Iterable[Words]) -> Words:
    first, *rest = vectors
    for vector in rest:
        first = fixed_point.add(first, vector)
    return first


def _masks(
    setup: Setup,
    keys: Mapping[str, wire_pb2.MaskKeys],
    inputs: Mapping[str, Words],
    revealed: Mapping[int, wire_pb2.Unmask],
    form: Format,
) -> Words:
    """Return the sum of the masks that are left in the sum of ``inputs``.

    Those are the masks from the seeds of the parties in it, and those that they share with parties not in it.
    """
    count = len(next(iter(inputs.values())))
    masks = []
    for party in keys:
        shares = {}
        for place, message in revealed.items():
            given = message.seed_shares if party in inputs else message.key_shares
            if party not in given:
                raise WrongBodyError(list(setup.roles)[place - 1], f"no share for {party}")
            shares[place] = given[party]
        secret = shamir.join(shares)
        setup.recorder.count(names.JOIN, len(shares))
        if party in inputs:
            masks.append(_stream(secret, count, form))
        else:
            private = X25519PrivateKey.from_private_bytes(secret)
            for peer in inputs:
                mask = _pair_mask(private, keys[peer].public_key, count, form)
                masks.append(mask if peer < party else fixed_point.negate(mask))
            setup.recorder.count(names.AGREE, len(inputs))
    setup.recorder.count(names.MASK, len(masks) * count * form.words)
    return _added(masks)
