import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.data.split import GIVEN, Split, assign, parse, party_ids
from bench.errors import UserError

SPLITS = st.one_of(
    st.lists(st.integers(1, 100), min_size=2, max_size=6).map(
        lambda parts: "/".join(repr(part / sum(parts)) for part in parts)
    ),
    st.builds("{}:{}:{}".format, st.sampled_from(["quantity", "label"]), st.integers(2, 6), st.floats(1e-3, 1e3)),
    st.builds("column:year:{}".format, st.integers(2, 6)),
    st.sampled_from(["column:year", "given"]),
)


def spread(text: str, rows: int = 1000, seed: int = 0, **groups: np.ndarray) -> list[np.ndarray]:
    y = (np.arange(rows) % 5 > 0).astype(float)
    return assign(parse(text), y, groups, np.random.default_rng(seed))


@given(text=SPLITS, rows=st.integers(1, 300), seed=st.integers(0, 2**32 - 1))
def test_every_row_goes_to_exactly_one_party_and_no_party_is_empty(text: str, rows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, rows).astype(float)
    groups = {"year": rng.integers(2007, 2016, rows), GIVEN: np.arange(rows) % 3}
    try:
        parts = assign(parse(text), y, groups, rng)
    except UserError as error:
        assert "\n" not in str(error)
        return
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(rows))
    assert all(len(part) for part in parts)
    wanted = parse(text).parties
    assert wanted is None or len(parts) == wanted


@pytest.mark.parametrize("text", ["25/25/50", "0.25/0.25/0.5", " 25/25/50 ", "25.0/25/50"])
def test_fractions(text: str) -> None:
    assert [len(part) for part in spread(text)] == [250, 250, 500]


def test_parsed_forms() -> None:
    assert parse("1/99") == Split("1/99", "fractions", 2, (0.01, 0.99))
    assert parse("quantity:3:0.5") == Split("quantity:3:0.5", "quantity", 3, alpha=0.5)
    assert parse("label:4:10") == Split("label:4:10", "label", 4, alpha=10.0)
    assert parse("column:issue_year:3") == Split("column:issue_year:3", "column", 3, column="issue_year")
    assert parse("column:a:b:3") == Split("column:a:b:3", "column", 3, column="a:b")
    assert parse("column:grade") == Split("column:grade", "column", column="grade")
    assert parse("given") == Split("given", "given")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("30/30/30", "sum to 90; they must sum to 100"),
        ("0.5/0.4", "sum to 0.9"),
        ("0/50/50", "above 0"),
        ("-10/110", "above 0"),
        ("nan/100", "above 0"),
        ("a/b", "must be numbers"),
        ("quantity:1:1", "at least 2, not '1'"),
        ("quantity:x:1", "not 'x'"),
        ("label:3", "ALPHA must be a number above 0, not ''"),
        ("label:3:0", "ALPHA"),
        ("label:3:inf", "ALPHA"),
        ("column:year:1", "at least 2"),
        ("column:", "not understood"),
        ("thirds", "not understood"),
        ("", "not understood"),
    ],
)
def test_unreadable_split_is_refused(text: str, words: str) -> None:
    with pytest.raises(UserError, match=r"^Split ") as caught:
        parse(text)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "rows", "words"),
    [
        ("25/25/50", 2, "asks for 3 parties but there are only 2 rows"),
        ("1/99", 40, "leaves party number 1 without a row"),
        ("quantity:5:0.00001", 1000, "in 1000 draws"),
        ("column:year:4", 1000, "asks for 4 parties but 'year' has 3 values"),
        ("column:row", 1000, "'row' has 1000 values, one party each needs 2 to 10"),
        ("column:one", 1000, "'one' has 1 values"),
        ("column:month", 1000, "has no column 'month' to split by; it has: one, row, year"),
        ("given", 1000, "needs one file per party"),
    ],
)
def test_split_that_does_not_fit_the_data_is_refused(text: str, rows: int, words: str) -> None:
    groups = {"year": np.arange(rows) % 3, "row": np.arange(rows), "one": np.ones(rows)}
    with pytest.raises(UserError) as caught:
        spread(text, rows, **groups)
    assert words in str(caught.value)


def test_column_groups_are_contiguous_and_near_equal() -> None:
    year = np.repeat([2007, 2008, 2009, 2010, 2011], [10, 20, 30, 40, 100])
    year = np.random.default_rng(0).permutation(year)
    assert [sorted(set(year[part].tolist())) for part in spread("column:year:2", 200, year=year)] == [
        [2007, 2008, 2009, 2010],
        [2011],
    ]
    assert [len(part) for part in spread("column:year:5", 200, year=year)] == [10, 20, 30, 40, 100]
    grade = np.array(["B", "A", "C", "A"])
    assert [part.tolist() for part in spread("column:grade", 4, grade=grade)] == [[1, 3], [0], [2]]


def test_skew_grows_as_alpha_falls() -> None:
    def sizes(alpha: float) -> float:
        return float(np.mean([np.std([len(p) for p in spread(f"quantity:3:{alpha}", seed=s)]) for s in range(20)]))

    def purity(alpha: float) -> float:
        y = (np.arange(1000) % 5 > 0).astype(float)
        return float(np.mean([np.std([y[p].mean() for p in spread(f"label:3:{alpha}", seed=s)]) for s in range(20)]))

    assert sizes(0.3) > sizes(3) > sizes(300)
    assert purity(0.3) > purity(3) > purity(300)


def test_same_seed_same_parties() -> None:
    for text in ("25/25/50", "quantity:3:1", "label:3:1"):
        for one, two in zip(spread(text, seed=1), spread(text, seed=1), strict=True):
            np.testing.assert_array_equal(one, two)
        assert not all(map(np.array_equal, spread(text, seed=1), spread(text, seed=2)))


def test_party_ids() -> None:
    assert party_ids(2) == [("9999", "guest"), ("10000", "host")]
    assert party_ids(3) == [("9999", "guest"), ("9998", "host"), ("10000", "host")]
    assert [party for party, _ in party_ids(5)] == ["9999", "9998", "9997", "9996", "10000"]
    with pytest.raises(UserError, match="at least two parties"):
        party_ids(1)
