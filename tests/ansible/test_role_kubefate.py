"""Stack kubefate, as far as it goes without KubeFATE's images.

Rendered files are compared with expected ones and read by a real bash. The rest uses stand-ins of our own, in
tests/kubefate: for upstream's generator (generate_config.sh) and for docker and docker-compose (docker). With the
directory of upstream's real bundles in KUBEFATE_BUNDLES, their own generators are run, too. See docs/kubefate.md for
what was run by hand.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml
from ansible_helpers import ROOT, Run, load, local_parties, run_play, write_inventory, write_playbook

ROLE = ROOT / "roles" / "kubefate"
STAND_INS = ROOT / "tests" / "ansible" / "kubefate"
NAMES = ("mysql", "mysql-root", "rabbitmq", "eggroll", "fateboard", "serving-admin", "notebook")
RENDERED = {
    "1.8.0-a": ("eggroll", "spark_rabbitmq", "spark_local_pulsar"),
    "1.11.1": ("eggroll",),
    "1.11.2": ("eggroll", "spark_local_pulsar"),
    "2.0.0": ("eggroll", "spark_pulsar"),
}
CASES = [(version, backend) for version, backends in RENDERED.items() for backend in backends]
PASSWORD = "Password-of_{}-{}"
FAST = {"ANSIBLE_PIPELINING": "1"}

package = load(ROLE / "files" / "package.py")
wait = load(ROLE / "files" / "wait.py")


def bundle(path: Path, generator: Path = STAND_INS / "generate_config.sh") -> str:
    """Write a bundle shaped as upstream's around the stand-in; return its checksum as the role takes it."""
    with tarfile.open(path, "w:gz") as archive:
        for name in ("./docker-deploy/generate_config.sh", "./docker-deploy/parties.conf", "./docker-deploy/.env"):
            member = tarfile.TarInfo(name)
            content = generator.read_bytes() if name.endswith(".sh") else b"# upstream's example\n"
            member.size, member.mode, member.uid = len(content), 0o755, 1001
            archive.addfile(member, io.BytesIO(content))
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def write_passwords(credentials: Path, *parties: str, names: Iterable[str] = NAMES) -> None:
    """Leave passwords of the test's own, as a person might."""
    (credentials / "passwords").mkdir(parents=True, mode=0o700, exist_ok=True)
    for party in parties:
        for name in names:
            file = credentials / "passwords" / f"{party}-{name}"
            file.write_text(PASSWORD.format(party, name))
            file.chmod(0o600)


def two_parties() -> dict[str, Any]:
    return {name: party for name, party in local_parties().items() if name != "party-9998"}


AGAIN = {"name": "Again", "ansible.builtin.debug": {"msg": "once more"}}


def include(entry: str = "main", **variables: Any) -> dict[str, Any]:
    """Give a task that runs a part of the role."""
    role = {"name": "kubefate", "tasks_from": entry}
    return {"name": entry, "ansible.builtin.include_role": role, "vars": variables}


def refused(*tasks: dict[str, Any]) -> dict[str, Any]:
    """Give a task that runs others, which are to fail, and goes on."""
    return {
        "name": "Try",
        "block": list(tasks),
        "rescue": [{"name": "Go on", "ansible.builtin.debug": {"msg": "failed"}}],
    }


def unpacked(path: Path) -> dict[str, str]:
    """Return the files of a package."""
    with tarfile.open(path) as archive:
        return {
            member.name: archive.extractfile(member).read().decode()  # type: ignore[union-attr]
            for member in archive.getmembers()
            if member.isfile()
        }


def controller(home: Path, hosts: dict[str, Any], /, *tasks: dict[str, Any], **variables: Any) -> Run:
    """Run what the role does on the controller."""
    number = len(list(home.glob("inventory-*")))
    inventory = write_inventory(
        home / f"inventory-{number}",
        hosts,
        party_stack="kubefate",
        credentials_directory=str(home / "credentials"),
        **variables,
    )
    parts = ("validate", "bundle", "passwords", "generate")
    playbook = write_playbook(inventory.parent / "play.yml", list(tasks) or [include(part) for part in parts])
    return run_play(playbook, inventory, home=home, environment=FAST)


# Rendered files


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Render parties.conf and .env of party 9999 for every case."""
    home = tmp_path_factory.mktemp("rendered")
    write_passwords(home / "credentials", "9999")
    inventory = write_inventory(home / "inventory", local_parties(), credentials_directory=str(home / "credentials"))
    # By lookup, and written at once: a module for each file would take most of the time.
    entry = "{item.0 | join('-') ~ '.' ~ item.1: lookup('ansible.builtin.template', item.1 ~ '.j2')}"
    render: dict[str, Any] = {
        "name": "Render",
        "ansible.builtin.set_fact": {"rendered": "{{ rendered | default({}) | combine(" + entry + ") }}"},
        "vars": {"kubefate_version": "{{ item.0.0 }}", "kubefate_backend": "{{ item.0.1 }}"},
        "loop": [[list(case), file] for case in CASES for file in ("parties.conf", "env")],
        "no_log": True,
    }
    write = {"content": "{{ rendered | to_json }}", "dest": str(home / "rendered.json"), "mode": "0600"}
    play = {
        "name": "Render",
        "hosts": "party-9999",
        "gather_facts": False,
        "vars_files": [str(ROLE / directory / "main.yml") for directory in ("defaults", "vars")],
        "tasks": [render, {"name": "Write", "ansible.builtin.copy": write}],
    }
    (home / "templates").symlink_to(ROLE / "templates")
    (home / "play.yml").write_text(yaml.safe_dump([play]))
    run = run_play(home / "play.yml", inventory, home=home)
    assert run.code == 0, run.output
    for name, text in json.loads((home / "rendered.json").read_text()).items():
        (home / name).write_text(text)
    return home


@pytest.mark.parametrize(("version", "backend"), CASES)
@pytest.mark.parametrize("file", ["parties.conf", "env"])
def test_rendered_files_are_as_expected(rendered: Path, version: str, backend: str, file: str) -> None:
    expected = STAND_INS / "expected" / (f"{version}.env" if file == "env" else f"{version}-{backend}.{file}")
    assert (rendered / f"{version}-{backend}.{file}").read_text() == expected.read_text()


@pytest.mark.parametrize(("version", "backend"), CASES)
def test_bash_reads_the_rendered_files(rendered: Path, version: str, backend: str) -> None:
    """The same `source` as upstream's; then its `eval`, which changes other characters."""
    names = [
        "TAG",
        "SERVING_TAG",
        "RegistryURI",
        "OSX_IMAGE_TAG",
        "dir",
        "backend",
        "computing",
        "federation",
        "storage",
    ]
    names += ["exchangeip", "serverTimezone", "compute_core", "mysql_password", "notebook_hashed_password"]
    script = f"source {version}-{backend}.env; source {version}-{backend}.parties.conf; "
    script += "".join(f'echo "{name}=${{{name}-unset}}"; ' for name in names)
    script += (
        'echo "ids=${party_list[*]}"; echo "addresses=${party_ip_list[*]}"; echo "servings=${serving_ip_list[*]}"; '
    )
    script += 'eval evaluated=${mysql_password}; echo "evaluated=$evaluated"'
    process = subprocess.run(["bash", "-euc", script], cwd=rendered, capture_output=True, text=True, check=True)
    found = dict(line.split("=", 1) for line in process.stdout.splitlines())

    password = PASSWORD.format("9999", "mysql")
    addresses = "127.0.0.2 127.0.0.3 127.0.0.4"
    assert found["ids"] == "10000 9999 9998"
    assert found["addresses"] == found["servings"] == addresses
    assert found["mysql_password"] == found["evaluated"] == password
    assert found["dir"] == "/var/lib/federated-bench/kubefate"
    assert found["RegistryURI"] == found["exchangeip"] == ""
    engines = {
        "eggroll": ("Eggroll", "OSX" if version == "2.0.0" else "Eggroll", "Eggroll"),
        "spark_pulsar": ("Spark", "Pulsar", "HDFS"),
        "spark_local_pulsar": ("Spark_local", "Pulsar", "LocalFS"),
    }
    if version == "1.8.0-a":
        assert (found["TAG"], found["SERVING_TAG"]) == ("1.8.0-release", "2.1.5-release")
        assert (found["backend"], found["computing"], found["notebook_hashed_password"]) == (backend, "unset", "unset")
    else:
        assert (found["computing"], found["federation"], found["storage"]) == engines[backend]
        assert (found["backend"], found["compute_core"], found["SERVING_TAG"]) == ("unset", "4", "2.1.6-release")
        algorithm, salt, digest = found["notebook_hashed_password"].split(":")
        notebook = PASSWORD.format("9999", "notebook")
        assert hashlib.new(algorithm, (notebook + salt).encode()).hexdigest() == digest
    assert found["serverTimezone"] == ("UTC" if version in ("1.11.2", "2.0.0") else "unset")
    assert (found["TAG"], found["OSX_IMAGE_TAG"]) == {
        "1.8.0-a": ("1.8.0-release", "unset"),
        "1.11.1": ("1.11.1-release", "unset"),
        "1.11.2": ("1.11.2-release", "unset"),
        "2.0.0": ("unset", "2.0.0-release"),
    }[version]


# On the controller, with the stand-in


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run]:
    """Generate packages once for all tests that only look at them.

    Two parties have FATE 1.8.0 and FATE-Serving, and, for want of a run of its own, one has 2.0.0. Party 10000 has
    a password that is generated, all others are those that a person chose. At the end, generate once more.
    """
    home = tmp_path_factory.mktemp("generated")
    write_passwords(home / "credentials", "9999", "9998")
    write_passwords(home / "credentials", "10000", names=NAMES[1:])
    hosts = local_parties()
    hosts["party-9998"] |= {
        "kubefate_version": "2.0.0",
        "kubefate_serving": False,
        "kubefate_registry": "",
        "kubefate_osx_heap": "1g",
    }
    variables = {
        "kubefate_bundle_archive": str(home / "bundle.tar.gz"),
        "kubefate_bundle_checksum": bundle(home / "bundle.tar.gz"),
        "kubefate_serving": True,
        "kubefate_registry": "registry.example.org:5000/mirror",
        "kubefate_fateboard_heap": "512m",
        "kubefate_subnet": "10.9.8.0/24",
    }
    parts = [include(part) for part in ("validate", "bundle", "passwords", "generate")]
    return home, controller(home, hosts, *parts, AGAIN, *parts, **variables)


def test_each_party_has_packages_of_its_own(generated: tuple[Path, Run]) -> None:
    home, run = generated
    assert run.code == 0, run.output
    own = {party: (home / "credentials/passwords" / f"{party}-mysql").read_text() for party in ("10000", "9999")}
    work = home / "credentials" / "kubefate"
    assert work.stat().st_mode & 0o777 == (work / "9999").stat().st_mode & 0o777 == 0o700
    files = unpacked(work / "9999" / "packages" / "confs.tar.gz")
    text = "".join(files.values())
    assert own["9999"] in files["confs-9999/confs/mysql/init/insert-node.sql"]
    assert own["10000"] not in text
    assert own["9999"] not in run.output
    assert {name.split("/")[0] for name in files} == {"confs-9999"}
    assert (work / "9999" / "docker-deploy" / "parties.conf").stat().st_mode & 0o777 == 0o600
    assert "\nchanged: " in run.output
    assert "\nchanged: " not in run.output.split("TASK [Again]")[1]


def test_packages_are_adjusted(generated: tuple[Path, Run]) -> None:
    home, _ = generated
    packages = home / "credentials" / "kubefate" / "9999" / "packages"
    files = unpacked(packages / "confs.tar.gz") | unpacked(packages / "serving.tar.gz")
    training = yaml.safe_load(files["confs-9999/docker-compose.yml"])["services"]
    serving = yaml.safe_load(files["serving-9999/docker-compose.yml"])["services"]
    services = training | serving
    passwords = home / "credentials" / "passwords"

    assert "192.167." not in "".join(files.values())
    assert training["python"]["networks"]["fate-network"]["ipv4_address"] == "10.9.8.100"
    assert all(service["image"].startswith("registry.example.org:5000/mirror/") for service in services.values())
    assert training["python"]["image"] == "registry.example.org:5000/mirror/federatedai/python:1.8.0-release"
    assert all(service["labels"] == {"federated-bench.party": "9999"} for service in services.values())
    assert all(service["restart"] == "always" for service in services.values())
    assert training["rollsite"]["ports"] == ["0.0.0.0:9370:9370"]
    assert training["python"]["ports"] == ["127.0.0.1:9360:9360", "127.0.0.1:9380:9380"]
    assert serving["serving-proxy"]["ports"] == ["127.0.0.1:8059:8059", "0.0.0.0:8869:8869"]
    assert serving["serving-zookeeper"]["ports"] == ["127.0.0.1:2181:2181"]
    assert training["fateboard"]["environment"]["_JAVA_OPTIONS"] == "-Xms512m -Xmx512m"
    assert training["mysql"]["environment"] == {"MYSQL_ROOT_PASSWORD": (passwords / "9999-mysql-root").read_text()}
    assert (passwords / "9999-eggroll").read_text() in files["confs-9999/confs/eggroll/conf/eggroll.properties"]
    assert "- serving-server:8000" in files["confs-9999/confs/fate_flow/conf/service_conf.yaml"]
    properties = files["serving-9999/confs/serving-server/conf/serving-server.properties"]
    assert properties == "model.transfer.url=http://python:9380/v1/model/transfer\n"

    summary = json.loads((packages / "summary.json").read_text())
    assert [entry["port"] for entry in summary["federation_ports"]] == [9370, 8869]
    assert {entry["port"] for entry in summary["local_ports"]} == {8080, 9360, 9380, 20000, 8059, 2181}
    assert [project["name"] for project in summary["projects"]] == ["confs-9999", "serving-9999"]


def test_packages_do_not_depend_on_when_they_are_made(generated: tuple[Path, Run]) -> None:
    home, _ = generated
    work = home / "credentials" / "kubefate" / "9999"
    first = json.loads((work / "packages" / "summary.json").read_text())["digest"]
    made = package.Package(work / "docker-deploy" / "outputs" / "confs-9999.tar", "confs-9999")
    made.write(home / "once.tar.gz")
    made.write(home / "twice.tar.gz")
    assert (home / "once.tar.gz").read_bytes() == (home / "twice.tar.gz").read_bytes()
    assert len(first) == 64


def test_what_differs_in_2_0_0(generated: tuple[Path, Run]) -> None:
    packages = generated[0] / "credentials" / "kubefate" / "9998" / "packages"
    assert not (packages / "serving.tar.gz").exists()
    files = unpacked(packages / "confs.tar.gz")
    services = yaml.safe_load(files["confs-9998/docker-compose.yml"])["services"]
    assert services["osx"]["command"][-1] == "java -Xms1g -Xmx1g -XX:+AlwaysPreTouch Broker"
    assert services["osx"]["image"] == "federatedai/osx:2.0.0-release"
    assert services["fateflow"]["command"][-1].startswith("{ python -c 'import cryptography' || pip install")
    assert "NOTEBOOK_HASHED_PASSWORD=sha256:" in files["confs-9998/.env"]


# Failures, each with one message


def party(number: str, address: int) -> dict[str, Any]:
    return {"ansible_host": f"127.0.0.{address}", "party_id": number, "party_roles": ["host"]}


def test_failures_of_one_party_name_it(tmp_path: Path) -> None:
    """One run: party 13's generator fails, 14's tar holds a wrong route, 15's password is not for bash and sed."""
    checksum = bundle(tmp_path / "bundle.tar.gz")
    write_passwords(tmp_path / "credentials", "12", "13", "14", "15")
    (tmp_path / "credentials/passwords/15-mysql").write_text("long-enough-but-$(touch pwned)")
    run = controller(
        tmp_path,
        {f"party-{n}": party(str(n), n) for n in (12, 13, 14, 15)},
        kubefate_bundle_archive=str(tmp_path / "bundle.tar.gz"),
        kubefate_bundle_checksum=checksum,
    )
    assert run.code != 0
    assert set(run.messages) == {"party-13", "party-14", "party-15"}
    assert run.messages["party-13"][0].startswith(
        "party 13: generate_config.sh of KubeFATE 1.8.0-a ended with status 4: sed: -e expression #1"
    )
    assert run.messages["party-14"] == [
        "party 14: the packages of KubeFATE 1.8.0-a: the route to party 12 is 203.0.113.7, not 127.0.0.12"
    ]
    assert "passwords has 15-mysql with other characters than" in run.messages["party-15"][0]
    assert "pwned" not in run.output
    work = tmp_path / "credentials" / "kubefate"
    assert (work / "12" / "inputs.sha256").exists()
    assert not any((work / number / "inputs.sha256").exists() for number in ("13", "14", "15"))


def test_refused_before_anything_is_generated(tmp_path: Path) -> None:
    """One run that goes on after each refusal."""
    bundle(tmp_path / "bundle.tar.gz")
    (tmp_path / "corrupt.tar.gz").write_bytes((tmp_path / "bundle.tar.gz").read_bytes()[:500])
    cases: list[tuple[dict[str, Any], str]] = [
        ({"kubefate_bundle_archive": "/nowhere/bundle.tar.gz"}, "names /nowhere/bundle.tar.gz, which does not exist"),
        (
            {"kubefate_bundle_checksum": "sha256:" + "0" * 64},
            "as kubefate_bundle_checksum says: delete it or get the right one",
        ),
        ({}, "does not hold the files of upstream's tag v1.8.0-a"),
        ({"kubefate_version": "2.0.0", "kubefate_backend": "spark_local_pulsar"}, "no kubefate_backend spark_local"),
        ({"kubefate_directory": "/srv/a b|c"}, "kubefate_directory must be an absolute path"),
        ({"party_stack": "slim"}, "role kubefate is for party_stack kubefate, not slim"),
        ({"kubefate_image_archives": ["/nowhere/images.tar"]}, "names /nowhere/images.tar, which does not exist"),
        ({"kubefate_bundle_archive": str(tmp_path / "corrupt.tar.gz")}, "is no bundle of KubeFATE"),
    ]
    parts = ("validate", "bundle", "passwords", "generate")
    tasks = [refused(*(include(part, **variables) for part in parts)) for variables, _ in cases]
    hosts = {"party-9999": local_parties()["party-9999"]}
    run = controller(tmp_path, hosts, *tasks, kubefate_bundle_archive=str(tmp_path / "bundle.tar.gz"))
    assert run.total("rescued") == len(cases), run.output
    for line, (_, message) in zip(run.lines, cases, strict=True):
        assert message in line
    assert not (tmp_path / "credentials" / "passwords").exists()


SETTINGS = {
    "party": "9999",
    "address": "192.0.2.1",
    "parties": {"9999": "192.0.2.1", "10000": "192.0.2.2"},
    "backend": "eggroll",
    "serving": False,
    "registry": "",
    "bind_address": "127.0.0.1",
    "federation_bind_address": "0.0.0.0",
    "osx_heap": "4g",
    "fateboard_heap": "2g",
    "secrets": {name: f"secret-of-{name}" for name in NAMES},
}


def refusal(outputs: Path, **changes: Any) -> str:
    """Return what files/package.py says, run as the role runs it."""
    process = subprocess.run(
        [sys.executable, ROLE / "files" / "package.py", outputs, outputs],
        input=json.dumps({**SETTINGS, "subnet": "10.1.0.0/24", **changes}),
        capture_output=True,
        text=True,
    )
    assert process.returncode == 1
    assert "secret-of" not in process.stderr
    return process.stderr


def test_a_generator_that_wrote_nothing_is_found_out(tmp_path: Path) -> None:
    assert "it ended without an error but wrote no confs-9999.tar" in refusal(tmp_path)
    (tmp_path / "confs-9999.tar").write_bytes(gzip.compress(b"x" * 1000)[:20])
    assert "confs-9999.tar cannot be read" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("subnet", "message"),
    [
        ("192.167.0.0/16", "must be a private network"),
        ("10.0.0.0/28", "must be a private network of 256 addresses"),
        ("10.0.0.1/24", "has host bits set"),
        ("192.168.52.0/24", "contains the address of party 10000, 192.168.52.9"),
    ],
)
def test_subnets_that_are_refused(tmp_path: Path, subnet: str, message: str) -> None:
    assert message in refusal(tmp_path, subnet=subnet, parties={"9999": "192.0.2.1", "10000": "192.168.52.9"})


# On the host, with stand-ins for docker and docker-compose


class Flow(BaseHTTPRequestHandler):
    """Answers as FATE Flow does."""

    answer: ClassVar[dict[str, Any]] = {"retcode": 0}

    def do_POST(self) -> None:
        body = json.dumps(self.answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def flow() -> Iterator[HTTPServer]:
    """Serve FATE Flow's address; 127.0.0.93, so that it disturbs nobody."""
    server = HTTPServer(("127.0.0.93", 9380), Flow)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


class Host:
    """One party's host, whose docker is the stand-in."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.state_file = home / "docker.json"
        self.directory = home / "kubefate"
        for program in ("docker", "docker-compose"):
            (home / "bin").mkdir(exist_ok=True)
            (home / "bin" / program).symlink_to(STAND_INS / "docker")
        # Ports of this machine are not for tests to close.
        tasks = home / "roles" / "firewall" / "tasks" / "main.yml"
        tasks.parent.mkdir(parents=True)
        show = {"name": "Show", "ansible.builtin.debug": {"msg": "ports: {{ firewall_ports | to_json }}"}}
        tasks.write_text(yaml.safe_dump([show]))
        # The first is left to be generated.
        write_passwords(home / "credentials", "9999", names=NAMES[1:])
        (home / "images.tar").write_text("mysql:8.0.28")
        self.marker = home / "state" / "party.json"
        self.marker.parent.mkdir()
        self.variables: dict[str, Any] = {
            "kubefate_bundle_archive": str(home / "bundle.tar.gz"),
            "kubefate_bundle_checksum": bundle(home / "bundle.tar.gz"),
            "kubefate_image_archives": [str(home / "images.tar")],
            "kubefate_directory": str(self.directory),
            "kubefate_bind_address": "127.0.0.93",
            "kubefate_wait_seconds": 60,
            "kubefate_settle_seconds": 1,
            "docker_compose_command": ["docker-compose"],
        }

    def run(self, *tasks: dict[str, Any], options: tuple[str, ...] = (), alone: bool = False, **changes: Any) -> Run:
        """Run the role, or other tasks; `alone`: where there is no other party."""
        hosts = local_parties()
        inventory = write_inventory(
            self.home / f"inventory-{len(list(self.home.glob('inventory-*')))}",
            {"party-9999": hosts["party-9999"]} if alone else hosts,
            party_stack="kubefate",
            credentials_directory=str(self.home / "credentials"),
            **self.variables | changes,
        )
        facts = {"name": "Facts", "ansible.builtin.setup": {"gather_subset": ["!all", "python", "selinux"]}}
        playbook = write_playbook(inventory.parent / "play.yml", [facts, *(tasks or [include()])])
        environment = FAST | {
            "PATH": os.pathsep.join([str(self.home / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]),
            "ANSIBLE_ROLES_PATH": f"{self.home / 'roles'}:{ROOT / 'roles'}",
            "FAKE_DOCKER": str(self.state_file),
        }
        own = ("--limit", "party-9999", "--extra-vars")
        own += (json.dumps({"_kubefate_marker": str(self.marker), "_kubefate_pull_delay": 0}),)
        return run_play(playbook, inventory, *own, *options, home=self.home, environment=environment)

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.state_file.read_text())
        return found

    def change(self, **changes: Any) -> None:
        self.state_file.write_text(json.dumps(self.state() | changes))


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="the role gives files to root")


@needs_root
def test_a_party_from_bare_to_nothing_left(tmp_path: Path, flow: HTTPServer) -> None:
    host = Host(tmp_path)
    run = host.run(options=("--check",))
    assert run.code == 0, run.output
    assert not host.state_file.exists() or not host.state()["containers"]
    assert not (tmp_path / "credentials" / "kubefate").exists()
    assert not (tmp_path / "credentials" / "passwords" / "9999-mysql").exists()
    assert not host.marker.exists()

    # An image cannot be had. A half-installed host is taken away whole; the other parties' packages are not.
    run = host.run(refused(include()), include("reset"))
    assert run.code == 0, run.output
    assert run.lines == [
        "party 9999: party-9999 has no image federatedai/client:1.8.0-release and cannot pull it: Error response from"
        " daemon: no route to the registry; set kubefate_registry or kubefate_image_archives"
    ]
    assert not host.directory.exists()
    assert not host.marker.exists()
    kept = "credentials/kubefate is kept for party-10000, party-9998: left out, unreachable or failed in this run"
    assert kept in re.sub(r"\s+", " ", run.output)
    assert (tmp_path / "credentials" / "kubefate" / "9999" / "packages").exists()

    # A service does not run: it is named, and the next run finishes.
    images = [f"federatedai/{name}:1.8.0-release" for name in ("eggroll", "fateboard", "python", "client")]
    (tmp_path / "images.tar").write_text(" ".join([*images, "mysql:8.0.28"]))
    host.change(broken=["fateboard"], ids=0, loads=0)
    run = host.run(kubefate_wait_seconds=5)
    assert run.code != 0
    assert run.lines[:2] == [
        "party 9999: service fateboard of confs-9999 keeps restarting (9 times so far) after 5 s; last lines of its "
        "log:",
        "boom: no settings in fateboard",
    ]
    assert not (host.directory / "deployed").exists()
    assert json.loads(host.marker.read_text()) == {"party_id": "9999", "stack": "kubefate", "deployment": "here"}
    # MySQL first, and ready before FATE Flow starts (KubeFATE#247).
    assert host.state()["containers"]["container1"]["com.docker.compose.service"] == "mysql"
    host.change(broken=[])
    run = host.run()
    assert run.code == 0, run.output
    assert (host.directory / "deployed").exists()
    services = {labels["com.docker.compose.service"] for labels in host.state()["containers"].values()}
    assert services == {"rollsite", "fateboard", "python", "client", "mysql"}
    assert host.directory.stat().st_mode & 0o777 == 0o700
    assert sorted(path.name for path in host.directory.iterdir() if path.is_dir()) == ["confs-9999"]
    shown = re.sub(r"\s+", " ", run.output)
    assert '{"port": 9370, "sources": ["127.0.0.2", "127.0.0.4"]}' in shown
    assert '{"port": 9380, "sources": []}' in shown
    for name in NAMES:
        assert (tmp_path / "credentials" / "passwords" / f"9999-{name}").read_text() not in run.output

    for options in ((), ("--check",)):
        run = host.run(options=options)
        assert (run.code, run.total("changed")) == (0, 0), run.output

    # A container that somebody removed comes back, the others stay.
    before = host.state()["containers"]
    lost = next(key for key, labels in before.items() if labels["com.docker.compose.service"] == "client")
    host.change(containers={key: labels for key, labels in before.items() if key != lost})
    run = host.run()
    assert (run.code, run.total("changed")) == (0, 1), run.output
    assert before.keys() - {lost} <= host.state()["containers"].keys()
    assert len(host.state()["containers"]) == len(before)

    # New configuration is read: all containers are made anew, from the images that are there.
    before = host.state()["containers"]
    run = host.run(kubefate_fateboard_heap="1g")
    assert run.code == 0, run.output
    assert not set(before) & set(host.state()["containers"])
    assert "-Xms1g -Xmx1g" in (host.directory / "confs-9999" / "docker-compose.yml").read_text()
    assert host.state()["loads"] == 1

    # Data of another release are refused, and the host is left alone. Then reset, and again.
    before = host.state()
    look = {"name": "Look", "ansible.builtin.command": {"argv": ["cat", str(host.state_file)]}, "register": "looked"}
    show = {
        "name": "Show",
        "ansible.builtin.copy": {"content": "{{ looked.stdout }}", "dest": str(tmp_path / "looked")},
    }
    other = refused(include(kubefate_version="1.11.2"))
    run = host.run(other, look, show, include("reset"), AGAIN, include("reset"), alone=True)
    assert run.code == 0, run.output
    assert "holds data of KubeFATE 1.8.0-a, eggroll; it cannot become KubeFATE 1.11.2" in run.lines[0]
    assert json.loads((tmp_path / "looked").read_text()) == before
    assert not host.directory.exists()
    assert not host.marker.exists()
    assert not (tmp_path / "credentials" / "kubefate").exists()
    left = host.state()
    assert (left["containers"], left["networks"], left["images"]) == ({}, {}, [])
    assert "\nchanged: " not in run.output.split("TASK [Again]")[1]


# The waiting script itself


def container(**state: Any) -> dict[str, Any]:
    return {"RestartCount": 2, "State": {"Running": True, "Status": "running", **state}}


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (None, "has no container"),
        (container(), None),
        (container(Health={"Status": "healthy"}), None),
        (container(Health={"Status": "starting"}), "runs but its health is: starting"),
        (container(Restarting=True), "keeps restarting (2 times so far)"),
        (container(Running=False, Status="exited", ExitCode=137), "is exited, exit status 137"),
    ],
)
def test_what_counts_as_running(found: dict[str, Any] | None, message: str | None) -> None:
    assert wait.trouble(found) == message


def test_flow_must_answer_without_an_error(flow: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "http://127.0.0.93:9380/v1/version/get"
    assert wait.flow_trouble("POST", url) is None
    monkeypatch.setattr(Flow, "answer", {"retcode": 100, "retmsg": "no database"})
    assert "no database" in wait.flow_trouble("POST", url)
    assert "does not answer GET" in wait.flow_trouble("GET", "http://127.0.0.93:1/")


def test_a_service_that_restarts_in_between_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Options:
        seconds, settle = 3, 1

    incarnations = iter(range(100))
    monkeypatch.setattr(wait.time, "sleep", lambda _: None)
    clock = iter(range(1000))
    monkeypatch.setattr(wait.time, "time", lambda: next(clock) / 4)
    monkeypatch.setattr(wait, "survey", lambda _: (None, [next(incarnations)]))
    assert wait.wait(Options)[2] == "have not been running for 1 s"
    monkeypatch.setattr(wait, "survey", lambda _: (None, ["the same"]))
    assert wait.wait(Options) is None


@pytest.mark.skipif(not shutil.which("python2.7"), reason="needs Python 2.7, as CentOS 7 has it")
def test_the_waiting_script_can_be_read_by_python_2_7() -> None:
    program = "import sys; compile(open(sys.argv[1]).read(), sys.argv[1], 'exec')"
    process = subprocess.run(["python2.7", "-c", program, ROLE / "files" / "wait.py"], capture_output=True, text=True)
    assert process.returncode == 0 or "python2.7: command not found" in process.stderr, process.stderr


# Upstream's own bundles, where somebody has them

REAL = os.environ.get("KUBEFATE_BUNDLES")
RELEASES = yaml.safe_load((ROLE / "vars" / "main.yml").read_text())["_kubefate_releases"]


@pytest.mark.skipif(not REAL, reason="KUBEFATE_BUNDLES does not name a directory of upstream's bundles")
@pytest.mark.parametrize(
    ("version", "backend"),
    [(version, backend) for version, release in RELEASES.items() for backend in release["backends"]],
)
def test_upstream_generator(tmp_path: Path, version: str, backend: str) -> None:
    archive = Path(REAL or "") / f"kubefate-docker-compose-v{version}.tar.gz"
    run = controller(
        tmp_path,
        two_parties(),
        kubefate_version=version,
        kubefate_backend=backend,
        kubefate_serving=True,
        kubefate_bundle_archive=str(archive),
    )
    assert run.code == 0, run.output
    packages = tmp_path / "credentials" / "kubefate" / "9999" / "packages"
    files = unpacked(packages / "confs.tar.gz") | unpacked(packages / "serving.tar.gz")
    assert "192.167." not in "".join(files.values())
    assert "MYSQL_ALLOW_EMPTY_PASSWORD" not in "".join(files.values())
