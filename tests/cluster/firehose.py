"""Record what a party's RabbitMQ says of the messages published to it: firehose.py FILE. Runs in FATE Flow's container.

Turns on RabbitMQ's tracing in every virtual host as soon as a job has made it, and writes a line of JSON for each
message: its routing key, and its size as the broker counts it. Ends when FILE.stop exists.
"""

import base64
import contextlib
import json
import pathlib
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import yaml

broker = yaml.safe_load(pathlib.Path("/etc/fate/service_conf.yaml").read_text())["federation"]["rabbitmq"]
output = pathlib.Path(sys.argv[1])
credentials = base64.b64encode(f"{broker['user']}:{broker['password']}".encode()).decode()


def call(method, path, body=None):
    """Ask RabbitMQ's management interface."""
    headers = {"Authorization": f"Basic {credentials}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        f"http://{broker['host']}:{broker['mng_port']}/api{path}", data, headers, method=method
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read() or b"null")


def trace(host):
    """Let a virtual host send a copy of all that is published in it to a queue of ours."""
    user = {"configure": ".*", "write": ".*", "read": ".*"}
    call("PUT", f"/permissions/{host}/{broker['user']}", user)
    call("PUT", f"/queues/{host}/firehose", {})
    call("POST", f"/bindings/{host}/e/amq.rabbitmq.trace/q/firehose", {"routing_key": "publish.#"})
    call("PUT", f"/vhosts/{host}", {"tracing": True})


def drain(host, file):
    """Write down the messages of a virtual host."""
    wanted = {"count": 1000, "ackmode": "ack_requeue_false", "encoding": "base64", "truncate": 1}
    for message in call("POST", f"/queues/{host}/firehose/get", wanted):
        (key,) = message["properties"]["headers"]["routing_keys"]
        line = {"key": key, "bytes": message["payload_bytes"]}
        file.write(json.dumps(line) + "\n")
        file.flush()


traced = set()
with output.open("w") as file:
    while not pathlib.Path(f"{output}.stop").exists():
        with contextlib.suppress(OSError):
            hosts = {urllib.parse.quote(host["name"], safe="") for host in call("GET", "/vhosts")} - {"%2F"}
            for host in hosts:
                with contextlib.suppress(urllib.error.HTTPError):  # it may be gone already
                    if host not in traced:
                        trace(host)
                        traced.add(host)
                    drain(host, file)
        time.sleep(0.3)
