"""Writes what roles/*/README.md say of a role's variables, from its meta/argument_specs.yml (`make role-docs`)."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from markers import replace

HEAD = "| variable | type | default | description |\n|---|---|---|---|"


def variables(specs: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a section in Markdown for each entry point of a role: what it does, and a table of its variables."""
    return "\n\n".join(_section(name, spec) for name, spec in specs.items())


def _section(name: str, spec: Mapping[str, Any]) -> str:
    heading = f"### {name}" if name == "main" else f"### {name}\n\nCalled with `tasks_from: {name}`."
    parts = [heading, f"{_text(spec['short_description'])}."]
    details = [_text(line) for line in _lines(spec.get("description"))]
    if details:
        parts.append("\n".join(f"- {line}" for line in details))
    rows = list(_rows(spec.get("options") or {}))
    parts.append("\n".join([HEAD, *rows]) if rows else "It takes no variables.")
    return "\n\n".join(parts)


def _rows(options: Mapping[str, Mapping[str, Any]], within: str = "") -> Iterator[str]:
    """Give a line of the table for each option, and for each key of the mappings that it holds."""
    for name, option in options.items():
        label = f"{within}{name}"
        kind = f"list of {option['elements']}" if "elements" in option else option["type"]
        if "choices" in option:
            kind += ": " + ", ".join(f"`{choice}`" for choice in option["choices"])
        description = _cell(" ".join(_text(line) for line in _lines(option["description"])))
        yield f"| `{label}` | {kind} | {_default(option)} | {description} |"
        if "options" in option:
            yield from _rows(option["options"], f"{label}[].")


def _default(option: Mapping[str, Any]) -> str:
    if option.get("required"):
        return "**required**"
    if "default" not in option:
        return "not set"
    value = option["default"]
    return f"`{_cell(value if isinstance(value, str) and value else json.dumps(value))}`"


def _lines(description: str | list[str] | None) -> list[str]:
    return [description] if isinstance(description, str) else description or []


def _text(line: str) -> str:
    """Turn Ansible's C(code), I(option) and B(bold) into Markdown, and keep <names> from being taken for HTML."""
    text = re.sub(r"\b[CI]\(([^)]*)\)", r"`\1`", " ".join(line.split()))
    text = re.sub(r"\bB\(([^)]*)\)", r"**\1**", text)
    return text.replace("<", "&lt;")


def _cell(text: str) -> str:
    """Keep a bar from ending the cell of a table."""
    return text.replace("|", "\\|")


def main() -> None:
    """Write the README of each role below the folder that is the argument."""
    for specs in sorted(Path(sys.argv[1]).glob("*/meta/argument_specs.yml")):
        readme = specs.parents[1] / "README.md"
        content = variables(yaml.safe_load(specs.read_text(encoding="utf-8"))["argument_specs"])
        readme.write_text(replace(readme.read_text(encoding="utf-8"), "variables", content), encoding="utf-8")


if __name__ == "__main__":
    main()
