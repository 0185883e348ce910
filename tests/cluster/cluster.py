"""The testbed's nodes as the tests see them: playbooks run on them, commands run in them."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

from ansible_helpers import ROOT, Run

TESTBED = ROOT / "tests" / "testbed" / "testbed.sh"
INVENTORY = ROOT / "inventory" / "testbed.yml"
CREDENTIALS = ROOT / "inventory" / "credentials" / "testbed"
ADDRESSES = {"10000": "192.168.52.131", "9999": "192.168.52.132", "9998": "192.168.52.133"}
ANSIBLE = str(Path(sys.executable).parent / "ansible-playbook")

# What a node is made of, less what changes by itself: logs, caches, times, process ids.
SNAPSHOT = r"""
dpkg-query -W -f '${Package} ${Version} ${Status}\n'
cat /etc/passwd /etc/group
iptables-save 2>/dev/null; ip6tables-save 2>/dev/null
ip -o link | sed 's/@.*//; s/^[0-9]*: /link /'
systemctl list-unit-files --no-legend --no-pager
find / -xdev \( -path /proc -o -path /sys -o -path /run -o -path /tmp -o -path /var/log -o -path /var/cache \
  -o -path /var/lib/apt -o -path /var/lib/dpkg -o -path /var/lib/systemd -o -path /root/.ansible -o -path /var/tmp \
  -o -path '*/__pycache__' \) -prune -o -print
find /var/lib/docker -mindepth 1 -maxdepth 1 2>/dev/null
"""


def start_play(
    *options: str, book: str = "site.yml", inventory: Path = INVENTORY, output: int | IO[str] = subprocess.DEVNULL
) -> subprocess.Popen[str]:
    """Begin a playbook and leave it running."""
    return subprocess.Popen(
        [ANSIBLE, "-i", str(inventory), *options, book],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def play(*options: str, book: str = "site.yml", inventory: Path = INVENTORY, timeout: float = 900) -> Run:
    """Run a playbook on the testbed to its end and show it in the test's output."""
    # Into a file: the connections that ssh keeps for a minute would hold a pipe open.
    with tempfile.TemporaryFile("w+") as output:
        process = start_play(*options, book=book, inventory=inventory, output=output)
        try:
            process.wait(timeout)
        finally:
            process.kill()
            output.seek(0)
            said = output.read()
            print(said)
    return Run(process.returncode, said)


def node(party: str, command: str, check: bool = True) -> str:
    """Run a shell command on a party's node and return what it printed."""
    argv = ["docker", "exec", f"testbed-{party}", "bash", "-c", command]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300)
    assert not check or done.returncode == 0, f"party {party}: {command}: {done.stderr}"
    return done.stdout


def processes(party: str) -> str:
    """List the command lines of all processes of a party's node; a bare node has no ps."""
    return node(party, "for line in /proc/[0-9]*/cmdline; do tr '\\0' ' ' 2>/dev/null <$line; echo; done")


def run_python(party: str, code: str, *arguments: str, check: bool = True) -> str:
    """Run a Python program on a party's node and return what it printed, errors too."""
    argv = ["docker", "exec", "--interactive", f"testbed-{party}", "python3", "-", *arguments]
    done = subprocess.run(argv, input=code, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    assert not check or done.returncode == 0, f"party {party}: {done.stdout}"
    return done.stdout


def snapshots() -> dict[str, str]:
    """What each node is made of now."""
    return {party: node(party, SNAPSHOT) for party in ADDRESSES}


def wait_until(true: Callable[[], object], seconds: float, what: str) -> None:
    """Wait until something is the case; it may fail with an error until then."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(AssertionError, OSError, ValueError):
            if true():
                return
        time.sleep(0.5)
    raise AssertionError(f"not within {seconds} s: {what}")
