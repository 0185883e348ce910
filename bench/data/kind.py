"""What a kind of dataset is: what a suite may say of one, and how it is read.

A new kind is a module in bench/data with an instance of DatasetKind, or an entry point of another distribution
(docs/data.md has an example). From then on suites can name it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.data.table import Dataset
from bench.errors import UserError
from bench.i18n.messages import Message
from bench.plugins import Plugin

GROUP = "federated_bench.datasets"


@dataclass(frozen=True)
class Option:
    """An option of a dataset in a suite: its type, and whether it must be given."""

    type: type | tuple[type, ...]
    required: bool = False


class DatasetKind(Plugin):
    """A kind of dataset. ``description`` is a line for --list, ``options`` what a suite may say of one."""

    description: str
    options: Mapping[str, Option] = {}

    def check(self, where: str, options: Mapping[str, Any]) -> None:
        """Check a dataset's entry in a suite.

        Raises UserError naming ``where`` it stands and the option that is wrong.
        """
        for name in options:
            if name != "kind" and name not in self.options:
                raise UserError(
                    f"{where}: unknown option {name!r}; a {self.name} dataset has {', '.join(self.options)}"
                )
        for name, option in self.options.items():
            value = options.get(name)
            if value is None:
                if option.required:
                    raise UserError(f"{where}: a {self.name} dataset needs the option {name!r}")
            elif not isinstance(value, option.type) or isinstance(value, bool):
                raise UserError(f"{where}: {name} cannot be {value!r}")

    @abstractmethod
    def describe(self, options: Mapping[str, Any]) -> Message:
        """Name a checked dataset for a reader, in a few words."""

    @abstractmethod
    def load(self, options: Mapping[str, Any], cache: Path) -> Dataset:
        """Read a checked dataset; what must be made first goes into the folder ``cache``, which exists.

        Raises UserError when the data cannot be used.
        """
