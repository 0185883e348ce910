"""The README of each role says which variables it takes: as `make role-docs` writes it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from ansible_helpers import ROOT
from helpers import LIMIT

ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())


def copied_roles(folder: Path) -> Path:
    for role in ROLES:
        for part in ("README.md", "meta/argument_specs.yml"):
            (folder / role / part).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / "roles" / role / part, folder / role / part)
    return folder


def write_tables(roles: Path) -> None:
    tool = ROOT / "docs" / "tools" / "role_docs.py"
    subprocess.run([sys.executable, str(tool), str(roles)], check=True, capture_output=True, text=True, timeout=LIMIT)


def test_every_readme_is_up_to_date(tmp_path: Path) -> None:
    roles = copied_roles(tmp_path)
    write_tables(roles)
    outdated = [
        role
        for role in ROLES
        if (roles / role / "README.md").read_text() != (ROOT / "roles" / role / "README.md").read_text()
    ]
    assert not outdated, f"run `make role-docs`: {', '.join(outdated)}"


def test_every_readme_shows_the_role_by_its_full_name() -> None:
    for role in ROLES:
        assert f"federated_bench.fate.{role}" in (ROOT / "roles" / role / "README.md").read_text(), role


def test_a_new_variable_gets_a_line(tmp_path: Path) -> None:
    roles = copied_roles(tmp_path)
    specs = roles / "verify" / "meta" / "argument_specs.yml"
    specs.write_text(
        specs.read_text()
        + "      verify_pairs: {type: list, elements: str, description: [One C(pair)., Or a|b.], required: true}\n"
    )
    write_tables(roles)
    readme = (roles / "verify" / "README.md").read_text()
    assert "| `verify_pairs` | list of str | **required** | One `pair`. Or a\\|b. |" in readme
    assert "| `verify_timeout` | int | `300` | Seconds that one job may take. |" in readme
    assert readme.startswith("# Role verify\n"), "what a person wrote stays"
