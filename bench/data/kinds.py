"""The kinds of dataset by name: those of the kit, and those that other distributions bring."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.data.kind import GROUP, DatasetKind
from bench.data.table import Dataset
from bench.i18n.messages import Message
from bench.plugins import discover

KINDS = discover("bench.data", DatasetKind, GROUP)


def check(where: str, options: Mapping[str, Any]) -> None:
    """Check a dataset's entry in a suite.

    Raises UserError naming ``where`` it stands and the option that is wrong.
    """
    KINDS.choose(str(options.get("kind")), f"{where}: kind").check(where, options)


def describe(options: Mapping[str, Any]) -> Message:
    """Name a checked dataset for a reader, in a few words."""
    return KINDS[options["kind"]].describe(options)


def load(options: Mapping[str, Any], cache: Path) -> Dataset:
    """Read a checked dataset; one that is made up is first written to the folder ``cache``, which must exist.

    Raises UserError when the data cannot be used.
    """
    return KINDS[options["kind"]].load(options, cache)
