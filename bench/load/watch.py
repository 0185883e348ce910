"""CPU and memory of the service that is asked, and of what asks it, second by second."""

from __future__ import annotations

import http.client
import ipaddress
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import psutil
from prometheus_client.parser import text_string_to_metric_families

from bench.load.exchange import Address
from bench.measure.sampler import Sampler

GENERATOR, SERVER = "generator", "server"
_EVERYWHERE = {"0.0.0.0", "::"}  # noqa: S104
_CPU, _RSS = "process_cpu_seconds_total", "process_resident_memory_bytes"


@dataclass
class Watched:
    """Samples: (seconds of the monotonic clock, whose, CPU in % of one core, resident bytes); None is not measured.

    Those of "" are the whole machine's, in % of all its cores.
    """

    samples: list[tuple[float, str, float | None, float | None]] = field(default_factory=list)


@dataclass(frozen=True)
class Source:
    """Where figures of the service come from: ``how`` in words, the processes of this machine, or a page of metrics."""

    how: str
    processes: tuple[int, ...] = ()
    page: str | None = None


def source(to: Address, url: str, token: str | None) -> Source | None:
    """Find out how the service's CPU and memory can be measured; None where they cannot."""
    processes = _listening(to) if is_here(to.host) else []
    if processes:
        names = ", ".join(sorted({process.name() for process in processes}))
        how = f"processes of this machine that listen on port {to.port}, and those below them ({names})"
        return Source(how, tuple(process.pid for process in processes))
    page = f"{url.rstrip('/')}/metrics"
    figures = _scraped(page, token)
    return Source(f"the service's own figures ({page})", (), page) if figures else None


def is_here(host: str) -> bool:
    """Say whether an address is one of this machine's."""
    with suppress(OSError, UnicodeError):
        ours = {address.address for addresses in psutil.net_if_addrs().values() for address in addresses}
        return all(ipaddress.ip_address(each).is_loopback or each in ours for each in _addresses(host))
    return False


def _addresses(host: str) -> set[str]:
    return {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}


def _listening(to: Address) -> list[psutil.Process]:
    """Return the processes that listen at an address, without those below another of them."""
    with suppress(psutil.Error, OSError):
        wanted = _addresses(to.host) | _EVERYWHERE
        pids = {
            link.pid
            for link in psutil.net_connections(kind="tcp")
            if link.status == psutil.CONN_LISTEN
            and link.laddr
            and link.pid
            and link.laddr.port == to.port
            and link.laddr.ip in wanted
        }
        found = [psutil.Process(pid) for pid in sorted(pids)]
        return [process for process in found if pids.isdisjoint(parent.pid for parent in process.parents())]
    return []


def _scraped(page: str, token: str | None) -> tuple[float, float] | None:
    """Read CPU seconds and resident bytes from a page of metrics for Prometheus; None where they are not there."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    found: dict[str, float] = {}
    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(urllib.request.Request(page, headers=headers), timeout=2) as answer:  # noqa: S310
            text = answer.read(1 << 22).decode()
        for family in text_string_to_metric_families(text):
            found.update({sample.name: sample.value for sample in family.samples if sample.name in (_CPU, _RSS)})
    except (OSError, ValueError, http.client.HTTPException):
        return None
    return (found[_CPU], found[_RSS]) if {_CPU, _RSS} <= found.keys() else None


@contextmanager
def watched(generator: int, server: Source | None, token: str | None) -> Iterator[Watched]:
    """Take samples while the block runs: five a second on this machine, one a second from a page of metrics.

    What was seen is there after the block.
    """
    seen = Watched()
    names = {GENERATOR: generator}
    names.update({f"{SERVER} {pid}": pid for pid in (server.processes if server else ())})
    stop = threading.Event()
    reader = None
    if server is not None and server.page is not None:
        reader = threading.Thread(target=_read_page, args=(server.page, token, seen, stop), daemon=True)
        reader.start()
    began = time.monotonic()
    try:
        with Sampler(names) as samples:
            yield seen
    finally:
        stop.set()
        if reader is not None:
            reader.join()
    seen.samples += _added_up(samples.rows, began)


def _added_up(rows: Sequence[dict[str, Any]], began: float) -> list[tuple[float, str, float | None, float | None]]:
    """Bring the sampler's rows to the clock; processes of the server that were seen at one moment are added up."""
    found: dict[tuple[float, str], list[float | None]] = {}
    for row in rows:
        who = SERVER if row["party"].startswith(SERVER) else row["party"]
        total = found.setdefault((row["t"], who), [None, None])
        for place, key in enumerate(("cpu_percent", "rss")):
            if row.get(key) is not None:
                total[place] = (total[place] or 0.0) + row[key]
    return [(began + t, who, cpu, rss) for (t, who), (cpu, rss) in found.items()]


def _read_page(page: str, token: str | None, seen: Watched, stop: threading.Event) -> None:
    """Read a page of metrics once a second."""
    before: tuple[float, float] | None = None
    while True:
        now, figures = time.monotonic(), _scraped(page, token)
        if figures is not None:
            cpu = None if before is None or now <= before[0] else 100 * (figures[0] - before[1]) / (now - before[0])
            seen.samples.append((now, SERVER, cpu, figures[1]))
            before = (now, figures[0])
        if stop.wait(1.0):
            return
