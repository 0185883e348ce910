"""Load tests through their command line: real services, real locust, and a FATE Flow where FATE is installed."""

from __future__ import annotations

import csv
import json
import math
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
from helpers import LIMIT, ROOT, only_run, wait_for, write_csv, write_suite
from load_helpers import GOOD, answering

from bench.data import synthetic
from bench.data.record import reader
from bench.engines.fate import engine
from bench.load import exchange, jobs, requests, watch
from bench.load.__main__ import main
from bench.load.schedule import due_times
from bench.results import load_tests
from bench.run.__main__ import main as run_suite
from bench.stats import formatting

LOCUSTFILE = ROOT / "bench" / "load" / "locustfile.py"
TOKEN = "a-token-of-the-tests-0123456789"
QUICK = ("--seconds", "1", "--ramp", "0.3")
needs_fate = pytest.mark.skipif(engine.missing() is not None, reason=str(engine.missing()))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a model of loans, and one that failed."""
    inputs = tmp_path_factory.mktemp("inputs")
    synthetic.write(inputs / "loan.csv", 3000, seed=5)
    write_csv(inputs / "table.csv", rows=200)
    suite = write_suite(
        inputs / "suite.yml",
        [{"id": "loans", "engine": "centralised"}, {"id": "table", "engine": "centralised", "dataset": "table"}],
        datasets={
            "loans": {"kind": "lending_club", "file": str(inputs / "loan.csv")},
            "table": {"kind": "tabular", "files": [str(inputs / "table.csv")], "label": "ill", "id": "patient"},
        },
        defaults={"dataset": "loans", "training": {"epochs": 10}},
    )
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert run_suite(["--suite", str(suite), "--out", str(inputs / "out")]) == 0
    finally:
        signal.signal(signal.SIGTERM, before)
    return only_run(inputs / "out")


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


@contextmanager
def serving(run: Path, *options: object) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    words = [sys.executable, "-m", "bench.serve", str(run), "--port", "0", *map(str, options)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"http://127.0.0.1:\d+", process.stdout.readline())
            assert found
            yield found[0], process
        finally:
            process.kill()


@pytest.fixture(scope="module")
def service(trained: Path, steady: subprocess.Popen[str]) -> Iterator[str]:
    with serving(trained, "--case", "loans") as (url, _):
        yield url


@pytest.fixture(scope="module")
def steady(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[str]]:
    """A minute of steady load on a service of its own, which begins with the first test that needs a service."""
    run = shutil.copytree(trained, tmp_path_factory.mktemp("steady") / "run")
    with (
        serving(trained, "--case", "loans") as (url, _),
        started("--target", "serving", url, "--run", run, "--case", "loans", "--rate", 100, "--hold", 60) as process,
    ):
        process.run = run  # type: ignore[attr-defined]
        yield process


@contextmanager
def started(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    words = [sys.executable, "-m", "bench.load", *map(str, arguments)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            if process.poll() is None:  # it ends its locust then
                process.send_signal(signal.SIGINT)
                with suppress(subprocess.TimeoutExpired):
                    process.communicate(timeout=LIMIT)
            process.kill()


def load(*arguments: object) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "bench.load", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, timeout=LIMIT)


def measured(run: Path) -> list[dict[str, Any]]:
    content = json.loads((run / "load.json").read_text(encoding="utf-8"))
    assert content["schema_version"] == 1
    return list(content["measurements"])


def serving_options(run: Path, url: str, *more: object) -> tuple[object, ...]:
    return ("--target", "serving", url, "--run", run, "--case", "loans", *more)


# --- load tests ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("raw", [False, True])
def test_made_up_records_are_the_model_s(trained: Path, raw: bool) -> None:
    model = json.loads((trained / "models" / "loans.1.centralised.json").read_text())
    read, make = reader(model["preprocessing"]), requests.maker(model, raw, 1)
    records = [make() for _ in range(200)]
    assert len({json.dumps(record) for record in records}) == 200
    assert all(("purpose" in record) is raw for record in records)
    rows = [read(record) for record in records]
    assert {len(row) for row in rows} == {len(model["features"])}


def test_rates_are_measured_and_shown(run: Path, service: str) -> None:
    done = load(*serving_options(run, service, "--rate", 40, 80, *QUICK))
    assert done.returncode == 0, done.stderr
    (found,) = measured(run)
    assert (found["name"], found["complete"], found["loop"]) == (
        f"serving-loans-single-open-rates-{urlsplit(service).netloc}",
        True,
        "open",
    )
    assert "listen on port" in found["server_measured"] and found["generator_here"] is True
    for step, rate in zip(found["steps"], (40, 80), strict=True):
        due = [t for t in due_times(rate, 0.3, 1.0, rate * 1000) if t >= 0.3]
        assert (step["rate"], step["requests"], step["unsent"], step["errors"]) == (rate, len(due), 0, {})
        assert step["rate_offered"] == len(due)
        for since in ("from_due", "from_sent", "late"):
            assert 0 <= step[since]["p50"] <= step[since]["p90"] <= step[since]["p99"] <= step[since]["max"]
        assert step["from_sent"]["max"] <= step["from_due"]["max"]
        for who in ("server", "generator"):  # there is none where the sampler got no turn in the second
            assert step[who] is None or step[who]["rss_bytes"] > 1e7
        assert step["by_request"]["inference"]["requests"] == len(due)
    with (run / "load.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["step"], row["second"], row["phase"]) for row in rows] == [
        (step, second, phase) for step in "12" for second, phase in (("-1", "ramp"), ("0", "steady"))
    ]
    assert [int(row["due"]) for row in rows if row["phase"] == "steady"] == [
        step["requests"] for step in found["steps"]
    ]
    all_due = [len(list(due_times(rate, 0.3, 1.0, rate * 1000))) for rate in (40, 80)]
    assert [sum(int(row["due"]) for row in rows if row["step"] == step) for step in "12"] == all_due
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "Under load" in page and f'value="{found["steps"][1]["rate_achieved"]!r}"' in page


def test_measurements_lie_beside_each_other_and_a_second_replaces_the_first(run: Path, service: str) -> None:
    where = urlsplit(service).netloc
    for more in (("--users", 2), ("--users", 2, "--rows", 20), ("--users", 3), ("--users", 1, "--raw")):
        done = load(*serving_options(run, service, "--loop", "closed", *more, *QUICK))
        assert done.returncode == 0, done.stderr
    found = {entry["name"]: entry for entry in measured(run)}
    assert list(found) == [
        f"serving-loans-single-closed-users-{where}",
        f"serving-loans-batch-20-closed-users-{where}",
        f"serving-loans-single-raw-closed-users-{where}",
    ]
    first = found[f"serving-loans-single-closed-users-{where}"]
    assert [step["users"] for step in first["steps"]] == [3]
    for entry in found.values():
        (step,) = entry["steps"]
        assert step["rate"] is None and step["requests"] > 0 and step["errors"] == {}
        # A closed loop has no moment at which a request is due but that at which it is sent.
        assert step["from_due"]["p99"] == pytest.approx(step["from_sent"]["p99"], rel=0.5, abs=1e-3)
    with (run / "load.csv").open(newline="") as file:
        assert {row["measurement"] for row in csv.DictReader(file)} == set(found)


def test_the_knee_of_a_service_that_takes_its_time(run: Path) -> None:
    one_at_a_time = threading.Lock()

    def slow(_: str) -> tuple[int, bytes, bool]:
        with one_at_a_time:
            time.sleep(0.005)
        return GOOD

    with answering(slow) as url:
        done = load(*serving_options(run, url, "--p99", 300, *QUICK))
    assert done.returncode == 0, done.stderr
    (found,) = measured(run)
    at, failed, unclear, ended, _ = found["knee"].values()
    failed = failed if unclear is None else unclear
    # Where the machine is busy, the generator can be at its limit at the last rate that was tried.
    assert ended in ("service", "generator") and at < failed <= 1.1 * at
    # It answers 200 a second at the most; a second of more can end before p99 shows it.
    assert at <= 300
    tries = [step["rate"] for step in found["steps"] if step["rate"] == failed]
    assert len(tries) == 2  # a rate that fails is measured again
    assert all(step["failed"] for step in found["steps"] if step["rate"] == failed)
    said = f"maximum sustainable throughput: {formatting.number(at)} requests/s were held with p99 within 300 ms"
    assert said in done.stdout


def test_a_stall_is_seen_in_the_open_loop_only(run: Path) -> None:
    """Coordinated omission: callers that wait for answers do not ask while the service stalls."""

    def stalling() -> Callable[[str], tuple[int, bytes, bool]]:
        everybody, count, at = threading.Lock(), 0, math.inf

        def behave(_: str) -> tuple[int, bytes, bool]:
            nonlocal count, at
            with everybody:
                count += 1
                if count == 12:  # the load has begun: before, the service was asked ten times
                    at = time.monotonic() + 1.5
                if time.monotonic() >= at:
                    at = math.inf
                    time.sleep(1)
            return GOOD

        return behave

    times = ("--seconds", 4, "--ramp", 0.5)
    for loop in (("--rate", 60), ("--loop", "closed", "--users", 1)):
        with answering(stalling()) as url:
            done = load(*serving_options(run, url, *loop, *times))
            assert done.returncode == 0, done.stderr
    opened, closed = (entry["steps"][0] for entry in measured(run))
    assert opened["errors"] == closed["errors"] == {}
    assert opened["from_due"]["max"] > 0.9 and closed["from_due"]["max"] > 0.9  # both met it
    assert opened["from_due"]["p99"] > 0.7
    assert closed["from_due"]["p99"] < 0.5


def test_codes_of_errors_are_counted(run: Path) -> None:
    answers = [GOOD, (200, b'{"retcode":"1604","retmsg":"no model"}', True), (503, b"", False)]
    count = 0

    def behave(_: str) -> tuple[int, bytes, bool]:
        nonlocal count
        count += 1
        return GOOD if count <= 10 else answers[count % 3]

    with answering(behave) as url:
        done = load(*serving_options(run, url, "--loop", "closed", "--users", 1, *QUICK))
    assert done.returncode == 0, done.stderr
    (step,) = measured(run)[0]["steps"]
    assert set(step["errors"]) == {"retcode 1604", "HTTP 503"} and step["failed"] == "errors"
    assert sum(step["errors"].values()) < step["requests"]
    assert "1604" in (run / "report.html").read_text(encoding="utf-8")


def test_a_service_that_dies_ends_the_test_and_what_is_finished_stays(run: Path, trained: Path) -> None:
    with (
        serving(trained, "--case", "loans") as (url, server),
        started(*serving_options(run, url, "--rate", *range(50, 100), *QUICK)) as process,
    ):
        assert process.stdout is not None and process.stderr is not None
        assert "step 1" in "".join(process.stdout.readline() for _ in range(2))
        server.kill()
        _, errors = process.communicate(timeout=LIMIT)
        assert process.returncode == 1, errors
    assert "the service stopped answering" in errors
    (found,) = measured(run)
    assert found["complete"] is False and len(found["steps"]) < 50
    assert "connection failed" in found["steps"][-1]["errors"]
    assert "not complete" in (run / "report.html").read_text(encoding="utf-8")


def test_ctrl_c_keeps_the_finished_steps_and_leaves_nothing_running(run: Path, service: str) -> None:
    with started(*serving_options(run, service, "--rate", *range(50, 100), "--seconds", 2, "--ramp", 0)) as process:
        assert process.stdout is not None
        assert "step 1" in "".join(process.stdout.readline() for _ in range(2))
        children = wait_for(lambda: psutil.Process(process.pid).children(recursive=True), "the second step begins")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=LIMIT)
        assert process.returncode == 130, errors
    assert "interrupted" in errors and "Traceback" not in errors
    assert psutil.wait_procs(children, timeout=LIMIT)[1] == []
    (found,) = measured(run)
    assert (found["complete"], found["stopped"]) == (False, "interrupted") and 1 <= len(found["steps"]) < 50


def test_a_token_is_sent(run: Path, trained: Path, tmp_path: Path) -> None:
    good, wrong = tmp_path / "good", tmp_path / "wrong"
    good.write_text(TOKEN)
    wrong.write_text(TOKEN[::-1])
    with serving(trained, "--case", "loans", "--token-file", good) as (url, _):
        for more in ((), ("--token-file", wrong)):
            done = load(*serving_options(run, url, "--rate", 40, *QUICK, *more))
            assert (done.returncode, done.stderr.count("\n")) == (2, 1) and "--token-file" in done.stderr
        assert not (run / "load.json").exists()
        done = load(*serving_options(run, url, "--rate", 40, *QUICK, "--token-file", good))
        assert done.returncode == 0, done.stderr
        source = watch.Source("metrics", (), f"{url}/metrics")
        with watch.watched(os.getpid(), source, TOKEN) as seen:
            wait_for(lambda: sum(who == watch.SERVER for _, who, _, _ in seen.samples) >= 2, "two readings")
    assert TOKEN not in (run / "load.json").read_text() and measured(run)[0]["steps"][0]["errors"] == {}
    # Where the service's processes cannot be seen, its own figures tell: a second reading gives CPU.
    readings = [(cpu, rss) for _, who, cpu, rss in seen.samples if who == watch.SERVER]
    assert readings[0][0] is None and readings[1][0] is not None and readings[1][0] >= 0
    assert all(rss is not None and rss > 1e7 for _, rss in readings)


def test_the_locust_file_works_by_itself(trained: Path, service: str) -> None:
    model = trained / "models" / "loans.1.centralised.json"
    words = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--host", service, "--case", "loans"]
    words += ["--model-file", str(model), "--users", "2", "--run-time", "5s", "--only-summary", "--json"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 0, done.stderr
    (stats,) = json.loads(done.stdout)
    assert (stats["name"], stats["num_failures"]) == ("inference", 0) and stats["num_requests"] > 0


def test_the_kit_s_own_process_stays_without_gevent() -> None:
    code = "import bench.load.__main__, bench.report, sys; sys.exit('gevent' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=LIMIT).returncode == 0
    assert "gevent" not in sys.modules and "pytest_locust" not in sys.modules


# --- wrong inputs ----------------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


WRONG: list[tuple[list[str], str]] = [
    (["--rate", "1e9"], "--rate: 1e+09 is not between"),
    (["--rate", "0"], "--rate: 0 is not between"),
    (["--rate", "nan"], "--rate: nan is not between"),
    (["--loop", "closed", "--users", "0"], "--users"),
    (["--loop", "closed", "--rate", "5"], "--rate: a closed loop"),
    (["--users", "5"], "--users: an open loop"),
    (["--rows", "301"], "--rows"),
    (["--seconds", "0"], "--seconds"),
    (["--hold", "60"], "--hold: goes with one --rate"),
    (["--p99", "-1"], "--p99"),
    (["--loop", "closed", "--p99", "80"], "--p99: a closed loop has no bound"),
    (["--rate", "5", "--hold", "60", "--seconds", "3"], "--seconds: --hold says how long"),
    (["--jobs-per-minute", "0"], "--jobs-per-minute: goes with --target flow only"),
    (["--rate", "20000", "--hold", "3600"], "--hold: a step of about 72,000,000 requests"),
    (["--case", "nobody"], "--case"),
    (["--case", "table", "--raw"], "--raw"),
    (["--token-file", "/nowhere"], "--token-file"),
]


@pytest.mark.parametrize(("more", "words"), WRONG)
def test_wrong_options_are_one_line(
    run: Path, service: str, more: list[str], words: str, capsys: pytest.CaptureFixture[str], keep_signals: None
) -> None:
    assert main([*map(str, serving_options(run, service)), *more]) == 2
    said = capsys.readouterr().err
    assert words in said and said.startswith("error: ") and said.count("\n") == 1
    assert not (run / "load.json").exists()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("127.0.0.1:8059", "http://HOST:PORT"),
        ("ftp://127.0.0.1", "http://HOST:PORT"),
        ("http://127.0.0.1:99999", "Port out of range"),
        ("http://127.0.0.1:0", "http://HOST:PORT"),
        ("http://m\u00fcnchen..de", "http://HOST:PORT"),
        ("http://127.0.0.1/a path", "http://HOST:PORT"),
        (f"http://{'a' * 64}.example", "nobody answers there"),
        ("http://127.0.0.1:{free}", "nobody answers there"),
        ("{service}/elsewhere", "does not answer as FATE-Serving does (HTTP 404"),
    ],
)
def test_wrong_addresses_are_one_line(
    run: Path, service: str, url: str, words: str, capsys: pytest.CaptureFixture[str], keep_signals: None
) -> None:
    assert main([*map(str, serving_options(run, url.format(free=free_port(), service=service)))]) == 2
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1


def test_what_is_no_flow_no_model_no_run_is_one_line(
    run: Path, service: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], keep_signals: None
) -> None:
    def said(*arguments: object) -> str:
        assert main([*map(str, arguments)]) == 2
        line = capsys.readouterr().err
        assert line.count("\n") == 1
        return line

    assert "does not answer as FATE Flow does" in said("--target", "flow", service, "--run", run)
    with answering(lambda path: (404, b"", False) if "/v2/" in path else (200, b'{"retcode":0}', False)) as url:
        assert "FATE Flow 1.x" in said("--target", "flow", url, "--run", run)
    with answering(lambda _: (200, b'{"retcode":1604,"retmsg":"no such model"}', False)) as url:
        assert "retcode 1604" in said(*serving_options(run, url))
    assert "--case: is needed" in said("--target", "serving", service, "--run", run)
    of_flow = ("--target", "flow", service, "--run", run)
    assert "--jobs-per-minute: 99 is not" in said(*of_flow, "--jobs-per-minute", 99)
    for option in (("--case", "loans"), ("--rows", 1), ("--raw",), ("--service-id", "x"), ("--repeat", 1)):
        assert f"{option[0]}: goes with --target serving only" in said(*of_flow, *option)
    assert "not a run folder" in said(*serving_options(tmp_path / "nowhere", service))
    (run / "load.json").write_text("{")
    assert "load.json" in said(*serving_options(run, service))
    (run / "load.json").unlink()
    shutil.rmtree(run / "models")
    assert "models" in said(*serving_options(run, service))


def test_a_service_slower_than_the_bound_or_the_step_is_one_line(run: Path) -> None:
    def slow(_: str) -> tuple[int, bytes, bool]:
        time.sleep(0.2)
        return GOOD

    with answering(slow) as url:
        for more, words in (
            ((), "--p99: a request takes "),
            (("--p99", 10_000, "--seconds", 2), "--seconds: a request takes 0."),
        ):
            done = load(*serving_options(run, url, *more))
            assert (done.returncode, done.stderr.count("\n")) == (2, 1) and words in done.stderr
    assert not (run / "load.json").exists()


def test_a_step_in_which_nothing_was_due_says_so_and_lasts_to_its_end(run: Path, service: str) -> None:
    done = load(*serving_options(run, service, "--rate", 0.01, "--seconds", 3, "--ramp", 0))
    assert done.returncode == 0, done.stderr
    (step,) = measured(run)[0]["steps"]
    assert (step["requests"], step["failed"], step["generator_limited"]) == (0, "no requests", False)
    assert "no requests" in (run / "report.html").read_text(encoding="utf-8")
    with (run / "load.csv").open(newline="") as file:
        assert [int(row["second"]) for row in csv.DictReader(file) if row["generator_cpu_percent"]][-1] >= 1


def test_a_service_that_hangs_is_not_without_errors(run: Path, tmp_path: Path) -> None:
    """Also where its last answers are those to the ramp's requests, long after the end."""
    answers = iter(range(20))  # those that it is asked for before the two loads

    def hanging(_: str) -> tuple[int, bytes, bool]:
        if next(answers, None) is None:
            time.sleep(12)
        return GOOD

    other = Path(shutil.copytree(run, tmp_path / "other"))
    times = ("--seconds", 1, "--ramp", 1)
    with (
        answering(hanging) as url,
        started(*serving_options(other, url, "--loop", "closed", "--users", 2, *times)) as closed,
    ):
        opened = load(*serving_options(run, url, "--rate", 80, *times))
        assert opened.returncode == 0, opened.stderr
        assert closed.wait(LIMIT) == 0
    (step,), (of_callers,) = (measured(folder)[0]["steps"] for folder in (run, other))
    for found in (step, of_callers):
        assert found["failed"] == "errors" and found["errors"]["no answer in time"] > 0
    due = [t - 1 for t in due_times(80, 1, 1, 80_000)]
    assert (step["requests"], step["unsent"]) == (sum(t >= 0 for t in due),) * 2
    with (run / "load.csv").open(newline="") as file:
        counts = {int(row["second"]): int(row["due"]) for row in csv.DictReader(file)}
    assert counts == {second: sum(math.floor(t) == second for t in due) for second in (-1, 0)}


def test_a_token_is_read_once(run: Path, trained: Path, tmp_path: Path) -> None:
    """It may come out of a pipe."""
    (tmp_path / "token").write_text(TOKEN)
    reading, writing = os.pipe()
    os.write(writing, TOKEN.encode())
    os.close(writing)
    words = [sys.executable, "-m", "bench.load", "--token-file", f"/dev/fd/{reading}", "--rate", "20", *QUICK]
    with serving(trained, "--case", "loans", "--token-file", tmp_path / "token") as (url, _):
        words += map(str, serving_options(run, url))
        done = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT, pass_fds=[reading])
    os.close(reading)
    assert done.returncode == 0, done.stderr
    assert measured(run)[0]["steps"][0]["errors"] == {}


def test_what_the_locust_file_cannot_read_ends_it(trained: Path, service: str) -> None:
    words = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--host", service, "--run-time", "1s"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 2 and "what is to be asked cannot be read" in done.stderr


def test_a_secure_service_is_loaded_where_its_certificate_is_trusted(
    run: Path, service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test", "-days", "2"]
    words += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(words, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    options = ("--rate", 20, *QUICK)
    with answering(lambda _: GOOD, context) as url:
        done = load(*serving_options(run, url, *options))
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert "no secure connection (self" in done.stderr and "SSL_CERT_FILE" in done.stderr
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        done = load(*serving_options(run, url, *options))
        assert done.returncode == 0, done.stderr
    (step,) = measured(run)[0]["steps"]
    assert step["errors"] == {} and step["requests"] > 0
    done = load(*serving_options(run, service.replace("http:", "https:"), *options))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1) and "correct http or https" in done.stderr


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[]", "no load.json"),
        ('{"schema_version": 2, "measurements": []}', "newer"),
        ('{"schema_version": 1, "measurements": [7]}', "measurements[0]"),
        ('{"schema_version": 1, "measurements": [{"name": "x"}]}', "measurements[0]"),
    ],
)
def test_a_damaged_load_json_is_one_line(
    run: Path, content: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from bench.report.__main__ import main as report

    (run / "load.json").write_text(content)
    assert report([str(run)]) == 2
    said = capsys.readouterr().err
    assert words in said and str(run / load_tests.JSON) in said and said.count("\n") == 1


# --- FATE Flow -------------------------------------------------------------------------------------------------------


@contextmanager
def flow(folder: Path) -> Iterator[str]:
    """A FATE Flow that ends, with all that it started and laid down, when the block does."""
    words = [sys.executable, "-m", "bench.engines.fate"]
    environment = {**os.environ, "TMPDIR": str(folder)}
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            said = "".join(process.stdout.readline() for _ in range(2))
            found = re.search(r"http://127.0.0.1:\d+", said)
            assert found, said
            yield found[0]
            below = psutil.Process(process.pid).children(recursive=True)
            process.terminate()
            assert process.wait(LIMIT) == 0
            assert psutil.wait_procs(below, timeout=LIMIT)[1] == []
            assert not list(folder.glob("bench-fate-*"))
        finally:
            process.kill()


@needs_fate
def test_a_fate_flow_is_loaded_and_its_jobs_end(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with flow(tmp_path) as url:
        done = load("--target", "flow", url, "--run", run, "--rate", 10, *QUICK)
        assert done.returncode == 0, done.stderr
        (found,) = measured(run)
        (step,) = found["steps"]
        assert step["errors"] == {} and set(step["by_request"]) == {"version", "job query"}
        assert [job["status"] for job in found["jobs"]] == ["success"]
        assert "1 success" in (run / "report.html").read_text(encoding="utf-8")
        # Interrupted while it waits for the jobs, it stops them.
        with started("--target", "flow", url, "--run", run, "--rate", 10, *QUICK) as process:
            to = exchange.address(url)
            query = exchange.as_sent(to, "GET", requests.JOBS, b"", None)

            def states() -> list[str]:
                connection = exchange.Connection(to, 10)
                try:
                    return [job["status"] for job in json.loads(connection.ask(query)[1])["data"]["data"]]
                finally:
                    connection.close()

            assert process.stdout is not None
            assert any("waiting for the jobs" in line for line in process.stdout)
            assert set(states()) & {"waiting", "running"}
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=LIMIT)
            assert process.returncode == 130, errors
        assert set(states()) <= {"success", "canceled", "failed"}
        # One whose submission was not answered in time is found, and stopped, too.
        submitted = jobs.Submitted(to, None, ("9999", "9998"))
        with monkeypatch.context() as patch:
            patch.setattr(jobs, "ANSWER_SECONDS", 0.001)
            submitted.submit()
        (job,) = submitted.jobs
        assert job["error"] == "not answered" and "job_id" not in job
        wait_for(lambda: submitted.end(0) == [] and "job_id" in job, "the job is found, and ends")
        assert job["status"] in {"success", "canceled"} and len(submitted.jobs) == 1


def said(text: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text)


# --- the end of the kit ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "status"), [(signal.SIGKILL, -9), (signal.SIGHUP, 130)])
@pytest.mark.parametrize("begun", [False, True])
def test_locust_does_not_outlive_the_kit(
    run: Path,
    service: str,
    number: int,
    status: int,
    begun: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # what a kit that is killed leaves behind
    with started(*serving_options(run, service, "--rate", 20, "--hold", 600)) as process:
        kit = psutil.Process(process.pid)

        def found() -> psutil.Process | None:
            for child in kit.children():
                with suppress(psutil.Error):  # others, which describe the machine, come and go
                    if "locust" in child.cmdline() and (child.net_connections() or not begun):
                        return child
            return None

        locust = wait_for(found, "locust runs")
        process.send_signal(number)
        assert process.wait(LIMIT) == status
        wait_for(lambda: not locust.is_running() or locust.status() == psutil.STATUS_ZOMBIE, "locust has ended")


def test_an_interrupt_before_the_first_step_is_one_line(run: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with started(*serving_options(run, url)) as process:
            silent.accept()
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=LIMIT)
    assert (process.returncode, errors.splitlines()[-1]) == (130, "interrupted") and "Traceback" not in errors


# --- memory: last, since it takes a minute that the others have filled ----------------------------------------------


def test_a_minute_of_load_without_growth_in_memory(steady: subprocess.Popen[str]) -> None:
    out, errors = steady.communicate(timeout=LIMIT)
    assert steady.returncode == 0, errors
    (found,) = measured(steady.run)  # type: ignore[attr-defined]
    assert found["steps"][0]["errors"] == {} and found["steps"][0]["requests"] > 5000
    assert found["memory"]["samples"] > 50
    assert found["memory"]["bytes_per_minute"] < 2e5, out  # 33 bytes a request
