"""The rules of the packet filter, in the very words in which iptables lists them, so that both can be compared."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from typing import Any

# Rules of one rank may come in any order (firewalld gives no other promise).
FIRST = 0
ALLOW = 1
DROP = 2


def _network(text: object) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    return ipaddress.ip_network(str(text), strict=False)


def firewall_no_addresses(ports: Iterable[Mapping[str, Any]], container_networks: Iterable[str] = ()) -> list[str]:
    """List sources and networks that are neither an address nor a network: the packet filter knows no names."""
    wrong = []
    for text in [*(source for entry in ports for source in entry.get("sources", [])), *container_networks]:
        try:
            _network(text)
        except ValueError:
            wrong.append(str(text))
    return wrong


def firewall_rules(
    ports: Iterable[Mapping[str, Any]], version: int, container_networks: Iterable[str] = ()
) -> list[dict[str, Any]]:
    """Make our chain's rules for IP version 4 or 6, each with its rank; without the chain's name."""
    first = ["-i lo -j RETURN"]
    allow: list[str] = []
    drop: list[str] = []
    for text in container_networks:
        network = _network(text)
        if network.version == version:
            # Packets for a container's own address come from its own network only; others ask for a published port.
            first.append(f"! -s {network} -d {network} -j DROP")
    for entry in ports:
        port = f"-p tcp -m tcp --dport {int(entry['port'])}"
        for text in entry.get("sources", []):
            source = _network(text)
            if source.version == version:
                origin = "" if source.prefixlen == 0 else f"-s {source} "
                allow.append(f"{origin}{port} -j RETURN")
        # Only packets for this machine: its containers may call the same port of another one.
        drop.append(f"{port} -m addrtype --dst-type LOCAL -j DROP")
    ranked = [(FIRST, rule) for rule in first] + [(ALLOW, rule) for rule in allow] + [(DROP, rule) for rule in drop]
    return [{"rank": rank, "rule": rule} for rank, rule in dict.fromkeys(ranked)]


def firewalld_rules(wanted: Iterable[Mapping[str, Any]], version: int, chain: str) -> list[str]:
    """Say the same as firewalld lists its direct rules. The last one leads to the chain."""
    rules = [f"ipv{version} raw {chain} {rule['rank']} {rule['rule']}" for rule in wanted]
    return [*rules, f"ipv{version} raw PREROUTING 0 -j {chain}"]


def firewall_differences(lines: Iterable[str], wanted: Iterable[Mapping[str, Any]], chain: str) -> list[str]:
    """Compare what `iptables --list-rules` says of the table with what is wanted."""
    lines, ranks = list(lines), {rule["rule"]: rule["rank"] for rule in wanted}
    own = f"-A {chain} "
    active = [line.removeprefix(own).strip() for line in lines if line.startswith(own)]
    differences = [f"missing: {rule}" for rule in ranks if rule not in active]
    differences += [f"not wanted: {rule}" for rule in active if rule not in ranks]
    order = [ranks.get(rule, DROP) for rule in active]
    if order != sorted(order):
        differences.append("out of order")
    # firewalld puts a chain of its own between.
    if not any(line.startswith("-A PREROUTING") and line.split()[2:] == ["-j", chain] for line in lines):
        differences.append(f"not in use: PREROUTING does not lead to {chain}")
    return differences


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters."""
        return {
            "firewall_no_addresses": firewall_no_addresses,
            "firewall_rules": firewall_rules,
            "firewalld_rules": firewalld_rules,
            "firewall_differences": firewall_differences,
        }
