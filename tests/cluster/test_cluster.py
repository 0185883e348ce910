"""From bare nodes to a federation, through its failures, and back to bare nodes. Each test goes on from the last."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from cluster import (
    ADDRESSES,
    CREDENTIALS,
    INVENTORY,
    node,
    play,
    processes,
    run_python,
    snapshots,
    start_play,
    wait_until,
)

PAIRS = {("10000", "9999"), ("10000", "9998"), ("9999", "9998")}
FLOW_PORT, BROKER_PORT, API_PORT = 9443, 5671, 9380
CONTAINERS = ("fate-flow", "fate-rabbitmq", "fate-router")


def succeeded(output: str) -> set[tuple[str, str]]:
    """Pairs of parties between which a playbook reports a toy job that ended in success."""
    return set(re.findall(r"guest (\d+), host (\d+): success in", output))


def cut_off(process: subprocess.Popen[str]) -> None:
    """Kill a run of Ansible with all it has started on this machine, as a closed laptop would."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def connects(address: str, port: int) -> bool:
    """Whether this machine, which is no party, gets a connection."""
    try:
        socket.create_connection((address, port), timeout=2).close()
    except OSError:
        return False
    return True


def connects_from(party: str, address: str, port: int) -> bool:
    """Whether a party's node gets a connection."""
    return "yes" in node(party, f"timeout 2 bash -c '</dev/tcp/{address}/{port}' 2>/dev/null && echo yes || echo no")


def test_faults_of_hosts_are_told_together_and_nothing_is_changed(bare: dict[str, str]) -> None:
    node("9998", f"setsid python3 -m http.server {FLOW_PORT} >/dev/null 2>&1 & echo $! >/tmp/listener")
    node(
        "9999", "mv /etc/os-release /tmp/ && sed 's/Debian/Arch/; s/debian/arch/' /usr/lib/os-release >/etc/os-release"
    )
    # A clock cannot be put wrong for one container alone, so the program that tells the time is.
    node("10000", "echo 'exec /bin/date -d +60seconds \"$@\"' >/usr/local/bin/date && chmod +x /usr/local/bin/date")
    try:
        run = play()
    finally:
        node("9998", "kill $(cat /tmp/listener); rm /tmp/listener")
        node("9999", "mv /tmp/os-release /etc/")
        node("10000", "rm /usr/local/bin/date")
    assert run.code != 0
    said = "\n".join(run.lines)
    assert re.search(rf"9998.*{FLOW_PORT}", said)
    assert re.search(r"9999.*Arch", said)
    assert re.search(r"10000.*clock", said)
    assert snapshots() == bare


def test_a_host_that_hangs_is_told_and_nothing_is_changed(bare: dict[str, str]) -> None:
    subprocess.run(["docker", "pause", "testbed-9998"], check=True, capture_output=True)
    try:
        run = play(timeout=120)
    finally:
        subprocess.run(["docker", "unpause", "testbed-9998"], check=True, capture_output=True)
    assert run.code != 0
    assert any("9998" in line and ADDRESSES["9998"] in line for line in run.lines), run.lines
    assert snapshots() == bare


def test_runs_that_were_cut_off_are_finished_by_the_next(bare: dict[str, str]) -> None:
    with start_play() as process:
        record = "/var/lib/federated-bench/installed/docker"
        wait_until(
            lambda: node("9999", f"ls {record}") and "dpkg --" in processes("9999"), 300, "Docker is being installed"
        )
        cut_off(process)
    with start_play() as process:
        wait_until(lambda: "docker load" in processes("9999"), 600, "the image is being loaded")
        cut_off(process)

    run = play()
    assert run.code == 0
    assert succeeded(run.output) == PAIRS


def test_a_second_run_changes_nothing() -> None:
    began = time.monotonic()
    run = play()
    print(f"second run: {time.monotonic() - began:.0f} s")
    assert run.code == 0 and run.total("ok") > 0
    assert run.total("changed") == 0


def test_check_mode_finds_nothing_to_change() -> None:
    run = play("--check", "--diff")
    assert run.code == 0 and run.total("ok") > 0
    assert run.total("changed") == 0


def test_check_mode_tells_what_a_run_would_change() -> None:
    run = play("--check", "-e", "party_cores=16", "--tags", "party")
    assert run.code == 0
    assert run.total("changed") > 0


def test_the_traffic_of_a_job_between_nodes_is_not_plain_text(tmp_path: Path) -> None:
    folder = "/tmp/capture"
    argv = ["docker", "exec", "--interactive", "testbed-9999", "python3", "-", folder]
    with (Path(__file__).parent / "capture.py").open() as script, subprocess.Popen(argv, stdin=script) as sniffer:
        wait_until(lambda: "began" in node("9999", f"ls {folder}"), 10, "the capture has begun")
        run = play(book="playbooks/verify.yml")
        node("9999", f"touch {folder}/stop")
        assert sniffer.wait(timeout=30) == 0
    assert succeeded(run.output) == PAIRS
    subprocess.run(["docker", "cp", f"testbed-9999:{folder}", str(tmp_path)], check=True, capture_output=True)
    node("9999", f"rm -r {folder}")
    recorded = {path.name: path.read_bytes() for path in (tmp_path / "capture").iterdir()}
    outside = recorded["eth0"]
    inside = b"".join(packets for name, packets in recorded.items() if name.startswith("veth"))
    # The same words, looked for in the same way, stand in what the party's own containers say to each other.
    for words in (b"HTTP/1.1", b"toy_example", b"AMQP\x00\x00\x09\x01"):
        assert words in inside, f"{words!r} is not even in the plain traffic: this test would find nothing"
        assert words not in outside, f"{words!r} crossed the network in plain text"
    for port in (FLOW_PORT, BROKER_PORT):
        assert port.to_bytes(2, "big") in outside


def test_ports_are_open_to_the_parties_only() -> None:
    for party, address in ADDRESSES.items():
        others = [other for other in ADDRESSES if other != party]
        for port in (FLOW_PORT, BROKER_PORT):
            assert all(connects_from(other, address, port) for other in others)
            assert not connects(address, port), f"this machine, no party, reaches {address}:{port}"
        for port in (API_PORT, 9360, 5672, 15672, 4369, 25672, 9300, 5680):
            assert not connects_from(others[0], address, port), f"party {others[0]} reaches {address}:{port}"
            assert not connects(address, port), f"this machine, no party, reaches {address}:{port}"
        assert connects_from(party, "127.0.0.1", API_PORT)


def test_containers_cannot_be_reached_by_a_route_through_their_host() -> None:
    form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    flow, broker = node("9999", f"docker inspect --format '{form}' fate-flow fate-rabbitmq").split()
    assert connects_from("9999", flow, API_PORT) and connects_from("9999", broker, 15672)
    for container in (flow, broker):
        node("10000", f"ip route add {container}/32 via {ADDRESSES['9999']}")
    try:
        assert not connects_from("10000", flow, API_PORT)
        assert not connects_from("10000", broker, 15672)
    finally:
        for container in (flow, broker):
            node("10000", f"ip route del {container}/32")


STRANGER = """
import socket, ssl, sys
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
line = context.wrap_socket(socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=5))
line.sendall(b"GET /v2/scheduler/nothing HTTP/1.0\\r\\n\\r\\n")
print(line.recv(4096))
"""
PARTY = """
import http.client, ssl, sys
tls = "/etc/federated-bench/party/tls/"
context = ssl.create_default_context(cafile=tls + "ca.crt")
context.load_cert_chain(tls + "party.crt", tls + "party.key")
line = http.client.HTTPSConnection(sys.argv[1], int(sys.argv[2]), context=context, timeout=5)
line.request("GET", sys.argv[3])
print(line.getresponse().status)
"""


def test_nobody_is_let_in_without_a_certificate() -> None:
    answer = run_python("9998", STRANGER, ADDRESSES["9999"], str(FLOW_PORT))
    assert "400 Bad Request" in answer and "No required SSL certificate was sent" in answer
    # The broker's line is closed without a word.
    answer = run_python("9998", STRANGER, ADDRESSES["9999"], str(BROKER_PORT), check=False)
    assert answer.strip() == "b''" or "CERTIFICATE_REQUIRED" in answer


@pytest.mark.parametrize(("path", "status"), [("/v2/scheduler/nothing", "200"), ("/v2/job/query", "403")])
def test_a_party_is_let_in_for_what_parties_say_to_each_other(path: str, status: str) -> None:
    answer = run_python("9998", PARTY, ADDRESSES["9999"], str(FLOW_PORT), path)
    assert answer.strip() == status


def test_secrets_are_kept() -> None:
    passwords = list((CREDENTIALS / "passwords").iterdir())
    secrets = [path.read_text().strip() for path in passwords]
    assert len(set(secrets)) == len(ADDRESSES) and all(len(secret) >= 32 for secret in secrets)
    for path in [CREDENTIALS, *CREDENTIALS.glob("*.key"), *passwords]:
        assert path.stat().st_mode & 0o077 == 0, f"others may read {path}"
    output = play("-vvv", "--diff").output
    for party in ADDRESSES:
        logs = "".join(node(party, f"docker logs {container} 2>&1") for container in CONTAINERS)
        logs += node(party, "journalctl --no-pager")
        logs += node(party, "docker exec fate-flow sh -c 'find /var/lib/fate/logs -type f -exec cat {} +'")
        seen = node(party, f"docker inspect {' '.join(CONTAINERS)}") + processes(party)
        for secret in secrets:
            assert secret not in output
            assert secret not in logs
            assert secret not in seen
        holders = "grep -rlE 'PRIVATE|password: |default_pass' /etc/federated-bench"
        modes = node(party, f"{holders} | xargs stat --format %a:%u").split()
        assert modes == ["400:10001"] * 3
        for container in CONTAINERS:
            # A process may end while the list is read.
            users = node(party, f"docker exec {container} sh -c 'grep -sh ^Uid /proc/[0-9]*/status; true'").split()
            assert set(users) == {"Uid:", "10001"}, f"{container} of party {party} runs as {users}"


def test_a_party_without_its_broker_fails_the_job_and_is_named() -> None:
    node("9998", "docker stop fate-rabbitmq")
    run = play("-e", "verify_timeout=100", book="playbooks/verify.yml")
    assert run.code != 0
    assert any("Party 9998 (host) is at fault: container fate-rabbitmq does not run" in line for line in run.lines)
    assert not any("Party 10000" in line or "Party 9999" in line for line in run.lines)
    assert succeeded(run.output) == {("10000", "9999")}

    repaired = play()
    assert repaired.code == 0 and succeeded(repaired.output) == PAIRS


def test_a_rebooted_node_comes_back_as_a_working_party() -> None:
    subprocess.run(["docker", "restart", "testbed-9999"], check=True, capture_output=True)
    ask = f"import urllib.request as u; print(u.urlopen('http://127.0.0.1:{API_PORT}/v2/server/fateflow').read())"
    wait_until(lambda: '"code":0' in run_python("9999", ask), 180, "FATE Flow answers")
    run = play(book="playbooks/verify.yml")
    assert run.code == 0 and succeeded(run.output) == PAIRS
    assert not connects(ADDRESSES["9999"], FLOW_PORT), "the firewall's rules did not come back"


def test_a_host_that_is_another_party_is_refused() -> None:
    other = INVENTORY.with_name("renamed.yml")
    other.write_text(INVENTORY.read_text().replace('"9998"', '"9997"'))
    try:
        run = play("-e", "deployment=testbed", inventory=other)
    finally:
        other.unlink()
    assert run.code != 0
    assert any("9998" in line and "9997" in line and "reset" in line for line in run.lines), run.lines


def test_reset_leaves_bare_nodes(bare: dict[str, str]) -> None:
    run = play(book="playbooks/reset.yml")
    assert run.code == 0
    after = snapshots()
    for party, before in bare.items():
        assert sorted(set(after[party].splitlines()) ^ set(before.splitlines())) == []
    assert not CREDENTIALS.exists()

    again = play(book="playbooks/reset.yml")
    assert again.code == 0 and again.total("changed") == 0
