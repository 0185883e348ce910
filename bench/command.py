"""What the report and the comparison share as programs: they read run folders, and end in one line when they cannot."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import results
from bench.errors import UserError


def load(folder: Path) -> dict[str, Any]:
    """Read ``run.json`` and check its outline, so that whoever reads on meets gaps at most.

    Raises UserError when it cannot be read, or is not what docs/results.md describes.
    """
    run = results.load(folder)
    outline = {"suite": dict, "environment": dict, "datasets": dict, "cases": list}
    wrong = [name for name, shape in outline.items() if not isinstance(run[name], shape)]
    if not wrong:
        wrong += [f"datasets.{name}" for name, facts in run["datasets"].items() if not isinstance(facts, dict)]
        wrong += [
            f"cases[{place}]"
            for place, case in enumerate(run["cases"])
            if not (isinstance(case, dict) and isinstance(case.get("id"), str))
        ]
    if wrong:
        raise UserError(f"{Path(folder) / 'run.json'}: {wrong[0]} is not as it was written; the run must be repeated")
    return run


def exit_status(work: Callable[[], None]) -> int:
    """Do the work of a program and return its exit status: 2 with one line for what the user can mend."""
    try:
        work()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0
