"""Tables as people have them (.csv, .csv.gz, .zip with one CSV inside, .parquet), opened for SQL as columns of text."""

from __future__ import annotations

import csv
import gzip
import re
import shutil
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import duckdb
import numpy as np
from numpy.typing import NDArray

from bench.errors import UserError

SUFFIXES = (".csv", ".csv.gz", ".zip", ".parquet")


@dataclass(frozen=True)
class Table:
    """An open file. SQL finds its rows in the view ``raw``, in file order, every column as text, missing as NULL."""

    path: Path
    columns: list[str]
    connection: duckdb.DuckDBPyConnection

    def run(self, sql: str) -> None:
        """Run a statement."""
        with _explained(self.path):
            self.connection.execute(sql)

    def numbers(self, sql: str) -> dict[str, NDArray[Any]]:
        """Run a query and return its columns as NumPy arrays; masked arrays where there are NULLs."""
        with _explained(self.path):
            # Only ENUM columns would come back as something else than arrays, and text files have none.
            return cast("dict[str, NDArray[Any]]", self.connection.execute(sql).fetchnumpy())

    def first(self, sql: str) -> tuple[Any, ...] | None:
        """Run a query and return its first row, or None."""
        with _explained(self.path):
            return self.connection.execute(sql).fetchone()


@contextmanager
def open_table(path: Path, missing: Sequence[str] = ("",)) -> Iterator[Table]:
    """Open a data file. A field that equals one of the words in ``missing`` is NULL.

    Raises UserError when the file is missing, empty, of an unknown kind or not what its name says; the content is
    read only when it is asked for, so a bad line is reported by the query that meets it.
    """
    if not path.name.lower().endswith(SUFFIXES):
        raise UserError(f"Cannot read {path}: the name must end in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}.")
    if not path.is_file():
        raise UserError(f"Cannot read {path}: there is no such file.")
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch, duckdb.connect() as connection:
        connection.execute(f"SET temp_directory = {literal(scratch)}")  # not the folder one happens to stand in
        connection.execute("SET enable_progress_bar = false")
        with _explained(path):
            file = _unzipped(path, Path(scratch)) if path.suffix.lower() == ".zip" else path
            view = _view_parquet if file.suffix.lower() == ".parquet" else _view_csv
            columns = view(connection, file, path, missing)
        yield Table(path, columns, connection)


def identifier(name: str) -> str:
    """Quote a column name for SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Quote a text for SQL."""
    return "'" + text.replace("'", "''") + "'"


def literals(texts: Sequence[str]) -> str:
    """Quote texts for SQL, separated by commas."""
    return ", ".join(literal(text) for text in texts)


def float_column(values: NDArray[Any]) -> NDArray[np.float64]:
    """Return a column as plain float64, with NaN where it is NULL."""
    return np.ma.filled(np.ma.asarray(values, dtype=np.float64), np.nan)


def _view_csv(connection: duckdb.DuckDBPyConnection, file: Path, path: Path, missing: Sequence[str]) -> list[str]:
    columns = _header(file, path)
    types = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in columns)
    # The dialect is stated, not guessed: a guess from the first rows can differ from one file to the next.
    options = (
        f"header = true, auto_detect = false, delim = ',', quote = '\"', escape = '\"', nullstr = [{literals(missing)}]"
    )
    view = f"SELECT * FROM read_csv({_location(file)}, columns = {{{types}}}, {options})"  # noqa: S608 - all quoted
    connection.execute(f"CREATE VIEW raw AS {view}")
    return columns


def _view_parquet(connection: duckdb.DuckDBPyConnection, file: Path, _: Path, missing: Sequence[str]) -> list[str]:
    source = f"read_parquet({_location(file)})"
    columns = [str(row[0]) for row in connection.execute(f"DESCRIBE FROM {source}").fetchall()]
    texts = [
        f"CASE WHEN {identifier(name)}::VARCHAR NOT IN ({literals(missing)}) THEN {identifier(name)}::VARCHAR END "
        f"AS {identifier(name)}"
        for name in columns
    ]
    connection.execute(f"CREATE VIEW raw AS SELECT {', '.join(texts)} FROM {source}")  # noqa: S608 - all quoted
    return columns


def _location(file: Path) -> str:
    """Return the file's SQL literal, with the characters that would make it a pattern taken literally."""
    return literal(re.sub(r"([*?\[])", r"[\1]", str(file.absolute())))


def _header(file: Path, path: Path) -> list[str]:
    """Return the column names of a CSV file that came as ``path``."""
    opened = gzip.open if file.suffix.lower() == ".gz" else open
    # Bytes that are no UTF-8 further down are the query's to report, with their line.
    with opened(file, "rt", encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
        names = [name.strip() for name in next(csv.reader(text), [])]
    if not any(names):
        raise UserError(f"Cannot read {path}: it is empty, or its first line is not a header of column names.")
    if not all(name.isprintable() for name in names):
        raise UserError(f"Cannot read {path}: it is not a CSV file in UTF-8 (its first line is not text).")
    counts = Counter(name.lower() for name in names)
    wrong = [name for name in names if not name or counts[name.lower()] > 1]
    if wrong:
        raise UserError(f"Cannot read {path}: every column needs a name of its own (case aside), but see '{wrong[0]}'.")
    return names


def _unzipped(path: Path, scratch: Path) -> Path:
    with zipfile.ZipFile(path) as archive:
        members = [
            info
            for info in archive.infolist()
            if info.filename.lower().endswith(".csv") and not info.filename.startswith("__MACOSX/")
        ]
        if len(members) != 1:
            raise UserError(f"Cannot read {path}: it must hold exactly one .csv file, and holds {len(members)}.")
        file = scratch / "table.csv"
        with archive.open(members[0]) as source, file.open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
    return file


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what reading can go wrong with into one line that names the file."""
    try:
        yield
    except csv.Error as error:
        raise UserError(f"Cannot read {path}: its first line is not a CSV header ({error}).") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise UserError(f"Cannot read {path}: it is damaged or encrypted ({error}).") from error
    except duckdb.Error as error:
        raise UserError(f"Cannot read {path}: {_reason(str(error))}.") from error
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror or error}.") from error


def _reason(message: str) -> str:
    """Cut DuckDB's page of advice down to what is wrong and in which line of the file."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    at = re.search(r"CSV Error on Line: (\d+)", lines[0])
    if not at:
        return re.sub(r"^[\w ]+ Error: ", "", lines[0]).rstrip(".")
    known = ("Expected Number of Columns", "Invalid unicode", "Value with unterminated quote", "Maximum line size")
    reason = next((line for line in lines[1:] if line.startswith(known)), "it is not valid CSV")
    return f"line {at[1]}: {reason.rstrip('.')}"
