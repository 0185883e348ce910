from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.engines.federated.privacy.packing import Packing, PackingError, plan

KEY_BITS = st.sampled_from([1024, 2048, 3072])
PARTIES = st.sampled_from([1, 2, 3, 30, 100])


@st.composite
def packings(draw: st.DrawFn) -> Packing:
    kind = draw(st.sampled_from(["round", "sums", "squares"]))
    return plan(kind, draw(st.integers(1, 120)), draw(PARTIES), draw(KEY_BITS))


@st.composite
def numbers_of_parties(draw: st.DrawFn) -> tuple[Packing, list[np.ndarray[tuple[int], np.dtype[np.float64]]]]:
    """A packing and what some of its parties pack: mostly the extremes, where carries would show."""
    packing = draw(packings())
    extremes = st.sampled_from([0.0, -0.0, packing.limit, -packing.limit, 2.0**-40, -(2.0**-40)])
    values = st.one_of(extremes, st.floats(-packing.limit, packing.limit))
    distinct = draw(
        st.lists(st.lists(values, min_size=packing.values, max_size=packing.values), min_size=1, max_size=3)
    )
    added = draw(st.integers(1, packing.parties))
    return packing, [np.array(distinct[party % len(distinct)]) for party in range(added)]


@given(numbers_of_parties())
@settings(deadline=None, max_examples=60)
def test_sums_of_packed_numbers_are_sums(case: tuple[Packing, list[np.ndarray]]) -> None:
    packing, vectors = case
    packed = [packing.pack(vector) for vector in vectors]
    summed = [sum(column) for column in zip(*packed, strict=True)]
    for number, exact in zip(packing.unpack(summed, len(vectors)), zip(*vectors, strict=True), strict=True):
        due = sum(map(Fraction, exact))
        assert abs(Fraction(number) - due) <= Fraction(packing.error()) + abs(due) / 2**53
    assert len(packed[0]) == packing.integers


@given(packings())
@settings(deadline=None)
def test_the_largest_sum_fits_the_key(packing: Packing) -> None:
    largest = packing.pack(np.full(packing.values, packing.limit))
    assert all(packing.parties * integer < 2 ** (key_bits_of(packing) - 2) for integer in largest)


def key_bits_of(packing: Packing) -> int:
    return min(bits for bits in (1024, 2048, 3072) if packing.slots * packing.slot_bits <= bits - 2)


def test_a_round_of_37_features_is_one_ciphertext() -> None:
    packing = plan("round", 40, 3, 2048)
    assert packing.integers == 1
    assert packing.error() <= 3 * 2**-35


@given(packings(), st.data())
@settings(deadline=None)
def test_what_would_overflow_is_refused(packing: Packing, data: st.DataObject) -> None:
    beyond = packing.limit * (1 + 2**-40) + 2.0 ** (1 - packing.fraction_bits)
    value = data.draw(st.sampled_from([beyond, -beyond, 1e300, -1e300, math.inf, -math.inf, math.nan]))
    place = data.draw(st.integers(0, packing.values - 1))
    vector = np.zeros(packing.values)
    vector[place] = value
    with pytest.raises(PackingError, match=rf"value {place + 1} of {packing.values} is "):
        packing.pack(vector)


def test_what_is_no_sum_is_refused() -> None:
    packing = plan("round", 40, 3, 2048)
    packed = packing.pack(np.full(40, packing.limit))
    for integers, added in ((packed, 0), (packed, 4), ([], 1), ([3 * packed[0]], 2), ([packed[0] << 60], 3)):
        with pytest.raises(PackingError):
            packing.unpack(integers, added)
