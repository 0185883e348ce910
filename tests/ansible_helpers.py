"""Runs of ansible-playbook as a person would start them, apart from the person's own settings."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import yaml
from helpers import LIMIT

ROOT = Path(__file__).resolve().parent.parent
T = TypeVar("T")


@dataclass(frozen=True)
class Run:
    """What a finished run left on the screen."""

    code: int
    output: str

    @property
    def messages(self) -> dict[str, list[str]]:
        """The lines that say why it failed, by host."""
        found: dict[str, list[str]] = {}
        for host, block in re.findall(
            r"^fatal: \[([^\s\]]+)[^\]]*\]: .*=> *\n((?: {4}.*\n)+)", self.output, re.MULTILINE
        ):
            found.setdefault(host, []).extend(str(yaml.safe_load(block)["msg"]).splitlines())
        return found

    @property
    def lines(self) -> list[str]:
        """The same lines, whichever host they belong to."""
        return [line for lines in self.messages.values() for line in lines]

    def total(self, count: str) -> int:
        """Add up one count (ok, changed, failed, unreachable, ...) of the recap over all hosts."""
        return sum(int(number) for number in re.findall(rf"^\S+ +: .*\b{count}=(\d+)", self.output, re.MULTILINE))


def run_play(
    playbooks: Path | Iterable[Path],
    inventory: Path,
    *options: str,
    home: Path,
    environment: Mapping[str, str] | None = None,
) -> Run:
    """Run playbooks with the project's ansible.cfg; the home directory is the test's own."""
    program = Path(sys.executable).parent / "ansible-playbook"
    assert program.exists(), f"{program} is missing: run the tests by `make test`"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "XDG_"))}
    own = {
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_NOCOLOR": "1",
        "HOME": str(home),
        "PATH": os.pathsep.join([str(program.parent), os.environ.get("PATH", os.defpath)]),
        **(environment or {}),
    }
    books = [playbooks] if isinstance(playbooks, Path) else list(playbooks)
    process = subprocess.run(
        [str(program), "-i", str(inventory), *options, *map(str, books)],
        cwd=ROOT,
        env=inherited | own,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT,
    )
    return Run(process.returncode, process.stdout)


def local_parties() -> dict[str, dict[str, Any]]:
    """Describe three parties that all are this machine, reached without ssh."""
    roles = {"10000": ["host", "arbiter"], "9999": ["guest"], "9998": ["host"]}
    return {
        f"party-{party_id}": {"ansible_host": f"127.0.0.{number}", "party_id": party_id, "party_roles": own}
        for number, (party_id, own) in enumerate(roles.items(), start=2)
    }


def write_inventory(folder: Path, hosts: Mapping[str, Any], **variables: Any) -> Path:
    """Write an inventory with the project's group_vars beside it; the variables are each host's own.

    Variables of a group in the inventory file would not do: group_vars/all.yml comes before them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "group_vars").symlink_to(ROOT / "inventory" / "group_vars")
    common = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    path = folder / "here.yml"
    described = {host: common | variables | own for host, own in hosts.items()}
    path.write_text(yaml.safe_dump({"parties": {"hosts": described}}, sort_keys=False))
    return path


def write_playbook(path: Path, tasks: list[dict[str, Any]]) -> Path:
    """Write a playbook of one play on all parties."""
    path.write_text(yaml.safe_dump([{"name": "Test", "hosts": "parties", "gather_facts": False, "tasks": tasks}]))
    return path


def load(path: Path) -> ModuleType:
    """Import a plugin or module of a role by its path."""
    spec = importlib.util.spec_from_file_location("_".join(path.with_suffix("").parts[-3:]), path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def two_at_a_time(jobs: Mapping[str, Callable[[], T]]) -> dict[str, T]:
    """Run independent jobs, two at any moment, and give each one's result under its name."""
    with ThreadPoolExecutor(2) as pool:
        futures = {name: pool.submit(job) for name, job in jobs.items()}
        return {name: future.result() for name, future in futures.items()}
