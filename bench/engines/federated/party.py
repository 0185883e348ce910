"""A party's process: it reads its own shard, trains on it, and speaks to the arbiter only."""

from __future__ import annotations

import json
import os
import queue
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from time import perf_counter
from typing import Any

import grpc
import psutil

from bench.engines.federated import wire, wire_pb2
from bench.engines.federated.contract import Setup, Talk
from bench.engines.federated.privacy.registry import MODES
from bench.engines.processes import JOINED, leave, work
from bench.engines.training import load_shard
from bench.errors import CaseError
from bench.measure.spans import Recorder
from bench.model.logistic import Training

_ADDRESS_SECONDS = 60.0


def main(config: dict[str, Any], folder: Path, recorder: Recorder) -> dict[str, Any]:
    """Join the case, train with the others, leave."""
    who = f"party {config['party']} ({config['role']})"
    X, y = load_shard(Path(config["shard"]))
    mode = MODES[config["privacy"]]
    protocol = mode.protocol()
    setup = Setup(config["party"], who, config["parties"], len(config["features"]), config["privacy_options"], recorder)
    outgoing: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    with grpc.insecure_channel(_address(Path(config["address"])), options=wire.CHANNEL_OPTIONS) as channel:
        session: grpc.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(f"/{wire.SERVICE}/{wire.METHOD}")
        stream = session(iter(outgoing.get, None))
        try:
            recorder.begin_epoch(0)
            all_reduce = protocol.party(setup, _talk(config, mode.direct_steps, stream, outgoing, recorder))
            leave(folder / JOINED, {})
            began = perf_counter()
            result = protocol.train(setup, X, y, Training(**config["training"]), config["seed"], all_reduce)
            ended = perf_counter()
            wire_bytes = carried_bytes()
            outgoing.put(wire.LEAVE)
            outgoing.put(None)
            for _ in stream:  # the arbiter ends the stream when it has taken note of our leaving
                pass
        except grpc.RpcError as error:
            raise CaseError(_reason(error, who)) from error
        except wire.WireError as error:
            raise CaseError(f"the arbiter sent {who} {error}") from error
        except OverflowError as error:
            raise CaseError(f"{who}: {error}") from error
    return {
        **result,
        "training_started": began,
        "training_ended": ended,
        "wire": wire_bytes,
        "operations": protocol.calibrate(setup, "party") if config["calibrate"] else {},
    }


def _address(path: Path) -> str:
    """Wait for the arbiter to say where it listens."""
    deadline = time.monotonic() + _ADDRESS_SECONDS
    while time.monotonic() < deadline:
        with suppress(OSError, ValueError):
            return str(json.loads(path.read_text())["address"])
        time.sleep(0.01)
    raise CaseError(f"the arbiter has not started within {_ADDRESS_SECONDS:g} s")


def _talk(
    config: dict[str, Any],
    direct: Sequence[str],
    stream: Iterator[bytes],
    outgoing: queue.SimpleQueue[bytes | None],
    recorder: Recorder,
) -> Talk:
    """Return the function that sends a message to the arbiter and returns its answer, every phase timed.

    Steps that are ``direct`` stand outside of the sequence, and do not count on.
    """
    number = 0

    def talk(step: str, kind: str, body: bytes) -> bytes:
        nonlocal number
        with recorder.span("serialise"):
            message = wire_pb2.FromParty(number=number, kind=wire.label(step, kind), body=body)
            if step == wire.JOIN:
                message.join.CopyFrom(_join(config))
            raw = message.SerializeToString()
        sent = perf_counter()
        cpu = time.process_time()
        outgoing.put(raw)
        answer = next(stream, None)
        if answer is None:
            raise wire.WireError("nothing: it ended the stream too early")
        cpu = time.process_time() - cpu
        back = perf_counter()
        with recorder.span("serialise"):
            reply = wire.parse(wire_pb2.FromArbiter, answer)
            if reply.number != number:
                raise wire.WireError(f"an answer to message {reply.number} where {number} was due")
        held = min(max(reply.held_seconds, 0.0), back - sent)
        recorder.add("wait", sent, held)
        recorder.add(
            "transfer",
            sent + held,
            back - sent - held,
            cpu_seconds=cpu,
            bytes_sent=len(raw) + wire.GRPC_PREFIX_BYTES,
            bytes_received=len(answer) + wire.GRPC_PREFIX_BYTES,
        )
        if step not in direct:
            number += 1
        return reply.body

    return talk


def _join(config: dict[str, Any]) -> wire_pb2.Join:
    return wire_pb2.Join(
        protocol=wire.PROTOCOL,
        token=config["token"],
        party=config["party"],
        columns=wire.columns_digest(config["features"]),
        privacy=wire.privacy_digest(config["privacy"], config["privacy_options"]),
    )


def _reason(error: grpc.RpcError, who: str) -> str:
    """Turn a broken stream into a line: the arbiter's own words, or that the arbiter is gone."""
    code, details = error.code(), error.details()
    if code in (grpc.StatusCode.ABORTED, grpc.StatusCode.PERMISSION_DENIED):
        return str(details)
    return f"the arbiter dropped out, says {who} ({code.name}: {details})"


def carried_bytes() -> dict[str, int] | None:
    """Return what this process's TCP connections have carried each way so far, all framing above TCP included.

    Read from the kernel (struct tcp_info: tcpi_bytes_sent at byte 200 since Linux 4.19, less tcpi_bytes_retrans, and
    tcpi_bytes_received at byte 128); None where the system does not tell.
    """
    if not hasattr(socket, "TCP_INFO"):
        return None
    sent = received = 0
    for connection in psutil.Process().net_connections(kind="tcp"):
        if connection.status != psutil.CONN_ESTABLISHED:
            continue
        with socket.socket(fileno=os.dup(connection.fd)) as peer:
            info = peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
        if len(info) < 216:
            return None
        received += struct.unpack_from("=Q", info, 128)[0]
        sent += struct.unpack_from("=Q", info, 200)[0] - struct.unpack_from("=Q", info, 208)[0]
    return {"sent": sent, "received": received}


if __name__ == "__main__":
    work(main)
