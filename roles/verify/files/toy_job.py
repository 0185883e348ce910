"""Run FATE's toy job between two parties and say what came of it: toy_job.py ADDRESS GUEST HOST SECONDS.

Prints one JSON object: guest, host, status, seconds, job_id once it has one, and why where FATE Flow refused the job.
The exit status is 0 only after a job that has ended in success. For FATE Flow 2.x.
"""

import contextlib
import json
import sys
import time
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
    """Wait until the job has ended or time is up; return its status. FATE Flow may be silent in between."""
    status, silence = "not known", None
    while time.monotonic() < deadline:
        try:
            found = call(address, f"/job/query?job_id={job_id}").get("data") or []
            status, silence = (found[0]["status"] if found else status), None
        except OSError as error:
            silence = error
        if status in ENDED:
            return status
        time.sleep(1)
    return f"still {status} when its time was up" + (f", and FATE Flow is silent: {silence}" if silence else "")


def main():
    """Run the job and print what came of it."""
    address, guest, host, seconds = sys.argv[1:]
    began = time.monotonic()
    result = {"guest": guest, "host": host, "status": "not submitted"}
    try:
        answer = submit(address, guest, host)
        if answer.get("code") == 0:
            result["job_id"] = answer["job_id"]
            result["status"] = follow(address, answer["job_id"], began + float(seconds))
        else:
            result["why"] = answer.get("message")
    except OSError as error:
        result["why"] = str(error)
    if result["status"] != "success" and "job_id" in result:
        with contextlib.suppress(OSError):
            call(address, "/job/stop", {"job_id": result["job_id"]})
    result["seconds"] = round(time.monotonic() - began, 1)
    print(json.dumps(result))
    return 0 if result["status"] == "success" else 1


if __name__ == "__main__":
    sys.exit(main())
