"""FATE 1.x by REST. None can run here: an HTTP server on loopback answers as FATE's documentation and source say."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from fate1_helpers import JOB, Server, finished, ok, running, serving, tasks_of
from helpers import LIMIT, wait_for

from bench.fate1.client import Federation, Paillier, render
from bench.model.logistic import Training

TRAINING = Training(aggregation="fedavg")


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


# --- the command line -------------------------------------------------------------------------------------------------


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "bench.fate1.client", *arguments]


def ended(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=LIMIT)


def test_command_line(server: Server) -> None:
    finished(server)
    place = ("--flow", str(server.flow), "--table", "experiment/loans", "9998=other/a=b", "--stall-limit", "0.4")
    done = ended(*place)
    assert done.returncode == 0, done.stderr
    assert f"job {JOB} of FATE 1.8.0 succeeded in 61.0 s" in done.stdout
    assert "homo_lr_0         9998 (host)   success  12.3\n" in done.stdout
    assert "epochs run      3\n" in done.stdout
    assert "auc             0.695000 (the guest's rows)\n" in done.stdout
    assert "running: homo_lr_0, 12 losses logged" in done.stderr
    tables = {"9999": ("experiment", "loans"), "9998": ("other", "a=b"), "10000": ("experiment", "loans")}
    assert server.bodies("job/submit") == [render(Federation(tables), TRAINING, "1.8.0")]


def test_command_line_writes_json(server: Server) -> None:
    finished(server)
    training = [
        "--optimiser",
        "sgd",
        "--learning-rate",
        "0.15",
        "--epochs",
        "7",
        "--batch-size",
        "500",
        "--tolerance",
        "1e-4",
    ]
    parties = ["--guest", "1", "--host", "2", "--arbiter", "3", "--label", "ill", "--table", "a/b"]
    paillier = ["--privacy", "paillier_host", "--key-length", "2048", "--re-encrypt-batches", "3"]
    done = ended("--flow", str(server.flow), *training, *parties, *paillier, "--stall-limit", "0.4", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["epochs_run"], result["weights"], len(result["losses"])) == (3, {"x0": 1.5, "x1": -0.5}, 12)
    federation = Federation({"1": ("a", "b"), "2": ("a", "b")}, "1", ("2",), "3")
    settings = Training("sgd", 0.15, 1e-5, 7, 500, 1e-4, "fedavg")
    assert server.bodies("job/submit") == [render(federation, settings, "1.8.0", "ill", Paillier(2048, 3))]


def test_a_failed_job_ends_with_status_1(server: Server) -> None:
    running(server, [])
    server.replies["job/query"] = ok([{"f_status": "failed"}])
    done = ended("--flow", str(server.flow), "--table", "a/b")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"error: job {JOB} ended as failed")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_stops_the_job(server: Server, number: signal.Signals) -> None:
    running(server, tasks_of("homo_lr_0"))
    process = subprocess.Popen(
        command("--flow", str(server.flow), "--table", "a/b"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for(lambda: server.bodies("tracking/component/metric_data"), "the job being watched")
        process.send_signal(number)
        _, errors = process.communicate(timeout=LIMIT)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert server.bodies("job/stop") == [{"job_id": JOB}]
    assert errors.splitlines()[-2:] == [f"job {JOB}: it has been stopped", "interrupted"]
