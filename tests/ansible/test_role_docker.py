"""Which packages and repositories each system gets. The rest of both roles needs a host of its own: the testbed."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_helpers import ROOT, Run, run_play, write_inventory, write_playbook

ROLES = ROOT / "roles"
MIRROR = "https://mirror.example/docker"

# name -> (distribution, release, family, code name, role's variables, packages, what the repository file must say)
SYSTEMS: dict[str, tuple[str, str, str, str, dict[str, Any], list[str], str]] = {
    "centos-7": (
        *("CentOS", "7", "RedHat", "Core", {}),
        [
            "container-selinux",
            "containerd.io-1.6.33-3.1.el7",
            "docker-ce-cli-26.1.4-1.el7",
            "docker-ce-26.1.4-1.el7",
            "docker-compose-plugin-2.27.1-1.el7",
        ],
        "baseurl=https://download.docker.com/linux/centos/7/$basearch/stable",
    ),
    "rocky-8": (
        *("Rocky", "8", "RedHat", "Green Obsidian", {"docker_repository": MIRROR}),
        ["container-selinux", "containerd.io", "docker-ce-cli", "docker-ce", "docker-compose-plugin"],
        f"baseurl={MIRROR}/linux/centos/8/$basearch/stable",
    ),
    "redhat-9": (
        # Whose packages: only a question on Debian and Ubuntu.
        *("RedHat", "9", "RedHat", "Plow", {"docker_packages_from": "distribution"}),
        ["container-selinux", "containerd.io", "docker-ce-cli", "docker-ce", "docker-compose-plugin"],
        "baseurl=https://download.docker.com/linux/centos/9/$basearch/stable",
    ),
    "redhat-9-pinned": (
        *("RedHat", "9", "RedHat", "Plow", {"docker_packages": ["docker-ce-28.0.1"]}),
        ["docker-ce-28.0.1"],
        "baseurl=https://download.docker.com/linux/centos/9/$basearch/stable",
    ),
    "debian-12": (
        *("Debian", "12", "Debian", "bookworm", {}),
        ["apparmor", "containerd.io", "docker-ce-cli", "docker-ce", "docker-compose-plugin"],
        "deb [arch=amd64 signed-by=/etc/apt/keyrings/federated-bench-docker.asc]"
        " https://download.docker.com/linux/debian bookworm stable",
    ),
    "debian-12-own": (
        *("Debian", "12", "Debian", "bookworm", {"docker_packages_from": "distribution"}),
        ["apparmor", "docker.io", "docker-compose"],
        "",
    ),
    "debian-13-own": (
        *("Debian", "13", "Debian", "trixie", {"docker_packages_from": "distribution"}),
        ["apparmor", "docker.io", "docker-cli", "docker-compose"],
        "",
    ),
    "ubuntu-24": (
        *("Ubuntu", "24", "Debian", "noble", {"docker_repository": MIRROR}),
        ["apparmor", "containerd.io", "docker-ce-cli", "docker-ce", "docker-compose-plugin"],
        f"deb [arch=amd64 signed-by=/etc/apt/keyrings/federated-bench-docker.asc] {MIRROR}/linux/ubuntu noble stable",
    ),
    "ubuntu-22-own": (
        *("Ubuntu", "22", "Debian", "jammy", {"docker_packages_from": "distribution"}),
        ["apparmor", "docker.io", "docker-compose-v2"],
        "",
    ),
}


# What a host's own facts would say.
FACTS = ("distribution", "distribution_major_version", "os_family", "distribution_release")


@pytest.fixture(scope="module")
def chosen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Let every system choose, in one run, and render its repository file; nothing else of the role runs."""
    home = tmp_path_factory.mktemp("chosen")
    hosts = {name: dict(zip(FACTS, system, strict=False)) | system[4] for name, system in SYSTEMS.items()}
    template = ROLES / "docker" / "templates" / "docker.{{ 'list' if os_family == 'Debian' else 'repo' }}.j2"
    told = {fact: f"{{{{ {fact} }}}}" for fact in FACTS}
    tasks: list[dict[str, Any]] = [
        # Only a fact that may be kept is found in ansible_facts.
        {"ansible.builtin.set_fact": {**told, "architecture": "x86_64", "cacheable": True}},
        {"ansible.builtin.include_role": {"name": "docker", "tasks_from": "packages", "public": True}},
        {
            "ansible.builtin.template": {
                "src": str(template),
                "dest": f"{home}/{{{{ inventory_hostname }}}}.repository",
                "mode": "0644",
            }
        },
        {
            "ansible.builtin.copy": {
                "content": "{{ {'packages': _docker_chosen, 'upstream': _docker_upstream} | to_nice_yaml }}",
                "dest": f"{home}/{{{{ inventory_hostname }}}}.yml",
                "mode": "0644",
            }
        },
    ]
    run = run_play(write_playbook(home / "play.yml", tasks), write_inventory(home / "inventory", hosts), home=home)
    assert run.code == 0, run.output
    return home


@pytest.mark.parametrize("name", SYSTEMS)
def test_each_system_gets_its_packages(chosen: Path, name: str) -> None:
    found = yaml.safe_load((chosen / f"{name}.yml").read_text())
    *_, packages, repository = SYSTEMS[name]
    assert found == {"packages": packages, "upstream": bool(repository)}


@pytest.mark.parametrize("name", [name for name, system in SYSTEMS.items() if system[-1]])
def test_each_system_gets_its_repository(chosen: Path, name: str) -> None:
    lines = (chosen / f"{name}.repository").read_text().splitlines()
    assert lines[0].startswith("#")
    assert SYSTEMS[name][-1] in lines
    if SYSTEMS[name][2] == "RedHat":
        address = SYSTEMS[name][4].get("docker_repository", "https://download.docker.com")
        assert {"enabled=1", "gpgcheck=1", f"gpgkey={address}/linux/centos/gpg"} <= set(lines)


def vault(folder: Path, entry: str, address: str = "https://vault.example") -> Run:
    """Run the part of role base that exchanges CentOS's repositories, on a folder of the test's own."""
    include = {
        "ansible.builtin.include_role": {"name": "base", "tasks_from": entry},
        "vars": {"_base_repositories": str(folder)},
    }
    home = folder.parent
    number = len(list(home.glob("inventory-*")))
    inventory = write_inventory(home / f"inventory-{number}", {"centos": {}}, base_centos_address=address)
    run = run_play(write_playbook(home / "play.yml", [include]), inventory, home=home)
    assert run.code == 0, run.output
    return run


def content(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_dead_mirrors_are_exchanged_for_the_vault_and_come_back_at_reset(tmp_path: Path) -> None:
    folder = tmp_path / "yum.repos.d"
    folder.mkdir()
    before = {
        "CentOS-Base.repo": "[base]\nmirrorlist=http://mirrorlist.centos.org/?release=$releasever&repo=os\n"
        "#baseurl=http://mirror.centos.org/centos/$releasever/os/$basearch/\n",
        "CentOS-CR.repo": "[cr]\nbaseurl = http://mirror.centos.org/centos/$releasever/cr/$basearch/\nenabled=0\n",
        "epel.repo": "[epel]\nmetalink=https://mirrors.fedoraproject.org/metalink\n",
        "ours.repo": "[ours]\n#mirrorlist=http://mirrorlist.centos.org/\nbaseurl=http://mirror.bank.example/centos\n",
    }
    for name, text in before.items():
        (folder / name).write_text(text)

    assert vault(folder, "vault").total("changed") == 2
    names = [path.name for path in sorted(folder.glob("*.repo"))]
    assert names == ["epel.repo", "federated-bench-vault.repo", "ours.repo"]
    lines = (folder / "federated-bench-vault.repo").read_text().splitlines()
    assert [line for line in lines if line.startswith("baseurl=")] == [
        f"baseurl=https://vault.example/centos/7.9.2009/{part}/$basearch/" for part in ("os", "updates", "extras")
    ]
    assert lines.count("gpgcheck=1") == 3

    assert vault(folder, "vault").total("changed") == 0
    vault(folder, "reset_vault")
    assert content(folder) == before
    assert vault(folder, "reset_vault").total("changed") == 0


def test_a_site_with_mirrors_of_its_own_keeps_them(tmp_path: Path) -> None:
    folder = tmp_path / "yum.repos.d"
    folder.mkdir()
    (folder / "CentOS-Base.repo").write_text("[base]\nbaseurl=http://mirror.bank.example/centos/7/os\n")
    before = content(folder)
    assert vault(folder, "vault").total("changed") == 0
    assert content(folder) == before


# Stands for rpm on RHEL 9: what is installed by name, and what provides another name.
RPM = """#!/bin/sh
case "$*" in
  *--erase*) echo "$*" >>"$RPM_LOG"; exit "${RPM_ERASE:-0}" ;;
  *--all*) printf '%s %s-1 %s-1-1\\n' tar tar tar iptables-nft iptables-nft iptables-nft ;;
  *--whatprovides*)
    missing=0
    for name; do
      case $name in
        iptables) echo iptables-nft ;;
        tar) echo tar ;;
        -* | %*) ;;
        *) echo "no package provides $name"; missing=$((missing + 1)) ;;
      esac
    done
    exit "$missing" ;;
  *) echo tar; echo "package iptables is not installed"; exit 1 ;;
esac
"""


@pytest.fixture
def rpm(tmp_path: Path) -> Path:
    """Put a stand-in for rpm in the path, for hosts of the RedHat family."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "rpm").write_text(RPM)
    (programs / "rpm").chmod(0o755)
    return programs


def on_redhat(programs: Path, tasks: list[dict[str, Any]], **environment: str) -> Run:
    home = programs.parent
    fact: dict[str, Any] = {"ansible.builtin.set_fact": {"os_family": "RedHat", "cacheable": True}}
    # Python stays the one of the tests: only rpm is another.
    path = {"PATH": f"{programs}:/usr/bin:/bin", "RPM_LOG": str(home / "rpm.log")}
    inventory = write_inventory(home / "inventory", {"redhat-9": {}})
    book = write_playbook(home / "play.yml", [fact, *tasks])
    book.write_text(
        yaml.safe_dump([yaml.safe_load(book.read_text())[0] | {"environment": path | environment}], sort_keys=False)
    )
    run = run_play(book, inventory, home=home)
    assert run.code == 0, run.output
    return run


def test_a_package_that_another_provides_is_not_missing(rpm: Path) -> None:
    include = {
        "ansible.builtin.include_role": {"name": "base", "tasks_from": "query_packages"},
        "vars": {"base_packages_to_install": ["iptables", "tar", "gzip"]},
    }
    equal = {"ansible.builtin.assert": {"that": "_base_packages_missing == ['gzip']"}}
    on_redhat(rpm, [include, equal])


def test_packages_that_others_need_stay_and_are_named(rpm: Path) -> None:
    before = rpm.parent / "before"
    before.write_text("tar\n")
    include = {
        "ansible.builtin.include_role": {"name": "base", "tasks_from": "remove_packages"},
        "vars": {"base_packages_to_remove": ["iptables", "tar", "gzip"], "_base_packages_before": str(before)},
    }
    run = on_redhat(rpm, [include], RPM_ERASE="1")
    # By the name of what is installed, without what had been there before.
    assert (rpm.parent / "rpm.log").read_text() == "--erase --test iptables-nft\n"
    assert "redhat-9: iptables-nft stay, as something else needs them" in run.output
    assert run.total("changed") == 0


# Stands for a Docker with containers and volumes, each line as the format of `docker ps` or `docker volume ls` asks.
DOCKER = """#!/bin/sh
case "$1" in
  ps) printf '%s\\n' '9999 container fate-flow' ' container shop' ;;
  volume) printf '%s\\n' 'fate-party volume data' 'confs-9999 volume a' 'serving-9999 volume b' ' volume own' \\
    'confs-shop volume c' 'fate-party-2 volume d' ;;
esac
"""


def test_containers_and_volumes_of_others_are_told_from_the_kits(tmp_path: Path) -> None:
    program = tmp_path / "docker"
    program.write_text(DOCKER)
    program.chmod(0o755)
    variables = (ROLES / "docker" / "vars" / "main.yml").read_text()
    script = re.sub(r"{% (end)?raw %}", "", yaml.safe_load(variables)["_docker_list_foreign"])
    found = subprocess.run(
        ["sh", "-euc", script], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True, check=True
    )
    assert found.stdout.splitlines() == ["container shop", "volume own", "volume c", "volume d"]
    # An engine that does not answer is no engine without containers.
    program.write_text("#!/bin/sh\nexit 1\n")
    broken = subprocess.run(["sh", "-euc", script], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, check=False)
    assert broken.returncode != 0
