"""From three bare nodes to a federation, through its failures, and back to bare nodes. The tests go on from one another."""

from __future__ import annotations

import os
import re
import signal
import socket
import ssl
import subprocess
import time
from pathlib import Path

import pytest
from cluster import ADDRESSES, CREDENTIALS, INVENTORY, node, play, snapshots, start_play, wait_until

PAIRS = {("10000", "9999"), ("10000", "9998"), ("9999", "9998")}
FLOW_PORT, BROKER_PORT, API_PORT = 9443, 5671, 9380


def succeeded(output: str) -> set[tuple[str, str]]:
    """Pairs of parties between which a playbook reports a toy job that ended in success."""
    return set(re.findall(r"guest (\d+), host (\d+): success in", output))


def cut_off(process: subprocess.Popen[str]) -> None:
    """Kill a run of Ansible with all it has started on this machine, as a closed laptop would."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def connects(address: str, port: int) -> bool:
    """Whether this machine, which is no party, gets a connection."""
    try:
        socket.create_connection((address, port), timeout=3).close()
    except OSError:
        return False
    return True


def connects_from(party: str, address: str, port: int) -> bool:
    """Whether a party's node gets a connection."""
    return "yes" in node(party, f"timeout 3 bash -c '</dev/tcp/{address}/{port}' 2>/dev/null && echo yes || echo no")


def test_faults_of_hosts_are_told_together_and_nothing_is_changed(bare: dict[str, str]) -> None:
    node("9998", f"setsid python3 -m http.server {FLOW_PORT} >/dev/null 2>&1 & echo $! >/tmp/listener")
    node("9999", "cp --archive /etc/os-release /tmp/os-release && sed -i 's/^ID=.*/ID=arch/; s/^NAME=.*/NAME=\"Arch Linux\"/' /etc/os-release")
    # A clock cannot be put wrong for one container alone, so the program that tells the time is.
    node("10000", "printf '#!/bin/sh\\nexec /bin/date -d +60seconds \"$@\"\\n' >/usr/local/bin/date && chmod +x /usr/local/bin/date")
    try:
        run = play()
    finally:
        node("9998", "kill $(cat /tmp/listener); rm /tmp/listener")
        node("9999", "cp --archive /tmp/os-release /etc/os-release; rm /tmp/os-release")
        node("10000", "rm /usr/local/bin/date")
    assert run.code != 0
    said = "\n".join(run.lines)
    assert str(FLOW_PORT) in said and "9998" in said
    assert "Arch" in said
    assert "clock" in said and "10000" in said
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
    process = start_play()
    wait_until(lambda: "docker" in node("9999", "pgrep --full --list-full dpkg"), 300, "Docker's packages are being unpacked")
    cut_off(process)
    process = start_play()
    wait_until(lambda: node("9999", "pgrep --full 'docker load'"), 600, "the image is being loaded")
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
    run = play("--check", "-e", "party_cores=16", "--limit", "party-9998")
    assert run.code == 0
    assert run.total("changed") > 0


def test_a_jobs_traffic_between_nodes_is_not_plain_text(tmp_path: Path) -> None:
    folder = "/tmp/capture"
    script = (Path(__file__).parent / "capture.py").read_text()
    argv = ["docker", "exec", "--interactive", "testbed-9999", "python3", "-", folder]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, text=True) as sniffer:
        assert sniffer.stdin
        sniffer.stdin.write(script)
        sniffer.stdin.close()
        wait_until(lambda: "began" in node("9999", f"ls {folder}"), 10, "the capture has begun")
        run = play(book="playbooks/verify.yml")
        node("9999", f"touch {folder}/stop")
        assert sniffer.wait(timeout=30) == 0
    assert succeeded(run.output) == PAIRS
    subprocess.run(["docker", "cp", f"testbed-9999:{folder}", str(tmp_path)], check=True, capture_output=True)
    node("9999", f"rm -r {folder}")
    recorded = {path.name: path.read_bytes() for path in (tmp_path / "capture").iterdir()}
    outside = recorded.pop("eth0")
    inside = b"".join(packets for name, packets in recorded.items() if name.startswith("br-"))
    # The same words, looked for in the same way, stand in what the party's own containers say to each other.
    for words in (b"HTTP/1.1", b"toy_example", b"AMQP\x00\x00\x09\x01"):
        assert words in inside, f"{words!r} is not even in the plain traffic: this test would find nothing"
        assert words not in outside, f"{words!r} crossed the network in plain text"
    for port in (FLOW_PORT, BROKER_PORT):
        assert port.to_bytes(2) in outside


def test_ports_are_open_to_the_parties_only() -> None:
    for party, address in ADDRESSES.items():
        others = [other for other in ADDRESSES if other != party]
        for port in (FLOW_PORT, BROKER_PORT):
            assert all(connects_from(other, address, port) for other in others)
            assert not connects(address, port), f"this machine, no party, reaches {address}:{port}"
        for port in (API_PORT, 9360, 5672, 15672, 4369, 25672, 9300, 5680):
            assert not connects_from(others[0], address, port), f"party {others[0]} reaches {address}:{port}"
            assert not connects(address, port)
        assert connects_from(party, "127.0.0.1", API_PORT)


def test_containers_cannot_be_reached_by_a_route_through_their_host() -> None:
    addresses = node("9999", "docker inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' fate-flow fate-rabbitmq")
    flow, broker = addresses.split()
    network = f"{flow.rsplit('.', 1)[0]}.0/24"
    node("10000", f"ip route add {network} via {ADDRESSES['9999']} metric 1", check=False)
    # Party 10000 has containers of its own in that network; the more exact route leads to party 9999.
    node("10000", f"ip route add {flow}/32 via {ADDRESSES['9999']}; ip route add {broker}/32 via {ADDRESSES['9999']}")
    try:
        assert not connects_from("10000", flow, API_PORT)
        assert not connects_from("10000", broker, 15672)
    finally:
        node("10000", f"ip route del {flow}/32; ip route del {broker}/32")
        node("10000", f"ip route del {network} via {ADDRESSES['9999']} metric 1", check=False)


@pytest.mark.parametrize("port", [FLOW_PORT, BROKER_PORT])
def test_nobody_is_let_in_without_a_certificate(port: int) -> None:
    stranger = (
        "import socket, ssl; context = ssl.create_default_context(); context.check_hostname = False; "
        "context.verify_mode = ssl.CERT_NONE; "
        f"line = context.wrap_socket(socket.create_connection(('{ADDRESSES['9999']}', {port}), timeout=5)); "
        "line.sendall(b'GET /v2/partner/x HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n'); print(line.recv(4096))"
    )
    answer = node("9998", f'python3 -c "{stranger}" 2>&1', check=False)
    assert "No required SSL certificate was sent" in answer or "CERTIFICATE_REQUIRED" in answer or answer.strip() == "b''"


def test_a_party_may_only_do_what_parties_do() -> None:
    context = ssl.create_default_context(cafile=str(CREDENTIALS / "ca.crt"))
    assert context.verify_mode is ssl.CERT_REQUIRED
    ask = (
        "import http.client, ssl; context = ssl.create_default_context(cafile='/etc/federated-bench/party/tls/ca.crt'); "
        "context.load_cert_chain('/etc/federated-bench/party/tls/party.crt', '/etc/federated-bench/party/tls/party.key'); "
        f"line = http.client.HTTPSConnection('{ADDRESSES['9999']}', {FLOW_PORT}, context=context, timeout=5); "
        "line.request('GET', '{path}'); print(line.getresponse().status)"
    )
    assert node("9998", f'python3 -c "{ask.format(path="/v2/job/query")}"').strip() == "403"
    assert node("9998", f'python3 -c "{ask.format(path="/v2/scheduler/nothing")}"').strip() == "404"


def test_secrets_are_kept() -> None:
    secrets = [path.read_text().strip() for path in (CREDENTIALS / "passwords").iterdir()]
    assert len(set(secrets)) == len(ADDRESSES) and all(len(secret) >= 32 for secret in secrets)
    files = [CREDENTIALS / "ca.key", *CREDENTIALS.glob("*.key"), *(CREDENTIALS / "passwords").iterdir()]
    assert all(path.stat().st_mode & 0o077 == 0 for path in [CREDENTIALS, *files])
    run = play("-vvv", book="site.yml")
    for party in ADDRESSES:
        logs = node(party, "docker logs fate-flow 2>&1; docker logs fate-rabbitmq 2>&1; docker logs fate-router 2>&1; journalctl --no-pager")
        logs += node(party, "docker exec fate-flow sh -c 'find /var/lib/fate/logs -type f -exec cat {} +'")
        inspected = node(party, "docker inspect fate-flow fate-rabbitmq fate-router; ps -ef 2>/dev/null || cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
        for secret in secrets:
            assert secret not in logs + inspected + run.output
        readable = node(party, "find /etc/federated-bench -type f -perm /044 -exec grep -lE 'PRIVATE KEY|pass' {} +", check=False)
        assert readable == ""
        assert "root" not in node(party, "docker top fate-flow; docker top fate-rabbitmq; docker top fate-router")


def test_a_party_without_its_broker_fails_the_job_and_is_named() -> None:
    node("9998", "docker stop fate-rabbitmq")
    run = play("-e", "verify_timeout=60", book="playbooks/verify.yml", timeout=300)
    assert run.code != 0
    assert any("Look at party 9998" in line for line in run.lines), run.lines
    assert succeeded(run.output) == {("10000", "9999")}

    repaired = play()
    assert repaired.code == 0 and succeeded(repaired.output) == PAIRS


def test_a_rebooted_node_comes_back_as_a_working_party() -> None:
    subprocess.run(["docker", "restart", "testbed-9999"], check=True, capture_output=True)
    # Nothing but the job itself, which fails at once as long as FATE Flow is not up.
    wait_until(lambda: '"code":0' in node("9999", f"python3 -c \"import urllib.request as u; print(u.urlopen('http://127.0.0.1:{API_PORT}/v2/server/fateflow').read())\""), 180, "FATE Flow answers")
    run = play(book="playbooks/verify.yml")
    assert run.code == 0 and succeeded(run.output) == PAIRS
    assert not connects(ADDRESSES["9999"], FLOW_PORT), "the firewall's rules did not come back"


def test_a_host_of_another_party_is_refused() -> None:
    inventory = INVENTORY.read_text().replace("9998", "9997")
    other = INVENTORY.with_name("renamed.yml")
    other.write_text(inventory)
    try:
        run = play("-i", str(other), timeout=120)
    finally:
        other.unlink()
    assert run.code != 0
    assert any("9998" in line and "reset" in line for line in run.lines), run.lines


def test_reset_leaves_bare_nodes(bare: dict[str, str]) -> None:
    run = play(book="playbooks/reset.yml")
    assert run.code == 0
    after = snapshots()
    for party, before in bare.items():
        assert sorted(set(after[party].splitlines()) ^ set(before.splitlines())) == []
    assert not CREDENTIALS.exists()

    again = play(book="playbooks/reset.yml")
    assert again.code == 0 and again.total("changed") == 0
