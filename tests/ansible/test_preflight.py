"""What a person is told before anything is changed: real runs, and the rules on many inventories and hosts."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_helpers import ROOT, Run, load, local_parties, run_play, two_at_a_time, write_inventory
from hypothesis import given, settings
from hypothesis import strategies as st

PREFLIGHT = ROOT / "playbooks" / "preflight.yml"
ROLE = ROOT / "roles" / "preflight"
GIB = 1024**3


rules = load(ROOT / "plugins" / "filter" / "preflight.py")
probe = load(ROOT / "plugins" / "modules" / "preflight_probe.py")


def write_archive(folder: Path, content: bytes = b"image", *, sidecar: str | None = None) -> Path:
    """Write an image archive and, beside it, its description (a right one unless given)."""
    archive = folder / "fate.tar.gz"
    archive.write_bytes(content)
    described = {"reference": "federated-bench/fate:2.2.0", "sha256": hashlib.sha256(content).hexdigest()}
    Path(f"{archive}.json").write_text(json.dumps(described) if sidecar is None else sidecar)
    return archive


# The inventory: what a person may get wrong, and the one line that says so.

Hosts = dict[str, dict[str, Any]]


def without(host: str, name: str) -> Callable[[Hosts], None]:
    return lambda hosts: hosts[host].pop(name) and None


def change(host: str = "party-9998", **changes: Any) -> Callable[[Hosts], None]:
    return lambda hosts: hosts[host].update(changes)


def only_one_party(hosts: Hosts) -> None:
    del hosts["party-9999"], hosts["party-9998"]


FAULTS: dict[str, tuple[Callable[[Hosts], None], str]] = {
    "one party": (only_one_party, "the group parties has 1 hosts: name two to ten in the inventory"),
    "no id": (
        without("party-9998", "party_id"),
        'party-9998: party_id is missing: give the party a number, such as party_id: "9999"',
    ),
    "id not quoted": (change(party_id=9998), 'party-9998: party_id must be in quotes: party_id: "9998"'),
    "id of letters": (
        change(party_id="bank"),
        "party-9998: party_id must be digits only, without a zero in front, it is bank",
    ),
    "same id": (
        change(party_id="9999"),
        "party_id 9999 is given to party-9999 and party-9998: each party needs its own",
    ),
    "no roles": (
        without("party-9998", "party_roles"),
        "party-9998: party_roles is missing: give a list from guest, host, arbiter",
    ),
    "roles not a list": (
        change(party_roles="host"),
        "party-9998: party_roles must be a list from guest, host, arbiter, such as [host], it is host",
    ),
    "unknown role": (
        change(party_roles=["host", "boss"]),
        "party-9998: party_roles has boss: it must be a list from guest, host, arbiter",
    ),
    "role named twice": (change(party_roles=["host", "host"]), "party-9998: party_roles names host twice"),
    "guest and host": (
        change("party-9999", party_roles=["guest", "host"]),
        "party-9999: a party is either guest or host, not both: take one out of party_roles",
    ),
    "two guests": (
        change(party_roles=["guest"]),
        "2 parties have the role guest (party-9999, party-9998): leave it to one",
    ),
    "no guest": (
        change("party-9999", party_roles=["host"]),
        "no party has the role guest: add it to the party_roles of one",
    ),
    "no arbiter": (
        change("party-10000", party_roles=["host"]),
        "no party has the role arbiter: add it to the party_roles of one",
    ),
    "same address": (
        change(ansible_host="127.0.0.3", party_address="127.0.0.9"),
        "ansible_host 127.0.0.3 is given to party-9999 and party-9998: each party needs its own",
    ),
    "same party address": (
        change(party_address="127.0.0.3"),
        "party_address 127.0.0.3 is given to party-9999 and party-9998: each party needs its own",
    ),
    "no address": (
        without("party-9998", "ansible_host"),
        "party-9998: ansible_host is missing: give the address for ssh",
    ),
    "no party address": (
        change(party_address=""),
        "party-9998: party_address is missing: give the IPv4 address by which the other parties reach it",
    ),
    "address is a name": (
        change(party_address="bank.example.org"),
        "party-9998: party_address must be an IPv4 address (certificates and firewall rules name it), it is "
        "bank.example.org: set it in the inventory",
    ),
    "unknown stack": (
        lambda hosts: [host.update(party_stack="swarm") for host in hosts.values()] and None,
        "party_stack must be one of slim, kubefate, it is swarm",
    ),
    "stacks differ": (
        change(party_stack="kubefate"),
        "party_stack must be the same for all parties, it is slim for party-10000, slim for party-9999, kubefate for "
        "party-9998",
    ),
    "no stack": (
        lambda hosts: [host.update(party_stack="") for host in hosts.values()] and None,
        "party_stack is missing: set it for all parties, as group_vars/all.yml beside the inventory does",
    ),
    "name no folder can have": (
        lambda hosts: [host.update(deployment="../etc") for host in hosts.values()] and None,
        "deployment must be letters, digits, dots, dashes and underscores, it is ../etc",
    ),
}


def good_hosts() -> Hosts:
    """Describe three parties with all that group_vars gives them."""
    common = {"party_address": "{{ ansible_host }}", "party_stack": "slim", "deployment": "here"}
    return {host: common | own for host, own in local_parties().items()}


def templated(hosts: Hosts) -> Hosts:
    """Fill in the one template, as Ansible does; where that fails the text is left as it is."""
    for own in hosts.values():
        if own["party_address"] == "{{ ansible_host }}" and "ansible_host" in own:
            own["party_address"] = own["ansible_host"]
    return hosts


def test_a_good_inventory_passes() -> None:
    hosts = templated(good_hosts())
    assert rules.inventory_problems(list(hosts), hosts) == []


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_of_the_inventory_has_its_one_line(name: str) -> None:
    fault, line = FAULTS[name]
    hosts = good_hosts()
    fault(hosts)
    templated(hosts)
    assert rules.inventory_problems(list(hosts), hosts) == [line]


# The same by real runs: faults that can stand together, and no host is asked.

TOGETHER = [
    ("two guests",),
    ("one party",),
    ("no id", "no address", "unknown stack", "name no folder can have"),
    ("same id", "same address", "role named twice"),
    ("id not quoted", "address is a name", "no arbiter", "stacks differ"),
]


def inventory_run(
    folder: Path, hosts: Hosts, *options: str, environment: dict[str, str] | None = None, **variables: Any
) -> Run:
    """Run the checks; containers that happen to run on this machine are not seen."""
    folder.mkdir(parents=True)
    docker = folder / "programs" / "docker"
    docker.parent.mkdir()
    docker.write_text("#!/bin/sh\nexit 1\n")
    docker.chmod(0o755)
    inventory = write_inventory(folder, hosts, **{"image_archive": str(write_archive(folder)), **variables})
    own = {"PATH": f"{docker.parent}:{os.environ['PATH']}", **(environment or {})}
    return run_play(PREFLIGHT, inventory, *options, home=folder, environment=own)


@pytest.fixture(scope="module")
def faulty_runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    base = tmp_path_factory.mktemp("faults")
    jobs = {}
    for number, names in enumerate(TOGETHER):
        hosts = local_parties()
        for name in names:
            FAULTS[name][0](hosts)
        jobs[names[0]] = partial(inventory_run, base / str(number), hosts)
    return two_at_a_time(jobs)


@pytest.mark.parametrize("names", TOGETHER, ids=", ".join)
def test_a_run_reports_all_faults_of_the_inventory_and_asks_no_host(
    faulty_runs: dict[str, Run], names: tuple[str, ...]
) -> None:
    run = faulty_runs[names[0]]
    assert sorted(run.lines) == sorted(FAULTS[name][1] for name in names)
    assert run.code != 0
    assert "Traceback" not in run.output
    assert "Wait until the host answers" not in run.output, "a host was asked"


def test_an_inventory_without_parties_is_refused(tmp_path: Path) -> None:
    inventory = tmp_path / "none.yml"
    inventory.write_text("other: {hosts: {somebody: }}\n")
    run = run_play(PREFLIGHT, inventory, home=tmp_path)
    assert run.code != 0
    assert run.lines == [f"the group parties is missing or empty in {inventory}: name two to ten hosts in it"]


# The image archive.


@pytest.mark.parametrize(
    ("sidecar", "line"),
    [
        (
            '{"sha256": "0000", "reference": "federated-bench/fate:2.2.0"}',
            "the image archive {} is corrupt (its sha256 is not the one in {}.json)",
        ),
        (None, "{}.json, which describes the image archive, is missing or unreadable"),
    ],
    ids=["corrupt", "not described"],
)
def test_a_run_reports_a_bad_image_archive(tmp_path: Path, sidecar: str | None, line: str) -> None:
    archive = write_archive(tmp_path, sidecar=sidecar or "")
    if sidecar is None:
        Path(f"{archive}.json").unlink()
    run = inventory_run(tmp_path / "run", local_parties(), image_archive=str(archive))
    assert run.lines == [f"{line.replace('{}', str(archive))}: run `make image` on this machine"]
    assert run.code != 0
    assert "Wait until the host answers" not in run.output, "a host was asked"


SIDECAR = '{"sha256": "ab", "reference": "fate:2.2.0"}'


@pytest.mark.parametrize(
    ("archive", "sidecar", "words"),
    [
        ({"exists": False}, SIDECAR, "the image archive a is missing: run `make image`"),
        ({"readable": False}, SIDECAR, "the image archive a cannot be read: check its owner and mode"),
        ({"checksum": "cd"}, SIDECAR, "the image archive a is corrupt"),
        ({}, "{", "a.json, which describes the image archive, is missing or unreadable"),
        ({}, "[]", "a.json, which describes the image archive, is missing or unreadable"),
        ({}, '{"sha256": "ab"}', "a.json, which describes the image archive, is missing or unreadable"),
        ({}, "{}", "a.json, which describes the image archive, is missing or unreadable"),
        ({}, None, "a.json, which describes the image archive, is missing or unreadable"),
        ({}, SIDECAR, None),
        (
            {},
            SIDECAR.replace("2.2.0", "2.1.0"),
            "the image archive a holds fate:2.1.0, but image_reference is fate:2.2.0: run",
        ),
    ],
)
def test_the_image_archive_is_what_its_description_says(
    archive: dict[str, Any], sidecar: str | None, words: str | None
) -> None:
    found = {"exists": True, "readable": True, "checksum": "ab"} | archive
    problems = rules.archive_problems(found, "a", sidecar, "fate:2.2.0")
    assert len(problems) == (0 if words is None else 1)
    assert not problems or problems[0].startswith(words or "")


# Hosts, by real runs on this machine.


@contextmanager
def listening() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def shell_with_a_shifted_clock(folder: Path, seconds: int) -> Path:
    """Make a shell for the hosts' commands in which `date` is some seconds ahead for the first host that asks."""
    programs = folder / "programs"
    programs.mkdir()
    date, shell = programs / "date", folder / "shell"
    real = shutil.which("date")
    date.write_text(
        f"""#!/bin/sh
if mkdir "{folder}/asked" 2>/dev/null; then exec {real} -d "{seconds} seconds" "$@"; fi
exec {real} "$@"
"""
    )
    shell.write_text(f'#!/bin/sh\nPATH="{programs}:$PATH" exec /bin/sh "$@"\n')
    for program in (date, shell):
        program.chmod(0o755)
    return shell


def test_all_problems_of_a_host_are_reported_together(tmp_path: Path) -> None:
    installed = tmp_path / "installed"
    installed.mkdir()
    (installed / "party.json").write_text('{"party_id": "9997", "stack": "kubefate", "deployment": "there"}\n')
    hosts = local_parties()
    hosts["party-9998"] |= {"state_directory": str(installed)}
    # One host that has enough of everything; party-10000 is bare and has too little.
    hosts["party-9999"] |= {"preflight_memory_gib": 0, "preflight_disk_gib": 0, "preflight_ports": []}
    with listening() as port:
        run = inventory_run(
            tmp_path / "run",
            hosts,
            "--extra-vars",
            json.dumps({"_preflight_state_directory": "{{ state_directory }}"}),
            environment={"ANSIBLE_EXECUTABLE": str(shell_with_a_shifted_clock(tmp_path, 3600))},
            state_directory=str(tmp_path / "none"),
            preflight_memory_gib=100_000,
            preflight_disk_gib=100_000,
            preflight_ports=[port],
        )
    assert run.code != 0
    assert run.total("changed") == 0
    assert "Traceback" not in run.output
    for host, lines in run.messages.items():
        assert all(line.startswith(f"{host.replace('-', ' ')} ({host}, 127.0.0.") for line in lines)
    other = "\n".join(run.messages["party-9998"])
    bare = "\n".join(run.messages["party-10000"])
    assert (
        "this host is already party 9997 (stack kubefate, deployment there), the inventory makes it party 9998 (stack "
        "slim, deployment here): run playbooks/reset.yml" in other
    )
    for lines in (bare, other):
        assert "GiB of memory are too few, 100000 GiB are needed: add memory, or lower preflight_memory_gib" in lines
        assert f"port {port} is taken by " in lines
        assert f"(process {os.getpid()}): stop it or move it to another port" in lines
    assert "100000 GiB are needed: free some, or lower preflight_disk_gib" in bare
    # What is wrong with one host only is said of that one only.
    everything = "\n".join(run.lines)
    assert everything.count("already party") == everything.count("its clock and that of") == 1
    assert "s apart, 5 s are allowed: turn on time synchronisation on both, such as" in everything
    assert everything.count("GiB of memory") == everything.count("is taken by") == 2


def test_a_host_that_does_not_answer_ends_the_run(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.2", 0))
        port = closed.getsockname()[1]
    hosts = local_parties()
    hosts["party-10000"] |= {"ansible_connection": "ssh", "ansible_port": port, "ansible_user": "alice"}
    run = inventory_run(tmp_path / "run", hosts, preflight_connect_timeout=2)
    assert run.code != 0
    assert run.lines == [
        f"party 10000 (party-10000, 127.0.0.2) does not answer (ssh: connect to host 127.0.0.2 port {port}: Connection "
        "refused): check that the machine is up, that ansible_host and ansible_user are right in the inventory, and "
        f"that this works: ssh -p {port} alice@127.0.0.2"
    ]
    assert "UNREACHABLE" not in run.output
    assert "Gathering Facts" not in run.output
    assert "Gather facts" not in run.output, "the run went on with the other hosts"


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        (
            {"ansible_python_interpreter": "/nowhere/python2"},
            [
                "answers, but runs no Python",
                "/nowhere/python2",
                "install python3 there, or set ansible_python_interpreter",
            ],
        ),
        (
            {"ansible_become_user": "daemon", "ansible_become_exe": "/nowhere/sudo", "ansible_user": "alice"},
            ["answers, but does not let alice become root", "/nowhere/sudo", "allow it by sudo without a password"],
        ),
    ],
    ids=["python", "root"],
)
def test_a_host_without_python_or_root_is_named(tmp_path: Path, variables: dict[str, str], words: list[str]) -> None:
    hosts = local_parties()
    hosts["party-9999"] |= variables
    run = inventory_run(tmp_path / "run", hosts, preflight_connect_timeout=1)
    assert run.code != 0
    (line,) = run.lines
    assert line.startswith("party 9999 (party-9999, 127.0.0.3) answers")
    assert all(word in line for word in words)
    assert "Gather facts" not in run.output, "the run went on with the other hosts"


# The rules, on many inventories.


def good_party(number: int) -> dict[str, Any]:
    return {
        "ansible_host": f"192.168.52.{number}",
        "party_id": str(number),
        "party_roles": [],
        "party_address": f"192.168.52.{number}",
        "party_stack": "slim",
        "deployment": "here",
    }


ROLE_LISTS = [["guest"], ["host"], ["arbiter"], ["guest", "arbiter"], ["host", "arbiter"]]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([*ROLE_LISTS, ["guest", "host"], []]), min_size=1, max_size=11))
def test_an_inventory_passes_if_and_only_if_its_roles_make_a_federation(roles: list[list[str]]) -> None:
    hosts = {f"p{number}": good_party(number) | {"party_roles": own} for number, own in enumerate(roles, start=1)}
    flat = [role for own in roles for role in own]
    right = (
        2 <= len(roles) <= 10
        and all(own in ROLE_LISTS for own in roles)
        and flat.count("guest") == 1
        and flat.count("arbiter") == 1
        and flat.count("host") >= 1
    )
    assert (rules.inventory_problems(list(hosts), hosts) == []) == right


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["ansible_host", "party_id", "party_roles", "party_address", "party_stack", "deployment"]),
        st.none() | st.text() | st.integers() | st.lists(st.text(max_size=3)) | st.just("{{ ansible_host }}"),
        min_size=1,
    )
)
def test_no_value_makes_the_check_crash_and_each_problem_is_one_line(changes: dict[str, Any]) -> None:
    hosts = {"p1": good_party(1), "p2": good_party(2)}
    hosts["p1"]["party_roles"], hosts["p2"]["party_roles"] = ["guest"], ["host", "arbiter"]
    assert rules.inventory_problems(list(hosts), hosts) == []
    hosts["p2"].update(changes)
    problems = rules.inventory_problems(list(hosts), hosts)
    assert all(isinstance(problem, str) and len(problem.splitlines()) == 1 for problem in problems)


# The rules, on many hosts.

FACTS = {
    "distribution": "Debian",
    "distribution_version": "12.5",
    "service_mgr": "systemd",
    "architecture": "x86_64",
    "memtotal_mb": 8000,
}
PARTY = {"party_id": "9999", "stack": "slim", "deployment": "here"}
PROBE = {
    "party": {},
    "conflicting_packages": [],
    "ports_taken": [],
    "disk_path": "/var/lib",
    "disk_free": 20 * GIB,
    "disk_own": 0,
    "is_party": False,
}


def problems_of(
    facts: dict[str, Any] | None = None, found: dict[str, Any] | None = None, memory: float = 4, disk: float = 8
) -> list[str]:
    problems: list[str] = rules.host_problems(
        FACTS | (facts or {}), PROBE | (found or {}), PARTY, memory, disk, "x86_64"
    )
    return problems


def test_a_good_host_passes() -> None:
    assert problems_of() == []


@pytest.mark.parametrize(
    ("name", "version", "supported"),
    [
        ("CentOS", "7.9", True),
        ("CentOS", "9", True),
        ("Rocky", "8.10", True),
        ("AlmaLinux", "9.4", True),
        ("RedHat", "9.4", True),
        ("OracleLinux", "8.9", True),
        ("Debian", "11", True),
        ("Debian", "13.1", True),
        ("Ubuntu", "22.04", True),
        ("Ubuntu", "24.04", True),
        ("CentOS", "6.10", False),
        ("RedHat", "7.9", False),
        ("Rocky", "10.0", False),
        ("Debian", "10", False),
        ("Ubuntu", "20.04", False),
        ("Ubuntu", "22.10", False),
        ("Fedora", "40", False),
        ("Linux Mint", "22", False),
    ],
)
def test_the_supported_systems(name: str, version: str, supported: bool) -> None:
    lines = problems_of({"distribution": name, "distribution_version": version})
    assert bool(lines) != supported
    if not supported:
        assert lines == [f"{name} {version} is not supported: use one of {rules.SUPPORTED}"]


def test_another_processor_or_init_is_refused() -> None:
    assert len(problems_of({"architecture": "aarch64", "service_mgr": "openrc"})) == 2


def test_a_machine_sold_with_the_memory_that_is_needed_passes() -> None:
    # 4 GiB as /proc/meminfo of a cloud machine shows them.
    assert problems_of({"memtotal_mb": 3780}) == []
    assert problems_of({"memtotal_mb": 2980}) == [
        "2.9 GiB of memory are too few, 4 GiB are needed: add memory, or lower preflight_memory_gib"
    ]


@pytest.mark.parametrize(
    ("present", "words"),
    [
        ({"party_id": "9998"}, "party 9998 (stack slim, deployment here)"),
        ({"stack": "kubefate"}, "party 9999 (stack kubefate, deployment here)"),
        ({"deployment": "there"}, "party 9999 (stack slim, deployment there)"),
    ],
)
def test_a_host_that_is_something_else_is_refused(present: dict[str, str], words: str) -> None:
    assert problems_of(found={"party": PARTY}) == []
    assert problems_of(found={"party": PARTY | present}) == [
        f"this host is already {words}, the inventory makes it party 9999 (stack slim, deployment here): run "
        "playbooks/reset.yml with the inventory that installed it first, or correct the inventory"
    ]


def test_a_marker_that_cannot_be_read_is_no_free_pass(tmp_path: Path) -> None:
    assert probe.installed_party(str(tmp_path)) == {}
    for content in ("", "[1]", "9999"):
        (tmp_path / "party.json").write_text(content)
        (line,) = problems_of(found={"party": probe.installed_party(str(tmp_path))})
        assert "already party unknown (stack unknown, deployment unknown)" in line


def test_packages_that_docker_cannot_stay_beside_are_named() -> None:
    rocky = {"distribution": "Rocky", "distribution_version": "9.4", "pkg_mgr": "dnf"}
    for names in (["podman", "runc"], ["runc"]):
        found = {"conflicting_packages": names}
        assert problems_of(found=found) == []
        assert problems_of(rocky, found) == [
            f"{' and '.join(names)} cannot stay beside Docker (containerd.io conflicts): run `dnf remove "
            f"{' '.join(names)}` on it"
        ]


@pytest.mark.parametrize(
    ("stack", "variables", "ports", "memory"),
    [
        ("slim", {}, {9443, 5671, 9380}, 4),
        ("slim", {"party_flow_port": 443, "party_broker_port": 5, "party_api_port": 80}, {443, 5, 80}, 4),
        ("kubefate", {}, {9360, 9370, 9380, 8080, 20000}, 8),
        (
            "kubefate",
            {"kubefate_version": "2.0.0", "kubefate_serving": True},
            {9360, 9370, 9380, 8080, 20000, 8000, 8059, 8350, 8869, 2181},
            16,
        ),
        (
            "kubefate",
            {"kubefate_backend": "spark_rabbitmq"},
            {9360, 9380, 8080, 20000, 9300, 9310, 7077, 8081, 8888, 9000, 9870, 50070, 5672, 15672},
            8,
        ),
        (
            "kubefate",
            {"kubefate_version": "1.11.2", "kubefate_backend": "spark_pulsar"},
            {9360, 9380, 8080, 20000, 9300, 9310, 7077, 8081, 8888, 9000, 9870, 6650, 6651, 8001},
            8,
        ),
        (
            "kubefate",
            {"kubefate_backend": "spark_local_pulsar"},
            {9360, 9380, 8080, 20000, 9300, 9310, 6650, 6651, 8001},
            8,
        ),
    ],
)
def test_ports_and_memory_follow_from_what_the_party_will_run(
    stack: str, variables: dict[str, Any], ports: set[int], memory: int
) -> None:
    known = {"party_stack": stack, **variables}
    for part in ("defaults", "vars"):
        known |= yaml.safe_load((ROLE / part / "main.yml").read_text())
    templar = Templar(DataLoader(), variables=known)
    found = templar.template(known["preflight_ports"])
    assert (set(found), len(found)) == (ports, len(ports))
    assert int(templar.template(known["preflight_memory_gib"])) == memory


@pytest.mark.parametrize(
    ("free", "own", "is_party", "enough"),
    [
        (8, 0, False, True),
        (7.9, 0, False, False),
        # A run was cut off after it had used 3 GiB.
        (5, 3, False, True),
        (4.9, 3, False, False),
        (0.5, 20, False, False),
        # The host is a party already.
        (1, 0, True, True),
        (0.9, 0, True, False),
        # So much lies there that counting it took too long.
        (5, None, False, True),
        (0.9, None, False, False),
    ],
)
def test_what_the_kit_itself_used_of_the_disk_does_not_count(
    free: float, own: float | None, is_party: bool, enough: bool
) -> None:
    found = {"disk_free": int(free * GIB), "is_party": is_party}
    lines = problems_of(found=found | {"disk_own": None if own is None else int(own * GIB)})
    assert (lines == []) == enough


# Clocks.


def reading(offset: float, delay: float = 0.2, at: float = 0.5, start: float = 1_700_000_000) -> dict[str, float]:
    """Read a clock that is ahead by `offset`; the host looked at it somewhere within the delay."""
    return {"before": start, "shown": start + at * delay + offset, "after": start + delay}


delays = st.floats(0, 60)
places = st.floats(0, 1)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.floats(-2.49, 2.49), delays, places, st.floats(0, 100)), min_size=1, max_size=10))
def test_no_slowness_raises_a_false_alarm(hosts: list[tuple[float, float, float, float]]) -> None:
    readings = {
        f"p{number}": reading(offset, delay, at, 1_700_000_000 + start)
        for number, (offset, delay, at, start) in enumerate(hosts)
    }
    assert rules.clock_problems(readings, 5) == {}


@settings(max_examples=300, deadline=None)
@given(st.floats(5.5, 1e6), st.sampled_from([1, -1]), st.integers(0, 4), st.integers(1, 5))
def test_one_wrong_clock_is_named_once(seconds: float, sign: int, wrong: int, number: int) -> None:
    wrong %= number
    readings = {f"p{index}": reading(sign * seconds if index == wrong else 0) for index in range(number)}
    assert list(rules.clock_problems(readings, 5)) == [f"p{wrong}"]


def test_two_clocks_that_are_each_near_the_controller_are_compared() -> None:
    (line,) = rules.clock_problems({"a": reading(4), "b": reading(-4)}, 5).values()
    assert "its clock and that of" in line
    assert "8 s apart" in line


def test_a_wrong_controller_is_named_with_every_host() -> None:
    problems = rules.clock_problems({"a": reading(100), "b": reading(100)}, 5)
    assert list(problems) == ["a", "b"]
    assert all("the controller" in line for line in problems.values())


# The probe.


@pytest.mark.parametrize(
    ("ports", "port", "published"),
    [
        ("9443/tcp=9443 9443/tcp=9443 ", 9443, True),
        ("5671/tcp=5671 9443/tcp=19443 ", 19443, True),
        ("9443/tcp=19443 ", 9443, False),
        ("9443/udp=9443 ", 9443, False),
        ("", 9443, False),
    ],
)
def test_what_a_container_publishes_is_read_from_docker(ports: str, port: int, published: bool) -> None:
    assert probe.publishes({"ports": ports}, port) == published


def fake_host(*containers: str, code: int = 0) -> SimpleNamespace:
    """Stand in for the module where Docker knows of these containers."""
    return SimpleNamespace(
        get_bin_path=lambda name: f"/usr/bin/{name}",
        run_command=lambda command: (code, "".join(f"{line}\n" for line in containers), ""),
    )


def test_ports_of_the_party_itself_are_free() -> None:
    projects = ["fate-party", "confs-9999"]
    own = "/fate-router\t9999\tfate-party\t9443/tcp={0} "
    upstream = "/confs-9999_client_1\t\tconfs-9999\t9443/tcp={0} "
    other = "/web\t\tshop\t80/tcp={0} "
    with listening() as port:
        for container, taken in ((own, []), (upstream, []), (other, [{"port": port, "by": "container web"}])):
            running = probe.containers(fake_host(container.format(port)))
            assert probe.taken(running, [port], projects) == taken
        # Docker is there, but does not answer: whoever listens is not known to be ours.
        (found,) = probe.taken(probe.containers(fake_host(code=1)), [port], projects)
        assert found["by"].endswith(f"(process {os.getpid()})")
    assert probe.taken([], [port], projects) == []


@pytest.mark.parametrize(
    ("programs", "expected"),
    [(["rpm"], ["runc"]), (["rpm", "dockerd"], []), ([], [])],
    ids=["bare", "with Docker", "without rpm"],
)
def test_rpm_is_asked_where_it_is_there_and_docker_is_not(programs: list[str], expected: list[str]) -> None:
    module = SimpleNamespace(
        get_bin_path=lambda name: f"/usr/bin/{name}" if name in programs else None,
        run_command=lambda command: (1, "package podman is not installed\nrunc\n", ""),
    )
    assert probe.conflicting_packages(module) == expected


@pytest.mark.parametrize("python", ["python2.7", "python3.6"])
def test_the_probe_runs_on_old_pythons(python: str, tmp_path: Path) -> None:
    """CentOS 7 has Python 2.7, the Red Hat family 8 has 3.6."""
    program = shutil.which(python)
    if program is None or subprocess.run([program, "-c", ""], capture_output=True).returncode != 0:
        pytest.skip(f"no {python} on this machine")
    copy = shutil.copy(ROOT / "plugins" / "modules" / "preflight_probe.py", tmp_path)
    subprocess.run([program, "-m", "py_compile", copy], check=True)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (
            "timed out waiting for ping module test: Failed to connect to the host via ssh: Warning: added.\n"
            "root@192.168.52.131: Permission denied (publickey).",
            "root@192.168.52.131: Permission denied (publickey)",
        ),
        ("timed out waiting for ping module test: Missing sudo password", "Missing sudo password"),
        ("/bin/sh: 1: /usr/bin/python2: not found\n", "/bin/sh: 1: /usr/bin/python2: not found"),
        ("", "no reason given"),
    ],
)
def test_the_line_that_says_why_is_found(message: str, reason: str) -> None:
    assert rules.reason(message) == reason
