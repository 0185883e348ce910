"""Follow a FATE job to its end, and end it when it cannot go on: watch.py FOLDER/order.json, in FATE's Python.

FATE itself waits for hours for a party that has died. One of these runs beside each FATE Flow that takes part; each
judges what it can see from there: its FATE Flow, its broker, its workers, its router, and whether the other parties
answer. Whoever finds a fault stops the job everywhere it can reach, and at its own FATE Flow in any case, so that the
next job finds its cores free. docs/cluster.md lists the faults.

FOLDER holds order.json and submitted.json, and takes samples.jsonl and verdict.json. Lines on standard output say how
far the job is. The exit status is 0 only after success.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import yaml
from sampler import Sampler, Samples

ENDED = ("success", "failed", "canceled", "timeout")
TRAINER = "lr_0"
STOP = "/partner/job/stop"
SERVICE = Path("/etc/fate/service_conf.yaml")

LOOK_SECONDS = 1.0
# Enough for jobs of minutes: at 5 it costs 2.4 % of a core, as FATE has many and large processes.
SAMPLES_A_SECOND = 1.0
SAY_SECONDS = 5.0
# How long something may be so until it is a fault. FATE Flow is started again when it ends, which takes some 11 s.
FLOW_SECONDS = 28.0
PEER_SECONDS = 20.0
BROKER_SECONDS = 20.0
CORES_SECONDS = 45.0
IDLE_SECONDS = 30.0
# FATE ends workers itself, and says so a moment later.
DEAD_SECONDS = 4.0
END_SECONDS = 15.0
STOP_SECONDS = 4.0
# Less CPU time than this in IDLE_SECONDS is none.
IDLE_CPU_SECONDS = 0.05
# What the kernel calls the place where a process sleeps that waits for a message.
WAITING_FOR_NETWORK = ("poll", "select", "sk_wait", "wait_woken", "tcp", "inet")


@dataclass(frozen=True)
class Fault:
    """Why a job was ended. ``party`` is at fault, if anybody; ``own``: it says so itself, and it knows best."""

    words: str
    party: str | None
    own: bool


@dataclass
class Job:
    """The job as this side sees it: what was ordered, and what FATE Flow last said."""

    folder: Path
    order: dict[str, Any]
    id: str
    service: dict[str, Any]  # FATE Flow's configuration on a party's host; empty on one machine
    began: float = field(default_factory=time.monotonic)
    parties: list[dict[str, Any]] = field(default_factory=list)  # the job at this FATE Flow, one for each role
    tasks: list[dict[str, Any]] = field(default_factory=list)
    answered: float = field(default_factory=time.monotonic)  # when FATE Flow last did
    epoch: int = 0
    trained: bool = False

    @property
    def name(self) -> str:
        """Name the parties here, for a reader."""
        return ", ".join(f"party {party} ({', '.join(self.roles(party))})" for party in self.order["local"])

    def roles(self, party: str) -> list[str]:
        """Return the roles of a party in this job."""
        roles = {"guest": [self.order["guest"]], "host": self.order["hosts"], "arbiter": [self.order["arbiter"]]}
        return [role for role, parties in roles.items() if party in parties]

    @property
    def peers(self) -> list[str]:
        """List the parties behind other FATE Flows."""
        everybody = [self.order["guest"], *self.order["hosts"], self.order["arbiter"]]
        return [party for party in dict.fromkeys(everybody) if party not in self.order["local"]]

    @property
    def logs(self) -> Path:
        """Return where FATE Flow writes its logs."""
        home = self.folder / "home"
        return (home if home.is_dir() else self.folder.parent) / "logs"

    def own(self, words: str) -> Fault:
        """Say what is wrong here."""
        return Fault(f"{self.name}: {words}", self.order["local"][0], own=True)


def main() -> int:
    """Follow the job and leave a verdict."""
    job = load(Path(sys.argv[1]).resolve())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sampler = Sampler({}, hertz=SAMPLES_A_SECOND)
    status, fault = "stopped", None
    with sampler as samples:
        try:
            status, fault = follow(job, sampler)
        finally:
            if status == "stopped":
                stop(job)
            write_samples(job, samples)
            verdict = {"status": status, "seconds": round(time.monotonic() - job.began, 1), "job_id": job.id}
            blame = {"fault": fault and fault.words, "party": fault and fault.party, "own": fault and fault.own}
            leave(job.folder / "verdict.json", {**verdict, **blame})
    print(f"the job ended as {status}" + (f": {fault.words}" if fault else ""), flush=True)
    return 0 if status == "success" else 1


def load(path: Path) -> Job:
    """Read what is ordered and which job it has become."""
    order = json.loads(path.read_text())
    submitted = json.loads((path.parent / "submitted.json").read_text())
    job = Job(path.parent, order, submitted["job_id"], {})
    if job.peers:
        job.service = yaml.safe_load(SERVICE.read_text())
    return job


def leave(path: Path, value: Any) -> None:
    """Write a JSON file that a reader sees whole or not at all."""
    temporary = path.with_name(f".{path.name}")
    temporary.write_text(json.dumps(value))
    temporary.replace(path)


def write_samples(job: Job, samples: Samples) -> None:
    """Write what was sampled, what that cost first. In a container the row without a party is not about the host."""
    rows = [row for row in samples.rows if row["party"] or not job.peers]
    cost = {"began": samples.began, "seconds": samples.seconds, "cpu_seconds": samples.cpu_seconds}
    lines = "".join(json.dumps(row) + "\n" for row in [cost, *rows])
    (job.folder / "samples.jsonl").write_text(lines)


def follow(job: Job, sampler: Sampler) -> tuple[str, Fault | None]:
    """Look at the job again and again until it has ended or a fault is found; return how it ended, and the fault."""
    workers = Workers(job, sampler)
    checks = [flow_is_away(job), *workers.checks(), waits_for_cores(job), takes_too_long(job), half_ended(job)]
    if job.peers:
        checks += [broker_is_lost(job), peers_are_away(job)]
    said = 0.0
    while True:
        ask(job)
        statuses = [here["status"] for here in job.parties]
        if statuses and all(status in ENDED for status in statuses):
            if all(status == "success" for status in statuses):
                return "success", None
            return "failed", own_failure(job, workers)
        workers.look()
        for check in checks:
            if fault := next(check):
                return "stopped", fault
        if time.monotonic() - said > SAY_SECONDS:
            said = time.monotonic()
            print(progress(job), flush=True)
        time.sleep(LOOK_SECONDS)


# --- FATE Flow -------------------------------------------------------------------------------------------------------


def call(address: str, path: str, body: Any = None, timeout: float = 10.0, to: str | None = None) -> dict[str, Any]:
    """Ask a FATE Flow, or through a router that of party ``to``; raises OSError when nothing can be understood."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", **({"dest-party-id": to} if to else {})}
    request = urllib.request.Request(f"http://{address}/v2{path}", data, headers)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:  # noqa: S310
            return dict(json.load(answer))
    except (ValueError, TypeError, http.client.HTTPException) as error:
        raise OSError(f"an answer that is not JSON: {error}") from error


def ask(job: Job, timeout: float = 10.0) -> None:
    """Bring what is known of the job up to date, if FATE Flow answers."""
    with suppress(OSError):
        parties = call(job.order["flow"], f"/job/query?job_id={job.id}", timeout=timeout).get("data")
        tasks = call(job.order["flow"], f"/job/task/query?job_id={job.id}", timeout=timeout).get("data")
        # A FATE Flow that has just started again answers before it knows its jobs.
        if parties and tasks:
            job.parties, job.tasks, job.answered = parties, tasks, time.monotonic()


def flow_is_away(job: Job) -> Iterator[Fault | None]:
    """Find that FATE Flow has not answered for too long."""
    while True:
        silent = time.monotonic() - job.answered > FLOW_SECONDS
        yield job.own(f"FATE Flow has not answered for {FLOW_SECONDS:g} s{last_words(job)}") if silent else None


def last_words(job: Job) -> str:
    """Quote the last line of FATE Flow's log of warnings and errors."""
    lines = [line for name in ("ERROR.log", "WARNING.log") for line in lines_of(job.logs / "fate_flow" / name)[-1:]]
    return f"; the last line of its log: {lines[0]}" if lines else ""


def lines_of(path: Path) -> list[str]:
    """Return the lines of the end of a log that say something."""
    with suppress(OSError), path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 20_000))
        text = file.read().decode(errors="replace")
        return [line.strip()[:250] for line in text.splitlines() if line.strip()]
    return []


def own_failure(job: Job, workers: Workers) -> Fault | None:
    """Say why a job failed that nobody stopped from here; None if it was not for this party."""
    if died := workers.died():
        return died
    for task in job.tasks:
        if task["error_report"]:
            where = f"party {task['party_id']} ({task['role']})"
            if killed := killed_in_log(job, task):
                return Fault(f"{where}: its {task['role']} process of {killed}", task["party_id"], own=True)
            words = lines_of_error(job, task) or str(task["error_report"]).strip().splitlines()
            return Fault(f"{where}: task {task['task_name']} failed: {words[-1]}", task["party_id"], own=True)
    return None


def killed_in_log(job: Job, task: dict[str, Any]) -> str | None:
    """Say how a task's process was killed, if FATE noticed: it only says that there is no output."""
    folder = job.logs / job.id / task["role"] / task["party_id"] / task["task_name"]
    for line in lines_of(folder / "root" / "INFO"):
        if found := re.search(r"finish task, return code -(\d+)", line):
            return f"task {task['task_name']} died{by_signal(int(found[1]))}; the line of its log: {line}"
    return None


def lines_of_error(job: Job, task: dict[str, Any]) -> list[str]:
    """Return what the component itself wrote into its job's log of errors."""
    folder = job.logs / job.id / task["role"] / task["party_id"] / task["task_name"]
    return [line for path in sorted(folder.glob("*/ERROR")) for line in lines_of(path)]


def waits_for_cores(job: Job) -> Iterator[Fault | None]:
    """Find that the job does not begin, for want of FATE Flow's cores. Who refuses them speaks first."""
    while True:
        waits = job.parties and all(here["status"] in ("waiting", "ready") for here in job.parties)
        seconds = time.monotonic() - job.began
        refused = cores_refused(job)
        if waits and seconds > CORES_SECONDS and refused:
            yield job.own(refused)
        elif waits and seconds > CORES_SECONDS + DEAD_SECONDS:
            yield Fault(f"the job has been waiting for another party's cores for {seconds:.0f} s", None, own=False)
        else:
            yield None


def cores_refused(job: Job) -> str | None:
    """Quote what this FATE Flow says of the cores that it does not give."""
    lines = lines_of(job.logs / job.id / "fate_flow_schedule.log")
    asked = [line for line in lines if "APPLY job resource" in line or "Resource limit exceeded" in line]
    if not asked or " successfully" in asked[-1]:
        return None
    cores = sum(here["cores"] or 0 for here in job.parties)
    words = f"FATE Flow has no cores for the job, which asks for {cores}"
    with suppress(KeyError):
        words += f" of {job.service['computing']['standalone']['cores']}"
    return f"{words}; its log: {asked[-1].rpartition(']: ')[2]}"


def takes_too_long(job: Job) -> Iterator[Fault | None]:
    """Find that the time limit is over."""
    limit = job.order["time_limit"]
    while time.monotonic() - job.began < limit:
        yield None
    late = f"the job has not finished after {limit:g} s (the suite's time_limit)"
    yield Fault(f"{late}: {progress(job)}", None, own=False)


def half_ended(job: Job) -> Iterator[Fault | None]:
    """Find that a role here has failed, and FATE has not stopped the others."""
    since = None
    while True:
        statuses = {here["status"] for here in job.parties}
        since = since or time.monotonic() if statuses & {"failed", "canceled", "timeout"} else None
        over = since and time.monotonic() - since > END_SECONDS
        yield job.own(f"one of its roles has ended and the other has not: {sorted(statuses)}") if over else None


# --- workers ---------------------------------------------------------------------------------------------------------


@dataclass
class Worker:
    """A process of a task: the one that FATE Flow starts, or the one below it that computes (it has a ``result``)."""

    process: psutil.Process
    task: dict[str, Any]
    result: Path | None
    cpu: float = 0.0
    busy: float = field(default_factory=time.monotonic)  # when it last used the CPU or waited for a message
    stopped: int = 0  # looks in a row
    gone: float | None = None
    signal: str = ""

    @property
    def name(self) -> str:
        """Name the process for a reader."""
        return f"its {self.task['role']} process of task {self.task['task_name']} (pid {self.process.pid})"


class Workers:
    """The processes of the job's running tasks, as far as they have been seen."""

    def __init__(self, job: Job, sampler: Sampler) -> None:
        self.job, self.sampler = job, sampler
        self.seen: dict[psutil.Process, Worker] = {}
        self.flow: psutil.Process | None = None

    def look(self) -> None:
        """Find new processes, and see how the known ones are."""
        self._find_flow()
        running = [task for task in self.job.tasks if task["party_status"] == "running" and task["run_pid"]]
        for task in running:
            with suppress(psutil.Error):
                entry = psutil.Process(task["run_pid"])
                if "entrypoint" in entry.cmdline():
                    self._add(entry, task, None)
                    for child in entry.children():
                        if "execute" in (words := child.cmdline()):
                            self._add(child, task, Path(words[-1]))
        names = {(task["role"], task["party_id"], task["task_name"]) for task in running}
        for process, worker in list(self.seen.items()):
            if (worker.task["role"], worker.task["party_id"], worker.task["task_name"]) not in names:
                del self.seen[process]
            else:
                examine(worker)

    def _find_flow(self) -> None:
        if self.flow and self.flow.is_running():
            return
        home = self.job.folder / "home"
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if any(word.endswith("fate_flow_server.py") for word in process.cmdline()):
                    if home.is_dir() and Path(process.cwd()) != home:
                        continue
                    self.flow = process
                    local = self.job.order["local"]
                    self.sampler.follow(f"{local[0] if len(local) == 1 else 'all'}/flow", process.pid)
                    return

    def _add(self, process: psutil.Process, task: dict[str, Any], result: Path | None) -> None:
        if process in self.seen:
            return
        self.seen[process] = Worker(process, task, result)
        if task["task_name"] == TRAINER and result:
            self.sampler.follow(f"{task['party_id']}/{task['role']}", process.pid)

    def died(self) -> Fault | None:
        """Find a process that ended without a result while FATE Flow still calls its task running."""
        for worker in self.seen.values():
            # By what FATE Flow has said since: while it is being started again, it calls running what has ended well.
            if worker.gone and self.job.answered - worker.gone > DEAD_SECONDS:
                return self._fault(worker, f"died{worker.signal}")
        return None

    def checks(self) -> list[Iterator[Fault | None]]:
        """Return the checks of what can be wrong with a process."""

        def stopped() -> Fault | None:
            for worker in self.seen.values():
                if worker.stopped > 1:
                    return self._fault(worker, "was stopped (SIGSTOP or the like) and cannot go on")
            return None

        def idle() -> Fault | None:
            for worker in self.seen.values():
                if worker.result and time.monotonic() - worker.busy > IDLE_SECONDS:
                    return self._fault(worker, f"has not computed for {IDLE_SECONDS:g} s, and waits for no message")
            return None

        return [repeat(self.died), repeat(stopped), repeat(idle)]

    def _fault(self, worker: Worker, what: str) -> Fault:
        task = worker.task
        folder = self.job.logs / self.job.id / task["role"] / task["party_id"] / task["task_name"] / "root"
        log = lines_of(folder / "INFO")[-1:]
        words = f"party {task['party_id']} ({task['role']}): {worker.name} {what}"
        return Fault(f"{words}; the last line of its log: {log[0] if log else 'none'}", task["party_id"], own=True)


def repeat(check: Callable[[], Fault | None]) -> Iterator[Fault | None]:
    """Make a check of a function."""
    while True:
        yield check()


def examine(worker: Worker) -> None:
    """See whether a process has ended, is stopped, computes, or waits for a message."""
    process = worker.process
    try:
        status = process.status()
        tree = [process, *process.children(recursive=True)] if worker.result else [process]
        if status == psutil.STATUS_ZOMBIE:
            worker.signal = worker.signal or killed_by(process.pid)
            raise psutil.NoSuchProcess(process.pid)
        stopped = any(one.status() == psutil.STATUS_STOPPED for one in tree)
        cpu = sum(sum(one.cpu_times()[:2]) for one in tree)
    except psutil.Error:
        # A component that ends in order, also by an error, leaves a result.
        if not process.is_running() or status_of(process) == psutil.STATUS_ZOMBIE:
            ended_in_order = worker.result is not None and worker.result.exists()
            worker.gone = None if ended_in_order else worker.gone or time.monotonic()
        return
    worker.stopped = worker.stopped + 1 if stopped else 0
    if cpu - worker.cpu > IDLE_CPU_SECONDS or status == psutil.STATUS_DISK_SLEEP or waits_for_message(process.pid):
        worker.cpu, worker.busy = cpu, time.monotonic()


def status_of(process: psutil.Process) -> str | None:
    """Return the state of a process; None if it is gone."""
    with suppress(psutil.Error):
        return str(process.status())
    return None


def killed_by(pid: int) -> str:
    """Say how a process ended that nobody has asked about yet; empty if unknown."""
    with suppress(OSError, ValueError):
        # The last field of proc_pid_stat(5): the exit status in the form of waitpid(2).
        number = int(Path(f"/proc/{pid}/stat").read_text().split()[-1]) & 0x7F
        return by_signal(number) if number else ""
    return ""


def by_signal(number: int) -> str:
    """Name the signal that killed a process."""
    why = " (the kernel does this when memory runs out)" if number == signal.SIGKILL else ""
    return f": killed by {signal.Signals(number).name}{why}"


def waits_for_message(pid: int) -> bool:
    """Tell whether the process sleeps until something comes by the network, or it cannot be known where."""
    try:
        place = Path(f"/proc/{pid}/wchan").read_text().strip()
    except OSError:
        return True
    return place in ("", "0") or any(word in place for word in WAITING_FOR_NETWORK)


# --- broker and peers ------------------------------------------------------------------------------------------------


def broker_is_lost(job: Job) -> Iterator[Fault | None]:
    """Find that the broker has ended, or was started again: the job's queues are gone with it."""
    words: list[str] = []
    threading.Thread(target=hold_connection, args=(job.service["federation"]["rabbitmq"], words), daemon=True).start()
    while True:
        yield job.own(f"RabbitMQ {words[0]}") if words else None


def hold_connection(broker: dict[str, Any], words: list[str]) -> None:
    """Keep a connection to the broker until it breaks; put what happened into ``words``."""
    import pika  # on hosts only

    settings = pika.ConnectionParameters(
        host=broker["host"],
        port=broker["port"],
        credentials=pika.PlainCredentials(broker["user"], broker["password"]),
        heartbeat=10,
        client_properties={"connection_name": "watch"},
    )
    deadline = time.monotonic() + BROKER_SECONDS
    connection = None
    while connection is None:
        try:
            connection = pika.BlockingConnection(settings)
        except (pika.exceptions.AMQPError, OSError) as error:
            if time.monotonic() > deadline:
                words.append(f"does not answer: {describe(error)}")
                return
            time.sleep(1)
    try:
        while True:
            connection.process_data_events(time_limit=1)
    except (pika.exceptions.AMQPError, OSError) as error:
        words.append(f"ended or was restarted in mid-job: {describe(error)}")


def describe(error: BaseException) -> str:
    """Put an error into one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def peers_are_away(job: Job) -> Iterator[Fault | None]:
    """Find that a party cannot be reached through the own router. Who reaches nobody is alone at fault."""
    silent: dict[str, tuple[float, int, str]] = {}  # since when, how often in a row, and the last error
    for peer in job.peers:
        threading.Thread(target=knock, args=(router(job), peer, silent), daemon=True).start()
    while True:
        now = time.monotonic()
        away = {
            peer: last
            for peer, (since, tries, last) in silent.copy().items()
            if now - since > PEER_SECONDS and tries > 2
        }
        alone = len(job.peers) > 1 and set(silent) == set(job.peers)
        if alone and away:
            named = ", ".join(job.peers)
            yield job.own(f"none of the other parties ({named}) can be reached from it: {next(iter(away.values()))}")
        elif away:
            peer, last = next(iter(away.items()))
            roles = ", ".join(job.roles(peer))
            words = f"party {peer} ({roles}): cannot be reached from party {job.order['local'][0]}: {last}"
            yield Fault(words, peer, own=False)
        else:
            yield None


def router(job: Job) -> str:
    """Return the address of the own router."""
    nginx = job.service["fateflow"]["nginx"]
    return f"{nginx['host']}:{nginx['http_port']}"


def knock(address: str, peer: str, silent: dict[str, tuple[float, int, str]]) -> None:
    """Try to reach a party's FATE Flow again and again; whatever it answers itself will do."""
    while True:
        began = time.monotonic()
        try:
            call(address, "/partner/nothing", timeout=8, to=peer)
            silent.pop(peer, None)
        except urllib.error.HTTPError as error:
            if error.code < 500:
                silent.pop(peer, None)
            else:
                note(silent, peer, began, f"the router says {error.code} {error.reason}")
        except OSError as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, ConnectionRefusedError | socket.gaierror):
                note(silent, peer, began, f"the own router does not answer: {describe(reason)}")
            else:
                note(silent, peer, began, describe(reason))
        time.sleep(2)


def note(silent: dict[str, tuple[float, int, str]], peer: str, began: float, words: str) -> None:
    """Count one more attempt that failed."""
    since, tries, _ = silent.get(peer, (began, 0, ""))
    silent[peer] = (since, tries + 1, words)


# --- the end ---------------------------------------------------------------------------------------------------------


def stop(job: Job) -> None:
    """Stop the job everywhere that can be reached, and here in any case.

    Nobody is asked twice without need: each time FATE starts processes that tidy up.
    """
    flow = job.order["flow"]
    # FATE Flow stops its own tasks at once, then asks the scheduler, who tells all parties one by one.
    told: list[bool] = []
    asking = in_background(partial(call, flow, "/job/stop", {"job_id": job.id}, timeout=30), told)
    deadline = time.monotonic() + STOP_SECONDS
    while running_here(job) and time.monotonic() < deadline:
        time.sleep(0.3)
    if running_here(job):
        for party in job.order["local"]:
            for part in parts(job, party):
                quietly(partial(call, flow, STOP, part, timeout=3), [])
    end_processes(job)
    asking.join(max(0.0, deadline + STOP_SECONDS - time.monotonic()))
    if not told:
        orders = [
            in_background(partial(call, router(job), STOP, part, to=peer), [])
            for peer in job.peers
            for part in parts(job, peer)
        ]
        for order in orders:
            order.join(STOP_SECONDS)


def running_here(job: Job) -> bool:
    """Tell whether FATE Flow here says that the job has not ended, or says nothing."""
    job.parties = []
    ask(job, timeout=2)  # one that hangs must not keep the rest from being stopped
    return any(here["status"] not in ENDED for here in job.parties) or not job.parties


def in_background(order: Callable[[], dict[str, Any]], told: list[bool]) -> threading.Thread:
    """Ask without waiting for the answer."""
    thread = threading.Thread(target=quietly, args=(order, told), daemon=True)
    thread.start()
    return thread


def parts(job: Job, party: str) -> list[dict[str, str]]:
    """Name a party's parts of the job, one for each role."""
    return [{"job_id": job.id, "role": role, "party_id": party} for role in job.roles(party)]


def quietly(order: Callable[[], dict[str, Any]], told: list[bool]) -> None:
    """Ask, if somebody answers; note in ``told`` that it is done."""
    with suppress(OSError):
        if order().get("code") == 0:
            told.append(True)


def end_processes(job: Job) -> None:
    """Kill what is left of the job's processes, but not those that tidy up after it."""
    deadline = time.monotonic() + 3
    while left := processes(job):
        if time.monotonic() > deadline:
            for process in left:
                with suppress(psutil.Error):
                    process.kill()
            psutil.wait_procs(left, timeout=3)
            return
        time.sleep(0.2)


def processes(job: Job) -> list[psutil.Process]:
    """List the job's processes that compute, whoever is their parent."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid == os.getpid() or process.environ().get("FATE_JOB_ID") != job.id:
                continue
            if "cleanup" not in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def progress(job: Job) -> str:
    """Say how far the job is."""
    for path in (job.folder / "events").glob("*.jsonl"):
        with suppress(OSError, ValueError):
            for event in map(json.loads, tail(path)):
                job.epoch = max(job.epoch, event.get("epoch", 0))
                job.trained = job.trained or event["e"] == "trained"
    running = [task["task_name"] for task in job.tasks if task["party_status"] == "running"]
    if time.monotonic() - job.answered > 2 * LOOK_SECONDS:
        return f"FATE Flow has been silent for {time.monotonic() - job.answered:.0f} s"
    if TRAINER in running and job.trained:
        return "all epochs are done; HomoLR predicts the training rows"
    if TRAINER in running and job.epoch:
        return f"epoch {job.epoch} of {job.order['training']['epochs']}"
    return f"running {running[0]}" if running else "waiting for the other parties"


def tail(path: Path) -> list[str]:
    """Return the last whole lines of a file of events."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 4096))
        return [line for line in file.read().decode().splitlines() if line.startswith("{") and line.endswith("}")]


if __name__ == "__main__":
    sys.exit(main())
