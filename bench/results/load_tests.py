"""load.json and load.csv in a run's folder: several measurements beside each other (docs/results.md)."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from bench.errors import UserError
from bench.results import store
from bench.results.load_record import LoadTest
from bench.results.record import without_nulls

SCHEMA_VERSION = 1
JSON, CSV = "load.json", "load.csv"
COLUMNS = (
    "measurement,step,second,phase,due,answered,errors,p50_due,p99_due,p99_sent,"
    "server_cpu_percent,server_rss_bytes,generator_cpu_percent"
).split(",")
_MEASUREMENT: dict[str, type | tuple[type, ...]] = {
    "name": str,
    "target": str,
    "loop": str,
    "kind": str,
    "steps": list,
    "request": dict,
    "complete": bool,
    "ramp_seconds": (int, float),
    "steady_seconds": (int, float),
}
_STEP = (
    "rate",
    "users",
    "requests",
    "rate_achieved",
    "from_due",
    "from_sent",
    "errors",
    "failed",
    "server",
    "generator",
)


def load(folder: Path) -> list[LoadTest]:
    """Return the load tests of a run; none where there was none.

    Raises UserError where load.json is damaged or newer than this program.
    """
    found = []
    for place, content in enumerate(_read(folder)):
        try:
            found.append(typed(content))
        except msgspec.ValidationError as error:
            raise UserError(
                f"{Path(folder) / JSON}: measurements[{place}] is not as it was written ({error}); delete it, or "
                "repeat the load test"
            ) from error
    return found


def typed(content: Mapping[str, Any]) -> LoadTest:
    """Return a load test as it is written into load.json.

    Raises msgspec.ValidationError where it has another shape.
    """
    return msgspec.convert(without_nulls(content), LoadTest)


def _read(folder: Path) -> list[dict[str, Any]]:
    """Return the content of load.json, whose outline is whole."""
    path = Path(folder) / JSON
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error}); delete it, or repeat the load test") from error
    version = content.get("schema_version") if isinstance(content, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise UserError(
            f"{path}: schema version {version} is newer than this program's {SCHEMA_VERSION}; update the kit"
        )
    if version != SCHEMA_VERSION or not isinstance(content.get("measurements"), list):
        raise UserError(f"{path}: is no load.json of this kit; delete it, or repeat the load test")
    for place, measurement in enumerate(content["measurements"]):
        if not _whole(measurement):
            raise UserError(
                f"{path}: measurements[{place}] is not as it was written; delete it, or repeat the load test"
            )
    return list(content["measurements"])


def _whole(measurement: Any) -> bool:
    """Say whether a measurement has the outline that docs/results.md gives it."""
    if not isinstance(measurement, dict):
        return False
    if not all(isinstance(measurement.get(key), shape) for key, shape in _MEASUREMENT.items()):
        return False
    return all(isinstance(step, dict) and all(key in step for key in _STEP) for step in measurement["steps"])


def save(folder: Path, measurement: Mapping[str, Any], seconds: Sequence[Mapping[str, Any]]) -> None:
    """Write a measurement and its rows, in place of an earlier one of the same name.

    Raises UserError where the folder cannot be written.
    """
    measurements: dict[str, Mapping[str, Any]] = {other["name"]: other for other in _read(folder)}
    measurements[measurement["name"]] = measurement  # in its place, if there was one
    rows = [
        row for row in _rows(folder) if row["measurement"] in measurements and row["measurement"] != measurement["name"]
    ]
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    writer.writerows({"measurement": measurement["name"], **row} for row in seconds)
    store.write_text(folder / CSV, text.getvalue())
    store.write_json(folder / JSON, {"schema_version": SCHEMA_VERSION, "measurements": list(measurements.values())})


def seconds(folder: Path, measurement: str) -> list[dict[str, float | None]]:
    """Return a measurement's rows of load.csv as numbers, without its words; None is not measured.

    Raises UserError where a field is no number.
    """
    numbers = COLUMNS[4:]
    try:
        return [
            {
                "second": float(row["second"]),
                "steady": float(row["phase"] == "steady"),
                **{key: float(row[key]) if row[key] else None for key in numbers},
            }
            for row in _rows(folder)
            if row["measurement"] == measurement
        ]
    except ValueError as error:
        raise UserError(f"{folder / CSV}: {error}; delete it, or repeat the load test") from error


def _rows(folder: Path) -> list[dict[str, str]]:
    """Return the rows that are there, as text; a damaged file has none, since every row can be measured again."""
    try:
        with (folder / CSV).open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            return (
                [row for row in reader if None not in row and None not in row.values()]
                if reader.fieldnames == COLUMNS
                else []
            )
    except (OSError, ValueError, csv.Error):
        return []
