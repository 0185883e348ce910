"""FATE itself: a real HomoLR job of FATE 2.2, on one machine, behind a private FATE Flow that lives as long as the job.

FATE has an environment of its own (``make fate``), because its pins do not go together with the kit's. What runs there
are the scripts in ``party/``; this side writes what they need (order.py), starts them, and reads what they leave
(outcome.py). The same scripts run on the hosts that site.yml made, where Ansible starts them (hosts.py).
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from time import perf_counter
from typing import Any

from bench.engines.contract import Engine, HostsEngine, Job, Outcome, Privacy, Visibility
from bench.engines.fate import hosts, order, outcome
from bench.errors import CaseError, UserError
from bench.i18n.language import gettext_noop
from bench.model.logistic import Training

_CHECKOUT = Path(__file__).resolve().parents[3]
# Beside the Makefile that makes it; of an installed kit, in the folder that it is started in.
PYTHON = (_CHECKOUT if (_CHECKOUT / "Makefile").exists() else Path()) / ".fate" / "bin" / "python"
_GRACE_SECONDS = 120.0  # for a job to be stopped, beyond its time limit


class SecureAggregation(Privacy):
    """What FATE 2's HomoLR does with what parties send: pairwise masks that cancel in the sum."""

    name, protects = "masked", True
    description = "FATE 2's secure aggregation: masks that cancel in the sum"
    visibility = Visibility(
        arbiter=gettext_noop(
            "the sum of all parties' weights and losses of each round, and each party's number of rows"
        ),
        parties=gettext_noop("the average of the weights; of two parties, each can take away its own part"),
        assumptions=gettext_noop("the arbiter colludes with nobody, and no party drops out: the job would end"),
    )


_PRIVACY_MODES = {SecureAggregation.name: SecureAggregation()}


class HomoLR(Engine):
    """What FATE's HomoLR can do, wherever its parties run."""

    kind, platform = "federated", "FATE"

    @property
    def privacy_modes(self) -> Mapping[str, Privacy]:
        """FATE's own secure aggregation."""
        return _PRIVACY_MODES

    def check_training(self, training: Training) -> None:
        """Refuse the settings that FATE's HomoLR cannot train with, and say what may stand there."""
        if training.aggregation != "fedavg" or training.local_epochs != 1:
            raise UserError("training.aggregation: FATE's HomoLR averages weights every epoch; use aggregation: fedavg")
        if training.tolerance > 0:
            raise UserError("training.tolerance: FATE 2.2 ignores it and trains all epochs; leave it out")


class Fate(HomoLR):
    """FATE 2.2 on this machine."""

    name, network, order = "fate", "loopback", 30
    description = "FATE 2.2 itself on this machine: all parties behind a FATE Flow of its own (make fate)"

    def missing(self) -> str | None:
        """Say what this machine lacks for a FATE job on one machine, and what to do; None if nothing."""
        return missing()

    def train(self, job: Job) -> Outcome:
        """Run a job of FATE."""
        return train(job)


class FateOnHosts(HomoLR, HostsEngine):
    """FATE 2.2 on the parties' own machines."""

    name, order = "fate_hosts", 31
    description = "FATE 2.2 on the hosts that site.yml made; ansible-playbook site.yml runs it"

    def write_order(self, job: Job, name: str, folder: Path) -> None:
        """Write the order, the scripts and each party's own rows."""
        hosts.order(job, name, folder)

    def collect(self, job: Job, folder: Path) -> Outcome:
        """Read what the hosts brought back."""
        return hosts.collect(job, folder)


def missing() -> str | None:
    """Say what this machine lacks for a FATE job on one machine, and what to do; None if nothing."""
    ready = PYTHON.with_name("fate_flow").exists() and (PYTHON.parents[1] / ".installed").exists()
    return None if ready else "FATE's own environment is not here; in a checkout of the kit, make it: make fate"


def train(job: Job) -> Outcome:
    """Run the job and return what it brought; raises CaseError, naming the party at fault, when it fails."""
    folder = job.folder / "party"
    parties = [shard.party for shard in job.prepared.shards]
    order.scripts(folder, probe=job.measure)
    scale = order.scaling(job.prepared.shards)
    try:
        began = perf_counter()
        with flow(folder) as address:
            started = perf_counter() - began
            order.write(job, "rows", parties, folder, scale, address)
            job.say("uploading the parties' rows to FATE ...")
            _step(folder, "upload")
            _step(folder, "submit")
            _watch(job, folder)
            _step(folder, "fetch")
            before = {gettext_noop("start of FATE Flow"): started}
            return outcome.read(job, dict.fromkeys(parties, folder), scale, before)
    except CaseError:
        outcome.gather_logs(folder, folder / "log.txt")
        raise


ENGINES = (Fate(), FateOnHosts())


@contextmanager
def flow(folder: Path) -> Iterator[str]:
    """Give the address of a FATE Flow that ends, with all that it started, when the block does or this program dies."""
    process = subprocess.Popen(
        [str(PYTHON), str(folder / "flow.py"), str(folder)],
        env=_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=(folder / "flow.log").open("ab"),
        text=True,
        start_new_session=True,  # Ctrl-C reaches this program only, which then ends them in order
    )
    assert process.stdin and process.stdout
    try:
        said: dict[str, Any] = json.loads(process.stdout.readline() or '{"error": "FATE Flow could not be started"}')
        if "error" in said:
            raise CaseError(str(said["error"]))
        yield str(said["flow"])
    finally:
        with suppress(OSError):
            process.stdin.close()
        process.wait()
        process.stdout.close()


def _environment() -> dict[str, str]:
    """Return the environment for FATE's programs: what they say to each other on this machine goes through no proxy."""
    return {**os.environ, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}


def _step(folder: Path, command: str) -> None:
    """Run a step of the job; raises CaseError with its last line on standard error when it fails."""
    done = subprocess.run(
        [str(PYTHON), str(folder / "job.py"), command, str(folder)],
        env=_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        start_new_session=True,
    )
    if done.returncode:
        raise CaseError((done.stderr.strip().splitlines() or [f"{command} failed without a word"])[-1])


def _watch(job: Job, folder: Path) -> None:
    """Follow the job to its end; raises CaseError with the watch's verdict unless that is success."""
    argv = [str(PYTHON), "-u", str(folder / "watch.py"), str(folder / "order.json")]
    with (
        (folder / "watch.log").open("w") as log,
        subprocess.Popen(
            argv,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        ) as process,
    ):
        assert process.stdout
        too_late = threading.Timer(job.time_limit + _GRACE_SECONDS, process.kill)
        too_late.start()
        try:
            for line in process.stdout:
                job.say(line.strip())
        finally:
            too_late.cancel()
            process.kill()
    outcome.check({job.prepared.shards[0].party: outcome.read_json(folder / "verdict.json")})
