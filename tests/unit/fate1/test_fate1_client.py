"""FATE 1.x by REST. None can run here: an HTTP server on loopback answers as FATE's documentation and source say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from fate1_helpers import (
    JOB,
    PARTIES,
    Server,
    finished,
    in_turn,
    loss_reply,
    ok,
    refused,
    running,
    serving,
    task,
    tasks_of,
)
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import CaseError, UserError
from bench.fate1 import client
from bench.fate1.client import Federation, Paillier, render, run, upload
from bench.fate1.flow import Flow, RefusalError
from bench.model.logistic import Training

TABLES = {party: ("experiment", f"loans_{party}") for party in ("9999", "9998", "10000")}
THESIS = Federation(TABLES)
TRAINING = Training(aggregation="fedavg")
SGD = Training(aggregation="fedavg", optimiser="sgd")

# What FATE's HomoLR takes; FATE refuses a job that names anything else.
COMMON_KEYS = set(
    "penalty tol alpha optimizer batch_size learning_rate init_param max_iter early_stop encrypt_param predict_param "
    "cv_param decay decay_sqrt aggregate_iters multi_class validation_freqs metrics callback_param".split()
)
ACCEPTED = {
    "1.8.0": COMMON_KEYS
    | {"re_encrypt_batches", "early_stopping_rounds", "use_first_metric_only", "use_proximal", "mu"},
    "1.11.2": COMMON_KEYS,
}


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


def start(server: Server, training: Training = TRAINING, **settings: Any) -> client.Result:
    return run(server.flow, THESIS, training, **{"interval": 0.01, "stall_limit": 30.0, "time_limit": 60.0, **settings})


# --- what is submitted ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ACCEPTED)
def test_the_thesis_job(version: str) -> None:
    body = render(THESIS, Training(tolerance=1e-4, aggregation="fedavg"), version, time_limit=600)
    modules = {name: component["module"] for name, component in body["dsl"]["components"].items()}
    assert modules == {
        "reader_0": "Reader",
        "data_transform_0": "DataTransform",
        "homo_lr_0": "HomoLR",
        "evaluation_0": "Evaluation",
    }
    conf = body["runtime_conf"]
    assert (conf["dsl_version"], conf["initiator"]) == (2, {"role": "guest", "party_id": 9999})
    assert conf["role"] == {"guest": [9999], "host": [9998, 10000], "arbiter": [10000]}
    assert conf["job_parameters"]["common"]["timeout"] == 660
    parameters = conf["component_parameters"]
    lr = parameters["common"]["homo_lr_0"]
    wanted = {
        "optimizer": "rmsprop",
        "learning_rate": 0.02,
        "alpha": 1e-5,
        "max_iter": 30,
        "batch_size": -1,
        "tol": 1e-4,
    }
    assert wanted.items() <= lr.items()
    assert lr["decay"] == 0  # else FATE lets the learning rate fall
    assert lr["encrypt_param"] == {"method": None}
    assert set(lr) <= ACCEPTED[version]
    hosts = parameters["role"]["host"]
    assert parameters["role"]["guest"]["0"]["reader_0"]["table"] == {"namespace": "experiment", "name": "loans_9999"}
    assert [hosts[i]["reader_0"]["table"]["name"] for i in ("0", "1")] == ["loans_9998", "loans_10000"]
    assert [hosts[i]["evaluation_0"] for i in ("0", "1")] == [{"need_run": False}] * 2
    assert not any("homo_lr_0" in host for host in hosts.values())


def test_every_input_of_the_dsl_is_an_output() -> None:
    components = render(THESIS, TRAINING, "1.8.0")["dsl"]["components"]
    outputs = {f"{name}.{kind}" for name, component in components.items() for kind in component["output"]["data"]}
    inputs = {
        name
        for component in components.values()
        for names in component.get("input", {}).get("data", {}).values()
        for name in names
    }
    assert inputs <= outputs
    assert components["homo_lr_0"]["input"]["data"] == {"train_data": ["data_transform_0.data"]}


def test_paillier_is_the_hosts_and_the_arbiter_has_the_length_of_the_keys() -> None:
    parameters = render(THESIS, SGD, "1.9.2", paillier=Paillier(2048, 4))["runtime_conf"]["component_parameters"]
    for host in parameters["role"]["host"].values():
        assert host["homo_lr_0"] == {
            "encrypt_param": {"method": "Paillier", "key_length": 2048},
            "re_encrypt_batches": 4,
        }
    lr = parameters["common"]["homo_lr_0"]
    assert lr["encrypt_param"] == {"method": None, "key_length": 2048}
    assert (lr["re_encrypt_batches"], lr["optimizer"]) == (4, "sgd")
    assert set(lr) <= ACCEPTED["1.8.0"]
    assert "homo_lr_0" not in parameters["role"]["guest"]["0"]


positive = st.floats(min_value=1e-12, max_value=1e6)
texts = st.text(min_size=1).map(lambda text: text + "\"'{{ 7*7 }}\\")


@given(
    names=st.lists(st.tuples(texts, texts), min_size=3, max_size=3),
    ids=st.lists(st.integers(1, 999_999_999), min_size=3, max_size=3, unique=True),
    label=texts,
    numbers=st.tuples(positive, positive, positive),
    epochs=st.integers(1, 10_000),
    batch=st.none() | st.integers(10, 10**9),
    optimiser=st.sampled_from(("rmsprop", "adam", "sgd")),
)
def test_any_value_arrives_as_it_is(
    names: list[tuple[str, str]],
    ids: list[int],
    label: str,
    numbers: tuple[float, float, float],
    epochs: int,
    batch: int | None,
    optimiser: str,
) -> None:
    guest, *hosts = map(str, ids)
    federation = Federation(dict(zip(map(str, ids), names, strict=True)), guest, tuple(hosts), hosts[0])
    rate, alpha, tolerance = numbers
    training = Training(optimiser, rate, alpha, epochs, batch, tolerance, "fedavg")
    conf = render(federation, training, "1.8.0", label)["runtime_conf"]
    parameters = conf["component_parameters"]
    lr = parameters["common"]["homo_lr_0"]
    assert (lr["optimizer"], lr["learning_rate"], lr["alpha"], lr["tol"]) == (optimiser, rate, alpha, tolerance)
    assert (lr["max_iter"], lr["batch_size"]) == (epochs, batch or -1)
    assert isinstance(lr["tol"], float)  # 1.11 refuses a whole number
    assert parameters["common"]["data_transform_0"]["label_name"] == label
    assert conf["role"] == {"guest": ids[:1], "host": ids[1:], "arbiter": ids[1:2]}
    readers = [parameters["role"]["guest"]["0"], *(parameters["role"]["host"][str(i)] for i in range(2))]
    assert [tuple(reader["reader_0"]["table"].values()) for reader in readers] == names


@pytest.mark.parametrize(
    ("training", "version", "paillier", "said"),
    [
        (Training(solver="lbfgs"), "1.8.0", None, "training.solver"),
        (Training(), "1.8.0", None, "training.aggregation: FATE's HomoLR averages weights"),
        (Training(aggregation="fedavg", local_epochs=2), "1.8.0", None, "training.aggregation"),
        (Training(aggregation="fedavg", batch_size=9), "1.8.0", None, "training.batch_size: FATE 1.x takes 10 rows"),
        (TRAINING, "1.8.0", Paillier(), "training.optimiser: FATE's Paillier mode knows sgd only, not rmsprop"),
        (SGD, "1.10.0", Paillier(), "privacy: FATE 1.10.0 has no Paillier mode"),
        (SGD, "1.8.0", Paillier(512), "1024 bits or more"),
        (SGD, "1.8.0", Paillier(1024, 0), "one batch or more"),
    ],
)
def test_settings_that_fate_cannot_do(training: Training, version: str, paillier: Paillier | None, said: str) -> None:
    with pytest.raises(UserError, match=said):
        render(THESIS, training, version, paillier=paillier)


@pytest.mark.parametrize(
    ("parties", "said"),
    [
        ({"guest": "one"}, "party 'one': FATE 1.x takes whole positive numbers"),
        ({"arbiter": "0"}, "party '0'"),
        ({"hosts": ("9998", "٣")}, "party '٣'"),
        ({"hosts": ("9999",)}, "party 9999: trains twice"),
        ({"hosts": ("9998", "7")}, "party 7: no table is named for it"),
    ],
)
def test_parties_that_fate_cannot_do(parties: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        Federation(TABLES, **parties)


# --- a job that succeeds ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "epochs"), [("1.8.0", 3), ("1.9.2", 3), ("1.10.0", 4), ("1.11.2", 4)])
def test_what_a_job_brought(server: Server, version: str, epochs: int) -> None:
    finished(server, version)
    lines: list[str] = []
    result = start(server, say=lines.append)
    assert server.bodies("job/submit") == [render(THESIS, TRAINING, version, time_limit=60)]
    assert server.bodies("table/table_info") == [{"namespace": "experiment", "table_name": "loans_9999"}]
    assert not server.bodies("job/stop")
    assert (result.job, result.version, result.seconds) == (JOB, version, 61.0)
    assert result.epochs_run == epochs  # 1.10 counts from 0
    assert result.losses == pytest.approx([0.69 - i / 100 for i in range(12)])  # in the order of the epochs
    assert (result.converged, result.metrics) == (False, {"auc": 0.695, "ks": 0.28})
    assert (result.weights, result.intercept) == ({"x0": 1.5, "x1": -0.5}, 0.25)
    assert list(result.weights or {}) == ["x0", "x1"]
    assert [(t.component, t.where) for t in result.tasks[:4]] == [
        ("reader_0", "party 9999 (guest)"),
        ("reader_0", "party 10000 (host)"),
        ("reader_0", "party 9998 (host)"),
        ("data_transform_0", "party 9999 (guest)"),
    ]
    assert {t.seconds for t in result.tasks} == {12.345}
    assert lines == [f"job {JOB}, FATE {version}", "waiting", "running: homo_lr_0, 12 losses logged"]


@pytest.mark.parametrize(
    ("path", "reply"),
    [
        ("tracking/component/output/model", ok({})),
        ("tracking/component/output/model", ok({"weight": {"x0": 1.0}, "header": ["x0", "x1"], "iters": "three"})),
        ("tracking/component/output/model", refused(100, "KeyError('homo_lr_0')")),
        ("tracking/component/metric_data", ok([], meta={})),
        ("tracking/component/metric_data", ok("no list")),
        ("tracking/component/metric/all", ok({"train": {"homo_lr_0": {"data": [["auc"]]}, "other": 3}})),
    ],
)
def test_what_fate_does_not_tell_is_none(server: Server, path: str, reply: dict[str, Any]) -> None:
    finished(server)
    server.replies[path] = reply
    result = start(server)
    told = {
        "tracking/component/output/model": [result.weights, result.epochs_run],
        "tracking/component/metric_data": [result.losses],
        "tracking/component/metric/all": [result.metrics or None],
    }
    assert {name for name, values in told.items() if values == [None] * len(values)} == {path}
    assert "-" in client.table(result)


def test_losses_of_the_model_where_no_metric_was_logged(server: Server) -> None:
    finished(server)
    server.replies["tracking/component/metric_data"] = ok([], meta={})
    model = server.replies["tracking/component/output/model"]["data"]
    server.replies["tracking/component/output/model"] = ok({**model, "lossHistory": [0.7, "NaN", 0.6]})
    losses = start(server).losses
    assert losses is not None
    assert (losses[0], losses[1] != losses[1], losses[2]) == (0.7, True, 0.6)


# --- what goes wrong --------------------------------------------------------------------------------------------------


def failure(server: Server, **settings: Any) -> str:
    with pytest.raises(CaseError) as caught:
        start(server, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_nobody_listens(server: Server) -> None:
    port = server.server_address[1]
    server.shutdown()
    server.server_close()
    with pytest.raises(CaseError, match=f"FATE Flow at 127.0.0.1:{port} does not answer .*refused.*is it running"):
        run(Flow("127.0.0.1", port), THESIS, TRAINING)


@pytest.mark.parametrize(
    "reply", [(502, "<html>\n<h1>Bad Gateway</h1>"), (200, "[]"), (200, "{}"), (200, "\x00\xff"), (200, "")]
)
def test_something_else_listens(server: Server, reply: tuple[int, str]) -> None:
    server.replies["version/get"] = reply
    said = failure(server)
    assert f"does not answer as FATE Flow 1.x does (HTTP {reply[0]} to /v1/version/get): " in said


def test_it_hangs_up(server: Server) -> None:
    server.replies["version/get"] = None
    assert "does not answer (Remote end closed connection without response)" in failure(server)


@pytest.mark.parametrize("data", [{"FATE": "2.2.0"}, {"FATE": "1.7.2"}, {"FATE": None}, {}, "text"])
def test_another_fate(server: Server, data: Any) -> None:
    finished(server)
    server.replies["version/get"] = ok(data)
    with pytest.raises(UserError, match=r"this is for 1\.8 to 1\.11"):
        start(server)
    assert not server.bodies("job/submit")


@pytest.mark.parametrize("key", ["exist", "exists"])
def test_the_guest_has_no_such_table(server: Server, key: str) -> None:
    finished(server)
    server.replies["table/table_info"] = ok({key: 0})
    with pytest.raises(UserError, match=r"table experiment/loans_9999: the party behind .* has none of that name"):
        start(server)
    assert not server.bodies("job/submit")


def test_a_job_is_not_accepted(server: Server) -> None:
    finished(server)
    trace = 'Traceback (most recent call last):\n  File "dag_scheduler.py", line 90, in submit\nException: no cores\n'
    server.replies["job/submit"] = refused(103, trace, jobId=JOB)
    assert failure(server) == f"FATE Flow at {server.flow} refuses job/submit (retcode 103): Exception: no cores"


def test_a_party_cannot_be_reached_at_submission(server: Server) -> None:
    finished(server)
    answers = (
        "{'guest': {9999: {'data': {'components': {}}, 'retcode': 0, 'retmsg': 'success'}}, 'host': {9998: {'retcode': "
        "<RetCode.FEDERATED_ERROR: 104>, 'retmsg': 'Federated schedule error, rpc request error: timed out'}, "
        "10000: {'retcode': 0, 'retmsg': 'success'}}}"
    )
    server.replies["job/submit"] = refused(103, f"Traceback\nException: ('create job failed', {answers})", jobId=JOB)
    assert failure(server).endswith("(retcode 103): party 9998 cannot be reached: rpc request error: timed out")


@pytest.mark.parametrize(
    ("path", "reply", "said"),
    [
        ("job/submit", ok({"job_id": JOB}), "reply lacks jobId"),
        ("job/query", ok([{"f_job_id": JOB}]), "reply lacks f_status; is it FATE 1.8 to 1.11?; it has been stopped"),
        ("job/query", ok({}), "reply lacks data; is it FATE 1.8 to 1.11?; it has been stopped"),
        ("job/query", ok([], retmsg="no job could be found"), f"knows no job {JOB} of party 9999 (guest)"),
        ("job/task/query", ok(), "reply lacks data"),
    ],
)
def test_a_reply_lacks_what_it_must_have(server: Server, path: str, reply: dict[str, Any], said: str) -> None:
    finished(server)
    server.replies[path] = reply
    assert said in failure(server)


def test_a_job_fails_and_a_party_says_why(server: Server) -> None:
    report = 'Traceback (most recent call last):\n  File "x.py"\nValueError: Number of classes should be 2'
    tasks = tasks_of(
        "homo_lr_0", guest_9999="failed", host_9998="failed", host_10000="canceled", arbiter_10000="failed"
    )
    tasks[1]["f_error_report"] = report
    running(server, tasks, "1.11.2")
    server.replies["job/query"] = ok([{"f_status": "failed"}])
    assert failure(server) == (
        f"job {JOB} ended as failed: homo_lr_0 failed at party 9998 (host): ValueError: Number of classes should be 2"
    )
    assert not server.bodies("job/stop")


def test_a_job_fails_and_no_party_says_why(server: Server) -> None:
    done = [task("reader_0", *who, "success") for who in PARTIES[:3]]
    running(server, [*done, *tasks_of("data_transform_0", host_9998="failed", host_10000="canceled")])
    server.replies["job/query"] = ok([{"f_status": "failed"}])
    assert "data_transform_0 failed at party 9998 (host); look into FATE Flow's logs there" in failure(server)


@pytest.mark.parametrize("status", ["canceled", "timeout"])
def test_a_job_is_ended_by_somebody(server: Server, status: str) -> None:
    running(server, [])
    server.replies["job/query"] = ok([{"f_status": status}])
    assert f"job {JOB} ended as {status}, and no task says why" in failure(server)


@pytest.mark.parametrize(
    ("tasks", "said"),
    [
        (tasks_of("homo_lr_0", host_9998="waiting"), "homo_lr_0 has not begun at party 9998 (host)"),
        (
            tasks_of("homo_lr_0", guest_9999="success", host_10000="success"),
            "homo_lr_0 is running at party 10000 (arbiter) and party 9998 (host)",
        ),
        (
            [task("reader_0", *who, "waiting") for who in PARTIES],
            "reader_0 does not begin; a party may lack free cores",
        ),
        ([], "it has no tasks"),
        ([task("reader_0", *who, "success") for who in PARTIES], "no task is left to run"),
    ],
)
def test_a_job_without_progress_is_stopped(server: Server, tasks: list[dict[str, Any]], said: str) -> None:
    running(server, tasks)
    assert failure(server, stall_limit=0.2) == f"job {JOB}: no progress for 0.2 s: {said}; it has been stopped"
    assert server.bodies("job/stop") == [{"job_id": JOB}]


def test_a_party_that_the_guest_does_not_reach_is_named(server: Server) -> None:
    running(server, tasks_of("homo_lr_0"), "1.11.2")
    server.replies["info/party/10000"] = ok({"version": "1.11.2"})
    server.replies["info/party/9998"] = refused(100, "Exception('rpc request error')")
    said = failure(server, stall_limit=0.2)
    assert "; FATE Flow of party 9998 does not answer the guest's; it has been stopped" in said
    assert "party 10000 does not answer" not in said


def test_losses_are_progress_and_the_time_limit_ends_it_all_the_same(server: Server) -> None:
    running(server, tasks_of("homo_lr_0"))
    logged: list[float] = []

    def one_more(_body: Any) -> dict[str, Any]:
        logged.append(0.5)
        return loss_reply(logged)

    server.replies["tracking/component/metric_data"] = one_more
    said = failure(server, stall_limit=0.5, time_limit=1.5)
    assert f"job {JOB}: not done in 1.5 s (time limit): homo_lr_0 is running at party 9999 (guest) and " in said
    assert said.endswith("; it has been stopped")


def test_a_party_does_not_stop(server: Server) -> None:
    running(server, [])
    parties = {"guest": {"9999": ok()}, "host": {"9998": refused(104, "Federated schedule error"), "10000": ok()}}
    server.replies["job/stop"] = refused(103, "stop job on this party success", data=parties)
    said = failure(server, stall_limit=0.2)
    assert said.endswith(f"it could not be stopped at party 9998 (host); there: flow job stop -j {JOB}")


@pytest.mark.parametrize("reply", [None, (503, "<html>restarting</html>")])
def test_fate_flow_is_gone_for_a_while(server: Server, reply: Any) -> None:
    finished(server)
    server.replies["job/query"] = in_turn(
        ok([{"f_status": "running"}]), *[reply] * 5, ok([{"f_status": "success", "f_elapsed": 1000}])
    )
    assert start(server).seconds == 1.0


def stopped(flow: Flow, **limits: float) -> str:
    with pytest.raises(CaseError) as caught:
        client.wait(flow, JOB, "guest", "9999", **{"time_limit": 60.0, "stall_limit": 60.0, "interval": 0.01, **limits})
    return str(caught.value)


def test_fate_flow_does_not_come_back(server: Server) -> None:
    running(server, tasks_of("homo_lr_0"))
    server.replies["job/query"] = server.replies["job/stop"] = None
    said = stopped(server.flow, answer_limit=0.2)
    assert said.startswith(f"job {JOB}: party 9999 (guest): FATE Flow at {server.flow} does not answer (")
    assert said.endswith(f"; it could not be stopped; once FATE Flow answers: flow job stop -j {JOB}")


def test_fate_flow_hangs(server: Server) -> None:
    finished(server)
    server.replies["job/query"] = server.replies["job/stop"] = lambda _body: server.closing.wait(60) and None
    flow = Flow("127.0.0.1", server.server_address[1], patience=0.2)
    assert "does not answer (timed out)" in stopped(flow, answer_limit=0.1)


# --- upload -----------------------------------------------------------------------------------------------------------


def test_upload(server: Server, tmp_path: Path) -> None:
    finished(server)
    server.replies["data/upload"] = ok({"code": 0, "message": "success", "job_id": JOB}, jobId=JOB)
    rows = tmp_path / "rows.csv"
    rows.write_bytes(b"id,y,x0\r\n" + b"1,0,0.5\n" * 300_000)
    upload(server.flow, rows, 'name & "space"', "r=1/ü", interval=0.01)
    [(url, headers, raw)] = server.bodies("data/upload")
    settings = json.loads(unquote(urlsplit(url).query))
    assert settings == {
        "file": "table.csv",
        "id_delimiter": ",",
        "head": 1,
        "partition": 4,
        "namespace": 'name & "space"',
        "table_name": "r=1/ü",
    }
    # FATE Flow takes the name of the only argument as JSON.
    assert list(map(json.loads, parse_qs(urlsplit(url).query, keep_blank_values=True))) == [settings]
    message = message_from_bytes(f"Content-Type: {headers['Content-Type']}\r\n\r\n".encode() + raw)
    [part] = message.get_payload()
    assert part.get_filename() == "table.csv"
    assert part.get_param("name", header="Content-Disposition") == "file"
    assert part.get_payload(decode=True) == rows.read_bytes()
    assert server.bodies("job/query")[0] == {"job_id": JOB, "role": "local", "party_id": "0"}


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (
            refused(100, "The data table already exists."),
            r"refuses data/upload \(retcode 100\): The data table already",
        ),
        (
            ok({"code": 103, "message": "Traceback\nException: disk full"}, jobId=JOB),
            "data/upload: Exception: disk full",
        ),
    ],
)
def test_upload_is_refused(server: Server, tmp_path: Path, reply: dict[str, Any], said: str) -> None:
    server.replies["data/upload"] = reply
    rows = tmp_path / "rows.csv"
    rows.write_text("id,y\n1,0\n")
    with pytest.raises(RefusalError, match=said):
        upload(server.flow, rows, "bench", "rows")


def test_upload_without_a_file(server: Server, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.csv: cannot be read: No such file"):
        upload(server.flow, tmp_path / "absent.csv", "bench", "rows")


def test_help_says_what_it_does_not_do(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        client.main(["--help"])
    assert "no probe can be loaded" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--flow", "here", "--table", "a/b"], "error: --flow: 'here' is not HOST:PORT"),
        (["--flow", "h:99999", "--table", "a/b"], "error: --flow: 'h:99999' is not HOST:PORT"),
        (["--flow", "h:1", "--table", "rows"], "error: --table: 'rows' is not NAMESPACE/NAME or PARTY=NAMESPACE/NAME"),
        (["--flow", "h:1", "--table", "a/b", "5=a/b"], "error: --table: '5=a/b': '5' is not one of 9999, 9998, 10000"),
        (["--flow", "h:1", "--table", "9999=a/b"], "error: party 9998: no table is named for it"),
        (["--flow", "h:1", "--table", "a/b", "--epochs", "0"], "error: training.epochs: 0 is not a whole number"),
        (["--flow", "h:1", "--table", "a/b", "--time-limit", "-1"], "argument --time-limit: invalid"),
        (["--flow", "h:1"], "the following arguments are required: --table"),
    ],
)
def test_wrong_input(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        status = client.main(arguments)
    except SystemExit as ended:  # argparse
        status = int(str(ended.code))
    out, errors = capsys.readouterr()
    assert (status, out) == (2, "")
    assert said in errors.splitlines()[-1]
