"""What party and arbiter agree on beside the messages of wire.proto: versions, lengths, limits, liveness."""

from __future__ import annotations

import hashlib

import numpy as np
from google.protobuf.message import DecodeError, Message

from bench.engines.federated import wire_pb2
from bench.model.logistic import Array

PROTOCOL = 1
SERVICE = "bench.federated.Arbiter"
METHOD = "Session"
# What a party says last: without it, a stream that ends is a party lost.
LEAVE = wire_pb2.FromParty(kind="leave").SerializeToString()
# gRPC puts one byte (compressed or not) and a four-byte length before every message.
GRPC_PREFIX_BYTES = 5

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


class WireError(ValueError):
    """A message that does not follow the protocol; the text says in what."""


def kind_due(number: int) -> str:
    """Return the kind of message that belongs to a round: joining, two sums for the scaling, then training."""
    return ("join", "sums", "squares", "round")[min(number, 3)]


def lengths(features: int) -> dict[str, int]:
    """Return how many numbers each kind of message holds."""
    return {"join": 0, "sums": features + 1, "squares": features, "round": features + 2}


def columns_digest(features: list[str]) -> str:
    """Return the digest by which parties agree on columns without showing rows."""
    return hashlib.sha256("\x1f".join(features).encode()).hexdigest()


def parse(kind: type[Message], raw: bytes) -> Message:
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
    if len(raw) != 8 * expected:
        raise WireError(f"{len(raw)} bytes where {8 * expected} ({expected} numbers) were due")
    values = np.frombuffer(raw, dtype="<f8").astype(np.float64, copy=False)
    if not np.isfinite(values).all():
        raise WireError("numbers that are not finite")
    return values
