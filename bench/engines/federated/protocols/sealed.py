"""Messages between two parties that the arbiter carries but cannot read.

Keys are agreed with X25519 (RFC 7748), derived with HKDF-SHA256 (RFC 5869), and messages sealed with ChaCha20-Poly1305
(RFC 8439), all by the library ``cryptography``. The arbiter hands the public keys round: one that swaps them for its
own could read everything, so it is trusted to follow the protocol (Bonawitz et al. 2017, section 6, needs a
public-key infrastructure to lift that).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from bench.engines.federated.contract import WrongBodyError
from bench.engines.federated.wire import KEY_BYTES, NONCE_BYTES, WireError
from bench.engines.federated.wire_pb2 import ByParty


@dataclass(frozen=True)
class KeyPair:
    """An X25519 key pair; ``public`` is 32 bytes. The private key is an object: from bytes it costs as much again."""

    private: X25519PrivateKey
    public: bytes

    @staticmethod
    def make() -> KeyPair:
        """Draw a new pair."""
        key = X25519PrivateKey.generate()
        return KeyPair(key, key.public_key().public_bytes_raw())


def agree(private: X25519PrivateKey, public: bytes, purpose: str) -> bytes:
    """Return the 32-byte key that the owners of two key pairs share, one for each purpose.

    Raises WireError when ``public`` is no public key.
    """
    try:
        secret = private.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError as error:
        raise WireError("a public key that is not valid") from error
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=purpose.encode()).derive(secret)


def seal(key: bytes, text: bytes, context: str) -> bytes:
    """Seal ``text`` for the holder of ``key``; it opens under the same context only."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + ChaCha20Poly1305(key).encrypt(nonce, text, context.encode())


def unseal(key: bytes, box: bytes, context: str) -> bytes:
    """Open what ``seal`` made.

    Raises WireError when it was made with another key or context, or was changed on the way.
    """
    try:
        return ChaCha20Poly1305(key).decrypt(box[:NONCE_BYTES], box[NONCE_BYTES:], context.encode())
    except (InvalidTag, ValueError) as error:
        raise WireError("a sealed message that cannot be opened") from error


def public_keys(bodies: Mapping[str, bytes]) -> bytes:
    """Return the arbiter's answer to everybody's public keys: all of them, by party.

    Raises WrongBodyError naming a party that sent none.
    """
    for party, body in bodies.items():
        if len(body) != KEY_BYTES:
            raise WrongBodyError(party, f"a public key of {len(body)} bytes, not {KEY_BYTES}")
    return ByParty(values=bodies).SerializeToString()
