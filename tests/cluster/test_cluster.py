"""From bare nodes to a federation, through its failures, and back to bare nodes. Each test goes on from the last."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jobs
import pytest
from ansible_helpers import Run
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

from bench.engines.fate import outcome
from bench.errors import CaseError

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


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the runs of the playbooks put their results, each in a folder of its own."""
    return tmp_path_factory.mktemp("out")


def measuring(out: Path, suite: Path = jobs.TINY) -> list[str]:
    """Options of a playbook run that measures into ``out``."""
    return ["-e", f"bench_suite={suite}", "-e", f"bench_out={out}"]


def only_run(out: Path) -> Path:
    """Return the one result folder in ``out``."""
    (run,) = out.iterdir()
    return run


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


@pytest.mark.long
def test_a_host_that_hangs_is_told_and_nothing_is_changed(bare: dict[str, str]) -> None:
    subprocess.run(["docker", "pause", "testbed-9998"], check=True, capture_output=True)
    try:
        run = play(timeout=120)
    finally:
        subprocess.run(["docker", "unpause", "testbed-9998"], check=True, capture_output=True)
    assert run.code != 0
    assert any("9998" in line and ADDRESSES["9998"] in line for line in run.lines), run.lines
    assert snapshots() == bare


def test_runs_that_were_cut_off_are_finished_by_the_next(bare: dict[str, str], out: Path) -> None:
    with start_play() as process:
        record = "/var/lib/federated-bench/installed/docker"
        wait_until(
            lambda: node("9999", f"ls {record}") and "dpkg --" in processes("9999"), 300, "Docker is being installed"
        )
        cut_off(process)
    with start_play() as process:
        wait_until(lambda: "docker load" in processes("9999"), 600, "the image is being loaded")
        cut_off(process)

    run = play(*measuring(out / "first"))
    assert run.code == 0
    assert succeeded(run.output) == PAIRS
    assert f"report: {only_run(out / 'first')}/report.html" in run.output


def test_a_run_ends_with_a_report_of_a_job_between_the_hosts(out: Path) -> None:
    run = only_run(out / "first")
    case = jobs.record(run)
    assert case["status"] == "ok" and case["epochs_run"] == [6]
    assert (run / "report.html").exists()
    phases = jobs.epochs(run).groupby("who")["phase"].agg(set)
    for who in ("9999/guest", "9998/host", "10000/host"):
        assert {"compute", "encrypt", "serialise", "transfer", "wait", "framework", "unattributed"} <= phases[who]
        assert case["time"]["by_party"][who]["attributed_share"]["low"] > 0.95
    assert {"aggregate", "serialise", "transfer", "wait"} <= phases["10000/arbiter"]
    sampled = jobs.resources(run).groupby("party", dropna=False)
    for party in ADDRESSES:
        for container in CONTAINERS:
            assert sampled.get_group(f"{party}/{container}")["rss"].max() > 1e6
    assert {"9999/guest", "9998/host", "10000/host", "10000/arbiter", "9999/flow"} <= set(sampled.groups)
    machines = jobs.resources(run)[lambda table: table["party"].isna()].groupby("host")["net_sent"]
    assert set(machines.groups) == {f"party-{party}" for party in ADDRESSES}
    assert (machines.max() > machines.min()).all()


@dataclass(frozen=True)
class Recorded:
    """A run of site.yml, and what was recorded while it ran."""

    run: Run
    packets: dict[str, bytes]  # of each network interface of party 9999's node
    messages: list[dict[str, Any]]  # that the broker of party 10000 was given
    results: Path


@contextmanager
def packets_recorded(place: Path) -> Iterator[None]:
    """Record all packets of party 9999's node, and put them into ``place``."""
    folder = "/tmp/capture"
    argv = ["docker", "exec", "--interactive", "testbed-9999", "python3", "-", folder]
    with (Path(__file__).parent / "capture.py").open() as script, subprocess.Popen(argv, stdin=script) as sniffer:
        wait_until(lambda: "began" in node("9999", f"ls {folder}"), 10, "the capture has begun")
        yield
        node("9999", f"touch {folder}/stop")
        assert sniffer.wait(timeout=30) == 0
    subprocess.run(["docker", "cp", f"testbed-9999:{folder}", str(place)], check=True, capture_output=True)
    node("9999", f"rm -r {folder}")


@contextmanager
def messages_recorded(messages: list[dict[str, Any]]) -> Iterator[None]:
    """Let the broker of party 10000 tell what it is given, and add it to ``messages``."""
    inside = "docker exec --interactive fate-flow"
    argv = ["docker", "exec", "--interactive", "testbed-10000", *inside.split(), "python", "-", "/tmp/firehose"]
    with (Path(__file__).parent / "firehose.py").open() as script, subprocess.Popen(argv, stdin=script) as firehose:
        yield
        node("10000", f"{inside} touch /tmp/firehose.stop")
        assert firehose.wait(timeout=30) == 0
    messages += map(json.loads, node("10000", f"{inside} cat /tmp/firehose").splitlines())
    node("10000", f"{inside} rm /tmp/firehose /tmp/firehose.stop")


# Only what brokers say to each other: the rest would take minutes.
SLOW = f"""
tc qdisc add dev eth0 root handle 1: htb
tc class add dev eth0 parent 1: classid 1:1 htb rate 1gbit
tc qdisc add dev eth0 parent 1:1 tbf rate 64kbit burst 4kb latency 5s
tc filter add dev eth0 parent 1: protocol ip u32 match ip sport {BROKER_PORT} 0xffff flowid 1:1
tc filter add dev eth0 parent 1: protocol ip u32 match ip dport {BROKER_PORT} 0xffff flowid 1:1
"""


@contextmanager
def slow_lines() -> Iterator[None]:
    """Limit the bandwidth for messages between the nodes."""
    for party in ADDRESSES:
        node(party, f"set -e{SLOW}")
    try:
        yield
    finally:
        for party in ADDRESSES:
            node(party, "tc qdisc del dev eth0 root")


@pytest.fixture(scope="module")
def second(out: Path, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """Run site.yml once more, all that it can say said, over slow lines, and record what goes over them."""
    place = tmp_path_factory.mktemp("packets")
    messages: list[dict[str, Any]] = []
    with packets_recorded(place), messages_recorded(messages), slow_lines():
        run = play("-vvv", "--diff", *measuring(out / "second"), timeout=1500)
    packets = {path.name: path.read_bytes() for path in (place / "capture").iterdir()}
    return Recorded(run, packets, messages, only_run(out / "second"))


def test_a_second_run_changes_nothing(second: Recorded) -> None:
    assert second.run.code == 0 and second.run.total("ok") > 0
    assert second.run.total("changed") == 0


def test_over_slow_lines_communicating_grows_and_computing_does_not(second: Recorded, out: Path) -> None:
    def per_epoch(run: Path, phase: str) -> float:
        """Median over epochs of what the parties spend that do not share the arbiter's host."""
        table = jobs.epochs(run)
        far = table[(table["phase"] == phase) & (table["epoch"] > 1) & table["who"].isin(["9999/guest", "9998/host"])]
        return float(far.groupby("epoch")["seconds"].sum().median())

    fast, slow = only_run(out / "first"), second.results
    transfer, compute = (per_epoch(slow, phase) / per_epoch(fast, phase) for phase in ("transfer", "compute"))
    print(f"over slow lines: transfer x {transfer:.1f}, compute x {compute:.1f}")
    assert transfer > 3
    assert transfer > 2 * compute


def test_bytes_are_those_that_rabbitmq_counts(second: Recorded) -> None:
    epochs = jobs.epochs(second.results)
    for role in ("arbiter", "host"):
        mine = epochs[epochs["who"] == f"10000/{role}"]
        sent = sum(m["bytes"] for m in second.messages if re.search(rf"^send-\d+_lr_0_0-{role}-10000-", m["key"]))
        # What comes from the other nodes, and what the other role here has sent.
        received = sum(
            m["bytes"] for m in second.messages if re.search(rf"^receive-\d+_lr_0_0-\w+-\d+-{role}-10000-", m["key"])
        )
        # The first messages may be over before the broker is told to tell of them.
        assert mine["bytes_sent"].sum() == pytest.approx(sent, rel=0.05)
        assert mine["bytes_received"].sum() == pytest.approx(received, rel=0.05)


@pytest.mark.long
def test_check_mode_finds_nothing_to_change() -> None:
    run = play("--check", "--diff")
    assert run.code == 0 and run.total("ok") > 0
    assert run.total("changed") == 0


def test_check_mode_tells_what_a_run_would_change() -> None:
    run = play("--check", "-e", "party_cores=16", "--tags", "party")
    assert run.code == 0
    assert run.total("changed") > 0


def test_the_traffic_of_jobs_between_nodes_is_not_plain_text(second: Recorded) -> None:
    assert succeeded(second.run.output) == PAIRS
    outside = second.packets["eth0"]
    inside = b"".join(packets for name, packets in second.packets.items() if name.startswith("veth"))
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


def test_secrets_are_kept(second: Recorded) -> None:
    passwords = list((CREDENTIALS / "passwords").iterdir())
    secrets = [path.read_text().strip() for path in passwords]
    assert len(set(secrets)) == len(ADDRESSES) and all(len(secret) >= 32 for secret in secrets)
    for path in [CREDENTIALS, *CREDENTIALS.glob("*.key"), *passwords]:
        assert path.stat().st_mode & 0o077 == 0, f"others may read {path}"
    output = second.run.output
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


@pytest.fixture(scope="module")
def long_job(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Bring a job of more epochs than anybody waits for to the nodes, its rows uploaded; what each party was given."""
    folders = jobs.orders(tmp_path_factory.mktemp("orders"), epochs=3000)
    jobs.bring(folders)
    jobs.upload()
    return folders


def test_rows_are_at_their_own_party_only(long_job: dict[str, Path]) -> None:
    for owner, numbers in jobs.own_numbers(long_job).items():
        for party in ADDRESSES:
            found = jobs.holders(party, numbers)
            assert bool(found) == (party == owner), f"rows of party {owner} at party {party}: {found}"


def kill_a_worker() -> None:
    node("9998", f"kill -KILL {jobs.wait_for_worker('9998', 'host')}")


def stop_a_worker() -> None:
    node("10000", f"kill -STOP {jobs.wait_for_worker('10000', 'arbiter')}")


def restart_a_broker() -> None:
    jobs.wait_for_worker("9998", "host")
    node("9998", "docker kill fate-rabbitmq && docker start fate-rabbitmq")


def cut_a_node_off() -> None:
    jobs.wait_for_worker("9998", "host")
    for other in ("9999", "10000"):
        node("9998", f"iptables -t raw -I PREROUTING -s {ADDRESSES[other]} -j DROP")


FAULTS: dict[str, tuple[Callable[[], None], str]] = {
    "worker killed": (
        kill_a_worker,
        r"party 9998 \(host\): its host process of task lr_0.* died: killed by SIGKILL .*log: \[",
    ),
    "worker stopped": (
        stop_a_worker,
        r"party 10000 \(arbiter\): its arbiter process of task lr_0 .* was stopped .*log: \[",
    ),
    "broker restarted": (restart_a_broker, r"party 9998 \(host\): RabbitMQ ended or was restarted in mid-job: \w+"),
    "node cut off": (cut_a_node_off, r"party 9998 \(host\): none of the other parties \(9999, 10000\) can be reached"),
}


# A worker that is stopped is also seen in tests/test_role_bench.py, without a federation.
@pytest.mark.parametrize(
    "fault", [pytest.param(fault, marks=[pytest.mark.long] if fault == "worker stopped" else []) for fault in FAULTS]
)
def test_a_fault_in_mid_job_stops_the_job_everywhere_within_a_minute(long_job: dict[str, Path], fault: str) -> None:
    """That each job gets as far as HomoLR at all parties shows that the one before has left them usable."""
    cause, words = FAULTS[fault]
    try:
        with jobs.job() as watched:
            cause()
            began = time.monotonic()
            verdicts = watched.stopped_within(60)
            print(f"{fault}: stopped everywhere after {time.monotonic() - began:.0f} s")
    finally:
        for other in ("9999", "10000"):
            node("9998", f"iptables -t raw -D PREROUTING -s {ADDRESSES[other]} -j DROP", check=False)
    with pytest.raises(CaseError, match=words):
        outcome.check(verdicts)
    for party in ADDRESSES:
        wait_until(lambda party=party: jobs.all_is_free(party), 60, f"party {party} is free")


@pytest.mark.long
def test_a_job_that_gets_no_cores_is_stopped(long_job: dict[str, Path]) -> None:
    whole, _ = run_python("9998", jobs.CORES).split()
    run_python("9998", jobs.CORES, "0")
    try:
        with jobs.job() as watched:
            verdicts = watched.stopped_within(90)
    finally:
        run_python("9998", jobs.CORES, whole)
    with pytest.raises(
        CaseError, match=r"party 9998 \(host\): FATE Flow has no cores .* asks for 4 of \d+; .*cores: 0"
    ):
        outcome.check(verdicts)


def test_a_party_that_dies_fails_the_run_is_named_and_all_rows_are_taken_away(
    long_job: dict[str, Path], out: Path
) -> None:
    """Its own watch dies with it. What the tests before have left on the hosts is taken away too."""
    suite, said = next(iter(long_job.values())).parents[2] / "long.yml", out / "said.txt"
    options = ("--tags", "bench,collect", *measuring(out / "died", suite))
    with said.open("w") as output, start_play(*options, output=output) as process:
        jobs.wait_for_worker("9998", "host")
        node("9998", "docker stop --time 2 fate-flow")
        for party in ("9999", "10000"):
            wait_until(lambda party=party: "component execute" not in processes(party), 60, f"{party} has stopped")
        assert process.wait(300) != 0
    try:
        why = r"container fate-flow does not run \(Exited .*; the last line of its log: "
        assert re.search(rf"fate-hosts: repeat 1: party 9998 \(host\): {why}", said.read_text())
        run = only_run(out / "died")
        assert jobs.record(run)["status"] == "failed"
        assert (run / "report.html").exists()
        assert (run / "logs" / "fate-hosts.1" / "9998.txt").stat().st_size
        numbers = set().union(*jobs.own_numbers(long_job).values())
        for party in ADDRESSES:
            assert jobs.holders(party, numbers) == []
    finally:
        node("9998", "docker start fate-flow")


@pytest.mark.long
def test_a_party_without_its_broker_fails_the_job_and_is_named(out: Path) -> None:
    node("9998", "docker stop fate-rabbitmq")
    run = play("-e", "verify_timeout=100", book="playbooks/verify.yml")
    assert run.code != 0
    assert any("Party 9998 (host) is at fault: container fate-rabbitmq does not run" in line for line in run.lines)
    assert not any("Party 10000" in line or "Party 9999" in line for line in run.lines)
    assert succeeded(run.output) == {("10000", "9999")}

    # After all that has been broken, the next benchmark succeeds, and nothing is left of it on the hosts.
    repaired = play("--tags", "party,bench,collect", *measuring(out / "repaired"))
    assert repaired.code == 0
    assert jobs.record(only_run(out / "repaired"))["status"] == "ok"
    for party in ADDRESSES:
        assert jobs.VOLUME in node(party, f"ls -d {jobs.VOLUME}")
        assert node(party, f"ls -d {jobs.FOLDER} /var/lib/federated-bench/*.gz {jobs.VOLUME}/data/*lr_0; true") == ""


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
