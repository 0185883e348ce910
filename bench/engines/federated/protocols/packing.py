"""Signed numbers packed many to one integer, in slots wide enough for the sum of all parties.

A value x becomes the whole number round(x * 2^f) + L, which is not negative because |x| * 2^f may not exceed L. A slot
of b bits holds the sum of such numbers from K parties as 2 * K * L < 2^b; no carry ever reaches the next slot, and the
sum of m <= K of them is read back by taking m * L off. A value that could make the sum too large is refused by the
party that has it, before anything is sent. (Packing as in BatchCrypt, Zhang et al., USENIX ATC 2020, but in
fixed point that loses nothing to quantisation beyond the stated error.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil, isfinite

import numpy as np

from bench.model.logistic import Array

# A round's values: the sum of the parties' stays below 2^13 in magnitude, at least 34 bits behind the point.
_ROUND_MAGNITUDE_BITS = 13
_ROUND_MINIMUM_SLOT = 48
# Sums and sums of squares over rows of raw data: up to 6e23, and 144 bits behind the point, so that columns with a
# deviation of 1e-18 are still scaled right.
_WIDE_MAGNITUDE_BITS = 79
_WIDE_SLOT = 224
# More bits behind the point than this bring nothing to numbers that are float64.
_MAXIMUM_FRACTION_BITS = 80


class PackingError(ValueError):
    """A value that cannot be packed, or an integer that is no sum of packed values; the text says which and why."""


@dataclass(frozen=True)
class Packing:
    """How ``values`` numbers lie in integers below 2^(key_bits - 2); made by ``plan``.

    ``magnitude_bits``: the parties' sum stays below 2^magnitude_bits. ``parties``: at most so many are added.
    """

    values: int
    parties: int
    slot_bits: int
    slots: int
    magnitude_bits: int

    @property
    def integers(self) -> int:
        """How many integers, so ciphertexts, the values take."""
        return ceil(self.values / self.slots)

    @property
    def fraction_bits(self) -> int:
        """Bits behind the point; one bit of a slot is for the sign."""
        return self.slot_bits - 1 - self.magnitude_bits

    @cached_property
    def limit(self) -> float:
        """The magnitude that one party's value may have at most: 2^magnitude_bits / parties, rounded down."""
        limit = float(np.ldexp(float(self._offset), -self.fraction_bits))
        fits = int(np.ldexp(limit, self.fraction_bits)) <= self._offset
        return limit if fits else float(np.nextafter(limit, 0.0))

    @cached_property
    def _offset(self) -> int:
        """L of the module's text."""
        return ((1 << self.slot_bits - 1) - 1) // self.parties

    def error(self) -> float:
        """How far a sum over all parties may be from the sum of their numbers: each rounds by up to half a unit.

        Reading the sum as float64 adds its relative rounding of 2^-53.
        """
        return float(np.ldexp(float(self.parties), -self.fraction_bits - 1))

    def pack(self, vector: Array) -> list[int]:
        """Return the integers that hold ``vector`` (values,).

        Raises PackingError, naming the first value that is not finite or is above ``limit``.
        """
        if len(vector) != self.values:
            raise PackingError(f"{len(vector)} values where {self.values} are packed")
        with np.errstate(over="ignore"):  # infinity is refused
            scaled = np.rint(np.ldexp(vector, self.fraction_bits)).tolist()
        import gmpy2  # the report plans packings, and packs none

        numbers = [int(value) + self._offset if isfinite(value) else -1 for value in scaled]
        if min(numbers) < 0 or max(numbers) > 2 * self._offset:
            place = next(place for place, number in enumerate(numbers) if not 0 <= number <= 2 * self._offset)
            raise PackingError(
                f"value {place + 1} of {self.values} is {vector[place]:.6g}, where packing for the sum of "
                f"{self.parties} holds up to {self.limit:.6g}"
            )
        groups = (numbers[first : first + self.slots] for first in range(0, self.values, self.slots))
        return [int(gmpy2.pack(group, self.slot_bits)) for group in groups]

    def unpack(self, integers: Sequence[int], added: int) -> Array:
        """Return the values of a sum of the packed numbers of ``added`` parties: (values,).

        Raises PackingError when it cannot be such a sum.
        """
        if not 1 <= added <= self.parties or len(integers) != self.integers:
            raise PackingError(f"{len(integers)} integers of {added} parties, not {self.integers} of {self.parties}")
        import gmpy2

        numbers: list[int] = []
        for integer in integers:
            due = min(self.slots, self.values - len(numbers))
            slots = [int(slot) for slot in gmpy2.unpack(gmpy2.mpz(integer), self.slot_bits)]
            numbers += slots + [0] * (due - len(slots))
            if len(slots) > due or max(slots, default=0) > 2 * added * self._offset:
                raise PackingError(f"an integer that is no sum of {added} packed ones")
        middle = added * self._offset
        result: Array = np.ldexp([float(number - middle) for number in numbers], -self.fraction_bits)
        return result


def plan(kind: str, values: int, parties: int, key_bits: int) -> Packing:
    """Choose the packing of ``values`` numbers of a ``kind`` of sum: "round", or the set-up's "sums" and "squares".

    For a round: the fewest integers that slots of 48 bits allow, then the widest slots that these have room for, up to
    80 bits behind the point. The error is then at most parties * 2^-35. The set-up's slots are 224 bits wide, with an
    error of parties * 2^-145.
    """
    room = key_bits - 2
    if kind != "round":
        return Packing(values, parties, _WIDE_SLOT, room // _WIDE_SLOT, _WIDE_MAGNITUDE_BITS)
    integers = ceil(values / (room // _ROUND_MINIMUM_SLOT))
    slots = ceil(values / integers)
    widest = _MAXIMUM_FRACTION_BITS + _ROUND_MAGNITUDE_BITS + 1
    return Packing(values, parties, min(room // slots, widest), slots, _ROUND_MAGNITUDE_BITS)
