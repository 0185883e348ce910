"""What holds for every role and playbook."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_helpers import ROOT, run_play

ROLES = sorted(path for path in (ROOT / "roles").iterdir() if path.is_dir())
PLAYBOOKS = [ROOT / "site.yml", *sorted((ROOT / "playbooks").glob("*.yml"))]
INVENTORIES = sorted((ROOT / "inventory").glob("*.yml"))

each_role = pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)


def entry_points(role: Path) -> dict[str, dict[str, Any]]:
    specs: dict[str, dict[str, Any]] = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text())
    return specs["argument_specs"]


def options(role: Path) -> list[tuple[str, str, dict[str, Any]]]:
    """Every declared option as (entry point, name, declaration)."""
    return [
        (entry, name, option)
        for entry, spec in entry_points(role).items()
        for name, option in (spec.get("options") or {}).items()
    ]


def defaults(role: Path) -> dict[str, Any]:
    path = role / "defaults" / "main.yml"
    return (yaml.safe_load(path.read_text()) or {}) if path.exists() else {}


@each_role
def test_each_default_is_declared_with_the_same_value(role: Path) -> None:
    declared: dict[str, list[Any]] = {}
    for _, name, option in options(role):
        declared.setdefault(name, []).append(option.get("default"))
    for name, value in defaults(role).items():
        assert name in declared, f"{name} has a default, but is not in meta/argument_specs.yml"
        assert declared[name] == [value] * len(declared[name]), f"{name}: default differs from defaults/main.yml"


@each_role
def test_each_declared_default_is_given(role: Path) -> None:
    given = defaults(role)
    for entry, name, option in options(role):
        assert not ("default" in option and name not in given), f"{entry}: {name} is not in defaults/main.yml"
        assert not ("default" in option and option.get("required")), f"{entry}: {name} is required and has a default"


@each_role
def test_each_option_is_described_and_typed(role: Path) -> None:
    for entry, spec in entry_points(role).items():
        assert spec.get("short_description"), f"{entry} has no short_description"
    for entry, name, option in options(role):
        assert option.get("description"), f"{entry}: {name} has no description"
        assert option.get("type"), f"{entry}: {name} has no type"


@each_role
def test_each_entry_point_has_its_tasks(role: Path) -> None:
    for entry in entry_points(role):
        assert (role / "tasks" / f"{entry}.yml").exists(), f"tasks/{entry}.yml is declared, but not there"


@each_role
def test_variables_carry_the_name_of_their_role(role: Path) -> None:
    for name in defaults(role):
        assert name.startswith(f"{role.name}_"), f"defaults/main.yml: {name}"
    for path in (role / "vars").glob("*.yml"):
        for name in yaml.safe_load(path.read_text()) or {}:
            assert name.startswith(f"_{role.name}_"), f"{path.name}: {name}"


@pytest.mark.parametrize("inventory", INVENTORIES, ids=lambda path: path.stem)
def test_every_playbook_can_be_read(inventory: Path, tmp_path: Path) -> None:
    run = run_play(PLAYBOOKS, inventory, "--syntax-check", home=tmp_path)
    assert run.code == 0, run.output
    assert "WARNING" not in run.output
