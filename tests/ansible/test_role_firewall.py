"""Who may reach which port: the rules and how they are compared. That the kernel obeys them is shown on the testbed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ansible_helpers import ROOT, load, run_play, write_inventory, write_playbook
from hypothesis import given
from hypothesis import strategies as st

ROLE = ROOT / "roles" / "firewall"
CHAIN = "FEDERATED-BENCH"
PORTS = [{"port": 9443, "sources": ["192.168.52.132", "10.1.2.3/16", "2001:DB8:0::1"]}, {"port": 9380, "sources": []}]

rules = load(ROOT / "plugins" / "filter" / "firewall_rules.py")


def words(version: int, ports: list[dict[str, Any]] = PORTS, networks: list[str] | None = None) -> list[str]:
    return [entry["rule"] for entry in rules.firewall_rules(ports, version, networks or [])]


def test_rules_are_written_as_the_kernel_lists_them() -> None:
    assert words(4, networks=["172.28.0.0/24"]) == [
        "-i lo -j RETURN",
        "! -s 172.28.0.0/24 -d 172.28.0.0/24 -j DROP",
        "-s 192.168.52.132/32 -p tcp -m tcp --dport 9443 -j RETURN",
        "-s 10.1.0.0/16 -p tcp -m tcp --dport 9443 -j RETURN",
        "-p tcp -m tcp --dport 9443 -m addrtype --dst-type LOCAL -j DROP",
        "-p tcp -m tcp --dport 9380 -m addrtype --dst-type LOCAL -j DROP",
    ]
    assert words(6, networks=["172.28.0.0/24"]) == [
        "-i lo -j RETURN",
        "-s 2001:db8::1/128 -p tcp -m tcp --dport 9443 -j RETURN",
        "-p tcp -m tcp --dport 9443 -m addrtype --dst-type LOCAL -j DROP",
        "-p tcp -m tcp --dport 9380 -m addrtype --dst-type LOCAL -j DROP",
    ]


def test_everybody_means_no_address() -> None:
    assert "-p tcp -m tcp --dport 80 -j RETURN" in words(4, [{"port": 80, "sources": ["0.0.0.0/0"]}])


addresses = st.one_of(st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map(str))
ports = st.lists(st.fixed_dictionaries({"port": st.integers(1, 9), "sources": st.lists(addresses, max_size=4)}))


@given(ports, st.sampled_from([4, 6]))
def test_a_port_is_open_to_its_sources_only(entries: list[dict[str, Any]], version: int) -> None:
    made = rules.firewall_rules(entries, version)
    assert [entry["rank"] for entry in made] == sorted(entry["rank"] for entry in made)
    found = [entry["rule"] for entry in made]
    assert len(set(found)) == len(found)
    for port in {entry["port"] for entry in entries}:
        assert found.count(f"-p tcp -m tcp --dport {port} -m addrtype --dst-type LOCAL -j DROP") == 1
        allowed = {
            source for entry in entries if entry["port"] == port for source in entry["sources"]
            if (":" in source) == (version == 6)
        }  # fmt: skip
        opened = [rule for rule in found if rule.endswith(f" --dport {port} -j RETURN")]
        assert {rule.split()[1].split("/")[0] for rule in opened} == allowed


def listed(version: int = 4, jump: str = f"-A PREROUTING -j {CHAIN}") -> list[str]:
    return ["-P PREROUTING ACCEPT", f"-N {CHAIN}", jump, *(f"-A {CHAIN} {rule}" for rule in words(version))]


def differences(lines: list[str]) -> list[str]:
    found: list[str] = rules.firewall_differences(lines, rules.firewall_rules(PORTS, 4), CHAIN)
    return found


def test_what_the_kernel_should_have_is_no_difference() -> None:
    assert differences(listed()) == []
    assert differences(listed(jump=f"-A PREROUTING_direct -j {CHAIN}")) == []
    # firewalld promises no order in one rank.
    lines = listed()
    lines[4], lines[5] = lines[5], lines[4]
    assert differences(lines) == []


def test_whatever_differs_is_named() -> None:
    lines = listed()
    assert differences(lines[:-1]) == ["missing: -p tcp -m tcp --dport 9380 -m addrtype --dst-type LOCAL -j DROP"]
    assert differences([*lines, f"-A {CHAIN} -p udp -j DROP"]) == ["not wanted: -p udp -j DROP"]
    assert "out of order" in differences([*lines[:3], lines[-1], *lines[3:-1]])
    assert differences(lines[:2] + lines[3:]) == [f"not in use: PREROUTING does not lead to {CHAIN}"]
    # Not so easily misled: a chain whose name only begins alike, a rule that only some packets pass.
    for other in (f"-A PREROUTING -j {CHAIN}-2", f"-A PREROUTING -i eth9 -j {CHAIN}"):
        assert differences(listed(jump=other)) == [f"not in use: PREROUTING does not lead to {CHAIN}"]
    assert len(differences([])) == len(words(4)) + 1


def test_firewalld_is_told_the_same() -> None:
    assert rules.firewalld_rules(rules.firewall_rules([{"port": 1, "sources": ["::1"]}], 6), 6, CHAIN) == [
        f"ipv6 raw {CHAIN} 0 -i lo -j RETURN",
        f"ipv6 raw {CHAIN} 1 -s ::1/128 -p tcp -m tcp --dport 1 -j RETURN",
        f"ipv6 raw {CHAIN} 2 -p tcp -m tcp --dport 1 -m addrtype --dst-type LOCAL -j DROP",
        f"ipv6 raw PREROUTING 0 -j {CHAIN}",
    ]


def test_a_name_for_a_source_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    role = {"ansible.builtin.include_role": {"name": "firewall"}}
    given_ports = [{"port": 9443, "sources": ["10.0.0.1", "party.example"]}]
    inventory = write_inventory(tmp_path / "inventory", {"party-1": {}}, firewall_ports=given_ports)
    run = run_play(write_playbook(tmp_path / "play.yml", [role]), inventory, home=tmp_path)
    assert run.lines == [
        "party-1: party.example: no address or network, and the packet filter knows no names. "
        "Give an address (for a party: party_address in the inventory)."
    ]
    assert run.total("changed") == 0


@pytest.mark.parametrize("version", [4, 6])
def test_the_file_for_the_kernel_replaces_the_chain_in_one_step(tmp_path: Path, version: int) -> None:
    # Without tasks that touch the machine: only the role's variables and its template.
    play = write_playbook(
        tmp_path / "play.yml",
        [
            {"ansible.builtin.include_vars": {"file": str(ROLE / "vars" / "main.yml")}},
            {
                "ansible.builtin.template": {
                    "src": str(ROLE / "templates" / "rules.j2"),
                    "dest": str(tmp_path / "rules"),
                    "mode": "0644",
                },
                "vars": {"item": {"rules": rules.firewall_rules(PORTS, version)}},
            },
        ],
    )
    run = run_play(play, write_inventory(tmp_path / "inventory", {"party-1": {}}), home=tmp_path)
    assert run.code == 0, run.output
    lines = [line for line in (tmp_path / "rules").read_text().splitlines() if not line.startswith("#")]
    assert lines == ["*raw", f":{CHAIN} - [0:0]", *(f"-A {CHAIN} {rule}" for rule in words(version)), "COMMIT"]


def test_the_unit_comes_after_firewalld_and_needs_no_executable_file() -> None:
    unit = (ROLE / "templates" / "unit.j2").read_text()
    assert re.search(r"^After=.*\bfirewalld\.service\b", unit, re.MULTILINE)
    assert "\nExecStart=/bin/sh {{ _firewall_directory }}/apply\n" in unit
