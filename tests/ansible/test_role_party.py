"""What role party writes for federations of several sizes. That it works is shown by tests/cluster."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_helpers import ROOT, run_play, two_at_a_time, write_inventory

ROLE = ROOT / "roles" / "party"
FILES = ["compose.yml", "nginx.conf", "rabbitmq.conf", "rabbitmq_route_table.yaml", "service_conf.yaml"]


def federation(size: int) -> dict[str, dict[str, Any]]:
    """Describe as many parties: a host that is arbiter too, a guest, further hosts."""
    roles = [["host", "arbiter"], ["guest"], *[["host"]] * 8]
    return {
        f"party-{9990 + number}": {
            "ansible_host": f"192.168.52.{number + 1}",
            "party_id": str(9990 + number),
            "party_roles": roles[number],
        }
        for number in range(size)
    }


def render(folder: Path, size: int = 3, build: str = "b1", **changes: Any) -> dict[str, dict[str, str]]:
    """Write all files of all parties by Ansible itself; the hash of the configuration as `hash`."""
    hosts = federation(size)
    secrets = folder / "credentials"
    (secrets / "passwords").mkdir(parents=True)
    for host in hosts.values():
        (secrets / "passwords" / f"{host['party_id']}-rabbitmq").write_text(f"secret{host['party_id']}\n")
        (secrets / f"{host['party_id']}.crt").write_text("certificate\n")
    (secrets / "ca.crt").write_text("authority\n")
    (folder / "image.tar.gz.json").write_text(json.dumps({"build": build}))
    inventory = write_inventory(folder / "inventory", hosts)
    (folder / "templates").symlink_to(ROLE / "templates")
    play = {
        "name": "Test",
        "hosts": "parties",
        "gather_facts": False,
        "vars_files": [str(ROLE / "defaults" / "main.yml"), str(ROLE / "vars" / "main.yml")],
        "vars": {"ansible_facts": {"processor_vcpus": 2}},
        # By lookup, and written at once: a module for each file of each party would take most of the time.
        "tasks": [
            {
                "name": "Render",
                "ansible.builtin.set_fact": {
                    "rendered": {
                        **{name: f"{{{{ lookup('ansible.builtin.template', '{name}.j2') }}}}" for name in FILES},
                        "hash": "{{ _party_configuration }}",
                    }
                },
            },
            {
                "name": "Write",
                "ansible.builtin.copy": {
                    "content": "{{ dict(parties | zip(files)) | to_json }}",
                    "dest": str(folder / "rendered.json"),
                    "mode": "0600",
                },
                "vars": {
                    "parties": "{{ ansible_play_hosts | map('extract', hostvars, 'party_id') }}",
                    "files": "{{ ansible_play_hosts | map('extract', hostvars, 'rendered') }}",
                },
                "run_once": True,
            },
        ],
    }
    book = folder / "play.yml"
    book.write_text(yaml.safe_dump([play]))
    variables = {"credentials_directory": str(secrets), "image_archive": str(folder / "image.tar.gz")} | changes
    run = run_play(book, inventory, "-e", json.dumps(variables), home=folder)
    assert run.code == 0, run.output
    found: dict[str, dict[str, str]] = json.loads((folder / "rendered.json").read_text())
    return found


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, dict[str, str]]]:
    """All files: of federations by their size, and of two parties with one thing changed."""

    def job(name: str, **changes: Any) -> Any:
        return lambda: render(tmp_path_factory.mktemp(name), **changes)

    return two_at_a_time(
        {
            "2": job("two", size=2),
            "3": job("three"),
            "10": job("ten", size=10),
            "again": job("again", size=2),
            "build": job("build", size=2, build="b2"),
            "cores": job("cores", size=2, party_cores=64),
            "port": job("port", size=2, party_flow_port=19443),
        }
    )


@pytest.mark.parametrize("size", [2, 3, 10])
def test_every_party_knows_every_other(rendered: Any, size: int) -> None:
    parties = rendered[str(size)]
    assert len(parties) == size
    addresses = {host["party_id"]: host["ansible_host"] for host in federation(size).values()}
    for own, files in parties.items():
        routes = yaml.safe_load(files["rabbitmq_route_table.yaml"])
        assert {str(party) for party in routes} == set(parties)
        assert routes[int(own)] == {"host": "broker", "port": 5672}
        tunnels = dict(re.findall(r"listen (56\d\d);\n.*\n +proxy_pass ([\d.]+:\d+);", files["nginx.conf"]))
        for other in set(parties) - {own}:
            route = routes[int(other)]
            assert tunnels[str(route["port"])] == f"{addresses[other]}:5671"
            assert f"{other} https://{addresses[other]}:9443;" in files["nginx.conf"]
        assert f"{own} http://flow:9380;" in files["nginx.conf"]
        assert f"{addresses[own]}:" not in files["nginx.conf"], "a party's calls to itself do not leave it"
        assert yaml.safe_load(files["service_conf.yaml"])["party_id"] == own


def test_only_the_router_is_published_to_the_network(rendered: Any) -> None:
    for files in rendered["3"].values():
        services = yaml.safe_load(files["compose.yml"])["services"]
        ports = {name: service.get("ports", []) for name, service in services.items()}
        assert ports["broker"] == []
        assert ports["flow"] == ["127.0.0.1:9380:9380"]
        assert ports["router"] == ["0.0.0.0:9443:9443", "0.0.0.0:5671:5671"]


def test_passwords_are_in_the_secret_files_only(rendered: Any) -> None:
    for party, files in rendered["3"].items():
        holders = {name for name, text in files.items() if f"secret{party}" in text}
        assert holders == {"rabbitmq.conf", "service_conf.yaml"}
        assert yaml.safe_load(files["service_conf.yaml"])["federation"]["rabbitmq"]["password"] == f"secret{party}"


def test_the_same_inventory_makes_the_same_files(rendered: Any) -> None:
    assert rendered["again"] == rendered["2"]


@pytest.mark.parametrize("change", ["build", "cores", "port"])
def test_whatever_changes_makes_the_containers_anew(rendered: Any, change: str) -> None:
    for party, files in rendered[change].items():
        assert files["hash"] != rendered["2"][party]["hash"]
        assert files["hash"] in files["compose.yml"]
