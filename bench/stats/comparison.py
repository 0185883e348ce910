"""How two samples of repeats stand to each other: ratios or differences with their 95 % intervals, or no verdict."""

from __future__ import annotations

import math
import string
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

CONFIDENCE = 0.95

LEAST_VALUES = 3

# Values closer than this (relative) are one value: sums taken in another order differ in the last digits.
ROUNDING = 1e-9

NO_DIFFERENCE = "no difference beyond the spread"

TOO_FEW = f"cannot tell (fewer than {LEAST_VALUES} values on a side)"

IDENTICAL = "identical"

NO_SPREAD = "differs (no spread on either side)"

SAME_GAP = "differs (by the same in every repeat)"

PAIRED = "paired"

WELCH = "Welch"

# What the base and the other runs are called.
NAMES = string.ascii_uppercase

BASE = NAMES[0]

# What B is called when its figure is the larger or the smaller one.
WORDS = {
    "s": ("slower", "faster"),
    "B": ("more", "fewer"),
    "B of memory": ("more", "less"),
    "": ("higher", "lower"),
}


@dataclass(frozen=True)
class Relation:
    """How B stands to A: ``estimate`` is a ratio B/A or a difference B-A, with a 95 % interval where one exists.

    ``verdict`` is one of the constants above or a word of WORDS; ``test`` is the test whose interval decided it
    (PAIRED or WELCH), or None where none did.
    """

    kind: str
    verdict: str
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    test: str | None = None

    @property
    def sign(self) -> int:
        """Of a difference: 1 or -1 where the whole interval lies above or below zero, else 0."""
        if self.low is None or self.high is None:
            return 0
        return 1 if self.low > 0 else -1 if self.high < 0 else 0


def relate(
    a: Sequence[float],
    b: Sequence[float],
    unit: str,
    paired: bool = False,
    name: str = "B",
    overlap: float = 0.0,
) -> Relation:
    """Say how the values ``b`` stand to the values ``a`` (one value per repeat each, in base units).

    ``unit`` is a key of WORDS. Seconds, bytes and memory give a ratio unless a value is zero, scores a difference.
    ``paired`` says that the values at the same place belong together: then their differences (of the logarithms) are
    tested by Student's t. Otherwise it is Welch's test, which does not assume equal variances; see B. L. Welch,
    Biometrika 34 (1947), 28-35. ``name`` is what the run of ``b`` is called in the verdict.

    ``overlap`` is test rows / training rows where each repeat draws both anew from the same rows: such repeats are not
    independent, and the variance of a paired mean is (1/n + overlap) s^2 instead of s^2/n; see C. Nadeau and Y. Bengio,
    Machine Learning 52 (2003), 239-281.
    """
    as_ratio = unit != "" and min((*a, *b), default=0.0) > 0
    kind = "ratio" if as_ratio else "difference"
    if not a or not b:
        where = "either" if not (a or b) else name if a else BASE
        return Relation(kind, f"cannot tell (not measured in {where})")
    if min(len(a), len(b)) < LEAST_VALUES:
        return Relation(kind, TOO_FEW)
    x, y = (np.log(a), np.log(b)) if as_ratio else (np.asarray(a), np.asarray(b))
    tolerance = ROUNDING if as_ratio else ROUNDING * max(abs(value) for value in (*a, *b))
    if all(np.ptp(values) <= tolerance for values in ((y - x,) if paired else (x, y))):
        return _relate_constants(a[0], b[0], kind, SAME_GAP if paired else NO_SPREAD)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # one side without spread is fine: the other one has some
        test = stats.ttest_1samp(y - x, 0.0) if paired else stats.ttest_ind(y, x, equal_var=False)
        interval = test.confidence_interval(CONFIDENCE)
    mean = float(np.mean(y) - np.mean(x))
    wider = math.sqrt(1 + overlap * len(a)) if paired else 1.0
    numbers = [mean, *(mean + wider * (float(end) - mean) for end in (interval.low, interval.high))]
    more, less = WORDS[unit]
    verdict = more if numbers[1] > 0 else less if numbers[2] < 0 else NO_DIFFERENCE
    with np.errstate(over="ignore"):  # values many powers of ten apart give an interval without an upper end
        estimate, low, high = (float(np.exp(value)) for value in numbers) if as_ratio else numbers
    return Relation(kind, verdict, estimate, low, high, PAIRED if paired else WELCH)


def _relate_constants(a: float, b: float, kind: str, differs: str) -> Relation:
    """Two deterministic values are the same or not; there is nothing to estimate an interval from."""
    estimate = b / a if kind == "ratio" else b - a
    same = abs(b - a) <= ROUNDING * max(abs(a), abs(b))
    return Relation(kind, IDENTICAL if same else differs, estimate)
