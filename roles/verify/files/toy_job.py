"""Run FATE's toy job between two parties and say what came of it: toy_job.py ADDRESS GUEST HOST SECONDS.

Prints one JSON object: status, job_id, seconds, and for a job that did not succeed at_fault (role, party id) and why.
The exit status is 0 only after a job that has ended in success. For FATE Flow 2.x.
"""

import json
import sys
import time
import urllib.error
import urllib.request

ENDED = {"success", "failed", "canceled", "timeout"}


def call(address, path, body=None):
    """Ask FATE Flow; return what it answers, or raise OSError if nothing can be understood."""
    data = None if body is None else json.dumps(body).encode()
    url = f"http://{address}/v2{path}"
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=40) as answer:  # noqa: S310
            return json.load(answer)
    except ValueError as error:
        raise OSError(f"FATE Flow at {address} answered something that is not JSON: {error}") from error


def submit(address, guest, host):
    """Submit the toy job that fate-client's `flow test toy` submits."""
    task = {"component_ref": "toy_example", "parameters": {"data_num": 1024, "partition": 4}}
    parties = [{"role": "guest", "party_id": [guest]}, {"role": "host", "party_id": [host]}]
    dag = {"parties": parties, "stage": "default", "tasks": {"toy_example_0": task}}
    return call(address, "/job/submit", {"dag_schema": {"dag": dag, "schema_version": "2.0.0.alpha"}})


def follow(address, job_id, deadline):
    """Wait until the job has ended or time is up; return its status."""
    status = "not known"
    while time.monotonic() < deadline:
        found = call(address, f"/job/query?job_id={job_id}").get("data") or []
        status = found[0]["status"] if found else status
        if status in ENDED:
            return status
        time.sleep(1)
    return f"still {status} when its time was up"


def at_fault(address, job_id, host):
    """Name the role and party whose task failed; a host that never began is at fault for a job that never ended."""
    tasks = call(address, f"/job/task/query?job_id={job_id}").get("data") or []
    for wanted in (("failed", "timeout"), ("running", "waiting")):
        for task in sorted(tasks, key=lambda task: task["role"] == "guest"):
            if task.get("party_status", task["status"]) in wanted:
                return {"role": task["role"], "party_id": task["party_id"]}
    return {"role": "host", "party_id": host}


def main():
    """Run the job and print what came of it."""
    address, guest, host, seconds = sys.argv[1:]
    began = time.monotonic()
    result = {"guest": guest, "host": host, "status": "not submitted"}
    try:
        answer = submit(address, guest, host)
        if answer.get("code") != 0:
            result.update(why=answer.get("message"), at_fault={"role": "host", "party_id": host})
        else:
            result["job_id"] = job_id = answer["job_id"]
            result["status"] = follow(address, job_id, began + float(seconds))
            if result["status"] != "success":
                result["at_fault"] = at_fault(address, job_id, host)
                call(address, "/job/stop", {"job_id": job_id})
    except (OSError, KeyError) as error:
        result.update(why=str(error), at_fault=result.get("at_fault", {"role": "guest", "party_id": guest}))
    result["seconds"] = round(time.monotonic() - began, 1)
    print(json.dumps(result))
    return 0 if result["status"] == "success" else 1


if __name__ == "__main__":
    sys.exit(main())
