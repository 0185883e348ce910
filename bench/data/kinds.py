"""Data: how a dataset is read, split over the parties, balanced and written for them.

The registry of the kinds of dataset that a suite can name. A new kind is a module and an entry here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.data.table import Dataset
from bench.errors import UserError

KINDS = {
    "lending_club": "Lending Club's loan.csv (74 columns): file, charged_off_share",
    "synthetic": "made-up loans in the same raw format: rows, seed, charged_off_share",
    "tabular": "any labelled CSV, or one a party: files, label, id, test",
}
# The options of each kind: their type, and whether they must be given.
_OPTIONS: dict[str, dict[str, tuple[type | tuple[type, ...], bool]]] = {
    "lending_club": {"file": (str, True), "charged_off_share": ((int, float), False)},
    "synthetic": {"rows": (int, True), "seed": (int, False), "charged_off_share": ((int, float), False)},
    "tabular": {"files": (list, True), "label": (str, True), "id": (str, False), "test": (str, False)},
}


def check(where: str, options: Mapping[str, Any]) -> None:
    """Check a dataset's entry in a suite.

    Raises UserError naming ``where`` it stands and the option that is wrong.
    """
    kind = options.get("kind")
    if kind not in KINDS:
        raise UserError(f"{where}: kind {kind!r} is unknown; choose from {', '.join(KINDS)}")
    known = _OPTIONS[kind]
    for name in options:
        if name != "kind" and name not in known:
            raise UserError(f"{where}: unknown option {name!r}; a {kind} dataset has {', '.join(known)}")
    for name, (wanted, needed) in known.items():
        value = options.get(name)
        if value is None:
            if needed:
                raise UserError(f"{where}: a {kind} dataset needs the option {name!r}")
        elif not isinstance(value, wanted) or isinstance(value, bool):
            raise UserError(f"{where}: {name} cannot be {value!r}")
    if kind == "synthetic" and options["rows"] < 1:
        raise UserError(f"{where}: rows must be at least 1, not {options['rows']}")
    if kind == "synthetic" and options.get("seed", 0) < 0:
        raise UserError(f"{where}: seed must be at least 0, not {options['seed']}")
    if kind == "tabular" and not (options["files"] and all(isinstance(file, str) for file in options["files"])):
        raise UserError(f"{where}: files must be a list of at least one path")


def describe(options: Mapping[str, Any]) -> str:
    """Name a checked dataset for a reader, in a few words."""
    if options["kind"] == "synthetic":
        return f"{options['rows']:,} synthetic loans"
    if options["kind"] == "lending_club":
        return f"Lending Club loans from {options['file']}"
    return f"{', '.join(options['files'])} (label {options['label']})"


def load(options: Mapping[str, Any], cache: Path) -> Dataset:
    """Read a checked dataset; a synthetic one is first written to the folder ``cache``, which must exist.

    Raises UserError when the data cannot be used.
    """
    if options["kind"] == "tabular":
        from bench.data import tabular

        files = [Path(file) for file in options["files"]]
        test = Path(options["test"]) if options.get("test") else None
        return tabular.load(files, options["label"], identifier=options.get("id"), test=test)
    from bench.data import lending_club

    share = options.get("charged_off_share")
    if options["kind"] == "lending_club":
        return lending_club.load(Path(options["file"]), share)
    from bench.data import synthetic

    path = cache / "loan.csv"
    synthetic.write(path, options["rows"], options.get("seed", 0))
    loaded = lending_club.load(path, share)
    path.unlink()
    return replace(loaded, name="synthetic", source=describe(options), synthetic=True)
