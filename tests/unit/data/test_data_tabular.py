from pathlib import Path

import numpy as np
import pytest

from bench.data import tabular
from bench.errors import UserError


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def refusal(paths: list[Path], label: str = "y", identifier: str | None = None, test: Path | None = None) -> str:
    with pytest.raises(UserError) as caught:
        tabular.load(paths, label, identifier, test)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_one_file(tmp_path: Path) -> None:
    path = write(tmp_path / "d.csv", 'id,b,y,"A, ""x"""\np,1,0,2.5\nq,-3,1,1e2\n')
    dataset = tabular.load([path], "y", "id")
    np.testing.assert_array_equal(dataset.X, [[1.0, 2.5], [-3.0, 100.0]])
    np.testing.assert_array_equal(dataset.y, [0.0, 1.0])
    assert dataset.features == ["b", 'A, "x"']
    assert dataset.class_names == ("0", "1")
    assert dataset.X.flags.c_contiguous
    assert dataset.given_parties is None and dataset.given_test is None
    np.testing.assert_array_equal(dataset.groups["b"], [1.0, -3.0])
    assert [(step.rows, step.columns) for step in dataset.funnel] == [(2, 4), (2, 2)]


def test_one_file_per_party_and_a_test_file(tmp_path: Path) -> None:
    first = write(tmp_path / "a.csv", "x,z,y\n1,10,no\n2,20,yes\n")
    second = write(tmp_path / "b.csv", "y,z,x\nno,30,3\n")
    held_out = write(tmp_path / "t.csv", "z,y,x\n40,yes,4\n50,no,5\n")
    dataset = tabular.load([first, second], "y", test=held_out)
    np.testing.assert_array_equal(dataset.X, [[1, 10], [2, 20], [3, 30], [4, 40], [5, 50]])
    np.testing.assert_array_equal(dataset.y, [0, 1, 0, 1, 0])
    assert dataset.given_parties is not None and dataset.given_test is not None
    assert [rows.tolist() for rows in dataset.given_parties] == [[0, 1], [2]]
    assert dataset.given_test.tolist() == [3, 4]


@pytest.mark.parametrize(
    ("labels", "names", "classes"),
    [
        (["1", "0", "1.0"], ("0", "1"), [1, 0, 1]),
        (["10", "9", "9"], ("9", "10"), [1, 0, 0]),
        (["good", "bad", "bad"], ("bad", "good"), [1, 0, 0]),
        (["-1", "1", "1"], ("-1", "1"), [0, 1, 1]),
        (["nan", "inf", "nan"], ("inf", "nan"), [1, 0, 1]),
    ],
)
def test_labels(tmp_path: Path, labels: list[str], names: tuple[str, str], classes: list[int]) -> None:
    path = write(tmp_path / "d.csv", "x,y\n" + "".join(f"1,{label}\n" for label in labels))
    dataset = tabular.load([path], "y")
    assert dataset.class_names == names
    assert dataset.y.tolist() == classes


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("", "is empty"),
        ("abc", "'abc'"),
        ("nan", "'nan'"),
        ("inf", "'inf'"),
        ("1e999", "'1e999'"),
        ("1.2.3", "'1.2.3'"),
    ],
)
def test_bad_number_is_named(tmp_path: Path, cell: str, words: str) -> None:
    path = write(tmp_path / "d.csv", f"w,x,y\n1,1,0\n1,2,1\n1,{cell},1\n")
    message = refusal([path])
    assert words in message and "column x, data row 3 " in message and str(path) in message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x,y\n1,0\n2,\n", "column y, data row 2 (the first after the header is 1): is empty"),
        ("x,y\n1,0\n2,0\n", "must hold two different values, but holds '0'"),
        ("x,y\n1,0\n2,1\n3,2\n", "holds '0', '1', '2'"),
        ("x,y\n", "holds no rows"),
        ("x,z\n1,0\n", "has no label column 'y'; its columns are 'x', 'z'"),
        ("y\n1\n0\n", "no column to learn from"),
        ("x;y\n1;0\n", "its columns are 'x;y'"),
    ],
)
def test_unusable_table_is_refused(tmp_path: Path, text: str, words: str) -> None:
    assert words in refusal([write(tmp_path / "d.csv", text)])


def test_identifiers(tmp_path: Path) -> None:
    first = write(tmp_path / "a.csv", "id,x,y\np,1,0\nq,2,1\n")
    second = write(tmp_path / "b.csv", "id,x,y\nq,1,0\nr,2,1\n")
    assert "holds 'q' more than once" in refusal([first, second], identifier="id")
    assert f"(in {first}, {second})" in refusal([first], identifier="id", test=second)
    assert "column id, data row 1" in refusal([write(tmp_path / "c.csv", "id,x,y\n,1,0\n")], identifier="id")
    assert "no identifier column 'key'" in refusal([first], identifier="key")
    assert "both the label and the identifier" in refusal([first], identifier="y")


def test_party_files_must_agree_on_columns(tmp_path: Path) -> None:
    first = write(tmp_path / "a.csv", "x,z,y\n1,1,0\n2,2,1\n")
    second = write(tmp_path / "b.csv", "x,v,w,y\n1,1,1,0\n")
    message = refusal([first, second])
    assert f"{second} must have the same columns as {first}, but lacks 'z' and has 'v', 'w' too many" in message
    assert "lacks 'y'" in refusal([first], test=write(tmp_path / "t.csv", "x,z\n1,1\n"))
