#!/usr/bin/python
# Runs on the party's host, where Python may be 2.7 (CentOS 7) and no other tool can be relied on.
# ruff: noqa: UP010, UP024, UP031, RUF005, B905, PTH110, PTH112, PTH115, PTH118, PTH123, PTH208
"""Ask a host what facts do not tell: who listens on the kit's ports, room for Docker's data, which party it already is.

Changes nothing.
"""

from __future__ import absolute_import, division, print_function

import json
import os

from ansible.module_utils.basic import AnsibleModule

LISTENING = "0A"
TIMED_OUT = 124
DOCKER_DIRECTORIES = ("/var/lib/docker", "/var/lib/containerd")


def listeners():
    """Map each listening TCP port to the sockets' inodes, as the kernel knows them."""
    found = {}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        if not os.path.exists(table):
            continue
        with open(table) as lines:
            for fields in (line.split() for line in lines):
                if len(fields) > 9 and fields[3] == LISTENING:
                    found.setdefault(int(fields[1].rsplit(":", 1)[1], 16), set()).add(fields[9])
    return found


def process_of(inodes):
    """Name the process that holds one of these sockets; None if it cannot be told."""
    sockets = {"socket:[%s]" % inode for inode in inodes}
    for pid in sorted((entry for entry in os.listdir("/proc") if entry.isdigit()), key=int):
        directory = os.path.join("/proc", pid, "fd")
        # Processes end while we look, and some do not let themselves be looked at.
        try:
            for descriptor in os.listdir(directory):
                if os.readlink(os.path.join(directory, descriptor)) in sockets:
                    with open(os.path.join("/proc", pid, "comm")) as comm:
                        return "%s (process %s)" % (comm.read().strip(), pid)
        except (IOError, OSError):
            continue
    return None


def containers(module):
    """List running containers with what they publish; none where Docker is absent or does not answer."""
    docker, timeout = module.get_bin_path("docker"), module.get_bin_path("timeout")
    if not docker or not timeout:
        return []
    code, output, _ = module.run_command([timeout, "10", docker, "ps", "--quiet"])
    if code != 0 or not output.split():
        return []
    # What a container is to publish: one that Docker is just starting again publishes nothing, but its ports are held.
    form = (
        '{{.Name}}\t{{index .Config.Labels "federated-bench.party"}}'
        '\t{{index .Config.Labels "com.docker.compose.project"}}'
        "\t{{range $inner, $outer := .HostConfig.PortBindings}}{{range $outer}}{{$inner}}={{.HostPort}} {{end}}{{end}}"
        "{{range $inner, $outer := .NetworkSettings.Ports}}{{range $outer}}{{$inner}}={{.HostPort}} {{end}}{{end}}"
    )
    _, output, _ = module.run_command([timeout, "10", docker, "inspect", "--format", form] + output.split())
    return [dict(zip(("name", "party", "project", "ports"), line.split("\t"))) for line in output.splitlines()]


def publishes(container, port):
    """Tell whether a container publishes a TCP port, now or once Docker has started it again."""
    return any(entry.endswith("/tcp=%d" % port) for entry in container.get("ports", "").split())


def is_own(container, own_projects):
    """Tell whether a container is the kit's."""
    return bool(container["party"]) or container["project"] in own_projects


def taken(running, ports, own_projects):
    """List the ports that somebody else has."""
    listening, found = listeners(), []
    for port in ports:
        publishers = [container for container in running if publishes(container, port)]
        if any(is_own(container, own_projects) for container in publishers):
            continue
        if publishers:
            found.append({"port": port, "by": "container %s" % publishers[0]["name"].lstrip("/")})
        elif port in listening:
            found.append({"port": port, "by": process_of(listening[port]) or "an unknown process"})
    return found


def free_bytes(path):
    """Give the free bytes for users other than root on a file system."""
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize


def used_bytes(module, directories):
    """Give the bytes that directories take; None if counting takes too long."""
    present = [directory for directory in directories if os.path.isdir(directory)]
    timeout = module.get_bin_path("timeout")
    if not present or not timeout:
        return 0
    code, output, _ = module.run_command([timeout, "30", "du", "-skx"] + present)
    if code == TIMED_OUT:
        return None
    return sum(int(line.split("\t")[0]) * 1024 for line in output.splitlines() if line.split("\t")[0].isdigit())


def installed_party(state_directory):
    """Read which party of which deployment and stack this host already is; empty if none."""
    try:
        with open(os.path.join(state_directory, "party.json")) as marker:
            return dict(json.load(marker))
    except (IOError, OSError):
        return {}
    except (TypeError, ValueError):
        return {"party_id": "unknown"}


def conflicting_packages(module):
    """List installed packages that Docker's own cannot be installed beside; none where Docker is there already."""
    rpm = module.get_bin_path("rpm")
    if not rpm or module.get_bin_path("dockerd"):
        return []
    names = ["podman", "runc"]
    _, output, _ = module.run_command([rpm, "-q", "--queryformat", "%{NAME}\n"] + names)
    # For the others there is a line that says so.
    return [name for name in names if name in output.splitlines()]


def main():
    """Answer once."""
    module = AnsibleModule(
        argument_spec={
            "ports": {"type": "list", "elements": "int", "required": True},
            "own_projects": {"type": "list", "elements": "str", "required": True},
            "state_directory": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    state_directory = module.params["state_directory"]
    own_projects = module.params["own_projects"]
    party = installed_party(state_directory)
    running = containers(module)
    # Not by the marker: it is written before anything else, and a run may be cut off after it.
    is_party = any(is_own(container, own_projects) for container in running)
    path = next((place for place in (DOCKER_DIRECTORIES[0], "/var/lib") if os.path.isdir(place)), "/")
    # Where a run was cut off before the host became a party, what it installed must not count against the host.
    cut_off = os.path.isdir(state_directory) and not is_party
    module.exit_json(
        changed=False,
        party=party,
        is_party=is_party,
        ports_taken=taken(running, module.params["ports"], own_projects),
        conflicting_packages=conflicting_packages(module),
        disk_path=path,
        disk_free=free_bytes(path),
        disk_own=used_bytes(module, DOCKER_DIRECTORIES + (state_directory,)) if cut_off else 0,
    )


if __name__ == "__main__":
    main()
