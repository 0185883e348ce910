"""Measures a HomoLR worker of FATE 2.2 from inside, without a change to FATE's files: it wraps what FATE calls.

Importing this module only waits for FATE's HomoLR to be imported; no other worker is touched. From then on every
wrapped call writes a segment: its phase, its begin on the monotonic clock, and its own seconds and CPU seconds. Where
wrapped calls nest, the outer one is cut in pieces around the inner one, so that segments of a process never overlap and
what is in none of them stays visible as unattributed. docs/fate.md lists what is wrapped and what the events are.

Events are lines of JSON in events/<pid>.jsonl, written at the end of each epoch and at the process's end, so that
another process can follow the training.
"""

import atexit
import functools
import importlib
import importlib.machinery
import json
import os
import sys
import threading
import types
from collections.abc import Callable, Iterator, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, cast

FOLDER = Path(__file__).resolve().parent.parent
Details = Callable[..., dict[str, Any]]
Parties = list[tuple[str, str]]  # role, party id

CLIENT, SERVER = "fate.ml.glm.homo.lr.client", "fate.ml.glm.homo.lr.server"

# When this process began: near enough, since Python loads this before anything of FATE.
_BEGAN = perf_counter()
_events: list[dict[str, Any]] = []
_calls: list[list[Any]] = []  # wrapped calls that are under way, the innermost last: [phase, what, resumed, CPU then]
_losses: list[float] = []  # of this epoch's steps so far
_state = types.SimpleNamespace(recording=False, epoch=0, known=False)


# --- writing ---------------------------------------------------------------------------------------------------------


def emit(kind: str, **more: Any) -> None:
    """Keep an event until the next flush."""
    _events.append({"e": kind, **more})


def flush() -> None:
    """Write the events kept so far. A reader that comes in between may see a part of the last line."""
    if not _events:
        return
    lines = "".join(json.dumps(event, separators=(",", ":")) + "\n" for event in _events)
    _events.clear()
    folder = FOLDER / "events"
    folder.mkdir(exist_ok=True)
    with (folder / f"{os.getpid()}.jsonl").open("a") as file:
        file.write(lines)


def failed(what: str, error: BaseException) -> None:
    """Say that something could not be measured. FATE's training goes on without it."""
    emit("failed", what=what, error=f"{type(error).__name__}: {error}", pid=os.getpid())


# --- time ------------------------------------------------------------------------------------------------------------


def segment(phase: str, what: str, began: float, cpu_began: float, **more: Any) -> tuple[float, float]:
    """Record from ``began`` until now; return now and the CPU clock now."""
    # The CPU clock is a system call, where a process is likely to be set aside: it belongs inside the segment.
    cpu = process_time()
    now = perf_counter()
    seconds, cpu_seconds = round(now - began, 7), round(cpu - cpu_began, 7)
    emit("segment", phase=phase, what=what, t=round(began, 7), d=seconds, c=cpu_seconds, **more)
    return now, cpu


def enter(phase: str, what: str) -> None:
    """Begin a call; the one around it pauses."""
    if _calls:
        outer = _calls[-1]
        now, cpu = segment(*outer)
    else:
        now, cpu = perf_counter(), process_time()
    _calls.append([phase, what, now, cpu])


def leave(**more: Any) -> None:
    """End the innermost call; the one around it goes on."""
    now, cpu = segment(*_calls.pop(), **more)
    if _calls:
        _calls[-1][2:] = now, cpu


def mark(kind: str, **more: Any) -> None:
    """Write an event that stands between segments, and flush; that costs time, which is a segment too."""
    now, cpu = segment(*_calls[-1]) if _calls else (perf_counter(), process_time())
    emit(kind, **more, t=round(now, 7), c=round(cpu, 7))
    flush()
    now, cpu = segment("framework", "probe", now, cpu)
    if _calls:
        _calls[-1][2:] = now, cpu


def recording() -> bool:
    """Say whether this call is part of the training: only the main thread's are."""
    return bool(_state.recording) and threading.current_thread() is threading.main_thread()


# --- wrapping --------------------------------------------------------------------------------------------------------


def measure(owner: object, name: str, phase: str, what: str, details: Details | None) -> None:
    """Make ``owner.name`` record its own time; ``details(result, *its arguments)`` gives more for the last piece."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def measured(*args: Any, **kwargs: Any) -> Any:
        if not recording():
            return original(*args, **kwargs)
        more: dict[str, Any] = {}
        enter(phase, what)
        try:
            result = original(*args, **kwargs)
            if details:
                more = _details_of(details, what, result, *args, **kwargs)
            return result
        finally:
            leave(**more)

    setattr(owner, name, measured)


def _details_of(details: Details, what: str, /, *args: Any, **kwargs: Any) -> dict[str, Any]:
    try:
        return details(*args, **kwargs)
    except Exception as error:
        failed(what, error)
        return {}


def measure_iterator(owner: object, name: str, phase: str, what: str) -> None:
    """Make each step of the generator that ``owner.name`` returns record its own time."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def measured(self: object) -> Iterator[Any]:
        iterator = original(self)
        while True:
            ours = recording()
            if ours:
                enter(phase, what)
            try:
                item = next(iterator)
            except StopIteration:
                return
            finally:
                if ours:
                    leave()
            yield item

    setattr(owner, name, measured)


def before(owner: object, name: str, action: Callable[..., None]) -> None:
    """Call ``action`` with the arguments of ``owner.name`` each time before that is called; its failure is no one's."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def announced(*args: Any, **kwargs: Any) -> Any:
        try:
            action(*args, **kwargs)
        except Exception as error:
            failed(name, error)
        return original(*args, **kwargs)

    setattr(owner, name, announced)


# --- events ----------------------------------------------------------------------------------------------------------


def training_begins(_: object, ctx: Any, *args: Any, **kwargs: Any) -> None:  # noqa: ARG001
    """Begin to record: HomoLR's fit is called. What went before is one segment."""
    role, party = ctx.local.party
    process = {"job": os.environ["FATE_JOB_ID"], "task": "homo_lr", "role": role, "party": party, "pid": os.getpid()}
    # First in the file: what was noted before is about this process too.
    _events.insert(0, {"e": "process", **process, "clock": _clock(), "t": round(_BEGAN, 7), "c": 0.0})
    segment("framework", "start", _BEGAN, 0.0)
    flush()
    _state.known = _state.recording = True


def _clock() -> str:
    """Name the host whose clock this is: processes behind one FATE Flow share it."""
    local = json.loads((FOLDER / "order.json").read_text())["local"]
    return str(local[0]) if len(local) == 1 else "one"


def epoch_begins(*args: Any, **kwargs: Any) -> None:  # noqa: ARG001
    """Mark that the trainer of a client begins an epoch, or the arbiter a round."""
    if recording():
        epoch_ends()
        _state.epoch += 1
        mark("epoch", epoch=_state.epoch)


def epoch_ends() -> None:
    """Write the epoch's loss: the mean of its steps'."""
    if _losses:
        emit("loss", epoch=_state.epoch, value=sum(_losses) / len(_losses))
        _losses.clear()


def training_ends(*args: Any, **kwargs: Any) -> None:  # noqa: ARG001
    """Mark that the last epoch is over; prediction and the rest are not recorded."""
    if recording():
        epoch_ends()
        mark("trained")
        _state.recording = False


def process_ends() -> None:
    """Write what is left, and when."""
    if _state.known:
        emit("ended", t=round(perf_counter(), 7))
    flush()


def pushed(_: None, federation: object, v: bytes, name: str, tag: str, parties: Parties) -> dict[str, Any]:  # noqa: ARG001
    """Describe a message that was pushed to one or more parties."""
    return {"name": name, "tag": tag, "peers": [list(party) for party in parties], "bytes": len(v) * len(parties)}


def pulled(values: list[bytes], federation: object, name: str, tag: str, parties: Parties) -> dict[str, Any]:  # noqa: ARG001
    """Describe messages that were pulled from one or more parties."""
    return {"name": name, "tag": tag, "peers": [list(party) for party in parties], "bytes": sum(map(len, values))}


def step_done(loss: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:  # noqa: ARG001
    """Keep the loss of a client's step: over its own rows, with the weights from before the step."""
    _losses.append(float(loss))
    return {}


def loss_added(loss: float, *args: Any, **kwargs: Any) -> dict[str, Any]:  # noqa: ARG001
    """Keep the common loss that the arbiter computes, from losses that FATE has rounded to four decimals."""
    _losses.append(loss)
    return {}


# --- FATE ------------------------------------------------------------------------------------------------------------

AGGREGATOR = "fate.ml.aggregator.base"
SECURE = "fate.arch.protocol.secure_aggregation._secure_aggregation"
FEDERATION = "fate.arch.federation.api._federation:Federation"
TRAINER = "transformers.trainer:Trainer"

# What is measured, its phase, what it is called in the events, and what gives more about a call.
MEASURED = (
    # A client's epoch: fetching rows, the step, and Hugging Face's trainer around them.
    ("torch.utils.data._utils.fetch:_MapDatasetFetcher.fetch", "framework", "fetch rows", None),
    (f"{CLIENT}:default_data_collator", "framework", "collate rows", None),
    (f"{TRAINER}.training_step", "compute", "gradient", step_done),
    ("accelerate.accelerator:Accelerator.clip_grad_norm_", "compute", "clip gradient", None),
    ("accelerate.optimizer:AcceleratedOptimizer.step", "compute", "optimiser step", None),
    ("torch.optim.lr_scheduler:LRScheduler.step", "framework", "learning rate", None),
    (f"{TRAINER}._maybe_log_save_evaluate", "framework", "trainer", None),
    (f"{TRAINER}.floating_point_ops", "framework", "trainer", None),
    ("transformers.trainer:CallbackHandler.call_event", "framework", "trainer", None),
    ("fate.arch.context._metrics:MetricsWrap.log_step", "framework", "report metrics", None),
    # Secure aggregation: what remains of it without the messages is masking, and adding up.
    (f"{AGGREGATOR}:BaseAggregatorClient.model_aggregation", "framework", "convert weights", None),
    (f"{AGGREGATOR}:BaseAggregatorClient.loss_aggregation", "framework", "convert loss", None),
    (f"{AGGREGATOR}:BaseAggregatorServer.loss_aggregation", "aggregate", "aggregate", loss_added),
    (f"{SECURE}:SecureAggregatorClient.secure_aggregate", "encrypt", "mask", None),
    (f"{SECURE}:SecureAggregatorServer.secure_aggregate", "aggregate", "aggregate", None),
    # Messages.
    ("fate.arch.context._parties:_push", "serialise", "pickle", None),
    ("fate.arch.context._parties:_pull", "serialise", "unpickle", None),
    (f"{FEDERATION}.push_bytes", "transfer", "push", pushed),
    (f"{FEDERATION}.pull_bytes", "wait", "pull", pulled),
    (f"{FEDERATION}.push_table", "transfer", "push table", None),
    (f"{FEDERATION}.pull_table", "wait", "pull table", None),
    # The set-up.
    (f"{CLIENT}:HomoLRClient._make_dataset", "framework", "make dataset", None),
    (f"{CLIENT}:optimizer_factory", "framework", "make optimiser", None),
    ("fate.ml.nn.homo.fedavg:FedAVGClient.__init__", "framework", "make trainer", None),
    ("accelerate.accelerator:Accelerator.prepare", "framework", "make trainer", None),
    (f"{SECURE}:SecureAggregatorClient.dh_exchange", "encrypt", "key exchange", None),
)
ITERATED = (("accelerate.data_loader:DataLoaderShard.__iter__", "framework", "data loader"),)
ANNOUNCED = (
    (f"{CLIENT}:HomoLRClient.fit", training_begins),
    (f"{SERVER}:HomoLRServer.fit", training_begins),
    ("transformers.trainer:CallbackHandler.on_epoch_begin", epoch_begins),
    ("fate.ml.nn.homo.fedavg:FedAVGServer.on_federation", epoch_begins),
    ("transformers.trainer:CallbackHandler.on_train_end", training_ends),
    ("fate.ml.nn.trainer.trainer_base:HomoTrainerServer.on_train_end", training_ends),
)


def wrap() -> None:
    """Set all hooks. One that cannot be set is written down, and the others are set."""
    for hook, places in ((measure, MEASURED), (measure_iterator, ITERATED), (before, ANNOUNCED)):
        for place, *settings in places:
            try:
                module, _, path = place.partition(":")
                *owners, name = path.split(".")
                hook(functools.reduce(getattr, owners, importlib.import_module(module)), name, *settings)
            except Exception as error:
                failed(place, error)


def find_spec(name: str, path: Sequence[str] | None = None, target: object = None) -> ModuleSpec | None:  # noqa: ARG001
    """Let whoever imports HomoLR have it wrapped; this finder is asked before Python's own."""
    if name not in (CLIENT, SERVER):
        return None
    sys.meta_path.remove(cast(Any, _finder))
    spec = importlib.machinery.PathFinder.find_spec(name, path)
    if spec is None or spec.loader is None:
        return None
    loader = cast(Any, spec.loader)
    execute = loader.exec_module

    def execute_and_wrap(module: types.ModuleType) -> None:
        execute(module)
        wrap()

    loader.exec_module = execute_and_wrap
    return spec


def forget() -> None:
    """Record nothing more: a forked child of a worker is not that worker."""
    _state.recording, _state.known = False, False
    _events.clear()


_finder = types.SimpleNamespace(find_spec=find_spec)
sys.meta_path.insert(0, cast(Any, _finder))
atexit.register(process_ends)
os.register_at_fork(after_in_child=forget)
