"""What stands in the way, as pure functions: each takes what is known and gives one line for each problem."""

from __future__ import annotations

import ipaddress
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from itertools import combinations
from typing import Any

STACKS = ("slim", "kubefate")
ROLES = ("guest", "host", "arbiter")
PARTIES = range(2, 11)
GIB = 1024**3
# A machine sold with 4 GiB shows less: the kernel and the firmware keep a part.
MEMORY_SLACK = 0.9
# What a host needs to go on working once everything is installed.
DISK_RESERVE_GIB = 1
REDHAT_FAMILY = ("AlmaLinux", "CentOS", "OracleLinux", "RedHat", "Rocky")
SYSTEMS = {
    **dict.fromkeys(REDHAT_FAMILY, ("8", "9")),
    "CentOS": ("7", "8", "9"),
    "Debian": ("11", "12", "13"),
    "Ubuntu": ("22.04", "24.04"),
}
SUPPORTED = "CentOS 7, Red Hat family 8 and 9, Debian 11 to 13, Ubuntu 22.04 and 24.04"


def inventory_problems(hosts: list[str], hostvars: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Check what the inventory says of the parties; no host is asked."""
    if len(hosts) not in PARTIES:
        return [f"the group parties has {len(hosts)} hosts: name two to ten in the inventory"]
    known = {host: _Host(host, hostvars[host]) for host in hosts}
    problems = [line for host in known.values() for line in host.problems()]
    problems += _federation_problems({host: party.roles for host, party in known.items()})
    for what, key in (
        ("party_id {}", lambda party: party.party_id),
        ("ansible_host {}", lambda party: party.ssh_address),
        ("party_address {}", lambda party: party.address),
    ):
        problems += _shared(what, known.values(), key)
    problems += _common_problems(list(known.values()))
    # What a person wrote may hold line breaks.
    return [" ".join(problem.split()) for problem in problems]


class _Host:
    """One party as the inventory describes it; what cannot be used is None and has a line in problems()."""

    def __init__(self, name: str, variables: Mapping[str, Any]) -> None:
        self.name = name
        self._variables = variables
        party_id = self.value("party_id")
        self.party_id = party_id if isinstance(party_id, str) and re.fullmatch("[1-9][0-9]*", party_id) else None
        roles = self.value("party_roles")
        self.roles = [str(role) for role in roles] if isinstance(roles, list) else []
        address = self.value("ansible_host")
        port = self.value("ansible_port")
        self.ssh_address = address and (f"{address} port {port}" if port else str(address))
        self.address = _ipv4(self.value("party_address"))

    def value(self, name: str) -> Any:
        """Give a variable's value; None where it is missing, empty, or made from one that is missing."""
        value = self._variables.get(name)
        if value in (None, "", []) or (isinstance(value, str) and "{{" in value):
            return None
        return value

    def problems(self) -> list[str]:
        """Give one line for each thing that cannot be used."""
        return [f"{self.name}: {problem}" for problem in self._problems()]

    def _problems(self) -> Iterable[str]:
        party_id = self.value("party_id")
        if party_id is None:
            yield 'party_id is missing: give the party a number, such as party_id: "9999"'
        elif isinstance(party_id, int):
            yield f'party_id must be in quotes: party_id: "{party_id}"'
        elif self.party_id is None:
            yield f"party_id must be digits only, without a zero in front, it is {party_id!s}"
        yield from self._role_problems()
        if self.ssh_address is None:
            yield "ansible_host is missing: give the address for ssh"
        party_address = self.value("party_address")
        if party_address is None:
            if self.ssh_address is not None:
                yield "party_address is missing: give the IPv4 address by which the other parties reach it"
        elif self.address is None:
            yield (
                f"party_address must be an IPv4 address (certificates and firewall rules name it), it is "
                f"{party_address}: set it in the inventory"
            )

    def _role_problems(self) -> Iterable[str]:
        roles = self.value("party_roles")
        choice = f"a list from {', '.join(ROLES)}"
        if roles is None:
            yield f"party_roles is missing: give {choice}"
        elif not isinstance(roles, list):
            yield f"party_roles must be {choice}, such as [{roles}], it is {roles}"
        else:
            for role in dict.fromkeys(self.roles):
                if role not in ROLES:
                    yield f"party_roles has {role}: it must be {choice}"
                elif self.roles.count(role) > 1:
                    yield f"party_roles names {role} twice"
            if {"guest", "host"} <= set(self.roles):
                yield "a party is either guest or host, not both: take one out of party_roles"


def _federation_problems(roles: Mapping[str, list[str]]) -> Iterable[str]:
    """Check what the roles of all parties add up to."""
    for role in ROLES:
        names = [host for host, own in roles.items() if role in own]
        if not names:
            yield f"no party has the role {role}: add it to the party_roles of one"
        elif len(names) > 1 and role != "host":
            yield f"{len(names)} parties have the role {role} ({', '.join(names)}): leave it to one"


def _shared(what: str, hosts: Iterable[_Host], key: Callable[[_Host], Hashable]) -> Iterable[str]:
    """Name each value that more than one host has."""
    owners = defaultdict(list)
    for host in hosts:
        owners[key(host)].append(host.name)
    for value, names in owners.items():
        if value is not None and len(names) > 1:
            yield f"{what.format(value)} is given to {' and '.join(names)}: each party needs its own"


def _common_problems(hosts: list[_Host]) -> Iterable[str]:
    """Check what is set once for the whole deployment."""
    for name, form, description in (
        ("party_stack", "|".join(STACKS), f"one of {', '.join(STACKS)}"),
        ("deployment", "[A-Za-z0-9][A-Za-z0-9._-]{0,63}", "letters, digits, dots, dashes and underscores"),
    ):
        values = {host.name: host.value(name) for host in hosts}
        first = values[hosts[0].name]
        if any(value != first for value in values.values()):
            said = ", ".join(f"{value} for {host}" for host, value in values.items())
            yield f"{name} must be the same for all parties, it is {said}"
        elif first is None:
            yield f"{name} is missing: set it for all parties, as group_vars/all.yml beside the inventory does"
        elif not re.fullmatch(form, str(first)):
            yield f"{name} must be {description}, it is {first}"


def _ipv4(address: Any) -> str | None:
    try:
        return str(ipaddress.IPv4Address(str(address)))
    except ValueError:
        return None


def archive_problems(archive: Mapping[str, Any], path: str, sidecar: str | None, reference: str) -> list[str]:
    """Compare the image archive (what ansible.builtin.stat gave, with its sha256) with the file written beside it.

    And the name of the image in it with the one that is asked for.
    """
    remedy = "run `make image` on this machine"
    if not archive.get("exists"):
        return [f"the image archive {path} is missing: {remedy}"]
    if not archive.get("readable", True):
        return [f"the image archive {path} cannot be read: check its owner and mode"]
    try:
        description = json.loads(sidecar or "")
        expected, name = description["sha256"], description["reference"]
    except (ValueError, KeyError, TypeError):
        return [f"{path}.json, which describes the image archive, is missing or unreadable: {remedy}"]
    if archive.get("checksum") != expected:
        return [f"the image archive {path} is corrupt (its sha256 is not the one in {path}.json): {remedy}"]
    if name != reference:
        return [f"the image archive {path} holds {name}, but image_reference is {reference}: {remedy}"]
    return []


def host_problems(
    facts: Mapping[str, Any],
    probe: Mapping[str, Any],
    party: Mapping[str, str],
    memory_gib: float,
    disk_gib: float,
    architecture: str,
) -> list[str]:
    """Check what a host said of itself: facts as Ansible gathers them, and the probe of this role.

    What the inventory makes it is compared with what it already is: party_id, stack and deployment.
    """
    return [
        *_system_problems(facts, architecture),
        *_memory_problems(facts, memory_gib),
        *_disk_problems(probe, disk_gib),
        *_port_problems(probe),
        *_package_problems(facts, probe),
        *_other_party_problems(probe, party),
    ]


def _system_problems(facts: Mapping[str, Any], architecture: str) -> Iterable[str]:
    name, version = str(facts.get("distribution")), str(facts.get("distribution_version"))
    release = version if name == "Ubuntu" else version.split(".")[0]
    if release not in SYSTEMS.get(name, ()):
        yield f"{name} {version} is not supported: use one of {SUPPORTED}"
    if facts.get("service_mgr") != "systemd":
        yield f"services are not run by systemd (but by {facts.get('service_mgr')}): the kit needs systemd"
    if facts.get("architecture") != architecture:
        yield f"the processor is {facts.get('architecture')}, the images are for {architecture}: use such a machine"


def _memory_problems(facts: Mapping[str, Any], needed: float) -> Iterable[str]:
    gib = facts["memtotal_mb"] / 1024
    if gib < needed * MEMORY_SLACK:
        yield (
            f"{gib:.1f} GiB of memory are too few, {needed:g} GiB are needed: add memory, or lower preflight_memory_gib"
        )


def _disk_problems(probe: Mapping[str, Any], needed: float) -> Iterable[str]:
    free, own = probe["disk_free"] / GIB, probe["disk_own"]
    # A host that is a party needs room to work, no more; a run cut off half-way has used some of what it asked for
    # (None: so much that counting took too long).
    bare = not probe["is_party"] and own is not None
    missing = max(needed - own / GIB, DISK_RESERVE_GIB) if bare else DISK_RESERVE_GIB
    if free < missing:
        yield (
            f"{free:.1f} GiB are free under {probe['disk_path']}, {missing:g} GiB are needed: free some, or lower "
            "preflight_disk_gib"
        )


def _port_problems(probe: Mapping[str, Any]) -> Iterable[str]:
    for port in probe["ports_taken"]:
        yield f"port {port['port']} is taken by {port['by']}: stop it or move it to another port"


def _package_problems(facts: Mapping[str, Any], probe: Mapping[str, Any]) -> Iterable[str]:
    """Name packages of the Red Hat family that containerd.io, a part of Docker, cannot be installed beside."""
    if probe["conflicting_packages"] and facts.get("distribution") in REDHAT_FAMILY:
        names = probe["conflicting_packages"]
        yield (
            f"{' and '.join(names)} cannot stay beside Docker (containerd.io conflicts): run "
            f"`{facts.get('pkg_mgr', 'dnf')} remove {' '.join(names)}` on it"
        )


def _other_party_problems(probe: Mapping[str, Any], party: Mapping[str, str]) -> Iterable[str]:
    present = probe["party"]
    if present and any(present.get(key) != value for key, value in party.items()):
        is_now, is_to_be = (
            "party {party_id} (stack {stack}, deployment {deployment})".format_map(defaultdict(lambda: "unknown", who))
            for who in (present, party)
        )
        yield (
            f"this host is already {is_now}, the inventory makes it {is_to_be}: run playbooks/reset.yml with the "
            "inventory that installed it first, or correct the inventory"
        )


def clock_problems(readings: Mapping[str, Mapping[str, Any]], tolerance: float) -> dict[str, str]:
    """Find clocks that are surely further apart than the tolerance: one line, at the host it concerns most.

    A reading says what a host's clock showed at some moment between `before` and `after` on the controller's clock, so
    its offset lies in an interval, which a slow connection widens. Only the part of a difference that no place in
    the intervals explains counts: slowness never raises an alarm.
    """
    # The controller's own offset is exactly nothing.
    offsets = {"the controller": (0.0, 0.0)}
    for host, reading in readings.items():
        before, shown, after = (float(reading[moment]) for moment in ("before", "shown", "after"))
        offsets[host] = (shown - after, shown - before)
    apart = {
        (one, other): max(offsets[one][0] - offsets[other][1], offsets[other][0] - offsets[one][1])
        for one, other in combinations(offsets, 2)
    }
    apart = {pair: seconds for pair, seconds in apart.items() if seconds > tolerance}
    problems = {}
    # One wrong clock differs from all others: name it once, with the clock it is furthest from.
    while apart:
        involved = Counter(host for pair in apart for host in pair if host in readings)
        culprit = max(involved, key=lambda host: involved[host])
        pair = max((pair for pair in apart if culprit in pair), key=lambda pair: apart[pair])
        other = pair[0] if pair[1] == culprit else pair[1]
        problems[culprit] = (
            f"its clock and that of {other} are at least {apart[pair]:.0f} s apart, {tolerance:g} s are allowed: turn "
            "on time synchronisation on both, such as `systemctl enable --now chronyd`"
        )
        apart = {pair: seconds for pair, seconds in apart.items() if culprit not in pair}
    return problems


def reason(message: str) -> str:
    """Give the one line of an error of ssh, sudo or a shell that says why."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    # What Ansible puts in front says the same for every error.
    return re.sub(r"^.*(ping module test|(via|over) ssh): ", "", lines[-1]).rstrip(".") if lines else "no reason given"


class FilterModule:
    """How the tasks call these functions."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name each as the tasks do."""
        return {
            "preflight_inventory_problems": inventory_problems,
            "preflight_archive_problems": archive_problems,
            "preflight_host_problems": host_problems,
            "preflight_clock_problems": clock_problems,
            "preflight_reason": reason,
        }
