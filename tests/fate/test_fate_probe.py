"""The probe in real workers of FATE: its figures against FATE's own log and transport; and that it never harms one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections import Counter
from dataclasses import dataclass
from math import log
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from helpers import LIMIT

from bench.engines.fate import engine, order, spans
from bench.errors import CaseError
from bench.measure.spans import Recorder, epoch_rows

pytestmark = pytest.mark.skipif(engine.missing() is not None, reason=str(engine.missing()))

ROWS, EPOCHS = 8000, 6
CLIENTS = {"9999/guest": 2000, "9998/host": 2000, "10000/host": 4000}
ARBITER = "10000/arbiter"
HOMO_LR = "import fate.ml.glm.homo.lr.client as client"


def _environment(folder: Path, **more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(folder / "python"), "OMP_NUM_THREADS": "1", **more}


def _events(folder: Path) -> list[dict[str, Any]]:
    """All whole lines: one that is being written may be seen in part."""
    texts = [path.read_text() for path in sorted(folder.glob("events/*.jsonl"))]
    return [json.loads(line) for text in texts for line in text[: text.rfind("\n") + 1].splitlines()]


# --- a training ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Training:
    """What a training left: the probe's events, what the test's own program saw, and the epochs seen meanwhile."""

    recorders: dict[str, Recorder]
    seen: dict[str, dict[str, Any]]
    followed: set[int]


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Training:
    """FATE's HomoLR with four parties as processes of FATE's own launcher, each with the probe."""
    folder = tmp_path_factory.mktemp("probe")
    order.scripts(folder, probe=True)
    (folder / "order.json").write_text(json.dumps({"local": ["9999", "9998", "10000"]}))
    script = Path(__file__).with_name("fate_training.py")
    arguments = ["--parties", "guest:9999", "host:9998", "host:10000", "arbiter:10000", "--log_level", "INFO"]
    followed = set[int]()
    with (
        (folder / "log.txt").open("wb") as output,
        subprocess.Popen(
            [
                str(engine.PYTHON),
                str(script),
                str(ROWS),
                str(EPOCHS),
                str(folder),
                *arguments,
                "--data_dir",
                str(folder),
            ],
            env=_environment(folder, FATE_JOB_ID="1"),
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            start_new_session=True,
        ) as process,
    ):
        deadline = time.monotonic() + 500
        try:
            while process.poll() is None:
                assert time.monotonic() < deadline, (folder / "log.txt").read_text()[-3000:]
                events = _events(folder)
                if not any(event["e"] == "trained" for event in events):
                    followed |= {event["epoch"] for event in events if event["e"] == "epoch"}
                time.sleep(0.05)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, (folder / "log.txt").read_text()[-3000:]
    files = {path.stem.replace("-", "/"): path for path in folder.glob("*-*.json")}
    seen = {key: json.loads(path.read_text()) for key, path in files.items()}
    return Training(spans.recorders(_events(folder)), seen, followed)


def test_every_process_is_measured_epoch_by_epoch(training: Training) -> None:
    assert set(training.recorders) == {*CLIENTS, ARBITER}
    for recorder in training.recorders.values():
        assert [epoch.epoch for epoch in recorder.epochs] == [*range(EPOCHS + 1)]


def test_epochs_are_as_long_as_fate_s_own_log_says(training: Training) -> None:
    for key in CLIENTS:
        # The last thing that a client logs in an epoch; so from one to the next is an epoch.
        ends = [when for when, line in training.seen[key]["lines"] if line == "end to agg loss"]
        assert len(ends) == EPOCHS
        measured = sum(epoch.seconds for epoch in training.recorders[key].epochs if epoch.epoch > 1)
        assert measured == pytest.approx(ends[-1] - ends[0], rel=0.05)


def test_phases_add_up_and_little_is_unattributed(training: Training) -> None:
    for key, recorder in training.recorders.items():
        rows = [row for row in epoch_rows(recorder) if row["epoch"] > 0]
        shares = []
        for epoch in recorder.epochs[1:]:
            phases = {row["phase"]: row["seconds"] for row in rows if row["epoch"] == epoch.epoch}
            assert sum(phases.values()) == pytest.approx(epoch.seconds, rel=1e-6)
            assert min(phases.values()) > -1e-5
            shares.append(phases["unattributed"] / epoch.seconds)
        assert median(shares) < 0.05, key
        named = {row["phase"] for row in rows}
        expected = {"aggregate"} if key == ARBITER else {"compute", "encrypt"}
        assert named == expected | {"framework", "serialise", "transfer", "wait", "unattributed"}


def test_bytes_are_those_that_reached_fate_s_transport(training: Training) -> None:
    sent, received = Counter[str](), Counter[str]()
    for key, seen in training.seen.items():
        for _, _, role, party, size in seen["messages"]:
            sent[key] += size
            received[f"{party}/{role}"] += size
    for key, recorder in training.recorders.items():
        assert sum(span.bytes_sent or 0 for span in recorder.spans) == sent[key]
        assert sum(span.bytes_received or 0 for span in recorder.spans) == received[key]


def test_losses_are_of_the_party_s_own_rows_and_the_arbiter_s_of_all(training: Training) -> None:
    losses = {key: [epoch.loss for epoch in recorder.epochs[1:]] for key, recorder in training.recorders.items()}
    for key in CLIENTS:
        assert losses[key][0] == pytest.approx(log(2), abs=1e-6)  # the first weights are zero
    for number, common in enumerate(losses[ARBITER]):
        together = sum((losses[key][number] or 0.0) * rows / ROWS for key, rows in CLIENTS.items())
        assert common == pytest.approx(together, abs=1e-4)  # FATE rounds a party's loss to four decimals


def test_the_training_can_be_followed(training: Training) -> None:
    assert training.followed


def test_all_parties_end_with_one_model(training: Training) -> None:
    weights = [training.seen[key]["weights"] for key in CLIENTS]
    assert weights[0] == weights[1] == weights[2]


# --- no harm ---------------------------------------------------------------------------------------------------------


def _python(folder: Path, program: str, **environment: str) -> str:
    done = subprocess.run(
        [str(engine.PYTHON), "-c", program],
        env=_environment(folder, **environment),
        capture_output=True,
        text=True,
        timeout=LIMIT,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_other_processes_of_fate_flow_are_left_alone(tmp_path: Path) -> None:
    order.scripts(tmp_path, probe=True)
    assert _python(tmp_path, "import sys; print('fate_probe' in sys.modules)") == "False\n"
    assert _python(tmp_path, "import json; print('worker')", FATE_JOB_ID="1") == "worker\n"
    assert not (tmp_path / "events").exists()


def test_a_probe_that_cannot_be_loaded_does_not_stop_a_worker_but_is_told(tmp_path: Path) -> None:
    order.scripts(tmp_path, probe=True)
    (tmp_path / "python" / "fate_probe.py").write_text("raise RuntimeError('broken')")
    assert _python(tmp_path, "print('works')", FATE_JOB_ID="1") == "works\n"
    with pytest.raises(CaseError, match="a worker of FATE could not be measured: fate_probe: RuntimeError: broken"):
        spans.recorders(_events(tmp_path))


def test_a_hook_that_does_not_fit_this_fate_is_told_and_the_others_are_set(tmp_path: Path) -> None:
    order.scripts(tmp_path, probe=True)
    unfit = "import fate_probe; fate_probe.MEASURED += (('json:JSONEncoder.vanished', 'compute', 'x', None),)"
    said = _python(tmp_path, f"{unfit}; {HOMO_LR}; print(client.HomoLRClient.fit.__wrapped__)", FATE_JOB_ID="1")
    assert "HomoLRClient.fit" in said
    with pytest.raises(CaseError, match=r"json:JSONEncoder\.vanished: AttributeError"):
        spans.recorders(_events(tmp_path))


def test_a_forked_child_of_a_worker_writes_nothing_of_its_parent(tmp_path: Path) -> None:
    order.scripts(tmp_path, probe=True)
    program = "import fate_probe, os; fate_probe.emit('kept'); child = os.fork(); child and os.waitpid(child, 0)"
    _python(tmp_path, program, FATE_JOB_ID="1")
    assert [event["e"] for event in _events(tmp_path)] == ["kept"]
