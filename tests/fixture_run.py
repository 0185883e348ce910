"""Write a complete small run folder, as docs/results.md describes it, for the tests of report and comparison."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from bench.data import lending_club
from bench.data.prepare import ONE_CLASS
from bench.data.synthetic import TITLE as SYNTHETIC
from bench.data.table import BESIDE_LABEL
from bench.engines.federated.contract import Shape
from bench.engines.federated.privacy.registry import MODES
from bench.engines.registry import ENGINES
from bench.engines.single.single_party import ITERATIONS
from bench.i18n.messages import Message
from bench.measure.environment import GOVERNOR
from bench.model.scoring import metrics
from bench.results.record import SCHEMA_VERSION

METRICS = tuple(metrics())
BASE_SCORES = dict.fromkeys(METRICS, 0.5) | {
    "accuracy": 0.648,
    "f1_0": 0.346,
    "f1_1": 0.759,
    "precision_0": 0.238,
    "precision_1": 0.912,
    "recall_0": 0.634,
    "recall_1": 0.651,
    "specificity": 0.634,
    "auc": 0.695,
    "ks": 0.285,
    "average_precision": 0.922,
    "log_loss": 0.62,
}
PARTIES = [
    {"party": "9999", "role": "guest"},
    {"party": "9998", "role": "host"},
    {"party": "10000", "role": "host"},
    {"party": "10000", "role": "arbiter"},
]
SHARES = {"9999/guest": 0.25, "9998/host": 0.25, "10000/host": 0.5}
EPOCHS = 12


def summary(values: list[float]) -> dict[str, Any] | None:
    if not values:
        return None
    return {"median": median(values), "low": min(values), "high": max(values), "n": len(values), "values": values}


def note(template: Message, repeat: int, **values: str | int) -> dict[str, Any]:
    """A note on a case, as a run records it."""
    return {"line": asdict(template.of(**values)), "repeat": repeat}


def _case(identifier: str, title: str, engine: str, repeats: int, **changes: Any) -> dict[str, Any]:
    case = {
        "id": identifier,
        "title": title,
        "engine": engine,
        "platform": ENGINES[engine].platform,
        "kind": ENGINES[engine].kind,
        "privacy": "plain",
        "dataset": "loans",
        "split": "25/25/50",
        "balance": {"method": "smote", "where": "party"},
        "network": "none" if engine in ("centralised", "local") else "loopback",
        "training": {
            "optimiser": "rmsprop",
            "learning_rate": 0.05,
            "alpha": 1e-5,
            "epochs": EPOCHS,
            "batch_size": "full",
            "tolerance": 0.0,
            "aggregation": "fedsgd",
            "local_epochs": 1,
            "solver": "own",
        },
        "parties": [{"party": "all", "role": "centralised"}] if engine == "centralised" else PARTIES,
        "epochs": EPOCHS,
        "epochs_run": [EPOCHS] * repeats,
        "warmup_epochs": 2,
        "repeats": repeats,
        "repeats_done": list(range(1, repeats + 1)),
        "status": "ok",
        "error": None,
        "metrics": None,
        "models": {},
        "time": None,
        "bytes": None,
        "resources": None,
        "loss": None,
        "notes": [],
    }
    found = {**case, **changes}
    return {**found, "protected": found["privacy"] != "plain"}


class Writer:
    """Collects the rows of the CSV files while it makes up the figures."""

    def __init__(self, repeats: int, pace: float, seed: int) -> None:
        self.repeats, self.pace, self.random = repeats, pace, Random(seed)
        self.rows: dict[str, list[list[Any]]] = {"epochs": [], "scores": [], "resources": []}

    def noisy(self, value: float, spread: float = 0.03) -> float:
        return value * (1 + self.random.uniform(-spread, spread))

    def score(self, case: dict[str, Any], model: str, shift: float = 0.0, party: str = "") -> None:
        values: dict[str, list[float]] = {metric: [] for metric in METRICS}
        for repeat in case["repeats_done"]:
            row = [BASE_SCORES[m] + shift + self.random.uniform(-2e-4, 2e-4) for m in METRICS]
            self.rows["scores"].append([case["id"], repeat, model, party, *row])
            for metric, value in zip(METRICS, row, strict=True):
                values[metric].append(value)
        case["models"][model] = {metric: summary(column) for metric, column in values.items()}
        case["metrics"] = case["models"][model]

    def train(self, case: dict[str, Any], seconds: dict[str, dict[str, float]], sent: int | None) -> None:
        """Make up times, bytes and resources. ``seconds``: party -> phase -> seconds per epoch."""
        time: dict[str, Any] = {"by_party": {}}
        resources: dict[str, Any] = {"by_party": {}}
        case["loss"] = [0.6931 * 0.97 ** (epoch**0.7) for epoch in range(EPOCHS)]
        for party, phases in seconds.items():
            self._party(case, party, phases, time, resources)
        time["critical_party"] = "10000/host" if "10000/host" in seconds else next(iter(seconds))
        largest = time["by_party"][time["critical_party"]]
        time |= {key: largest[key] for key in ("epoch_seconds", "attributed_share")}
        time["training_seconds"] = summary([wall * EPOCHS for wall in time["epoch_seconds"]["values"]])
        time["startup_seconds"] = summary([self.noisy(0.9) for _ in case["repeats_done"]])
        case["time"], case["resources"] = time, resources
        if sent is not None:
            each = [p for p in seconds if not p.endswith("arbiter")]
            total = {"epoch_sent": summary([sent * len(each)] * self.repeats)}
            total["epoch_received"] = summary([(sent - 12) * len(each)] * self.repeats)
            per = {"epoch_sent": summary([sent] * self.repeats), "epoch_received": summary([sent - 12] * self.repeats)}
            case["bytes"] = {**total, "by_party": dict.fromkeys(each, per), "wire": None}

    def _party(self, case: Any, party: str, phases: Any, time: Any, resources: Any) -> None:
        name, role = party.split("/")
        values = {phase: [self.noisy(s * self.pace) for _ in case["repeats_done"]] for phase, s in phases.items()}
        wall = [sum(column) for column in zip(*values.values(), strict=True)]
        rest = zip(values["unattributed"], wall, strict=True)
        cpu = {phase: [self.noisy(0.9 * value) for value in column] for phase, column in values.items()}
        cpu.pop("wait", None)
        time["by_party"][party] = {
            "epoch_seconds": summary(wall),
            "cpu_seconds": summary([sum(column) for column in zip(*cpu.values(), strict=True)]),
            "cpu_phases": {phase: summary(column) for phase, column in cpu.items()},
            "attributed_share": summary([1 - unattributed / whole for unattributed, whole in rest]),
            "phases": {phase: summary(column) for phase, column in values.items()},
            "rows": None if role == "arbiter" else summary([int(91390 * SHARES.get(party, 1))] * len(wall)),
        }
        rss = (0.4 + SHARES.get(party, 1.0)) * 3e8
        resources["by_party"][party] = {
            "cpu_percent": summary([self.noisy(70) for _ in wall]),
            "cpu_seconds": summary([self.noisy(3.2) for _ in wall]),
            "rss_peak_bytes": summary([self.noisy(rss) for _ in wall]),
            "uss_peak_bytes": None,
        }
        for repeat in case["repeats_done"]:
            for epoch in range(EPOCHS):
                for phase, column in values.items():
                    loss = case["loss"][epoch] if phase == "compute" else ""
                    row = [case["id"], repeat, name, role, epoch + 1, phase, column[repeat - 1], "", "", "", loss]
                    self.rows["epochs"].append(row)
            for tick in range(40):
                load, memory = self.noisy(70, 0.3), self.noisy(rss * min(1, 0.4 + tick / 20), 0.01)
                row = [case["id"], repeat, party, "alpha", tick / 5, load, int(memory), "", 0, 0, "", ""]
                self.rows["resources"].append(row)

    def write(self, folder: Path) -> None:
        headers = {
            "epochs": "case,repeat,party,role,epoch,phase,seconds,cpu_seconds,bytes_sent,bytes_received,loss",
            "scores": f"case,repeat,model,party,{','.join(METRICS)}",
            "resources": "case,repeat,party,host,t,cpu_percent,rss,uss,read_bytes,write_bytes,net_sent,net_received",
        }
        for name, header in headers.items():
            with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
                csv.writer(file, lineterminator="\n").writerows([header.split(","), *self.rows[name]])


def _federated_seconds(factor: float = 1.0) -> dict[str, dict[str, float]]:
    def party(compute: float, wait: float) -> dict[str, float]:
        phases = {"compute": compute, "serialise": 0.0002, "transfer": 0.0011, "wait": wait, "evaluate": 0.0004}
        return {phase: value * factor for phase, value in {**phases, "unattributed": 0.0001}.items()}

    seconds = {
        "9999/guest": party(0.0024, 0.0037),
        "9998/host": party(0.0026, 0.0035),
        "10000/host": party(0.0058, 3e-4),
    }
    seconds["10000/arbiter"] = {"aggregate": 0.0003 * factor, "wait": 0.0075 * factor, "unattributed": 0.0002 * factor}
    return seconds


def _dataset(synthetic: bool) -> dict[str, Any]:
    funnel = [
        ("raw file", 82231, 74, ""),
        ("drop columns with fewer than 2/3 of their values", 82231, 46, ""),
        ("drop single-valued columns", 82231, 44, "policy_code, application_type"),
        ("keep Fully Paid and Charged Off", 79351, 44, ""),
        ("keep the 17 features", 79351, 18, asdict(BESIDE_LABEL.of(label="loan_status"))),
        ("drop incomplete rows", 76435, 18, ""),
        ("one-hot encode 3 categories", 76435, 38, "fixed lists of 6, 3 and 14 categories"),
    ]
    parties = []
    for facts in PARTIES[:3]:
        rows = int(53504 * SHARES[f"{facts['party']}/{facts['role']}"])
        bad = int(rows * 0.146)
        good = rows - bad
        parties.append(
            {
                **facts,
                "rows": 2 * good,
                "class_counts": [good, good],
                "rows_before_balance": rows,
                "class_counts_before_balance": [bad, good],
            }
        )
    return {
        "name": "lending_club",
        "title": asdict(SYNTHETIC.of(rows="82,231") if synthetic else lending_club.TITLE.of(file="loan.csv.gz")),
        "source": asdict(SYNTHETIC.of(rows="82,231")) if synthetic else "loan.csv.gz",
        "synthetic": synthetic,
        "digest": "1f" * 32,
        "rows": 76435,
        "features": 37,
        "feature_names": [f"x{i}" for i in range(37)],
        "class_names": ["Charged Off", "Fully Paid"],
        "class_counts": [11160, 65275],
        "funnel": [{"step": s, "rows": r, "columns": c, "note": n} for s, r, c, n in funnel],
        "splits": {
            "25/25/50": {
                "train_rows": 53504,
                "test_rows": 22931,
                "test_class_counts": [3348, 19583],
                "parties": parties,
            }
        },
    }


def _cases(writer: Writer) -> list[dict[str, Any]]:
    n = writer.repeats
    central = _case("centralised", "Centralised, same optimiser", "centralised", n)
    writer.train(central, {"all/centralised": {"compute": 0.0088, "evaluate": 0.0004, "unattributed": 0.0001}}, None)
    writer.score(central, "centralised")
    bound = _case("centralised-lbfgs", "Centralised, scikit-learn", "centralised", n)
    bound["training"] = {**dict.fromkeys(bound["training"]), "alpha": 1e-5, "solver": "lbfgs"}
    bound |= {"epochs": None, "epochs_run": [None] * n, "notes": [note(ITERATIONS, 1, n=7)]}
    bound["time"] = {"training_seconds": summary([0.21] * n), "by_party": {}}
    nothing = {"cpu_percent": None, "cpu_seconds": None, "rss_peak_bytes": summary([3e8] * n), "uss_peak_bytes": None}
    bound["resources"] = {"by_party": {"all/centralised": nothing}}
    writer.score(bound, "centralised", 0.0003)
    one_class = note(ONE_CLASS, 1, party="9998", name="Charged Off")
    local = _case("local", "Each party alone", "local", n, notes=[one_class])
    alone = {p: {"compute": 0.009 * share, "unattributed": 1e-4} for p, share in SHARES.items()}
    writer.train(local, alone, None)
    for party in ("9999", "9998", "10000"):
        writer.score(local, party, -0.004, party)
    local["metrics"] = local["loss"] = None
    sgd = _case("federated", "Federated, FedSGD", "federated", n)
    writer.train(sgd, _federated_seconds(), 402)
    writer.score(sgd, "federated")
    average = _case("federated-fedavg", "Federated, FedAvg, 3 local epochs", "federated", n)
    average["training"] = {**average["training"], "aggregation": "fedavg", "local_epochs": 3}
    writer.train(average, _federated_seconds(0.8), 134)
    average["loss"] = average["loss"][:4]
    writer.score(average, "federated", -0.001)
    return [central, bound, local, sgd, average]


def _protect(writer: Writer, case: dict[str, Any], seconds: dict[str, float]) -> dict[str, Any]:
    """Give a case what a protection leaves in run.json; ``seconds``: operation -> CPU seconds of one."""
    mode = MODES[case["privacy"]]
    case["privacy_options"], case["visibility"] = dict(mode.options), asdict(mode.visibility)
    by_party = case["time"]["by_party"]
    shape = Shape(len(by_party) - 1, 37)
    for party, facts in by_party.items():
        due = mode.operations(shape, case["privacy_options"], "arbiter" if "arbiter" in party else "party")
        facts["operations"] = {
            operation: {
                "count": summary([times] * writer.repeats),
                "seconds": summary([writer.noisy(seconds[operation]) for _ in range(writer.repeats)]),
            }
            for operation, times in due.items()
        }
    return case


def _protected(writer: Writer) -> list[dict[str, Any]]:
    """Make up masked and Paillier cases, one of them of another shape, and one of FATE's."""
    n = writer.repeats
    masked = _case("masked", "Masked", "federated", n, privacy="masked")
    slower = _federated_seconds(1.2)
    for phases in slower.values():
        phases.update(encrypt=0.002, decrypt=0.0008)
    writer.train(masked, slower, 743)
    writer.score(masked, "federated")
    units = {"mask, a number": 2e-7, "agree on a secret": 8e-5, "make a key pair": 5e-5}
    units |= {"share, a term": 1e-6, "seal or open": 4e-6, "join shares, a term": 2e-6}
    _protect(writer, masked, units)
    five = [f"{party}/host" for party in (9998, 9997, 9996, 10000)]
    masked_5 = _case("masked-5", "Masked, five parties", "federated", n, privacy="masked", split="20/20/20/20/20")
    phases = {"compute": 0.003, "encrypt": 0.002, "decrypt": 0.001, "transfer": 0.004, "unattributed": 1e-4}
    shares = dict.fromkeys(("9999/guest", *five), 0.2)
    writer.train(masked_5, {**dict.fromkeys(shares, phases), "10000/arbiter": slower["10000/arbiter"]}, 1037)
    for party, share in shares.items():
        masked_5["time"]["by_party"][party]["rows"] = summary([int(91390 * share)] * n)
    writer.score(masked_5, "federated")
    _protect(writer, masked_5, units)
    paillier = _case("paillier", "Paillier", "federated", n, privacy="paillier")
    seconds = _federated_seconds()
    for party, phases in seconds.items():
        phases.update({} if "arbiter" in party else {"encrypt": 0.0093, "decrypt": 0.0027})
    writer.train(paillier, seconds, 569)
    writer.score(paillier, "federated", -0.002)
    _protect(writer, paillier, {"encrypt": 0.009, "decrypt": 0.0026, "add": 9e-6})
    fate = _case("fate-done", "FATE's own", "fate", n, privacy="masked", visibility=masked["visibility"])
    writer.train(fate, _federated_seconds(200), 1325)
    writer.score(fate, "federated", -0.001)
    return [masked, masked_5, paillier, fate]


def _unfinished(n: int) -> list[dict[str, Any]]:
    failed = _case("federated-paillier", "Federated, Paillier", "federated", n, privacy="paillier", status="failed")
    failed |= {"error": "party 9998/host did not answer within 10 s (epoch 3)", "repeats_done": [], "epochs_run": []}
    skipped = _case("fate", "FATE 2.2, one machine", "fate", n, status="skipped", repeats_done=[], epochs_run=[])
    skipped["error"] = "FATE is not installed; make fate installs it"
    pending = _case("federated-dp", "Federated, DP", "federated", n, privacy="dp", status="pending", repeats_done=[])
    return [failed, skipped, pending]


def write_run(
    folder: Path,
    *,
    synthetic: bool = False,
    repeats: int = 3,
    pace: float = 1.0,
    seed: int = 1,
    unfinished: bool = True,
    protected: bool = False,
) -> Path:
    """Write a run to ``folder`` and return it; ``pace`` multiplies every duration."""
    folder.mkdir(parents=True, exist_ok=True)
    writer = Writer(repeats, pace, seed)
    cases = _cases(writer)
    cases += (_protected(writer) if protected else []) + (_unfinished(repeats) if unfinished else [])
    run = {
        "schema_version": SCHEMA_VERSION,
        "kit_version": "0.1.0",
        "run_id": f"20261123-14050{seed}-quick",
        "created": "2026-11-23T14:05:01+00:00",
        "finished": "2026-11-23T14:05:49+00:00",
        "command": ["python", "-m", "bench.run", "--data", "my loans/loan.csv.gz"],
        "suite": {"name": "quick", "title": "Quick", "description": "Federated against centralised in under a minute."},
        "plan": {"name": "quick", "seed": 1, "repeats": repeats},
        "revision": {"commit": "0123456789abcdef0123456789abcdef01234567", "dirty": False},
        "environment": {
            "cpu": "Example CPU @ 2.50GHz",
            "cores_logical": 2,
            "cores_physical": 1,
            "cores_available": 2,
            "memory_bytes": 25_000_000_000,
            "os": "Debian GNU/Linux 12",
            "kernel": "6.1.0",
            "python": "3.11.7",
            "packages": {"numpy": "2.4.6", "scikit-learn": "1.9.0", "grpcio": "1.80.0"},
            "threads_per_process": 1,
            "load_before": [0.31, 0.2, 0.1],
            "load_after": [1.6, 0.6, 0.2],
            "cpu_governor": None,
            "virtualised": "kvm",
            "slowed": {"stolen_share": 0.004, "quota_periods": 0, "heat_events": None},
            "warnings": [asdict(GOVERNOR.of(governor="'powersave'"))],
            "conditions": ["the machine is virtual: others on the same hardware can slow it down unseen"],
        },
        "measuring": {"sampler_hertz": 5, "sampler_cpu_percent": 0.6},
        "datasets": {"loans": _dataset(synthetic)},
        "cases": cases,
    }
    (folder / "run.json").write_text(json.dumps(run), encoding="utf-8")
    writer.write(folder)
    return folder
