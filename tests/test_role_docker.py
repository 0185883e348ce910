"""Which packages and repositories each system gets. The rest of both roles needs a host of its own: the testbed."""

from __future__ import annotations

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
