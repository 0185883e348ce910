from __future__ import annotations

import csv
import http.client
import json
import math
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import schemathesis
from helpers import FEATURES, LIMIT, only_run, table, write_csv, write_suite
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode, checks
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from bench.data import lending_club, synthetic
from bench.data.record import reader
from bench.model.scoring import predicted
from bench.run.__main__ import main as run_suite
from bench.serve import __main__ as main_of_serve
from bench.serve.app import MOST_BYTES, MOST_ROWS

Array = np.ndarray[Any, np.dtype[np.float64]]
Record = dict[str, Any]
TOKEN = "a-token-of-the-tests-0123456789"
SINGLE, BATCH = "/federation/v1/inference", "/federation/v1/batchInference"
HEAVY = {"pandas", "sklearn", "scipy", "imblearn", "duckdb", "grpc", "google", "dp_accounting", "phe", "cryptography"}


@dataclass
class Server:
    """A service in a process of its own, and one connection to it."""

    process: subprocess.Popen[str]
    port: int
    service: str
    headers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT)

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        self.connection.request(method, path, body, {**self.headers, **headers})
        response = self.connection.getresponse()
        return response.status, response.read()

    def post(self, path: str, body: bytes) -> dict[str, Any]:
        status, text = self.ask("POST", path, body)
        assert status == 200
        answer = json.loads(text)
        assert isinstance(answer, dict)
        return answer

    def single(self, record: object, **more: Any) -> dict[str, Any]:
        content = {"featureData": record, **more}
        return self.post(SINGLE, json.dumps({"head": {"serviceId": self.service}, "body": content}).encode())

    def batch(self, items: object) -> dict[str, Any]:
        content = {"batchDataList": items}
        return self.post(BATCH, json.dumps({"head": {"serviceId": self.service}, "body": content}).encode())

    def scores(self, records: list[Record]) -> list[float]:
        """The scores of records, asked for in batches."""
        found: list[float] = []
        for start in range(0, len(records), MOST_ROWS):
            part = records[start : start + MOST_ROWS]
            answer = self.batch([{"index": index, "featureData": record} for index, record in enumerate(part)])
            found += [item["data"]["score"] for item in answer["batchDataList"]]
        return found


@contextmanager
def serving(*options: object, errors: Path, flags: tuple[str, ...] = ()) -> Iterator[Server]:
    words = [sys.executable, *flags, "-m", "bench.serve", *map(str, options), "--port", "0"]
    with errors.open("w") as log, subprocess.Popen(words, stdout=subprocess.PIPE, stderr=log, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.search(r"of case (\S+), .*http://[^ ]*:(\d+) ", line)
            assert found, line + errors.read_text()
            yield Server(process, int(found[2]), found[1])
        finally:
            process.kill()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on made-up loans and on a table, with the files it read beside it."""
    inputs = tmp_path_factory.mktemp("inputs")
    synthetic.write(inputs / "loan.csv", 4000, seed=5)
    write_csv(inputs / "table.csv", rows=200)
    suite = write_suite(
        inputs / "suite.yml",
        [
            {"id": "loans", "engine": "centralised", "dataset": "loans"},
            {"id": "table", "engine": "centralised", "dataset": "table"},
            {"id": "alone", "engine": "local", "dataset": "table"},
        ],
        datasets={
            "loans": {"kind": "lending_club", "file": str(inputs / "loan.csv")},
            "table": {"kind": "tabular", "files": [str(inputs / "table.csv")], "label": "ill", "id": "patient"},
        },
        defaults={"training": {"epochs": 20, "learning_rate": 0.05}},
    )
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert run_suite(["--suite", str(suite), "--out", str(inputs / "out")]) == 0
    finally:
        signal.signal(signal.SIGTERM, before)
    return only_run(inputs / "out")


@pytest.fixture(scope="module")
def loans(run: Path) -> tuple[list[Record], Array]:
    """The raw rows that the training path takes, and the features it makes of them."""
    path = run.parents[1] / "loan.csv"
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["loan_status"] in lending_club.CLASS_NAMES]
    records = [row for row in rows if all(row[name] not in lending_club.MISSING for name in lending_club.NEEDED)]
    X = lending_club.load(path).X
    assert len(records) == len(X) > 800
    return records, X


def model_of(run: Path, name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((run / "models" / f"{name}.json").read_text())
    return content


def expected(model: dict[str, Any], X: Array) -> list[float]:
    """The scores that bench.score works with."""
    weights = np.array([*model["coefficients"], model["intercept"]])
    scores: list[float] = predicted(X, weights, np.array(model["means"]), np.array(model["deviations"])).tolist()
    return scores


@pytest.fixture(scope="module")
def server(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    errors = tmp_path_factory.mktemp("log") / "imports"
    with serving(run, "--case", "loans", errors=errors, flags=("-X", "importtime")) as started:
        yield started
        lines = errors.read_text().splitlines()
        strange = [line for line in lines if not line.startswith("import time:")]
    assert strange == []  # nothing was logged: no request was more than a wrong request
    loaded = {line.split("|")[2].strip().split(".")[0] for line in lines}
    assert {"bench", "starlette"} <= loaded
    assert loaded.isdisjoint(HEAVY)


def test_raw_loans_get_the_scores_of_the_run_bit_for_bit(
    run: Path, server: Server, loans: tuple[list[Record], Array]
) -> None:
    records, X = loans
    scores = expected(model_of(run, "loans.1.centralised"), X)
    assert len(set(scores)) > 800
    assert server.scores(records) == scores
    for record, score in list(zip(records, scores, strict=True))[:100]:
        assert server.single(record)["data"]["score"] == score


def test_features_get_the_scores_of_the_run_bit_for_bit(
    run: Path, server: Server, loans: tuple[list[Record], Array]
) -> None:
    X = loans[1][:300]
    records = [dict(zip(lending_club.FEATURES, row, strict=True)) for row in X.tolist()]
    scores = expected(model_of(run, "loans.1.centralised"), X)
    assert server.scores(records) == scores
    assert [server.single(record)["data"]["score"] for record in records[:100]] == scores[:100]


def test_a_party_s_model_of_a_table_is_served(run: Path, tmp_path: Path) -> None:
    X, _ = table(300, seed=3)
    with serving(run, "--case", "alone", "--model", "9998", errors=tmp_path / "log") as server:
        scores = server.scores([dict(zip(FEATURES, row, strict=True)) for row in X.tolist()])
        assert server.single(dict(zip(FEATURES, map(repr, X[0].tolist()), strict=True)))["data"]["score"] == scores[0]
    assert scores == expected(model_of(run, "alone.1.9998"), X)


def test_answers_have_fate_serving_s_shape(run: Path, server: Server, loans: tuple[list[Record], Array]) -> None:
    record = loans[0][0]
    about = {"modelId": "loans.1.centralised", "modelVersion": run.name}
    answer = server.single(record, sendToRemoteFeatureData={"id": "123"})
    score, timestamp = answer["data"]["score"], answer["data"]["timestamp"]
    data = {"score": score, **about, "timestamp": timestamp}
    assert answer == {"retcode": 0, "retmsg": "", "data": data, "flag": 0}
    items = [{"index": index, "featureData": record, "sendToRemoteFeatureData": {}} for index in (7, 3)]
    each = [{"index": index, "retcode": 0, "retmsg": "", "data": {"score": score}} for index in (7, 3)]
    assert server.batch(items) == {
        "retcode": 0,
        "retmsg": "",
        "data": {**about, "timestamp": timestamp},
        "flag": 0,
        "batchDataList": each,
        "singleInferenceResultMap": {"7": each[0], "3": each[1]},
    }


def test_every_feature_of_every_row_is_the_training_s_bit_for_bit(run: Path, loans: tuple[list[Record], Array]) -> None:
    read = reader(model_of(run, "loans.1.centralised")["preprocessing"])
    np.testing.assert_array_equal([read(record) for record in loans[0]], loans[1])


def without(name: str) -> Callable[[Record], Record]:
    return lambda record: {key: value for key, value in record.items() if key != name}


def having(**values: Any) -> Callable[[Record], Record]:
    return lambda record: {**record, **values}


WRONG_RECORDS: list[tuple[Callable[[Record], Record], int, list[str]]] = [
    (without("dti"), 102, ["missing: dti"]),
    (without("purpose"), 102, ["missing: purpose"]),
    (having(dti=None, purpose=""), 102, ["missing: dti, purpose"]),
    (having(emp_length="n/a"), 102, ["missing: emp_length"]),
    (having(dti="plenty"), 102, ["dti", "'plenty'", "not a finite number"]),
    (having(dti="inf"), 102, ["dti", "'inf'"]),
    (having(dti="NaN "), 102, ["dti", "'NaN '"]),
    (having(dti=True), 102, ["dti", "True"]),
    (having(dti=[1] * 99), 102, ["dti", "[1, 1", "..."]),
    (having(dti=math.nan), 100, ["not JSON"]),
    (having(dti=-math.inf), 100, ["not JSON"]),
    (having(dti=10**400), 100, ["not JSON"]),
    (having(dti="9" * 400), 102, ["dti", "not a finite number"]),
    (having(loan_amnt=1.7e308, annual_inc=-1.7e308, dti=1.7e308), 0, []),
    (having(purpose="spaceship"), 102, ["purpose", "'spaceship'", "wedding"]),
    (having(purpose=3), 102, ["purpose", "3"]),
    (having(**{"purpose=car": 1}), 102, ["purpose is given twice"]),
    (having(serial="7", nested={"a": [1]}), 0, []),
]


@pytest.mark.parametrize(("edit", "code", "words"), WRONG_RECORDS)
def test_a_wrong_record_gets_a_code_and_a_message(
    server: Server, loans: tuple[list[Record], Array], edit: Callable[[Record], Record], code: int, words: list[str]
) -> None:
    good = loans[0][0]
    answer = server.single(edit(good))
    assert (answer["retcode"], bool(answer["retmsg"])) == (code, code > 0)
    assert all(word in answer["retmsg"] for word in words), answer
    several = server.batch([{"index": 0, "featureData": edit(good)}, {"index": 1, "featureData": good}])
    if code == 100:
        assert (several["retcode"], several["batchDataList"], several["singleInferenceResultMap"]) == (100, [], {})
        return
    first, second = several["batchDataList"]
    assert (several["retcode"], first["retcode"], first["retmsg"]) == (0, code, answer["retmsg"])
    assert (second["retcode"], second["data"]["score"]) == (0, server.single(good)["data"]["score"])


HEAD = b'{"head":{"serviceId":"loans"},"body":'
WRONG_REQUESTS = [
    (b"", 100, "not JSON"),
    (b"{", 100, "not JSON"),
    (b"\xff\xfe{}", 100, "not JSON"),
    (b"[" * 100_000, 100, "not JSON"),
    (b"[]", 100, "no head"),
    (b'{"head":[],"body":{}}', 100, "no head"),
    (b'{"head":{},"body":{}}', 100, "no service id"),
    (b'{"head":{"serviceId":7},"body":{}}', 100, "no service id"),
    (b'{"head":{"serviceId":"other"},"body":{}}', 104, "'loans'"),
    (b'{"head":{"serviceId":"loans"}}', 100, "no body"),
    (HEAD + b"{}}", 100, "no feature data"),
    (HEAD + b'{"featureData":[1]}}', 100, "no feature data"),
    (HEAD + b'{"featureData":{},"sendToRemoteFeatureData":null}}', 100, "no send to remote"),
    (HEAD + b'{"featureData":{}}}', 102, "missing: loan_amnt, term,"),
]


@pytest.mark.parametrize(("body", "code", "words"), WRONG_REQUESTS)
def test_a_wrong_request_gets_a_code_and_a_message(server: Server, body: bytes, code: int, words: str) -> None:
    answer = server.post(SINGLE, body)
    assert (answer["retcode"], answer["data"], answer["flag"]) == (code, {}, 0)
    assert words in answer["retmsg"]


@pytest.mark.parametrize(
    ("items", "words"),
    [
        (None, "must be a list of 1 to 300 records"),
        ([], "must be a list of 1 to 300 records"),
        ([{"index": index, "featureData": {}} for index in range(301)], "must be a list of 1 to 300 records"),
        ([3], "batchDataList[0] must be an object"),
        ([{"index": 0, "featureData": {}}, {"index": 1}], "batchDataList[1] must be an object"),
        ([{"featureData": {}}], "batchDataList[0].index must be a whole number"),
        ([{"index": True, "featureData": {}}], "batchDataList[0].index must be a whole number"),
        ([{"index": 2**31, "featureData": {}}], "batchDataList[0].index must be a whole number"),
        ([{"index": 4, "featureData": {}}, {"index": 4, "featureData": {}}], "batchDataList[1].index: 4 stands twice"),
        ([{"index": 4, "featureData": {}, "sendToRemoteFeatureData": 1}], "no send to remote"),
    ],
)
def test_a_wrong_batch_gets_a_code_and_a_message(server: Server, items: object, words: str) -> None:
    answer = server.batch(items)
    assert (answer["retcode"], answer["batchDataList"]) == (100, [])
    assert words in answer["retmsg"]


@pytest.mark.parametrize("size", [MOST_BYTES + 1, 3 * MOST_BYTES])
def test_a_request_that_is_too_large_is_told_so(server: Server, size: int) -> None:
    answer = server.post(SINGLE, b" " * size)
    assert (answer["retcode"], answer["retmsg"]) == (100, f"the request is larger than {MOST_BYTES} bytes")
    assert server.ask("GET", "/health")[0] == 200


def test_what_is_not_here_is_told_so(server: Server) -> None:
    for method, path, status, code in (
        ("GET", SINGLE, 405, 125),
        ("POST", f"{SINGLE}/", 404, 122),
        ("POST", "/federation/v1/other", 404, 122),
        ("GET", "/", 404, 122),
    ):
        found, text = server.ask(method, path, b"{}" if method == "POST" else None)
        assert (found, json.loads(text)["retcode"]) == (status, code)


def test_health_and_metrics(run: Path, server: Server, loans: tuple[list[Record], Array]) -> None:
    def figures() -> dict[str, float]:
        lines = server.ask("GET", "/metrics")[1].decode().splitlines()
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}

    status, text = server.ask("GET", "/health")
    assert (status, json.loads(text)["status"], json.loads(text)["modelVersion"]) == (200, "ok", run.name)
    server.single({})
    before = figures()
    server.single({})
    server.batch([{"index": 0, "featureData": {}}, {"index": 1, "featureData": loans[0][0]}])
    after = figures()
    counted = {name: after[name] - before.get(name, 0) for name in after if name.startswith("bench_serve")}
    assert counted['bench_serve_requests_total{call="inference",retcode="102"}'] == 1
    assert counted['bench_serve_requests_total{call="batchInference",retcode="0"}'] == 1
    assert counted['bench_serve_rows_total{call="batchInference"}'] == 1
    for call in ("inference", "batchInference"):
        assert counted[f'bench_serve_seconds_bucket{{call="{call}",le="+Inf"}}'] == 1
        assert counted[f'bench_serve_seconds_sum{{call="{call}"}}'] > 0
    assert after["process_resident_memory_bytes"] > 1e6


@pytest.mark.filterwarnings("ignore")
def test_fuzzed_by_its_own_description(server: Server) -> None:
    schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{server.port}/openapi.json")
    kept = [checks.not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
    asked: set[str] = set()
    for operation in (result.ok() for result in schema.get_all_operations()):
        modes = list(GenerationMode) if operation.method == "post" else [GenerationMode.POSITIVE]
        for mode in modes:

            @given(operation.as_strategy(generation_mode=mode))
            @settings(
                max_examples=12,
                derandomize=True,
                deadline=None,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            def sent(case: Any) -> None:
                response = case.call_and_validate(checks=kept)
                asked.add(f"{case.path} {response.text[:14]}")

            sent()
    assert {f'{path} {{"retcode":{code}' for path in (SINGLE, BATCH) for code in ('0,"', "100")} <= asked


def test_who_has_no_token_gets_no_more_than_the_health(run: Path, tmp_path: Path) -> None:
    secret, log = tmp_path / "token", tmp_path / "log"
    secret.write_text(TOKEN + "\n")
    with serving(run, "--case", "table", "--host", "0.0.0.0", "--token-file", secret, errors=log) as server:
        for path in (SINGLE, "/metrics", "/openapi.json", "/other"):
            for header in ("", TOKEN, f"Basic {TOKEN}", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Bearer \u00e9"):
                status, text = server.ask("GET", path, **({"Authorization": header} if header else {}))
                assert (status, json.loads(text)["retcode"]) == (401, 129)
                assert TOKEN.encode() not in text
        assert server.ask("GET", "/health")[0] == 200
        server.headers = {"Authorization": f"Bearer {TOKEN}"}
        assert server.single(dict.fromkeys(FEATURES, 1.5))["retcode"] == 0
        assert json.loads(server.ask("GET", "/openapi.json")[1])["security"] == [{"token": []}]
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(LIMIT) == 0
        assert server.process.stdout is not None
        assert server.process.stdout.read() == log.read_text() == ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_after_the_request_under_way(run: Path, tmp_path: Path, number: signal.Signals) -> None:
    content = {"featureData": dict.fromkeys(FEATURES, 1.5)}
    body = json.dumps({"head": {"serviceId": "table"}, "body": content}).encode()
    log = tmp_path / "log"
    with serving(run, "--case", "table", errors=log) as server:
        server.ask("GET", "/health")
        with socket.create_connection(("127.0.0.1", server.port), timeout=LIMIT) as connection:
            head = f"POST {SINGLE} HTTP/1.1\r\nHost: here\r\nContent-Length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body[:10])
            server.ask("GET", "/health")  # the other request's head was read before this one's
            server.process.send_signal(number)
            refused = False
            while not refused:  # until it takes no more
                try:
                    socket.create_connection(("127.0.0.1", server.port), timeout=LIMIT).close()
                except OSError:
                    refused = True
            connection.sendall(body[10:])
            answer = b"".join(iter(lambda: connection.recv(1 << 16), b""))
        assert b'{"retcode":0,' in answer
        assert server.process.wait(LIMIT) == 0
        assert log.read_text() == ""


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main_of_serve.main(list(map(str, arguments))) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("error: ")
    assert output.err.count("\n") == 1
    return output.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--case", "other"], ["has no case 'other'", "loans, table, alone"]),
        (["--case", "loans", "--repeat", 2], ["no finished repeat 2", "it has 1"]),
        (["--case", "alone"], ["several models", "10000, 9998, 9999"]),
        (["--case", "alone", "--model", "9997"], ["no model '9997'", "9998"]),
        (["--case", "loans", "--host", "0.0.0.0"], ["0.0.0.0", "--token-file"]),
        (["--case", "loans", "--host", "::"], ["::", "--token-file"]),
        (["--case", "loans", "--port", 70000], ["70000", "65535"]),
        (["--case", "loans", "--token-file", "nowhere"], ["nowhere", "No such file"]),
    ],
)
def test_what_cannot_be_served_is_one_line(
    run: Path, capsys: pytest.CaptureFixture[str], options: list[object], words: list[str]
) -> None:
    message = refusal(capsys, run, *options)
    assert all(word in message for word in words), message


def test_a_port_in_use_is_one_line(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        message = refusal(capsys, run, "--case", "loans", "--port", port)
    assert f"port {port}: Address already in use" in message


def test_a_poor_token_is_refused_and_not_shown(run: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for text in ("", "short", "two words, which is too many", "l\u00f6nger-than-sixteen"):
        (tmp_path / "token").write_text(text)
        message = refusal(capsys, run, "--case", "loans", "--token-file", tmp_path / "token")
        assert "--token-file" in message
        assert not text or text not in message


def test_a_folder_without_models_and_a_damaged_model_are_one_line(
    run: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert "not a run folder" in refusal(capsys, tmp_path, "--case", "loans")
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    path = copy / "models" / "loans.1.centralised.json"
    good = json.loads(path.read_text())
    for edit in (
        {"coefficients": good["coefficients"][1:]},
        {"deviations": [0.0] * len(good["features"])},
        {"means": None},
        {"intercept": "x"},
        {"preprocessing": {}},
        {"preprocessing": {**good["preprocessing"], "numbers": {"dti": "furlongs"}}},
        {"class_names": []},
    ):
        path.write_text(json.dumps({**good, **edit}))
        assert str(path) in refusal(capsys, copy, "--case", "loans")
    path.write_text("{")
    assert str(path) in refusal(capsys, copy, "--case", "loans")
    path.unlink()
    assert "no model of case 'loans'" in refusal(capsys, copy, "--case", "loans")
