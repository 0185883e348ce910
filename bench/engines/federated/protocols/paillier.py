"""Mode ``paillier``: parties encrypt what they send with a common key, and the arbiter adds up without reading.

Paillier's cryptosystem (Paillier, EUROCRYPT 1999): the product of ciphertexts modulo n^2 is a ciphertext of the sum.
The guest makes the key pair and gives the private key to the other parties, sealed, through the arbiter, which learns
the public key only. Many numbers are packed to a plaintext (packing.py). The arithmetic is that of ``phe``
(python-paillier) over GMP.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from functools import partial

import gmpy2
from phe.paillier import PaillierPrivateKey, PaillierPublicKey, generate_paillier_keypair

from bench.engines.federated import wire
from bench.engines.federated.contract import Combine, Protocol, Setup, Side, Talk, sent_by, timed
from bench.engines.federated.protocols import sealed
from bench.engines.federated.protocols.names import ADD, DECRYPT, ENCRYPT, KEYS
from bench.engines.federated.protocols.packing import PackingError, plan
from bench.engines.federated.wire_pb2 import ByParty, PaillierKeys, PaillierSum
from bench.engines.training import AllReduce
from bench.errors import CaseError
from bench.model.logistic import Array


class PaillierProtocol(Protocol):
    """The two sides of mode ``paillier``."""

    def party(self, setup: Setup, talk: Talk) -> AllReduce:
        """Join, share the keys, and return the function that sums vectors encrypted."""
        recorder, key_bits = setup.recorder, setup.options["key_bits"]
        private = _share_keys(setup, talk)
        public = private.public_key
        key = fingerprint(public.n)

        def all_reduce(kind: str, vector: Array) -> Array:
            packing = plan(kind, len(vector), len(setup.roles), key_bits)
            with recorder.span("encrypt"):
                try:
                    packed = packing.pack(vector)
                except PackingError as error:
                    remedy = "lower learning_rate" if kind == wire.ROUND else "scale the columns down"
                    raise CaseError(f"{setup.who}: cannot encrypt its {kind}: {error}; {remedy}") from error
                ciphertexts = [public.raw_encrypt(integer) for integer in packed]
                recorder.count(ENCRYPT, len(ciphertexts))
            with recorder.span("serialise"):
                body = PaillierSum(key=key, ciphertexts=write(ciphertexts, key_bits)).SerializeToString()
            answer = talk(wire.SUM, kind, body)
            with recorder.span("serialise"):
                total = wire.parse(PaillierSum, answer)
                if total.key != key:
                    raise wire.WireError("a sum under another key than the one of this case")
                summed = read(total.ciphertexts, packing.integers, public.n)
            with recorder.span("decrypt"):
                recorder.count(DECRYPT, len(summed))
                try:
                    return packing.unpack([private.raw_decrypt(ciphertext) for ciphertext in summed], total.added)
                except PackingError as error:
                    raise wire.WireError(str(error)) from error

        return all_reduce

    def arbiter(self, setup: Setup) -> Combine:
        """Return the function that hands keys round and multiplies ciphertexts; what it knows of the key is n."""
        key_bits, guest = setup.options["key_bits"], _guest(setup)
        n = 0

        def combine(step: str, kind: str, bodies: dict[str, bytes]) -> dict[str, bytes]:
            nonlocal n
            with setup.recorder.span("serialise"):
                if step == wire.JOIN:
                    return dict.fromkeys(bodies, sealed.public_keys(bodies))
                if step == KEYS:
                    n, boxes = _guests_keys(bodies, guest, key_bits)
                    return boxes
                values = wire.lengths(setup.features)[kind]
                due = plan(kind, values, len(setup.roles), key_bits).integers
                parts = [_part(party, body, due, n) for party, body in bodies.items()]
            with setup.recorder.span("aggregate"):
                total = multiply(parts, n * n)
                setup.recorder.count(ADD, due * (len(parts) - 1))
            with setup.recorder.span("serialise"):
                answer = PaillierSum(key=fingerprint(n), ciphertexts=write(total, key_bits), added=len(parts))
                return dict.fromkeys(bodies, answer.SerializeToString())

        return combine

    def calibrate(self, setup: Setup, side: Side) -> dict[str, float]:
        """Return the CPU seconds of one call of the library each, for this key length on this machine."""
        public, private = sample_keys(setup.options["key_bits"])
        plaintext = secrets.randbelow(public.n >> 2)
        ciphertext = public.raw_encrypt(plaintext)
        if side == "arbiter":
            return {ADD: timed(partial(multiply, [[ciphertext], [ciphertext]], public.nsquare))}
        return {
            ENCRYPT: timed(partial(public.raw_encrypt, plaintext)),
            DECRYPT: timed(partial(private.raw_decrypt, ciphertext)),
        }


def _share_keys(setup: Setup, talk: Talk) -> PaillierPrivateKey:
    """Join, and return the private key: the guest's own, which it seals for the others, or the one it has sealed."""
    recorder, guest, key_bits = setup.recorder, _guest(setup), setup.options["key_bits"]
    own = sealed.KeyPair.make()
    publics = wire.parse(ByParty, talk(wire.JOIN, "", own.public)).values
    shared = {
        other: sealed.agree(own.private, publics[other], KEYS)
        for other in setup.roles
        if other != setup.party and guest in (other, setup.party)
    }
    if setup.party == guest:
        with recorder.span("encrypt"):
            private = generate_paillier_keypair(n_length=key_bits)[1]
            n, p = to_bytes(private.public_key.n, key_bits // 8), to_bytes(private.p, key_bits // 16)
            boxes = {other: sealed.seal(key, p, _context(n, other)) for other, key in shared.items()}
        talk(KEYS, "", PaillierKeys(n=n, private_keys=boxes).SerializeToString())
        return private
    keys = wire.parse(PaillierKeys, talk(KEYS, "", b""))
    public = public_key(keys.n, key_bits)
    with recorder.span("decrypt"):
        text = sealed.unseal(shared[guest], keys.private_keys[setup.party], _context(keys.n, setup.party))
        factor = int.from_bytes(text, "big")
        try:
            return PaillierPrivateKey(public, factor, public.n // factor)
        except (ValueError, ZeroDivisionError) as error:
            raise wire.WireError("a private key that does not belong to the public one") from error


def _context(n: bytes, party: str) -> str:
    """Bind a sealed private key to its public key and its receiver."""
    return f"paillier {hashlib.sha256(n).hexdigest()} {party}"


def _guest(setup: Setup) -> str:
    return next(party for party, role in setup.roles.items() if role == "guest")


def _guests_keys(bodies: dict[str, bytes], guest: str, key_bits: int) -> tuple[int, dict[str, bytes]]:
    """Return n, and for each party n and what the guest has sealed for it."""
    with sent_by(guest):
        keys = wire.parse(PaillierKeys, bodies[guest])
        n = public_key(keys.n, key_bits).n
        if set(keys.private_keys) != set(bodies) - {guest}:
            raise wire.WireError("private keys for others than the parties of this case")
    answers = {
        party: PaillierKeys(n=keys.n, private_keys={party: box}).SerializeToString()
        for party, box in keys.private_keys.items()
    }
    return n, {**answers, guest: b""}


def _part(party: str, body: bytes, due: int, n: int) -> list[int]:
    """Return one party's ciphertexts.

    Raises WrongBodyError, naming it, when they are not what was due.
    """
    with sent_by(party):
        message = wire.parse(PaillierSum, body)
        if message.key != fingerprint(n):
            raise wire.WireError("numbers encrypted with another key than the one of this case")
        return read(message.ciphertexts, due, n)


def multiply(parts: Sequence[Sequence[int]], modulus: int) -> list[int]:
    """Multiply ciphertexts place by place: ``parts`` is one list a party, all of the same length."""
    totals = [gmpy2.mpz(ciphertext) for ciphertext in parts[0]]
    for part in parts[1:]:
        totals = [total * ciphertext % modulus for total, ciphertext in zip(totals, part, strict=True)]
    return [int(total) for total in totals]


def to_bytes(number: int, length: int) -> bytes:
    """Write a number as it stands on the wire."""
    return int(number).to_bytes(length, "big")


def fingerprint(n: int) -> bytes:
    """Return the SHA-256 by which a public key is known."""
    return hashlib.sha256(to_bytes(n, (n.bit_length() + 7) // 8)).digest()


def public_key(n: bytes, key_bits: int) -> PaillierPublicKey:
    """Read a public key.

    Raises WireError when it is not of ``key_bits``.
    """
    number = int.from_bytes(n, "big")
    if number.bit_length() != key_bits:
        raise wire.WireError(f"a public key of {number.bit_length()} bits where {key_bits} were due")
    return PaillierPublicKey(number)


def write(ciphertexts: Sequence[int], key_bits: int) -> bytes:
    """Write ciphertexts one after another, each as long as n^2."""
    return b"".join(to_bytes(ciphertext, key_bits // 4) for ciphertext in ciphertexts)


def read(raw: bytes, due: int, n: int) -> list[int]:
    """Read what ``write`` wrote.

    Raises WireError when there are not ``due`` ciphertexts or one is not in [1, n^2).
    """
    size, modulus = n.bit_length() // 4, n * n
    if len(raw) != due * size:
        raise wire.WireError(f"{len(raw)} bytes where {due * size} ({due} ciphertexts) were due")
    ciphertexts = [int.from_bytes(raw[place : place + size], "big") for place in range(0, len(raw), size)]
    if not all(1 <= ciphertext < modulus for ciphertext in ciphertexts):
        raise wire.WireError("a ciphertext that is not between 1 and the square of the key")
    return ciphertexts


def sample_keys(key_bits: int) -> tuple[PaillierPublicKey, PaillierPrivateKey]:
    """Return a key pair to take times with, and for nothing else: it is the same each time.

    So all processes find it equally fast, and take their times at the same moment, under the load of a training.
    """
    state, half = gmpy2.random_state(1), key_bits // 2
    p, q = (int(gmpy2.next_prime((3 << half - 2) + gmpy2.mpz_urandomb(state, half - 2))) for _ in range(2))
    public = PaillierPublicKey(p * q)
    return public, PaillierPrivateKey(public, p, q)
