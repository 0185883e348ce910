"""FATE's HomoLR without FATE Flow, in FATE's Python: fate_training.py ROWS EPOCHS FOLDER [--parties ...].

Each party is a process of FATE's own launcher. What FATE logs, and the messages that reach its transport, are written
to FOLDER/<party>-<role>.json, so that a test has something to hold the probe's figures against.
"""

import json
import logging
import sys
import time
from pathlib import Path

ROWS, EPOCHS, FOLDER = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
PARTIES = ["guest:9999", "host:9998", "host:10000", "arbiter:10000"]
SHARES = {"9999": 0.25, "9998": 0.25, "10000": 0.5}
COLUMNS = 37


def rows_of(party: str):
    """Make a party's rows, always the same."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(int(party))
    X = rng.normal(size=(int(ROWS * SHARES[party]), COLUMNS)).astype(np.float32)
    y = (rng.random(len(X)) < 1 / (1 + np.exp(-X[:, 0] + X[:, 1]))).astype(np.int32)
    columns = {f"x{number}": X[:, number] for number in range(COLUMNS)}
    return pd.DataFrame({"id": np.arange(len(X)), "y": y, **columns})


def seen(party: tuple[str, str]) -> dict:
    """Collect FATE's log lines and its transport's messages from here on."""
    from fate.arch.federation.backends.standalone import StandaloneFederation

    found = {"party": party[1], "role": party[0], "lines": [], "messages": []}

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found["lines"].append([record.created, record.getMessage()])

    logger = logging.getLogger("fate")
    logger.setLevel(logging.INFO)
    logger.addHandler(Lines())
    push = StandaloneFederation._push_bytes

    def counted(self, v, name, tag, parties):
        found["messages"] += [[name, tag, *to, len(v)] for to in parties]
        return push(self, v, name=name, tag=tag, parties=parties)

    StandaloneFederation._push_bytes = counted
    return found


def train(ctx) -> None:
    """Train as a party, and write what was seen and what the training took."""
    role, party = ctx.local.party
    found = seen((role, party))
    if role == "arbiter":
        from fate.ml.glm.homo.lr.server import HomoLRServer

        began, cpu = time.perf_counter(), time.process_time()
        HomoLRServer().fit(ctx)
    else:
        from fate.arch.dataframe import PandasReader
        from fate.ml.glm.homo.lr.client import HomoLRClient

        table = PandasReader(match_id_name="id", label_name="y", dtype="float32").to_frame(ctx, rows_of(party))
        client = HomoLRClient(
            epochs=EPOCHS,
            batch_size=ROWS,
            optimizer_param={"method": "rmsprop", "penalty": "l2", "alpha": 1e-5, "optimizer_params": {"lr": 0.05}},
            init_param={"method": "zeros", "fit_intercept": True},
        )
        began, cpu = time.perf_counter(), time.process_time()
        client.fit(ctx, table)
        found["weights"] = client.get_model()["param"]["model"]["state_dict"]
    found["seconds"], found["cpu_seconds"] = time.perf_counter() - began, time.process_time() - cpu
    (FOLDER / f"{party}-{role}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    from fate.arch.launchers.multiprocess_launcher import launch

    launch(train)
