"""Sample this host and a party's containers while a command runs: sample_host.py OUTPUT LOG PARTY COMMAND...

Writes rows like those of resources.csv to OUTPUT, one JSON object a line, about one a second for the host (party "")
and for each container (party "<PARTY>/<container>"), and what COMMAND prints to LOG. Ends with COMMAND and its status.
Runs in the host's own Python, 2.7 or 3, as root; what a container uses is what Docker's API says.
"""
# As Python 2.7 has it:
# ruff: noqa: C402, PTH123, UP008, UP010, UP024, UP031

from __future__ import division

import io
import json
import os
import socket
import subprocess
import sys
import threading
import time

CONTAINERS = ("fate-flow", "fate-rabbitmq", "fate-router")
SOCKET = "/var/run/docker.sock"
# Interfaces that show again what a real one has carried, or never leaves the host.
INNER = ("lo", "veth", "docker", "br-", "virbr", "cni", "flannel")
SECONDS = 1.0


def main():
    """Run the command, sample until it ends, and return its status."""
    output, log, party = sys.argv[1:4]
    began = time.time()
    lock = threading.Lock()
    host = socket.gethostname()
    with open(output, "w") as rows, open(log, "wb") as words:

        def write(name, values):
            row = {"party": name, "host": host, "t": round(time.time() - began, 3)}
            row.update(values)
            with lock:
                rows.write(json.dumps(row) + "\n")
                rows.flush()

        ended = threading.Event()
        targets = [(sample_machine, (ended, write))]
        targets += [(sample_container, (ended, write, name, "%s/%s" % (party, name))) for name in CONTAINERS]
        threads = [threading.Thread(target=target, args=arguments) for target, arguments in targets]
        command = subprocess.Popen(sys.argv[4:], stdout=words, stderr=subprocess.STDOUT)
        for thread in threads:
            thread.daemon = True
            thread.start()
        status = command.wait()
        ended.set()
        with lock:  # nobody writes to a file that is being closed
            rows.flush()
            os._exit(status if status >= 0 else 128 - status)


def sample_machine(ended, write):
    """Write what all of the host uses."""
    before = None
    while not ended.wait(0 if before is None else SECONDS):
        busy, total = processor_ticks()
        sent, received = network_bytes()
        share = None
        if before and total > before[1]:
            share = round(100.0 * (busy - before[0]) / (total - before[1]), 1)
        before = (busy, total)
        write("", {"cpu_percent": share, "rss": memory_used(), "net_sent": sent, "net_received": received})


def processor_ticks():
    """Return the busy and all ticks of all processors since the start."""
    with open("/proc/stat") as file:
        ticks = [int(word) for word in file.readline().split()[1:9]]
    idle = ticks[3] + ticks[4]
    return sum(ticks) - idle, sum(ticks)


def memory_used():
    """Return the bytes of memory that are not available for use."""
    with open("/proc/meminfo") as file:
        lines = dict(line.split(":") for line in file)
    total, available = (int(lines[name].split()[0]) for name in ("MemTotal", "MemAvailable"))
    return (total - available) * 1024


def network_bytes():
    """Return the bytes that the host's own interfaces have sent and received since the start."""
    sent = received = 0
    with open("/proc/net/dev") as file:
        for line in file.readlines()[2:]:
            name, counts = line.split(":", 1)
            if not name.strip().startswith(INNER):
                received += int(counts.split()[0])
                sent += int(counts.split()[8])
    return sent, received


def sample_container(ended, write, name, party):
    """Write what a container uses, once a second, as Docker counts it; wait for one that does not run."""
    while not ended.is_set():
        try:
            for counts in stream("/containers/%s/stats?stream=true" % name):
                if ended.is_set():
                    return
                row = usage(counts)
                if row:
                    write(party, row)
        except (EnvironmentError, ValueError):
            pass
        ended.wait(SECONDS)


def stream(path):
    """Yield the JSON objects of an endless answer of Docker's API, a line each."""
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        line.settimeout(10)
        line.connect(SOCKET)
        # Version 1.0 of HTTP: no chunks.
        line.sendall(("GET %s HTTP/1.0\r\nHost: docker\r\n\r\n" % path).encode("ascii"))
        answer = io.BufferedReader(SocketReader(line))
        if b" 200 " not in answer.readline():
            return
        while answer.readline().strip():
            pass
        while True:
            text = answer.readline()
            if not text:
                return
            yield json.loads(text.decode("utf-8"))
    finally:
        line.close()


class SocketReader(io.RawIOBase):
    """A socket as a file, alike in Python 2 and 3."""

    def __init__(self, line):
        super(SocketReader, self).__init__()
        self.line = line

    def readable(self):
        """Say that it can be read."""
        return True

    def readinto(self, buffer):
        """Read what is there."""
        data = self.line.recv(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def usage(counts):
    """Return a row of one sample of `docker stats`; None for a container that does not run."""
    memory = counts.get("memory_stats") or {}
    if not memory.get("usage"):
        return None
    now, before = counts["cpu_stats"], counts.get("precpu_stats") or {}
    busy = now["cpu_usage"]["total_usage"] - (before.get("cpu_usage") or {}).get("total_usage", 0)
    passed = now.get("system_cpu_usage", 0) - before.get("system_cpu_usage", 0)
    cores = now.get("online_cpus") or len(now["cpu_usage"].get("percpu_usage") or []) or 1
    known = "system_cpu_usage" in before and passed > 0
    details = memory.get("stats") or {}
    # Files that the kernel may drop at any time are not the container's need: what `docker stats` leaves out too.
    cache = details.get("total_inactive_file", details.get("inactive_file", 0))
    networks = (counts.get("networks") or {}).values()
    blocks = (counts.get("blkio_stats") or {}).get("io_service_bytes_recursive") or []
    moved = dict((kind, sum(b["value"] for b in blocks if b["op"].lower() == kind)) for kind in ("read", "write"))
    return {
        "cpu_percent": round(100.0 * busy / passed * cores, 1) if known else None,
        "rss": memory["usage"] - cache,
        "read_bytes": moved["read"] if blocks else None,
        "write_bytes": moved["write"] if blocks else None,
        "net_sent": sum(network["tx_bytes"] for network in networks) if networks else None,
        "net_received": sum(network["rx_bytes"] for network in networks) if networks else None,
    }


if __name__ == "__main__":
    sys.exit(main())
