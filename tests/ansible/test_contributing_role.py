"""The role that CONTRIBUTING.md shows: it runs, and a second run changes nothing."""

from __future__ import annotations

import re
from pathlib import Path

from ansible_helpers import ROOT, local_parties, run_play, write_inventory, write_playbook

PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
FILES = re.findall(r"^`(roles/greeting/\S+)`.*?```\w+\n(.*?)```", PAGE, re.MULTILINE | re.DOTALL)


def test_the_role_of_the_example_runs(tmp_path: Path) -> None:
    for name, content in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    greeting = "{{ playbook_dir }}/{{ party_id }}.txt"
    role = {"ansible.builtin.include_role": {"name": "greeting"}, "vars": {"greeting_file": greeting}}
    book = write_playbook(tmp_path / "greet.yml", [role])
    inventory = write_inventory(tmp_path / "inventory", local_parties())

    first = run_play(book, inventory, home=tmp_path)
    assert first.code == 0, first.output
    assert first.total("changed") == 3
    assert (tmp_path / "9999.txt").read_text() == "This host is party 9999 of a FATE federation.\n"
    assert run_play(book, inventory, home=tmp_path).total("changed") == 0


def test_it_has_all_that_a_role_needs() -> None:
    assert {Path(name).relative_to("roles/greeting").as_posix() for name, _ in FILES} == {
        "meta/argument_specs.yml",
        "defaults/main.yml",
        "tasks/main.yml",
        "README.md",
    }
