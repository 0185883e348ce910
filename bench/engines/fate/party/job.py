"""A benchmark's job at one FATE Flow, through fate-client: job.py upload | submit | fetch FOLDER, in FATE's Python.

FOLDER holds order.json, which says what to do, and takes what comes of it. On success the last line printed is JSON; on
failure the one line on standard error says what is wrong, and the exit status is 1.

    upload   bring the rows of this FATE Flow's parties into tables             -> upload.json
    submit   start the job: Reader -> HomoLR -> Evaluation (at the guest)       -> submitted.json
    fetch    read the trained model and the tasks' times                        -> fetched.json
"""

import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fate_client.flow_sdk import FlowClient

READER, TRAINER, EVALUATION = "reader_0", "lr_0", "eval_0"
ENDED = ("success", "failed", "canceled", "timeout")
UPLOAD_SECONDS = 1800
LOCKED_SECONDS = 30


class RefusedError(Exception):
    """FATE Flow does not do what it is asked; the message is for a reader."""


def main() -> int:
    """Do what the command line says."""
    command, folder = sys.argv[1], Path(sys.argv[2])
    order = json.loads((folder / "order.json").read_text())
    address, _, port = order["flow"].rpartition(":")
    client = FlowClient(ip=address, port=int(port), version="v2")
    steps = {"upload": (upload, "upload.json"), "submit": (submit, "submitted.json"), "fetch": (fetch, "fetched.json")}
    step, name = steps[command]
    try:
        result = step(client, order, folder)
    except (RefusedError, OSError) as error:
        print(f"FATE Flow at {order['flow']}: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    temporary = folder / f".{name}"
    temporary.write_text(json.dumps(result))
    temporary.replace(folder / name)
    print(json.dumps(result))
    return 0


def answered(what: str, reply: dict[str, Any]) -> dict[str, Any]:
    """Return FATE Flow's reply, or refuse with its words."""
    if reply.get("code") != 0:
        # The client's own errors, as of a connection that broke, have another key, and a traceback beside it.
        raise RefusedError(f"{what}: {reply.get('message') or reply.get('retmsg') or reply}")
    return reply


def asked(what: str, ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return FATE Flow's reply to a question that changes nothing.

    Its SQLite database is locked for a moment now and then when the machine is busy; the question is then put again.
    """
    until = time.monotonic() + LOCKED_SECONDS
    while "database is locked" in str((reply := ask()).get("message")) and time.monotonic() < until:
        time.sleep(0.5)
    return answered(what, reply)


def upload(client: FlowClient, order: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Make a table for each local party that holds rows, all at a time; return the seconds of each."""
    with ThreadPoolExecutor(len(order["data"]) or 1) as pool:
        seconds = pool.map(lambda party: _upload_one(client, order, folder, party), order["data"])
        return {"seconds": dict(zip(order["data"], seconds, strict=True))}


def _upload_one(client: FlowClient, order: dict[str, Any], folder: Path, party: str) -> float:
    began = time.perf_counter()
    # The file lies where FATE Flow can read it. Every column that is not declared would be trained as a feature.
    reply = client.data.upload(
        file=str((folder / order["data"][party]).resolve()),
        head=True,
        partitions=4,
        meta={"delimiter": ",", "dtype": "float32", "label_type": "int32", "label_name": "y", "match_id_name": "id"},
        extend_sid=True,
        namespace=order["table"]["namespace"],
        name=table_name(order, party),
    )
    job_id = answered(f"uploading the rows of party {party}", reply)["job_id"]
    while (status := _status(client, job_id)) not in ENDED:
        if time.perf_counter() - began > UPLOAD_SECONDS:
            raise RefusedError(
                f"uploading the rows of party {party} is still {status} after {UPLOAD_SECONDS} s (job {job_id})"
            )
        time.sleep(0.5)
    if status != "success":
        raise RefusedError(f"uploading the rows of party {party} ended as {status} (job {job_id})")
    return time.perf_counter() - began


def _status(client: FlowClient, job_id: str) -> str:
    return str(asked(f"asking for job {job_id}", lambda: client.job.query(job_id=job_id))["data"][0]["status"])


def table_name(order: dict[str, Any], party: str) -> str:
    """Name a party's table: on one machine all parties' tables lie in the same FATE Flow."""
    return f"{order['table']['name']}.{party}"


def submit(client: FlowClient, order: dict[str, Any], _: Path) -> dict[str, Any]:
    """Start the job and return its id."""
    import yaml

    # In FATE's description of a job, unlike in what fate-client sends, the default is left out.
    dag_schema = yaml.safe_load(pipeline(order).get_dag())
    reply = answered("submitting the job", client.job.submit(dag_schema=dag_schema))
    return {"job_id": reply["job_id"]}


def pipeline(order: dict[str, Any]) -> Any:
    """Describe the job for FATE's pipeline, as the thesis does it: Reader -> HomoLR -> Evaluation.

    FATE's defaults would not give the model that the rest of the kit trains: batches of 100, random first weights,
    penalty 0. Its Evaluation scores the guest's own rows.
    """
    from fate_client.pipeline import FateFlowPipeline
    from fate_client.pipeline.components.fate import Evaluation, HomoLR, Reader

    guest, hosts, training = order["guest"], order["hosts"], order["training"]
    job = FateFlowPipeline().set_parties(guest=guest, host=hosts, arbiter=order["arbiter"])
    reader = Reader(READER, runtime_parties={"guest": guest, "host": hosts})
    for place, party in ((reader.guest, guest), *zip([reader.hosts[n] for n in range(len(hosts))], hosts, strict=True)):
        place.task_parameters(namespace=order["table"]["namespace"], name=table_name(order, party))
    trainer = HomoLR(
        TRAINER,
        epochs=training["epochs"],
        batch_size=training["batch_size"],
        optimizer={
            "method": training["optimiser"],
            "penalty": "l2",
            "alpha": training["alpha"],
            "optimizer_params": {"lr": training["learning_rate"]},
        },
        learning_rate_scheduler={"method": "constant", "scheduler_params": {"factor": 1.0}},
        init_param={"method": "zeros", "fit_intercept": True},
        train_data=reader.outputs["output_data"],
    )
    scores = Evaluation(
        EVALUATION,
        runtime_parties={"guest": guest},
        default_eval_setting="binary",
        input_datas=[trainer.outputs["train_output_data"]],
    )
    return job.add_tasks([reader, trainer, scores]).compile()


def fetch(client: FlowClient, order: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return each local party's model, the times of its tasks, and the versions of what ran."""
    job_id = json.loads((folder / "submitted.json").read_text())["job_id"]
    roles = [(order["guest"], "guest"), *((party, "host") for party in order["hosts"])]
    job = asked("asking for the job", lambda: client.job.query(job_id=job_id))["data"][0]
    return {
        "job_seconds": (job["end_time"] - job["create_time"]) / 1000 if job.get("end_time") else None,
        "models": {party: _model(client, job_id, party, role) for party, role in roles if party in order["local"]},
        "tasks": [
            {
                "task": task["task_name"],
                "role": task["role"],
                "party": task["party_id"],
                "status": task["party_status"],
                # Milliseconds of this host's clock.
                "seconds": (task["end_time"] - task["start_time"]) / 1000 if task.get("end_time") else None,
            }
            for task in asked("asking for the tasks", lambda: client.task.query(job_id=job_id))["data"]
        ],
        "versions": {name: version(name) for name in ("pyfate", "fate-flow", "fate-client", "torch")},
    }


def _model(client: FlowClient, job_id: str, party: str, role: str) -> list[float]:
    """Return a party's weights, the intercept last."""
    query = {"job_id": job_id, "role": role, "party_id": party, "task_name": TRAINER}
    found = asked(f"asking for the model of party {party}", lambda: client.output.query_model(**query))["data"]
    state = found["output_model"]["param"]["model"]["state_dict"]
    return [*state["models.0.weight"][0], state["models.0.bias"][0]]


if __name__ == "__main__":
    sys.exit(main())
