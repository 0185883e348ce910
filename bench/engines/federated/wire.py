"""What party and arbiter agree on beside the messages of wire.proto: versions, lengths, limits, liveness."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from google.protobuf.message import DecodeError, Message

from bench.engines.federated import wire_pb2
from bench.model.logistic import Array

PROTOCOL = 2
SERVICE = "bench.federated.Arbiter"
METHOD = "Session"
# The first step of every privacy mode, and the only step of a sum where one suffices.
JOIN = "join"
SUM = "sum"
# What is added up in every epoch; "sums" and "squares" come before, for the scaling.
ROUND = "round"
# What a party says last: without it, a stream that ends is a party that dropped out.
LEAVE = wire_pb2.FromParty(kind="leave").SerializeToString()
# gRPC puts one byte (compressed or not) and a four-byte length before every message.
GRPC_PREFIX_BYTES = 5

# A public key of X25519, a nonce of ChaCha20-Poly1305, and what sealing adds to a message: the nonce and the tag.
KEY_BYTES = 32
NONCE_BYTES = 12
SEAL_BYTES = NONCE_BYTES + 16

# A peer that answers no HTTP/2 ping is taken for dead: stopped, cut off, or its machine gone. Data on the wire put the
# next ping off, so this takes up to twice the interval and the time to answer.
_PING_EVERY_MS = 1500
_PING_ANSWER_MS = 3000
CHANNEL_OPTIONS = [
    ("grpc.keepalive_time_ms", _PING_EVERY_MS),
    ("grpc.keepalive_timeout_ms", _PING_ANSWER_MS),
    ("grpc.keepalive_permit_without_calls", 1),
    # gRPC's own pings that probe the bandwidth wait a minute for their answer, and hold the keepalive's back meanwhile.
    ("grpc.http2.ping_timeout_ms", _PING_ANSWER_MS),
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", _PING_EVERY_MS // 2),
    ("grpc.max_receive_message_length", 256 * 1024 * 1024),
    ("grpc.max_send_message_length", 256 * 1024 * 1024),
]
SERVER_OPTIONS = [
    *CHANNEL_OPTIONS,
    ("grpc.so_reuseport", 0),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 1000),
    ("grpc.http2.max_ping_strikes", 0),
]

Parsed = TypeVar("Parsed", bound=Message)


class WireError(ValueError):
    """A message that does not follow the protocol; the text says in what."""


def due(number: int, setup: Sequence[str], steps: Sequence[str]) -> tuple[str, str]:
    """Return (step, kind) of the message with this number.

    First the joining and the ``setup`` of the privacy mode (kind ""), then its ``steps`` for each sum: two for the
    scaling, then one a round.
    """
    if number <= len(setup):
        return (JOIN, *setup)[number], ""
    sums, step = divmod(number - 1 - len(setup), len(steps))
    return steps[step], ("sums", "squares", ROUND)[min(sums, 2)]


def label(step: str, kind: str) -> str:
    """Return a message's kind as it stands on the wire."""
    return kind if step == SUM else f"{kind} {step}".strip()


def lengths(features: int) -> dict[str, int]:
    """Return how many numbers each kind of sum holds; a round has the model's part, the loss and the share of rows."""
    return {"sums": features + 1, "squares": features, ROUND: features + 3}


def columns_digest(features: Sequence[str]) -> str:
    """Return the digest by which parties agree on columns without showing rows."""
    return hashlib.sha256("\x1f".join(features).encode()).hexdigest()


def privacy_digest(name: str, options: Mapping[str, Any]) -> str:
    """Return the digest by which parties agree on how they protect what they send."""
    return hashlib.sha256(json.dumps([name, options], sort_keys=True).encode()).hexdigest()


def parse(kind: type[Parsed], raw: bytes) -> Parsed:
    """Decode one message.

    Raises WireError when it is none.
    """
    message = kind()
    try:
        message.ParseFromString(raw)
    except DecodeError as error:
        raise WireError(f"{len(raw)} bytes that are not a message of this protocol") from error
    return message


def numbers(raw: bytes, expected: int) -> Array:
    """Decode float64 values.

    Raises WireError when there are not ``expected`` of them or one is not finite.
    """
    check_length(raw, expected, 8)
    values = np.frombuffer(raw, dtype="<f8").astype(np.float64, copy=False)
    if not np.isfinite(values).all():
        raise WireError("numbers that are not finite")
    return values


def check_length(raw: bytes, expected: int, size: int) -> None:
    """Raise WireError when ``raw`` does not hold ``expected`` numbers of ``size`` bytes."""
    if len(raw) != size * expected:
        raise WireError(f"{len(raw)} bytes where {size * expected} ({expected} numbers) were due")


def size_of_message(kind: str, body: int) -> int:
    """Return the bytes of a party's message with a body of so many, gRPC's prefix included, late in a training."""
    message = wire_pb2.FromParty(number=200, kind=kind, body=bytes(body))
    return message.ByteSize() + GRPC_PREFIX_BYTES


def size_of_answer(body: int) -> int:
    """Return the bytes of the arbiter's answer with a body of so many, gRPC's prefix included, late in a training."""
    return wire_pb2.FromArbiter(number=200, body=bytes(body), held_seconds=1.0).ByteSize() + GRPC_PREFIX_BYTES
