"""Run a private FATE Flow for one benchmark on one machine: flow.py FOLDER, in FATE's Python.

It listens on 127.0.0.1 at ports that the system chooses, stands for all parties, and writes to FOLDER/home. As soon as
it answers, a line {"flow": "127.0.0.1:PORT", "pid": ...} is printed, or {"error": "..."}. It ends, and all that it has
started ends with it, when this program's standard input is closed: also when whoever started it is killed.
"""

import contextlib
import ctypes
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import fate_flow
import psutil
import yaml

START_SECONDS = 120
PR_SET_CHILD_SUBREAPER = 36  # from <sys/prctl.h>


def free_ports(count: int) -> list[int]:
    """Return ports of 127.0.0.1 that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def configure(home: Path, http_port: int, grpc_port: int) -> None:
    """Write FATE Flow's configuration: the package's own, on loopback, with all engines standalone."""
    conf = home / "conf"
    shutil.copytree(Path(fate_flow.__file__).parent / "conf", conf, dirs_exist_ok=True)
    service = yaml.safe_load((conf / "service_conf.yaml").read_text())
    service["fateflow"].update(host="127.0.0.1", http_port=http_port, grpc_port=grpc_port)
    (conf / "service_conf.yaml").write_text(yaml.safe_dump(service))


def start(folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    """Start FATE Flow and return it with its address; it may not answer yet."""
    home = folder / "home"
    http_port, grpc_port = free_ports(2)
    configure(home, http_port, grpc_port)
    environment = {
        **os.environ,
        "PYTHONPATH": str(folder / "python"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
    }
    with (folder / "flow.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, str(Path(fate_flow.__file__).parent / "fate_flow_server.py")],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=home,
        )
    return server, f"127.0.0.1:{http_port}"


def wait_for(server: subprocess.Popen[bytes], address: str, log: Path) -> str | None:
    """Wait until FATE Flow answers; return None then, else what is wrong."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            lines = log.read_text(errors="replace").strip().splitlines()
            return f"FATE Flow ended with status {server.returncode}: {lines[-1] if lines else 'it wrote nothing'}"
        with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
            answer = urllib.request.urlopen(f"http://{address}/v2/server/fateflow", timeout=5)
            if json.loads(answer.read()).get("code") == 0:
                return None
        time.sleep(0.1)
    return f"FATE Flow did not answer within {START_SECONDS} s"


def end_all() -> None:
    """Kill every process below this one. Orphans are below it too: it is their subreaper."""
    while children := psutil.Process().children(recursive=True):
        for child in children:
            with contextlib.suppress(psutil.Error):
                child.kill()
        psutil.wait_procs(children, timeout=2)


def main() -> int:
    """Run FATE Flow until standard input is closed."""
    folder = Path(sys.argv[1]).resolve()
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        server, address = start(folder)
        if wrong := wait_for(server, address, folder / "flow.log"):
            print(json.dumps({"error": wrong}), flush=True)
            return 1
        print(json.dumps({"flow": address, "pid": server.pid}), flush=True)
        sys.stdin.buffer.read()
    finally:
        end_all()
    return 0


if __name__ == "__main__":
    sys.exit(main())
