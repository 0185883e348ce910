"""Writes the tables of docs/licences.md: which licence each installed package names in its metadata (`make licences`).

The packages of the core and of each extra are found from the requirements of the kit; those of FATE's environment are
all that is installed there. A table whose packages are not installed stays as it is.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions
from pathlib import Path

from markers import replace
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

KIT = "federated-bench"
EXTRAS = ("ansible", "load", "dev")
# Longer than that, the field holds the licence's text.
LONGEST_NAME = 60


def licence(package: Distribution) -> str:
    """Return the licence that a package names: its SPDX expression, else its field License, else its classifiers."""
    metadata = package.metadata
    expression, field = ("".join(metadata.get_all(key) or []).strip() for key in ("License-Expression", "License"))
    field = field.removeprefix("License :: ")
    named = field if field != "UNKNOWN" and "\n" not in field and len(field) <= LONGEST_NAME else ""
    classifiers = [entry.split(" :: ")[-1] for entry in metadata.get_all("Classifier") or [] if "License ::" in entry]
    return expression or named or ", ".join(classifiers) or "not stated"


def required(name: str, extra: str = "") -> dict[str, Distribution]:
    """Return all installed packages that ``name`` with this extra needs, directly or through others, by name.

    Raises PackageNotFoundError where one of them is not installed.
    """
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, str]] = set()
    left = [(canonicalize_name(name), extra)]
    while left:
        package, wanted = left.pop()
        if (package, wanted) in seen:
            continue
        seen.add((package, wanted))
        found[package] = distribution(package)
        for requirement in map(Requirement, found[package].requires or []):
            if requirement.marker is None or requirement.marker.evaluate({"extra": wanted}):
                names = [*requirement.extras, ""]
                left += [(canonicalize_name(requirement.name), each) for each in names]
    return {package: found[package] for package in found if package != canonicalize_name(name)}


def table(packages: Iterable[Distribution]) -> str:
    """Return a table in Markdown: package, version, licence."""
    rows = sorted({(package.name, package.version, licence(package)) for package in packages}, key=_by_name)
    lines = ["| package | version | licence, as its metadata names it |", "|---|---|---|"]
    return "\n".join(lines + [f"| {name} | {version} | {text} |" for name, version, text in rows])


def tables(fate: Path) -> Mapping[str, str]:
    """Return each table that can be written here, by its name on the page. ``fate``: the folder of FATE's environment.

    A package that the core needs, or an extra that comes earlier, is not listed again.
    """
    written = {}
    listed: set[str] = set()
    for extra in ("", *EXTRAS):
        try:
            packages = required(KIT, extra)
        except PackageNotFoundError as error:
            print(f"{extra or 'core'}: {error.name} is not installed; its table stays as it is", file=sys.stderr)
            continue
        written[extra or "core"] = table(packages[name] for name in packages if name not in listed)
        listed |= set(packages)
    folders = [str(path) for path in fate.glob("lib/python*/site-packages")]
    if folders:
        written["fate"] = table(distributions(path=folders))
    else:
        print(f"fate: there is no environment in {fate}; its table stays as it is", file=sys.stderr)
    return written


def main() -> None:
    """Write the tables into a page. Arguments: the page, and the folder of FATE's environment."""
    path, fate = map(Path, sys.argv[1:])
    page = path.read_text(encoding="utf-8")
    for name, content in tables(fate).items():
        page = replace(page, name, content)
    path.write_text(page, encoding="utf-8")


def _by_name(row: tuple[str, str, str]) -> tuple[str, str]:
    return row[0].lower(), row[1]


if __name__ == "__main__":
    main()
