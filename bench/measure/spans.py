"""Spans: what a process did when, and the rows and the Chrome trace made of them.

A process records its own spans with a monotonic clock. Spans of one process do not overlap, so what they leave of an
epoch's wall time is exactly the time nobody accounted for, and it is reported as the phase ``unattributed``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from time import perf_counter, process_time
from types import TracebackType
from typing import Any

from bench.i18n.language import gettext_noop

PHASES = (
    gettext_noop("compute"),
    gettext_noop("encrypt"),
    gettext_noop("decrypt"),
    gettext_noop("aggregate"),
    gettext_noop("serialise"),
    gettext_noop("transfer"),
    gettext_noop("wait"),
    gettext_noop("framework"),
    gettext_noop("evaluate"),
    gettext_noop("unattributed"),
)
COMMUNICATING = ("serialise", "transfer")


@dataclass
class Span:
    """One stretch of one phase: monotonic ``start``, wall and CPU seconds (all threads), and message bytes."""

    epoch: int
    phase: str
    start: float
    seconds: float
    cpu_seconds: float | None = None
    bytes_sent: int | None = None
    bytes_received: int | None = None


@dataclass
class Epoch:
    """The wall and CPU time of one epoch of one process; epoch 0 is the set-up."""

    epoch: int
    start: float
    seconds: float
    cpu_seconds: float
    loss: float | None = None


@dataclass
class Recorder:
    """Collects the spans of this process. ``enabled=False`` measures epochs only (what measuring itself costs).

    ``counts``: {(epoch, operation): how often it was done}, for the operations that a protection is made of.
    """

    enabled: bool = True
    spans: list[Span] = field(default_factory=list)
    epochs: list[Epoch] = field(default_factory=list)
    counts: dict[tuple[int, str], float] = field(default_factory=dict)
    epoch: int = 0
    _start: float = 0.0
    _cpu: float = 0.0

    def span(self, phase: str) -> _Timed:
        """Time a ``with`` block as ``phase`` of the current epoch."""
        return _Timed(self, phase)

    def add(self, phase: str, start: float, seconds: float, **more: Any) -> None:
        """Record a span that was timed elsewhere."""
        if self.enabled:
            self.spans.append(Span(self.epoch, phase, start, seconds, **more))

    def count(self, operation: str, n: float = 1) -> None:
        """Note that ``operation`` was done ``n`` times in the current epoch."""
        if self.enabled:
            key = (self.epoch, operation)
            self.counts[key] = self.counts.get(key, 0.0) + n

    def begin_epoch(self, epoch: int) -> None:
        """Start the clock of an epoch; spans from here on belong to it."""
        self.epoch, self._cpu, self._start = epoch, process_time(), perf_counter()

    def end_epoch(self, loss: float | None = None) -> None:
        """Stop the clock of the epoch; one that is never ended is not reported."""
        seconds, cpu = perf_counter() - self._start, process_time() - self._cpu
        self.epochs.append(Epoch(self.epoch, self._start, seconds, cpu, loss))


class _Timed:
    """The ``with`` block of Recorder.span; a class because it runs many times an epoch and must cost little."""

    __slots__ = ("cpu", "phase", "recorder", "start")

    def __init__(self, recorder: Recorder, phase: str) -> None:
        self.recorder, self.phase = recorder, phase

    def __enter__(self) -> None:
        if self.recorder.enabled:
            self.start, self.cpu = perf_counter(), process_time()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        recorder = self.recorder
        if recorder.enabled:
            # The CPU clock is a system call, where a process is likely to be set aside: it belongs inside the span.
            cpu = process_time() - self.cpu
            recorder.spans.append(Span(recorder.epoch, self.phase, self.start, perf_counter() - self.start, cpu))


def _added(values: list[Any]) -> Any:
    """Sum what was measured; None when nothing was."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def epoch_rows(recorder: Recorder) -> list[dict[str, Any]]:
    """Return one row per epoch and phase, ``unattributed`` included, that add up to the epoch's wall time.

    Only whole epochs are reported. A repeated phase of one epoch becomes one row.
    """
    spans: dict[tuple[int, str], list[Span]] = {}
    for span in recorder.spans:
        spans.setdefault((span.epoch, span.phase), []).append(span)
    rows = []
    for epoch in recorder.epochs:
        phases = [(phase, spans[epoch.epoch, phase]) for phase in PHASES if (epoch.epoch, phase) in spans]
        accounted = sum(span.seconds for _, group in phases for span in group)
        cpu_accounted = sum(span.cpu_seconds or 0.0 for _, group in phases for span in group)
        for phase, group in phases:
            rows.append(
                {
                    "epoch": epoch.epoch,
                    "phase": phase,
                    "seconds": sum(span.seconds for span in group),
                    "cpu_seconds": _added([span.cpu_seconds for span in group]),
                    "bytes_sent": _added([span.bytes_sent for span in group]),
                    "bytes_received": _added([span.bytes_received for span in group]),
                    "loss": epoch.loss if phase == "compute" else None,
                }
            )
        rows.append(
            {
                "epoch": epoch.epoch,
                "phase": "unattributed",
                "seconds": epoch.seconds - accounted,
                "cpu_seconds": epoch.cpu_seconds - cpu_accounted,
                "bytes_sent": None,
                "bytes_received": None,
                "loss": None,
            }
        )
    return rows


def chrome_events(recorder: Recorder, process: int, name: str, zero: float) -> list[dict[str, Any]]:
    """Return the spans as complete events of the Chrome trace format (microseconds), under process ``process``.

    ``zero`` is the moment, on the clock of the spans, from which the events' times count.
    Format: "Trace Event Format", Google, the "X" (complete) and "M" (metadata) events.
    """
    events: list[dict[str, Any]] = [
        {"ph": "M", "name": "process_name", "pid": process, "tid": 0, "args": {"name": name}}
    ]
    for span in recorder.spans:
        arguments = {
            key: value for key in ("epoch", "bytes_sent", "bytes_received") if (value := getattr(span, key)) is not None
        }
        events.append(
            {
                "ph": "X",
                "name": span.phase,
                "cat": "phase",
                "pid": process,
                "tid": 1,
                "ts": round((span.start - zero) * 1e6, 1),
                "dur": round(span.seconds * 1e6, 1),
                "args": arguments,
            }
        )
    for epoch in recorder.epochs:
        events.append(
            {
                "ph": "X",
                "name": f"epoch {epoch.epoch}" if epoch.epoch else "set-up",
                "cat": "epoch",
                "pid": process,
                "tid": 0,
                "ts": round((epoch.start - zero) * 1e6, 1),
                "dur": round(epoch.seconds * 1e6, 1),
                "args": {} if epoch.loss is None else {"loss": epoch.loss},
            }
        )
    return events
