"""The roles as a collection: built, installed into an empty folder, and used from a playbook of somebody's own."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_helpers import ROOT, Run, local_parties
from helpers import LIMIT

COLLECTION = "federated_bench.fate"
GALAXY: dict[str, Any] = yaml.safe_load((ROOT / "galaxy.yml").read_text())
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())
# What is for the checkout only.
LEFT_OUT = {".fate", ".git", ".venv", "bench", "collections", "inventory", "results", "site.yml", "templates", "tests"}


def run(program: str, *arguments: str, folder: Path) -> Run:
    """Run a program of Ansible outside of the checkout, without its ansible.cfg; it must succeed."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "XDG_"))}
    own = {"HOME": str(folder), "ANSIBLE_COLLECTIONS_PATH": str(folder / "collections"), "ANSIBLE_NOCOLOR": "1"}
    process = subprocess.run(
        [str(Path(sys.executable).parent / program), *arguments],
        cwd=folder,
        env=inherited | own,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT,
    )
    assert process.returncode == 0, process.stdout
    return Run(process.returncode, process.stdout)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the collection from the working tree."""
    folder = tmp_path_factory.mktemp("built")
    run("ansible-galaxy", "collection", "build", "--output-path", str(folder), str(ROOT), folder=folder)
    return folder / f"federated_bench-fate-{GALAXY['version']}.tar.gz"


@pytest.fixture(scope="module")
def site(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make somebody's own folder: the collection installed, and an inventory of three parties that are this machine."""
    folder = tmp_path_factory.mktemp("site")
    # Its dependencies come with the package `ansible`; no server is asked.
    options = ["--no-deps", "--offline", "--collections-path", str(folder / "collections")]
    run("ansible-galaxy", "collection", "install", *options, str(archive), folder=folder)
    common = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "party_stack": "kubefate",
        "deployment": "own",
        "credentials_directory": str(folder / "credentials"),
    }
    hosts = {name: common | own | {"party_address": own["ansible_host"]} for name, own in local_parties().items()}
    (folder / "hosts.yml").write_text(yaml.safe_dump({"parties": {"hosts": hosts}}))
    return folder


def play(site: Path, name: str, tasks: list[dict[str, Any]]) -> Run:
    """Run a playbook of one play on all parties."""
    book = site / f"{name}.yml"
    book.write_text(yaml.safe_dump([{"name": name, "hosts": "parties", "gather_facts": False, "tasks": tasks}]))
    return run("ansible-playbook", "-i", "hosts.yml", str(book), folder=site)


def include(role: str, tasks_from: str) -> dict[str, Any]:
    return {"name": role, "ansible.builtin.include_role": {"name": f"{COLLECTION}.{role}", "tasks_from": tasks_from}}


def test_it_has_the_version_and_the_licence_of_the_kit() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert GALAXY["version"] == project["version"]
    assert GALAXY["license"] == [project["license"]]
    required = yaml.safe_load((ROOT / "requirements.yml").read_text())["collections"]
    assert GALAXY["dependencies"] == {entry["name"]: entry["version"] for entry in required}


def test_it_carries_the_roles_and_nothing_of_the_checkout(archive: Path) -> None:
    with tarfile.open(archive) as content:
        names = content.getnames()
    assert {"LICENSE", "README.md", "docs", "meta", "playbooks", "plugins", "roles"} <= set(names)
    assert LEFT_OUT.isdisjoint(name.split("/")[0] for name in names)
    assert {name.split("/")[1] for name in names if name.startswith("roles/")} == set(ROLES)
    assert not [name for name in names if "__pycache__" in name or name.startswith("docs/tools")]


def test_a_role_runs_by_its_full_name_with_its_filters_and_module(site: Path) -> None:
    probe = {
        "name": "The role's module",
        f"{COLLECTION}.preflight_probe": {"ports": [], "own_projects": [], "state_directory": str(site)},
        "register": "probe",
    }
    check = {"name": "Its answer", "ansible.builtin.assert": {"that": "not probe.is_party and probe.disk_free > 0"}}
    found = play(site, "preflight", [include("preflight", "inventory"), probe, check])
    assert f"{COLLECTION}.preflight : Check what the inventory says of the parties" in found.output


def test_a_role_finds_the_other_roles_of_the_collection(site: Path) -> None:
    """Roles call each other by their plain names, and no folder of roles is beside the playbook."""
    tasks = [include("party", "credentials")]
    first = play(site, "credentials", tasks)
    assert f"{COLLECTION}.credentials : " in first.output
    made = {path.name: path.read_bytes() for path in (site / "credentials").rglob("*") if path.is_file()}
    assert {"ca.crt", "ca.key", "9999.crt", "10000.crt", "9998.crt", "9999-rabbitmq"} <= set(made)
    assert play(site, "credentials", tasks).total("changed") == 0
    assert made == {path.name: path.read_bytes() for path in (site / "credentials").rglob("*") if path.is_file()}


def test_results_of_a_benchmark_lie_beside_the_playbook(site: Path) -> None:
    run_folder = site / "results" / "20260101-000000-cluster"
    run_folder.mkdir(parents=True)
    found = play(site, "report", [include("bench", "report")])
    assert f"report: {run_folder}/report.html" in found.output


def test_the_stages_are_playbooks_of_the_collection(site: Path) -> None:
    names = [f"{COLLECTION}.{path.stem}" for path in (ROOT / "playbooks").glob("*.yml")]
    run("ansible-playbook", "-i", "hosts.yml", "--syntax-check", *names, folder=site)
