"""The result folder: written atomically, read back, checked. Its contract is docs/results.md."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import UserError
from bench.model.scoring import metrics
from bench.results.record import OLDEST_VERSION, OUTLINE, SCHEMA_VERSION, RunRecord, from_json, to_json

if TYPE_CHECKING:
    import pandas as pd

KEYS_OF_SCORES = ("case", "repeat", "model", "party")
_KEYS = {
    "epochs.csv": "case,repeat,party,role,epoch,phase,seconds,cpu_seconds,bytes_sent,bytes_received,loss".split(","),
    "scores.csv": list(KEYS_OF_SCORES),
    "resources.csv": (
        "case,repeat,party,host,t,cpu_percent,rss,uss,read_bytes,write_bytes,net_sent,net_received"
    ).split(","),
}
_WHOLE = ("repeat", "epoch")
_TEXT = dict.fromkeys(("case", "party", "role", "phase", "model", "host"), str)


def create(out: Path, run_id: str) -> Path:
    """Make ``out/run_id`` and return it.

    Raises UserError where it cannot be written. Two runs that start in the same second get different folders.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        for suffix in ("", *(f"-{n}" for n in range(2, 100))):
            folder = out / f"{run_id}{suffix}"
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            (folder / "models").mkdir()
            return folder
    except OSError as error:
        raise UserError(
            f"{out}: the results folder cannot be written ({error.strerror}); choose another with --out"
        ) from error
    raise UserError(f"{out / run_id}: a hundred runs of this name exist already; choose another folder with --out")


def write_text(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old content or the new, never a part.

    Raises UserError where the disk does not take it.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise UserError(
            f"{path}: cannot be written ({error.strerror}); free some space or choose another place"
        ) from error


def write_json(path: Path, value: object) -> None:
    """Write ``value`` as JSON, atomically. NaN and infinities are refused: what was not measured is null."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n")


def save(folder: Path, run: RunRecord) -> None:
    """Write ``run.json``."""
    write_json(folder / "run.json", to_json(run))


def load(folder: Path) -> RunRecord:
    """Read ``run.json`` and check that this version understands it.

    Raises UserError when the folder is not a run, the file is damaged, or its schema is newer than this program.
    """
    path = Path(folder) / "run.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{folder}: not a run folder (it has no run.json); name one from results/") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error}); the run must be repeated") from error
    version = content.get("schema_version") if isinstance(content, dict) else None
    if not isinstance(version, int):
        raise UserError(f"{path}: no schema_version in it; this is not a run of this kit")
    if version > SCHEMA_VERSION:
        raise UserError(
            f"{path}: schema version {version} is newer than this program's {SCHEMA_VERSION}; update the kit"
        )
    if version < OLDEST_VERSION:
        raise UserError(f"{path}: schema version {version} was never released; the run must be repeated")
    missing = set(OUTLINE) - set(content)
    if missing:
        raise UserError(f"{path}: {', '.join(sorted(missing))} missing; the file is damaged")
    try:
        return from_json(content)
    except ValueError as error:
        raise UserError(f"{path}: it is not as it was written ({error}); the run must be repeated") from error


def columns(name: str) -> list[str]:
    """Return the columns of one of the CSV files: those that must be there, and the metrics known here."""
    return [*_KEYS[name], *(metrics() if name == "scores.csv" else ())]


def append_rows(folder: Path, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Append rows to one of the CSV files; None becomes an empty field (not measured).

    A file that is there keeps its columns: a metric that it lacks is not added to the rest of a resumed run.
    """
    path = folder / name
    try:
        with path.open("a+", newline="", encoding="utf-8") as file:
            file.seek(0)
            header = next(csv.reader(file), None)
            file.seek(0, io.SEEK_END)
            writer = csv.DictWriter(file, header or columns(name), lineterminator="\n", extrasaction="ignore")
            if header is None:
                writer.writeheader()
            writer.writerows(rows)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); free some space") from error


def read_csv(folder: Path, name: str) -> pd.DataFrame:
    """Read one of the CSV files; an empty table with the right columns where there is none.

    A column of a metric that came later than the run is empty; one of a metric unknown here is kept. Raises UserError
    when the file is damaged.
    """
    import pandas as pd  # takes half a second to import, and a served model does without

    path = Path(folder) / name
    if not path.exists():
        return pd.DataFrame({column: pd.Series(dtype=_TEXT.get(column, float)) for column in columns(name)})
    try:
        table = pd.read_csv(path, dtype=_TEXT, keep_default_na=False, na_values=[""])
        if not set(_KEYS[name]) <= set(table.columns):
            raise UserError(f"{path}: unexpected columns {list(table.columns)}; the file is damaged")
        numbers = [column for column in table.columns if column not in _TEXT and column not in _WHOLE]
        return table.assign(
            **{column: table[column].astype(int) for column in _WHOLE if column in table.columns},
            **{column: table[column].astype(float) for column in numbers},
            **{column: float("nan") for column in columns(name) if column not in table.columns},
        )
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error}); the run must be repeated") from error


def keep_finished(folder: Path, finished: Mapping[str, Iterable[int]]) -> None:
    """Drop rows of repeats that were cut off, so that a resumed run does not count them twice.

    ``finished`` maps a case's id to its finished repeats, in the order of the run's cases.
    """
    done = {(case, repeat) for case, repeats in finished.items() for repeat in repeats}
    for name in _KEYS:
        path = folder / name
        if not path.exists():
            continue
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.reader(file)
            header = next(reader, columns(name))
            # A cut-off last line can lack fields: it belongs to an unfinished repeat and goes too.
            rows = [
                row for row in reader if len(row) == len(header) and row[1].isdigit() and (row[0], int(row[1])) in done
            ]
        kept = io.StringIO()
        csv.writer(kept, lineterminator="\n").writerows([header, *rows])
        write_text(path, kept.getvalue())
    if (folder / "trace.json").exists():
        _keep_finished_events(folder / "trace.json", list(finished.values()))


def append_events(path: Path, events: Iterable[Mapping[str, Any]]) -> None:
    """Append events, one a line, to a Chrome trace; between two calls it is a valid JSON array."""
    text = ",\n".join(json.dumps(event) for event in events)
    if not text:
        return
    try:
        if not path.exists():
            write_text(path, "[\n" + text + "\n]\n")
            return
        with path.open("r+", encoding="utf-8") as file:
            file.seek(path.stat().st_size - len("\n]\n"))
            file.write(",\n" + text + "\n]\n")
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); free some space") from error


def read_events(folder: Path) -> list[dict[str, Any]]:
    """Return the events of trace.json; those that can be read, where it was cut off, and none where it is not there."""
    return [event for event, _ in _events(Path(folder) / "trace.json")]


def _events(path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """Give the events of a trace, cut off or not, each with its line."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    for line in text.splitlines():
        try:
            event = json.loads(line.removesuffix(","))
        except ValueError:  # the brackets, or a line that was cut off
            continue
        if isinstance(event, dict) and isinstance(event.get("pid"), int):
            yield event, line.removesuffix(",")


def _keep_finished_events(path: Path, finished: Sequence[Iterable[int]]) -> None:
    """Do for the trace, cut off or not, what keep_finished does for the tables; see trace_process for its numbers."""
    done = {trace_process(case, repeat, 0) // 1000 for case, repeats in enumerate(finished) for repeat in repeats}
    events = [line for event, line in _events(path) if event["pid"] // 1000 in done]
    if events:
        write_text(path, "[\n" + ",\n".join(events) + "\n]\n")
    else:
        path.unlink()


def trace_process(case: int, repeat: int, party: int) -> int:
    """Return the process number in the trace of a case (by its place in the run), a repeat and a party."""
    return 1_000_000 * case + 1000 * repeat + party
