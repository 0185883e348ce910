"""Numbers as whole numbers modulo a power of two, where sums are exact and a random mask hides all.

A number x is the whole number nearest to x 2^f, in two's complement, spread over 64-bit words (little-endian). Sums
wrap round and are right as long as the sum itself fits; each of K parties sees to that by refusing numbers beyond a
K-th of the range. Rounding moves each party's number by 2^-(f+1) at most, so a sum of K parties by K 2^-(f+1).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.model.logistic import Array

Words = NDArray[np.uint64]


class Format(NamedTuple):
    """How many 64-bit ``words`` a number takes, and how many bits of them are the ``fraction``."""

    words: int
    fraction: int

    @property
    def limit(self) -> float:
        """The sum of all parties must be below this in magnitude."""
        return 2.0 ** (64 * self.words - 1 - self.fraction)


# Gradients, weights and losses, each a mean: one word suffices, and an error of a sum is K 4.5e-13 at most.
NARROW = Format(1, 40)
# Sums over all rows of columns of nearly any scale, and of their squares: up to 2.6e33, with an error of K 2.2e-44, so
# that columns with a deviation of 1e-18 are still scaled right.
WIDE = Format(4, 144)


def format_of(kind: str) -> Format:
    """Return the format of a kind of sum."""
    return NARROW if kind == "round" else WIDE


def encode(values: Array, form: Format, parties: int) -> Words:
    """Return ``values`` (n,) as words (n, form.words).

    Raises OverflowError when one of them is beyond a ``parties``-th of the range, or is no number.
    """
    limit = form.limit / parties
    if not (np.abs(values) < limit).all():
        worst = values[np.argmax(np.where(np.isnan(values), np.inf, np.abs(values)))]
        raise OverflowError(
            f"the number {worst:.3g} does not fit into a sum of {parties} parties (below {limit:.3g} each); "
            "lower learning_rate, or rescale the columns"
        )
    scaled = values * 2.0**form.fraction  # exact: a power of two
    if form.words == 1:
        return np.rint(scaled).astype(np.int64).view(np.uint64).reshape(-1, 1)
    whole = b"".join(round(value).to_bytes(8 * form.words, "little", signed=True) for value in scaled.tolist())
    return np.frombuffer(whole, "<u8").astype(np.uint64, copy=False).reshape(-1, form.words)


def decode(words: Words, form: Format) -> Array:
    """Return the numbers (n,) that ``words`` (n, form.words) stand for."""
    if form.words == 1:
        return np.ldexp(words[:, 0].view(np.int64).astype(np.float64), -form.fraction)
    whole = [int.from_bytes(row.astype("<u8").tobytes(), "little", signed=True) for row in words]
    return np.array([value / 2**form.fraction for value in whole])


def add(one: Words, other: Words) -> Words:
    """Return the sums of two arrays of words (n, words), modulo 2^(64 words)."""
    total = one + other
    if one.shape[1] > 1:
        carry = np.zeros(len(one), dtype=np.uint64)
        for word in range(one.shape[1]):
            overflowed = total[:, word] < one[:, word]
            total[:, word] += carry
            carry = (overflowed | (total[:, word] < carry)).astype(np.uint64)
    return total


def negate(words: Words) -> Words:
    """Return what added to ``words`` (n, words) gives zero."""
    one = np.zeros_like(words)
    one[:, 0] = 1
    return add(~words, one)


def from_bytes(raw: bytes, form: Format) -> Words:
    """Return the words (n, form.words) that ``raw`` holds, little-endian."""
    return np.frombuffer(raw, "<u8").astype(np.uint64, copy=False).reshape(-1, form.words)


def to_bytes(words: Words) -> bytes:
    """Return the words little-endian, as ``from_bytes`` takes them."""
    return words.astype("<u8", copy=False).tobytes()
