"""Facts about the machine and the software, and what about them may make figures untrustworthy."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from bench.i18n.language import gettext_noop
from bench.i18n.messages import Line, Message

BUSY = Message(
    "machine_busy",
    gettext_noop("the machine was busy before the run (load {load} on {cores} cores): times may be too long"),
)
GOVERNOR = Message("cpu_governor", gettext_noop("the CPU governor is {governor}: clock rates change during the run"))
SHARED = Message(
    "cores_shared",
    gettext_noop(
        "{processes} processes (parties and arbiter) share {cores} cores: on machines of their own the parties would "
        "wait less for each other"
    ),
)

KIT = "federated-bench"
# What decides a figure: scores, seconds or bytes.
_PACKAGES = (
    "cryptography",
    "dp-accounting",
    "duckdb",
    "gmpy2",
    "grpcio",
    "imbalanced-learn",
    "numpy",
    "pandas",
    "phe",
    "protobuf",
    "psutil",
    "scikit-learn",
    "scipy",
    "threadpoolctl",
)
_BOOST = Path("/sys/devices/system/cpu/cpufreq/boost")
_NO_TURBO = Path("/sys/devices/system/cpu/intel_pstate/no_turbo")


def _first_line(path: str, key: str | None = None) -> str | None:
    try:
        for line in Path(path).read_text(encoding="utf-8", errors="replace").splitlines():
            if key is None:
                return line.strip()
            name, _, value = line.partition(":" if "cpuinfo" in path else "=")
            if name.strip() == key:
                return value.strip().strip('"')
    except OSError:
        pass
    return None


def _package_versions() -> dict[str, str]:
    """Return the versions of what decides a figure, plug-ins of the kit among them."""
    groups = [group for group in metadata.entry_points().groups if group.startswith("federated_bench.")]
    plugins = {entry.dist.name for group in groups for entry in metadata.entry_points(group=group) if entry.dist}
    versions = {name: version_of(name) for name in (*_PACKAGES, *sorted(plugins))}
    return {name: version for name, version in versions.items() if version is not None}


def version_of(distribution: str) -> str | None:
    """Return the version of an installed distribution; None where it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _blas() -> str | None:
    """Name the BLAS that NumPy has loaded, with its version and the processor that it is for."""
    import numpy  # noqa: F401 - threadpoolctl sees what is loaded
    from threadpoolctl import threadpool_info

    found = [library for library in threadpool_info() if library["user_api"] == "blas"]
    parts = {f"{library['internal_api']} {library['version']} ({library.get('architecture')})" for library in found}
    return ", ".join(sorted(parts)) or None


def _boost() -> bool | None:
    """Say whether cores may exceed their base clock rate; None where the system does not say."""
    boost, no_turbo = _number(_BOOST), _number(_NO_TURBO)
    if boost is not None:
        return bool(boost)
    return None if no_turbo is None else not no_turbo


def load_average() -> list[float] | None:
    """Return the mean number of runnable processes over 1, 5 and 15 minutes, or None where the system has none."""
    try:
        return [round(value, 2) for value in os.getloadavg()]
    except OSError:
        return None


def slow_downs() -> dict[str, float | None]:
    """Count what has slowed this machine since it started; None where the system does not say.

    ``stolen_seconds``: CPU time that the hypervisor gave to others, of ``cpu_seconds`` of all processors together.
    ``quota_periods``: scheduling periods in which the CPU quota of this control group, or of one above it, was used up.
    ``heat_events``: how often a core was slowed down because of its heat.
    """
    times = psutil.cpu_times()
    heat = [_number(path) for path in Path("/sys/devices/system/cpu").glob("cpu*/thermal_throttle/core_throttle_count")]
    return {
        "stolen_seconds": getattr(times, "steal", None),
        "cpu_seconds": sum(times[:8]),  # the last two, of guests, are contained in the others
        "quota_periods": _quota_periods(),
        "heat_events": _added(heat),
    }


def _quota_periods() -> int | None:
    """Add up nr_throttled (kernel documentation, cgroup-v2 "cpu.stat") from this process's control group upwards."""
    found = []
    try:
        entries = [line.split(":", 2)[1:] for line in Path("/proc/self/cgroup").read_text().splitlines()]
    except OSError:
        return None
    for controllers, group in entries:
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = Path("/sys/fs/cgroup", "cpu") if controllers else Path("/sys/fs/cgroup")
        place = root / group.lstrip("/")
        found += [
            _number(folder / "cpu.stat", "nr_throttled ")
            for folder in (place, *place.parents)
            if folder.is_relative_to(root)
        ]
    return _added(found)


def _added(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _number(path: Path, key: str = "") -> int | None:
    """Return the number in a file of the kernel, of the line that begins with ``key``; None where there is none."""
    with suppress(OSError, ValueError):
        for line in path.read_text().splitlines():
            if line.startswith(key):
                return int(line.removeprefix(key))
    return None


def slowed(before: Mapping[str, float | None], after: Mapping[str, float | None]) -> dict[str, float | None]:
    """Return what slowed the machine between two counts of ``slow_downs``.

    ``stolen_share`` is the share of all processors' time that went to others; the other two are counts.
    """
    gone = {key: None if (a := before[key]) is None or (b := after[key]) is None else b - a for key in before}
    stolen, whole = gone["stolen_seconds"], gone["cpu_seconds"]
    share = stolen / whole if stolen is not None and whole else None
    return {"stolen_share": share, "quota_periods": gone["quota_periods"], "heat_events": gone["heat_events"]}


def _warnings(facts: dict[str, Any]) -> list[Line]:
    warnings: list[Line] = []
    cores = facts["cores_available"]
    load = facts["load_before"]
    if load and load[0] > 0.3 * cores:
        warnings.append(BUSY.of(load=load[0], cores=cores))
    if facts["cpu_governor"] not in (None, "performance"):
        warnings.append(GOVERNOR.of(governor=repr(facts["cpu_governor"])))
    battery = psutil.sensors_battery() if hasattr(psutil, "sensors_battery") else None
    if battery is not None and not battery.power_plugged:
        warnings.append(gettext_noop("the machine runs on battery: it may be throttled"))
    return warnings


def _conditions(facts: dict[str, Any], processes: int) -> list[Line]:
    conditions: list[Line] = []
    cores = facts["cores_available"]
    if processes > cores:
        conditions.append(SHARED.of(processes=processes, cores=cores))
    if facts["virtualised"]:
        conditions.append(gettext_noop("the machine is virtual: others on the same hardware can slow it down unseen"))
    return conditions


def cores_available() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe(processes: int, load: list[float] | None) -> dict[str, Any]:
    """Return the environment as it stands in run.json.

    ``processes`` is how many a case runs at a time at most, ``load`` the load average before this program began.
    """
    available = cores_available()
    facts: dict[str, Any] = {
        "cpu": _first_line("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
        "cores_logical": psutil.cpu_count(),
        "cores_physical": psutil.cpu_count(logical=False),
        "cores_available": available,
        "memory_bytes": psutil.virtual_memory().total,
        "os": _first_line("/etc/os-release", "PRETTY_NAME") or platform.platform(),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": _package_versions(),
        "blas": _blas(),
        "threads_per_process": 1,
        "load_before": load,
        "load_after": None,
        "slowed": None,
        "cpu_governor": _first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "cpu_boost": _boost(),
        "virtualised": "hypervisor" in (_first_line("/proc/cpuinfo", "flags") or "").split(),
    }
    return {**facts, "warnings": _warnings(facts), "conditions": _conditions(facts, processes)}


def checkout() -> Path | None:
    """Return the root of the git checkout that the kit's own files are in; None where it was installed as a package."""
    root = Path(__file__).resolve().parents[2]
    top = _git(root, "rev-parse", "--show-toplevel")
    return root if top is not None and Path(top) == root and (root / "pyproject.toml").exists() else None


def revision() -> dict[str, Any] | None:
    """Return the git commit of the kit's own files and whether they were changed since; None outside a checkout."""
    root = checkout()
    if root is None:
        return None
    return {
        "commit": _git(root, "rev-parse", "HEAD"),
        "dirty": bool(_git(root, "status", "--porcelain", "--untracked-files=no")),
    }


def _git(folder: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=60)  # noqa: S607
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
