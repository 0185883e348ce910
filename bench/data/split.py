"""How rows are spread over the parties: the text form a person writes, and the rows each party gets.

| text | meaning |
|---|---|
| ``25/25/50`` | random rows by percent; ``0.25/0.25/0.5`` is the same |
| ``quantity:PARTIES:ALPHA`` | random rows, sizes drawn from Dirichlet(ALPHA): the smaller ALPHA, the more unequal |
| ``label:PARTIES:ALPHA`` | each class spread by a Dirichlet(ALPHA) draw of its own: the smaller, the purer |
| ``column:NAME:PARTIES`` | the column's sorted values cut into contiguous groups of nearly equal size |
| ``column:NAME`` | one party for each value of the column, at most ten |
| ``given`` | one file per party, as the user brought them |
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench.data.table import Rows, Vector
from bench.errors import UserError

Kind = Literal["fractions", "quantity", "label", "column", "given"]

GIVEN = "given"
"""The group column that holds each row's party index when the user brought one file per party."""

MOST_VALUES = 10
MOST_DRAWS = 1000
FORMS = "25/25/50, quantity:PARTIES:ALPHA, label:PARTIES:ALPHA, column:NAME, column:NAME:PARTIES or given"


@dataclass(frozen=True)
class Split:
    """A parsed split. ``parties`` is None where only the data can tell (``column:NAME`` and ``given``)."""

    text: str
    kind: Kind
    parties: int | None = None
    fractions: tuple[float, ...] = ()
    alpha: float | None = None
    column: str | None = None


def parse(text: str) -> Split:
    """Read a split's text form (see the module's table). Raises UserError when it is none of them."""
    text = text.strip()
    kind, _, rest = text.partition(":")
    if text == GIVEN:
        return Split(text, "given")
    if kind in ("quantity", "label"):
        parties, _, alpha = rest.partition(":")
        drawn: Kind = "quantity" if kind == "quantity" else "label"
        return Split(text, drawn, parties=_parties(parties, text), alpha=_alpha(alpha, text))
    if kind == "column" and rest:
        # A column's own name may hold a colon: only a last part that is a number counts parties.
        name, _, parties = rest.rpartition(":")
        if name and parties.isdecimal():
            return Split(text, "column", parties=_parties(parties, text), column=name)
        return Split(text, "column", column=rest)
    if "/" in text:
        fractions = _fractions(text)
        return Split(text, "fractions", parties=len(fractions), fractions=fractions)
    raise UserError(f"Split '{text}' is not understood: write {FORMS}.")


def party_ids(count: int) -> list[tuple[str, str]]:
    """Return ``count`` pairs (party, role): guest 9999, then hosts 9998, 9997, ..., the last always host 10000."""
    if count < 2:
        raise UserError(f"A federation needs at least two parties, not {count}: choose a split with more.")
    hosts = [(str(9998 - index), "host") for index in range(count - 2)]
    return [("9999", "guest"), *hosts, ("10000", "host")]


def assign(split: Split, y: Vector, groups: Mapping[str, NDArray[Any]], rng: np.random.Generator) -> list[Rows]:
    """Return one array of row indices per party; every row goes to exactly one party and no party stays empty.

    ``y`` is ``(rows,)``; ``groups`` maps column names to ``(rows,)`` values. A ``given`` split reads the party
    indices from ``groups["given"]``. ``label`` follows Hsu et al. 2019 (arXiv:1909.06335) and Li et al. 2022
    (arXiv:2102.02079): one Dirichlet draw per class over the parties; ``quantity`` is one draw over the sizes.
    Raises UserError when the rows do not suffice for the parties or the column is unknown or unsuitable.
    """
    rows = len(y)
    if split.parties is not None and split.parties > rows:
        raise UserError(f"Split '{split.text}' asks for {split.parties} parties but there are only {rows} rows.")
    if split.kind == "fractions":
        parts = np.split(rng.permutation(rows), _cuts(np.array(split.fractions), rows))
        return _none_empty(parts, split)
    if split.kind == "quantity":
        return _draw(split, lambda proportions: np.split(rng.permutation(rows), _cuts(proportions[0], rows)), 1, rng)
    if split.kind == "label":
        classes = [np.flatnonzero(y == value) for value in np.unique(y)]
        return _draw(split, lambda proportions: _spread_classes(classes, proportions, rng), len(classes), rng)
    return _by_value(split, groups)


def _parties(text: str, whole: str) -> int:
    if not text.isdecimal() or int(text) < 2:
        raise UserError(f"Split '{whole}': the number of parties must be a whole number of at least 2, not '{text}'.")
    return int(text)


def _alpha(text: str, whole: str) -> float:
    try:
        alpha = float(text)
    except ValueError:
        alpha = math.nan
    if not (math.isfinite(alpha) and alpha > 0):
        raise UserError(f"Split '{whole}': ALPHA must be a number above 0, not '{text}'.")
    return alpha


def _fractions(text: str) -> tuple[float, ...]:
    try:
        values = [float(part) for part in text.split("/")]
    except ValueError:
        raise UserError(f"Split '{text}': the fractions must be numbers, for example 25/25/50.") from None
    if not all(math.isfinite(value) and value > 0 for value in values):
        raise UserError(f"Split '{text}': every fraction must be above 0.")
    total = math.fsum(values)
    if not any(math.isclose(total, whole, rel_tol=1e-6) for whole in (1, 100)):
        raise UserError(f"Split '{text}': the fractions sum to {total:g}; they must sum to 100 (or 1).")
    return tuple(value / total for value in values)


def _cuts(proportions: Vector, rows: int) -> Rows:
    """Where to cut ``rows`` rows so that the parts have these proportions, each rounded to whole rows."""
    return np.rint(np.cumsum(proportions)[:-1] * rows).astype(np.int64)


def _none_empty(parts: list[Rows], split: Split) -> list[Rows]:
    empty = [index + 1 for index, part in enumerate(parts) if not len(part)]
    if empty:
        rows = sum(len(part) for part in parts)
        raise UserError(f"Split '{split.text}' leaves party number {empty[0]} without a row: {rows} rows are too few.")
    return parts


def _draw(split: Split, spread: Callable[[Vector], list[Rows]], draws: int, rng: np.random.Generator) -> list[Rows]:
    """Draw Dirichlet proportions, ``(draws, parties)``, until every party holds a row."""
    assert split.parties is not None and split.alpha is not None
    for _ in range(MOST_DRAWS):
        parts = spread(rng.dirichlet(np.full(split.parties, split.alpha), size=draws))
        if all(len(part) for part in parts):
            return parts
    raise UserError(
        f"Split '{split.text}' left a party without a row in {MOST_DRAWS} draws: raise ALPHA or take fewer parties."
    )


def _spread_classes(classes: list[Rows], proportions: Vector, rng: np.random.Generator) -> list[Rows]:
    spread = [
        np.split(rng.permutation(members), _cuts(shares, len(members)))
        for members, shares in zip(classes, proportions, strict=True)
    ]
    return [np.concatenate(parts) for parts in zip(*spread, strict=True)]


def _by_value(split: Split, groups: Mapping[str, NDArray[Any]]) -> list[Rows]:
    """Parties from the values of a column, or of the given files."""
    name = GIVEN if split.kind == "given" else str(split.column)
    if name not in groups:
        if split.kind == "given":
            raise UserError("Split 'given' needs one file per party: give several data files, or choose another split.")
        known = sorted(set(groups) - {GIVEN})
        shown = ", ".join(known[:10]) + (", ..." if len(known) > 10 else "") if known else "none"
        raise UserError(f"Split '{split.text}': the data has no column '{name}' to split by; it has: {shown}.")
    values, codes, counts = np.unique(groups[name], return_inverse=True, return_counts=True)
    if split.kind == "column" and split.parties is not None:
        if split.parties > len(values):
            raise UserError(
                f"Split '{split.text}' asks for {split.parties} parties but '{name}' has {len(values)} values."
            )
        party_of_value = np.searchsorted(_contiguous_cuts(counts, split.parties), np.arange(len(values)), side="right")
        codes = party_of_value[codes]
    elif split.kind == "column" and not 2 <= len(values) <= MOST_VALUES:
        raise UserError(
            f"Split '{split.text}': '{name}' has {len(values)} values, one party each needs 2 to {MOST_VALUES}: "
            f"write column:{name}:PARTIES to group them."
        )
    return [np.flatnonzero(codes == party) for party in range(int(codes.max()) + 1)]


def _contiguous_cuts(counts: Rows, parties: int) -> list[int]:
    """Cut the values, in order, into ``parties`` groups of nearly equal row counts; returns each later group's first.

    Every cut takes the boundary between two values that lies nearest to its ideal row, and leaves a value for each
    of the groups still to come.
    """
    ends = np.cumsum(counts)
    cuts: list[int] = []
    for part in range(1, parties):
        first = (cuts[-1] if cuts else 0) + 1
        last = len(counts) - (parties - part)
        ideal = ends[-1] * part / parties
        cuts.append(first + int(np.argmin(np.abs(ends[first - 1 : last] - ideal))))
    return cuts
