"""What load.json says of a load test, as types; docs/results.md explains each word."""

from __future__ import annotations

import msgspec

from bench.i18n.messages import Line


class Percentiles(msgspec.Struct):
    """Of latencies, in seconds."""

    p50: float
    p90: float
    p99: float
    max: float


class Usage(msgspec.Struct):
    """What a process used in a step: mean CPU in % of one core, highest resident memory in bytes."""

    cpu_percent: float | None = None
    rss_bytes: float | None = None


class Step(msgspec.Struct):
    """One step of a load test; its figures are those of the requests that were due after the ramp."""

    requests: int
    rate_achieved: float
    errors: dict[str, int]
    number: int | None = None
    rate: float | None = None
    users: int | None = None
    from_due: Percentiles | None = None
    from_sent: Percentiles | None = None
    late: Percentiles | None = None
    failed: Line | None = None
    generator_limited: bool = False
    server: Usage = msgspec.field(default_factory=Usage)
    generator: Usage = msgspec.field(default_factory=Usage)


class Search(msgspec.Struct):
    """The search for the maximum sustainable throughput: rates in requests/s, and how it ended."""

    ended: str
    held: float | None = None
    failed: float | None = None
    unclear: float | None = None


class Memory(msgspec.Struct):
    """How the service's memory changed in a long step: bytes, and bytes a minute."""

    first_bytes: float
    last_bytes: float
    bytes_per_minute: float


class Request(msgspec.Struct):
    """What was asked: records in a request, and whether they held columns of the raw file."""

    rows: int | None = None
    raw: bool = False


class Job(msgspec.Struct):
    """A job that was submitted to a FATE Flow meanwhile."""

    job_id: str | None = None
    status: str | None = None
    error: str | None = None


class LoadTest(msgspec.Struct):
    """A load test of a service."""

    name: str
    target: str
    loop: str
    kind: str
    request: Request
    complete: bool
    ramp_seconds: float
    steady_seconds: float
    steps: list[Step] = []
    url: str | None = None
    model: str | None = None
    repeat: int | None = None
    bound_seconds: float | None = None
    generator_here: bool = False
    server_measured: str | None = None
    stopped: Line | None = None
    knee: Search | None = None
    memory: Memory | None = None
    jobs: list[Job] = []

    def __post_init__(self) -> None:
        """Refuse a step without what it was loaded by.

        Raises ValueError.
        """
        if any((step.rate if self.is_open else step.users) is None for step in self.steps):
            raise ValueError(f"a step of loop {self.loop!r} without its {'rate' if self.is_open else 'callers'}")

    @property
    def is_open(self) -> bool:
        """Whether requests were due at a rate."""
        return self.loop == "open"
