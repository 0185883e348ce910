import csv
import gzip
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.data.reader import open_table
from bench.errors import UserError


def read(path: Path) -> tuple[list[str], list[list[str | None]]]:
    with open_table(path) as table:
        columns = table.numbers("SELECT * FROM raw")
        values = [column.tolist() for column in columns.values()]
        return table.columns, [list(row) for row in zip(*values, strict=True)]


CELL = st.text(st.characters(codec="utf-8", exclude_characters="\r\0", exclude_categories=["Cs"]), max_size=12)


# Opening a table is what takes its time: few files of many rows.
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=12)
@given(rows=st.lists(st.tuples(CELL, CELL.map(lambda text: f"x{text}")), min_size=1, max_size=40))
def test_what_was_written_is_read(tmp_path: Path, rows: list[tuple[str, str]]) -> None:
    path = tmp_path / "table.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([("first", "second"), *rows])
    names, found = read(path)
    assert names == ["first", "second"]
    assert found == [[first or None, second] for first, second in rows]


@pytest.mark.parametrize(
    "content",
    [b"a,b\n1,2\n3,4\n", b"a,b\r\n1,2\r\n3,4\r\n", b"\xef\xbb\xbfa,b\n1,2\n3,4", b'a, b \n"1",2\n3,"4"\n'],
)
def test_line_ends_byte_order_mark_and_quotes(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    assert read(path) == (["a", "b"], [["1", "2"], ["3", "4"]])


@pytest.mark.parametrize("name", ["ta[bl]e*?.csv", "it's.csv", "名字.CSV"])
def test_file_names_are_taken_literally(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("a\n1\n")
    assert read(path) == (["a"], [["1"]])


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.csv", b"", "is empty"),
        ("blank.csv", b"\n\n", "is empty"),
        ("binary.csv", bytes(range(256)), "not a CSV file"),
        ("nul.csv", b"\0\0\0\0", "not a CSV file"),
        ("latin.csv", "a,b\n1,caf\u00e9\n".encode("latin-1"), "line 2: Invalid unicode"),
        ("ragged.csv", b"a,b\n1,2\n3,4,5\n", "line 3: Expected Number of Columns: 2 Found: 3"),
        ("short.csv", b"a,b\n1,2\n3\n", "line 3: Expected Number of Columns: 2 Found: 1"),
        ("open.csv", b'a,b\n1,"2\n3,4\n', "line 2: Value with unterminated quote found"),
        ("twice.csv", b"a,A\n1,2\n", "'a'"),
        ("nameless.csv", b"a,,c\n1,2,3\n", "''"),
        ("plain.csv.gz", b"a,b\n1,2\n", "Not a gzipped file"),
        ("cut.csv.gz", gzip.compress(b"a,b\n" + b"1,2\n" * 5000, mtime=0)[:-20], "Unexpected end"),
        ("no.zip", b"hello", "damaged"),
        ("no.parquet", b"hello, this is text", "No magic bytes"),
        ("table.xlsx", b"", "must end in .csv, .csv.gz, .zip or .parquet"),
    ],
)
def test_unreadable_file_gets_one_line(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read(path)
    message = str(caught.value)
    assert words in message
    assert str(path) in message
    assert "\n" not in message


def test_missing_file_and_folder(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    for name in ("absent.csv", "folder.csv"):
        with pytest.raises(UserError, match="there is no such file"):
            read(tmp_path / name)


def test_zip_must_hold_one_csv(tmp_path: Path) -> None:
    path = tmp_path / "two.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.csv", "a\n1\n")
        archive.writestr("__MACOSX/a.csv", "junk")
    assert read(path) == (["a"], [["1"]])
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("b.csv", "a\n1\n")
    with pytest.raises(UserError, match="holds 2"):
        read(path)


def test_an_error_of_the_caller_stays_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("a\n1\n")
    with pytest.raises(RuntimeError, match="mine"), open_table(path):
        raise RuntimeError("mine")
