"""The table of licences: what `make licences` writes into docs/licences.md."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from helpers import LIMIT, ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PAGE = ROOT / "docs" / "licences.md"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def write_tables(folder: Path, fate: Path) -> Path:
    """Run the tool on a copy of the page."""
    page = Path(shutil.copy(PAGE, folder))
    tool = ROOT / "docs" / "tools" / "licences.py"
    subprocess.run([sys.executable, str(tool), str(page), str(fate)], check=True, capture_output=True, timeout=LIMIT)
    return page


def table(page: Path, name: str) -> dict[str, str]:
    """Return the licence of each package in a table."""
    found = re.search(f"<!-- begin {name} -->\n(.*)\n<!-- end {name} -->", page.read_text(), re.DOTALL)
    assert found, name
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in found[1].splitlines()[2:]]
    return {canonicalize_name(package): licence for package, _, licence in rows}


def environment(folder: Path, *metadata: str) -> Path:
    """Make an environment of packages that have this metadata."""
    packages = folder / "environment" / "lib" / "python3.11" / "site-packages"
    for number, text in enumerate(metadata):
        information = packages / f"package{number}-1.0.dist-info"
        information.mkdir(parents=True)
        (information / "METADATA").write_text(f"Metadata-Version: 2.4\nName: package{number}\nVersion: 1.0\n{text}\n")
    return folder / "environment"


def test_every_package_that_the_kit_asks_for_is_on_the_page() -> None:
    listed = {"": table(PAGE, "core")}
    listed |= {extra: table(PAGE, extra) for extra in PROJECT["optional-dependencies"]}
    for extra, requirements in {"": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}.items():
        known = listed[""] | listed["ansible"] | listed["load"] if extra else listed[""]
        names = {canonicalize_name(Requirement(text).name) for text in requirements} - {"federated-bench"}
        assert names <= set(known | listed[extra]), f"run `make licences`: {names - set(known | listed[extra])}"


def test_the_core_is_what_is_installed_with_what_it_needs(tmp_path: Path) -> None:
    core = table(write_tables(tmp_path, environment(tmp_path)), "core")
    assert {"numpy", "joblib", "phe"} <= set(core), "joblib comes with scikit-learn"
    assert {"ansible", "locust", "pytest", "federated-bench"}.isdisjoint(core)
    assert core["phe"] == "GPLv3"


def test_a_table_stays_where_there_is_no_environment(tmp_path: Path) -> None:
    assert table(write_tables(tmp_path, tmp_path / "nowhere"), "fate") == table(PAGE, "fate")


@pytest.mark.parametrize(
    ("metadata", "licence"),
    [
        ("License-Expression: MIT OR Apache-2.0\nLicense: other", "MIT OR Apache-2.0"),
        ("License: BSD-3-Clause\nClassifier: License :: OSI Approved :: BSD License", "BSD-3-Clause"),
        ("License: UNKNOWN\nClassifier: License :: OSI Approved :: BSD License", "BSD License"),
        ("License: Copyright\n        Permission is granted\nClassifier: License :: Public Domain", "Public Domain"),
        ("Summary: says nothing", "not stated"),
    ],
    ids=["expression", "field", "classifier", "text of the licence", "nothing"],
)
def test_a_licence_is_as_its_package_names_it(metadata: str, licence: str, tmp_path: Path) -> None:
    page = write_tables(tmp_path, environment(tmp_path, metadata))
    assert table(page, "fate") == {"package0": licence}
