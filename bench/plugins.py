"""Finds what joins the kit by a contract: the kit's own modules below a package, and what other distributions bring.

A contract is a subclass of Plugin (an engine, a privacy mode, a kind of dataset, a metric). To join, a module directly
below the kit's package has an *instance* of the contract among its names, by itself or in a tuple or list. Another
distribution names an instance, or a class that is made without arguments, in an entry point of the contract's group:

    [project.entry-points."federated_bench.engines"]
    toy = "my_package.engine:ENGINE"
"""

from __future__ import annotations

import pkgutil
import sys
from abc import ABC
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from types import ModuleType
from typing import ClassVar, Generic, TypeVar

from bench.errors import UserError


class Plugin(ABC):
    """What every contract has: a ``name``, by which suites and options call it, and a place in lists.

    ``order``: what has less of it is listed first; of what has as much, modules count by name, and in one the place.
    Other people's come last. What a contract declares without a value, a subclass must give.
    """

    name: str
    order: ClassVar[int] = 1000


T = TypeVar("T", bound=Plugin)


class Found(dict[str, T], Generic[T]):
    """What was found, by name, in the order of lists. ``refused``: why a plug-in could not be taken, by its name."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: dict[str, str] = {}

    def choose(self, name: str, what: str) -> T:
        """Return the one called ``name``.

        Raises UserError, with ``what`` (for example "engine") in front, where it is unknown, or says why its
        plug-in could not be taken.
        """
        if name in self:
            return self[name]
        if name in self.refused:
            raise UserError(f"{what}: {self.refused[name]}")
        raise UserError(f"{what}: {name!r} is unknown; choose from {', '.join(self)}")


def discover(package: ModuleType | str, contract: type[T], group: str, inside: str | None = None) -> Found[T]:
    """Return all instances of ``contract`` directly below ``package``, and of the entry points of ``group``.

    Of a folder below ``package``, its module ``inside`` is looked at, where it has one.

    A plug-in that cannot be imported, is not of the contract, or has a name that is taken is left out with a warning on
    standard error: it must not stop what does not use it. Raises UserError where two of the kit's own have one name.
    """
    found: Found[T] = Found()
    for plugin in sorted(_built_in(package, contract, inside), key=lambda plugin: plugin.order):
        if plugin.name in found:
            raise UserError(f"{group}: {plugin.name!r} is the name of two in {_name(package)}; give one another name")
        found[plugin.name] = plugin
    own = set(found)
    # The environment lists distributions in no order of its own.
    for entry in sorted(entry_points(group=group), key=lambda entry: (entry.name, _distribution(entry))):
        try:
            if entry.name in own:
                raise UserError(f"{entry.name!r} is the name of one of the kit's own")
            if entry.name in found or entry.name in found.refused:
                found.pop(entry.name, None)
                raise UserError("another distribution brings one of this name; remove one of the two")
            found[entry.name] = _loaded(entry, contract)
        except UserError as error:
            line = f"plug-in {entry.name} of {_distribution(entry)} cannot be used: {error}"
            print(f"warning: {line}", file=sys.stderr)
            if entry.name not in own:
                found.refused[entry.name] = line
    return found


def _built_in(package: ModuleType | str, contract: type[T], inside: str | None) -> list[T]:
    """Import the modules directly below ``package``, and return the instances among their names, each once."""
    parent = import_module(package) if isinstance(package, str) else package
    instances: dict[int, T] = {}
    for name in _modules(parent, inside):
        for value in _values(import_module(name)):
            if isinstance(value, contract):
                instances[id(value)] = value
    return list(instances.values())


def _modules(parent: ModuleType, inside: str | None) -> Iterator[str]:
    for module in pkgutil.iter_modules(parent.__path__):
        name = f"{parent.__name__}.{module.name}"
        if module.name != "__main__":
            yield name
        if module.ispkg and inside and find_spec(f"{name}.{inside}"):
            yield f"{name}.{inside}"


def _values(module: ModuleType) -> Iterator[object]:
    for value in list(vars(module).values()):
        if isinstance(value, (tuple, list)):
            yield from value
        else:
            yield value


def _loaded(entry: EntryPoint, contract: type[T]) -> T:
    """Import what an entry point names.

    Raises UserError, saying what is wrong with it, where that fails or is not of the contract.
    """
    try:
        value = entry.load()
        if isinstance(value, type) and issubclass(value, contract):
            value = value()
        if not isinstance(value, contract):
            raise UserError(f"{entry.value} is not an instance of {contract.__module__}.{contract.__qualname__}")
        for name in _declared(contract):
            getattr(value, name)
        if value.name != entry.name:
            raise UserError(f"{entry.value} has another name than its entry point")
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # other people's code: whatever is wrong with it is theirs
        line = (str(error).strip() or "no reason given").splitlines()[0]
        raise UserError(f"{entry.value}: {type(error).__name__}: {line}") from error
    return value


def _declared(contract: type[Plugin]) -> Iterator[str]:
    """Give the names that every instance of a contract has: what it annotates, and its properties."""
    for base in contract.__mro__:
        yield from vars(base).get("__annotations__", {})
        yield from (name for name, member in vars(base).items() if isinstance(member, property))


def _distribution(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else "an unknown distribution"


def _name(package: ModuleType | str) -> str:
    return package if isinstance(package, str) else package.__name__
