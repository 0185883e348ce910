"""Suites: what to compare, written in YAML; docs/suites.md describes the format."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from bench.data import kinds
from bench.data import split as splits
from bench.data.prepare import Balance
from bench.engines import registry
from bench.errors import UserError
from bench.i18n.language import gettext_noop
from bench.i18n.messages import Line, Message, english
from bench.model.logistic import Training

_SUITE_KEYS = {"title", "description", "datasets", "defaults", "cases"}
_RUN_DEFAULTS: dict[str, Any] = {"repeats": 5, "warmup_epochs": 3, "seed": 1, "test_share": 0.3, "time_limit": 600}
CASE_DEFAULTS: dict[str, Any] = {
    "privacy": "plain",
    "privacy_options": {},
    "dataset": None,
    "split": "25/25/50",
    "balance": {},
    "training": {},
}


_SMOTE = {
    "party": Message("split_smote_in_each_party", gettext_noop("{split}, SMOTE in each party")),
    "before": Message("split_smote_before", gettext_noop("{split}, SMOTE before the split")),
}


@dataclass(frozen=True)
class Case:
    """One combination to measure; docs/results.md says what the words mean."""

    id: str
    title: str
    engine: str
    privacy: str
    privacy_options: dict[str, Any]
    dataset: str
    split: splits.Split
    balance: Balance
    network: str
    training: Training

    @property
    def preparation(self) -> tuple[str, str]:
        """What data the case needs: cases that share it train and are scored on the same rows."""
        return self.dataset, self.split_id

    @property
    def split_id(self) -> str:
        """The name of the split, balancing included."""
        return english(self.split_title)

    @property
    def split_title(self) -> Line:
        """The name of the split for a reader."""
        if self.balance.method != "smote":
            return self.split.text
        return _SMOTE[self.balance.where].of(split=self.split.text)


@dataclass(frozen=True)
class Suite:
    """A checked suite. ``plan`` is the mapping it was made from: enough to make it again for a resumed run."""

    name: str
    title: str
    description: str
    repeats: int
    warmup_epochs: int
    seed: int
    test_share: float
    time_limit: float
    datasets: dict[str, dict[str, Any]]
    cases: list[Case]
    plan: dict[str, Any]


def available() -> dict[str, str]:
    """Return the suites that come with the kit and their titles."""
    folder = resources.files("bench.suites")
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".yml"))
    return {name.removesuffix(".yml"): str(_read((folder / name).read_text(), name).get("title", "")) for name in names}


def read(name: str) -> dict[str, Any]:
    """Return the plan of a suite of the kit by its name, or of a YAML file by its path.

    Raises UserError when there is none or it is not a mapping.
    """
    if name.endswith((".yml", ".yaml")):
        path = Path(name)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{path}: the suite cannot be read ({error}); --list shows those of the kit") from error
        return {"name": path.stem, **_read(text, name)}
    if name not in available():
        raise UserError(f"suite {name!r} is unknown; choose from {', '.join(available())}, or name a .yml file")
    return {"name": name, **_read((resources.files("bench.suites") / f"{name}.yml").read_text(), name)}


def _read(text: str, name: str) -> dict[str, Any]:
    try:
        plan = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"{name}: not YAML ({' '.join(str(error).split())})") from error
    if not isinstance(plan, dict):
        raise UserError(f"{name}: a suite is a mapping with datasets and cases; see docs/suites.md")
    return plan


def check(plan: Mapping[str, Any]) -> Suite:
    """Turn a plan into a suite.

    Raises UserError naming the key that is wrong and what may stand there.
    """
    unknown = set(plan) - _SUITE_KEYS - set(_RUN_DEFAULTS) - {"name"}
    if unknown:
        raise UserError(f"suite: unknown key {sorted(unknown)[0]!r}; see docs/suites.md")
    run = {**_RUN_DEFAULTS, **{key: plan[key] for key in _RUN_DEFAULTS if key in plan}}
    _numbers(run)
    datasets = _mapping(plan.get("datasets"), "datasets")
    for name, options in datasets.items():
        kinds.check(f"datasets.{name}", _mapping(options, f"datasets.{name}"))
    defaults = _mapping(plan.get("defaults", {}), "defaults")
    listed = plan.get("cases")
    if not isinstance(listed, list) or not listed:
        raise UserError("suite: cases must be a list of at least one case; see docs/suites.md")
    cases = [_case(_mapping(entry, f"cases[{place}]"), defaults, datasets) for place, entry in enumerate(listed)]
    repeated = {case.id for case in cases if sum(other.id == case.id for other in cases) > 1}
    if repeated:
        raise UserError(f"suite: two cases have the id {sorted(repeated)[0]!r}; ids must differ")
    for case in cases:
        if case.training.solver == "own" and case.training.epochs - case.training.local_epochs < run["warmup_epochs"]:
            raise UserError(
                f"case {case.id}: {case.training.epochs} epochs leave none to measure after "
                f"{run['warmup_epochs']} warmup_epochs; train longer or warm up less"
            )
    return Suite(
        name=str(plan.get("name", "suite")),
        title=str(plan.get("title", "")),
        description=" ".join(str(plan.get("description", "")).split()),
        datasets={str(name): dict(options) for name, options in datasets.items()},
        cases=cases,
        plan=dict(plan),
        **run,
    )


def _numbers(run: Mapping[str, Any]) -> None:
    for key, minimum in (("repeats", 1), ("warmup_epochs", 0), ("seed", 0)):
        if isinstance(run[key], bool) or not isinstance(run[key], int) or run[key] < minimum:
            raise UserError(f"suite: {key} must be a whole number of at least {minimum}, not {run[key]!r}")
    if run["seed"] + run["repeats"] > 2**32:
        raise UserError(f"suite: seed {run['seed']} is too large; repeats count on from it and end at 4294967295")
    for key, low, high in (("test_share", 0.0, 1.0), ("time_limit", 0.0, float("inf"))):
        value = run[key]
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low < value < high:
            raise UserError(f"suite: {key} must be a number above {low:g} and below {high:g}, not {value!r}")


def _mapping(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise UserError(f"suite: {name} must be a mapping; see docs/suites.md")
    return value


def _case(entry: dict[str, Any], defaults: dict[str, Any], datasets: Mapping[str, Any]) -> Case:
    name = entry.get("id")
    # The id stands in file names and in CSV.
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,60}", name):
        raise UserError(f"suite: a case needs an id of letters, digits, '-', '_' and '.', not {name!r}")
    unknown = (set(entry) | set(defaults)) - set(CASE_DEFAULTS) - {"id", "title", "engine"}
    if unknown:
        raise UserError(f"case {name}: unknown key {sorted(unknown)[0]!r}; see docs/suites.md")
    both = {**CASE_DEFAULTS, **defaults, **entry}
    dataset = str(next(iter(datasets), None) if both["dataset"] is None else both["dataset"])
    if dataset not in datasets:
        raise UserError(f"case {name}: dataset {dataset!r} is not among the suite's ({', '.join(datasets) or 'none'})")
    try:
        # Training settings of a case are laid over those of the defaults, key by key.
        layers = (_mapping(layer.get("training", {}), "training") for layer in (defaults, entry))
        training = _training({key: value for layer in layers for key, value in layer.items()})
        split = splits.parse(str(both["split"]))
        privacy, options = str(both["privacy"]), _mapping(both["privacy_options"], "privacy_options")
        options = registry.check(str(both.get("engine")), privacy, options, training, split.parties)
        balance = _balance(_mapping(both["balance"], "balance"))
    except UserError as error:
        raise UserError(f"case {name}: {error}") from error
    return Case(
        id=name,
        title=str(both.get("title", name)),
        engine=both["engine"],
        privacy=privacy,
        privacy_options=options,
        dataset=dataset,
        split=split,
        balance=balance,
        network=registry.ENGINES[both["engine"]].network,
        training=training,
    )


def _training(settings: dict[str, Any]) -> Training:
    known = {field.name for field in fields(Training)}
    unknown = set(settings) - known
    if unknown:
        raise UserError(f"training: unknown setting {sorted(unknown)[0]!r}; choose from {', '.join(sorted(known))}")
    if settings.get("batch_size") == "full":
        settings = {**settings, "batch_size": None}
    return Training(**settings)


def _balance(settings: dict[str, Any]) -> Balance:
    method, where = settings.get("method", "smote"), settings.get("where", "party")
    if set(settings) - {"method", "where"} or method not in ("smote", "none") or where not in ("party", "before"):
        raise UserError(
            "balance: write {method: smote, where: party}, {method: smote, where: before} or {method: none}"
        )
    return Balance(method, where)
