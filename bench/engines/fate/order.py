"""What a FATE job needs, written to a folder: the order, each party's rows, the scripts that run beside FATE Flow."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.data.prepare import Shard
from bench.engines.contract import Job
from bench.engines.training import load_shard
from bench.measure import sampler
from bench.model import logistic
from bench.model.logistic import Array

ARBITER = "10000"
SCRIPTS = Path(__file__).parent / "party"


@dataclass(frozen=True)
class Scaling:
    """The columns' means and standard deviations over the training rows of all parties, (d,) each.

    FATE's HomoLR does not scale. The parties' common moments are computed by the measuring program, which holds all
    rows anyway; in the embedded engine the parties exchange sums for them.
    """

    means: Array
    deviations: Array


def scaling(shards: tuple[Shard, ...]) -> Scaling:
    """Compute the moments from the parties' sums, shard after shard, so that memory holds one of them at a time."""
    sums = np.sum([logistic.column_sums(load_shard(shard.folder)[0]) for shard in shards], axis=0)
    squares = np.sum([logistic.centre_in_place(load_shard(shard.folder)[0], sums)[1] for shard in shards], axis=0)
    means = sums[:-1] / sums[-1]
    return Scaling(means, logistic.scale_in_place(np.empty((0, len(means))), means, squares, float(sums[-1])))


def scripts(folder: Path, probe: bool) -> None:
    """Put the scripts that run beside FATE Flow into ``folder``; without ``probe``, nothing measures inside FATE."""
    left_out = shutil.ignore_patterns("__pycache__", *([] if probe else ["fate_probe.py"]))
    shutil.copytree(SCRIPTS, folder, dirs_exist_ok=True, ignore=left_out)
    folder.chmod(0o700)  # rows are to lie in it, and copytree has given it the mode of its source
    shutil.copyfile(str(sampler.__file__), folder / "sampler.py")


def write(job: Job, name: str, local: list[str], folder: Path, scale: Scaling, flow: str) -> None:
    """Fill ``folder`` for the FATE Flow at ``flow`` that stands for the parties ``local``: their rows and no others'.

    ``name`` is the table's. Full batch is the largest party's number of rows: FATE takes 100 where it is told nothing.
    """
    mine = [shard for shard in job.prepared.shards if shard.party in local]
    for shard in mine:
        _write_rows(shard, scale, folder / f"{shard.party}.csv")
    training = job.training
    order: dict[str, Any] = {
        "flow": flow,
        "guest": next(shard.party for shard in job.prepared.shards if shard.role == "guest"),
        "hosts": [shard.party for shard in job.prepared.shards if shard.role == "host"],
        "arbiter": ARBITER,
        "local": local,
        "table": {"namespace": "federated-bench", "name": name},
        "data": {shard.party: f"{shard.party}.csv" for shard in mine},
        "features": len(job.features),
        "training": {
            "epochs": training.epochs,
            "optimiser": training.optimiser,
            "learning_rate": training.learning_rate,
            "alpha": training.alpha,
            "batch_size": training.batch_size or max(shard.rows for shard in job.prepared.shards),
        },
        "time_limit": job.time_limit,
    }
    (folder / "order.json").write_text(json.dumps(order, indent=1))


def _write_rows(shard: Shard, scale: Scaling, path: Path) -> None:
    """Write scaled rows as FATE reads them: an id, the label y, and the features, in single precision."""
    import duckdb  # this module is imported wherever engines are listed, and pandas takes long to import
    import pandas as pd

    X, y = load_shard(shard.folder)
    X -= scale.means
    X /= scale.deviations
    columns = {f"x{number}": X[:, number].astype(np.float32) for number in range(X.shape[1])}
    table = pd.DataFrame({"id": np.arange(len(y)), "y": y.astype(np.int32), **columns})
    with duckdb.connect() as connection:  # ten times as fast as pandas' own
        connection.register("rows", table)
        connection.execute(f"COPY rows TO '{str(path).replace(chr(39), chr(39) * 2)}' (FORMAT csv, HEADER)")
    path.chmod(0o600)  # DuckDB has put a new file there
