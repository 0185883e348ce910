"""How two samples of repeats stand to each other: ratios or differences with their 95 % intervals, or no verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit  # scipy.stats takes two seconds to import

Array = NDArray[np.float64]

CONFIDENCE = 0.95
LEAST_VALUES = 3

# Values closer than this (relative) are one value: sums taken in another order differ in the last digits.
ROUNDING = 1e-9

Unit = Literal["s", "B", "B of memory", ""]
"""What is compared: seconds, bytes, bytes of memory, or a score."""

Verdict = Literal[
    "slower",
    "faster",
    "more",
    "fewer",
    "less",
    "higher",
    "lower",
    "not significant",
    "identical",
    "differs",
    "differs by a constant",
    "too few values",
    "not measured",
]
"""What is called: the first seven where the whole interval is on one side; "differs" where neither side varies, and
"differs by a constant" where the pairs do not. bench.stats.formatting.verdict says it in words."""

UNKNOWN: tuple[Verdict, ...] = ("too few values", "not measured")
"""Verdicts without an estimate."""

# What B is called when its figure is the larger or the smaller one.
WORDS: dict[Unit, tuple[Verdict, Verdict]] = {
    "s": ("slower", "faster"),
    "B": ("more", "fewer"),
    "B of memory": ("more", "less"),
    "": ("higher", "lower"),
}


@dataclass(frozen=True)
class Comparison:
    """How B stands to A: ``estimate`` is a ratio B/A or a difference B-A, with a 95 % interval where one exists.

    ``test`` is the test whose interval decided the verdict; None where none did. ``missing`` names the sides ("a",
    "b") without values.
    """

    kind: Literal["ratio", "difference"]
    verdict: Verdict
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    test: Literal["paired", "Welch"] | None = None
    missing: str = ""

    @property
    def interval(self) -> tuple[float, float] | None:
        """The ends of the 95 % interval; None where there is none."""
        return None if self.low is None or self.high is None else (self.low, self.high)

    @property
    def sign(self) -> int:
        """1 or -1 where the whole interval lies above or below the value of no difference (1, or 0), else 0."""
        if self.interval is None:
            return 0
        neutral = 1.0 if self.kind == "ratio" else 0.0
        low, high = self.interval
        return 1 if low > neutral else -1 if high < neutral else 0


def compare_samples(
    a: Sequence[float], b: Sequence[float], unit: Unit, paired: bool = False, overlap: float = 0.0
) -> Comparison:
    """Say how the values ``b`` stand to the values ``a`` (one value per repeat each, in base units).

    ``unit`` is a key of WORDS. Seconds, bytes and memory give a ratio unless a value is zero, scores a difference.
    ``paired`` says that the values at the same place belong together: then their differences (of the logarithms) are
    tested by Student's t. Otherwise it is Welch's test, which does not assume equal variances; see B. L. Welch,
    Biometrika 34 (1947), 28-35.

    ``overlap`` is test rows / training rows where each repeat draws both anew from the same rows: such repeats are not
    independent, and the variance of a paired mean is (1/n + overlap) s^2 instead of s^2/n; see C. Nadeau and Y. Bengio,
    Machine Learning 52 (2003), 239-281.
    """
    as_ratio = unit != "" and min((*a, *b), default=0.0) > 0
    kind: Literal["ratio", "difference"] = "ratio" if as_ratio else "difference"
    if not a or not b:
        return Comparison(kind, "not measured", missing=("" if a else "a") + ("" if b else "b"))
    if min(len(a), len(b)) < LEAST_VALUES:
        return Comparison(kind, "too few values")
    x, y = (np.log(a), np.log(b)) if as_ratio else (np.asarray(a), np.asarray(b))
    tolerance = ROUNDING if as_ratio else ROUNDING * max(abs(value) for value in (*a, *b))
    if all(np.ptp(values) <= tolerance for values in ((y - x,) if paired else (x, y))):
        return _compare_constants(a[0], b[0], kind, "differs by a constant" if paired else "differs")
    mean = float(np.mean(y) - np.mean(x))
    half = math.sqrt(1 + overlap * len(a)) * _half_of_paired(y - x) if paired else _half_of_welch(x, y)
    numbers = [mean, mean - half, mean + half]
    more, less = WORDS[unit]
    verdict = more if numbers[1] > 0 else less if numbers[2] < 0 else "not significant"
    with np.errstate(over="ignore"):  # values many powers of ten apart give an interval without an upper end
        estimate, low, high = (float(np.exp(value)) for value in numbers) if as_ratio else numbers
    return Comparison(kind, verdict, estimate, low, high, "paired" if paired else "Welch")


def _half_of_paired(differences: Array) -> float:
    """Return half the width of the interval of the mean of ``differences`` (n,), by Student's t."""
    n = len(differences)
    return float(stdtrit(n - 1, (1 + CONFIDENCE) / 2) * np.std(differences, ddof=1)) / math.sqrt(n)


def _half_of_welch(x: Array, y: Array) -> float:
    """Return half the width of the interval of the difference of the means of ``x`` (n,) and ``y`` (m,).

    The degrees of freedom are those of Welch's equation 22 (Satterthwaite's approximation).
    """
    errors = [float(np.std(values, ddof=1)) / math.sqrt(len(values)) for values in (x, y)]
    largest = max(errors)
    if largest == 0:  # the values differ by less than a standard deviation can hold
        return 0.0
    shares = [(error / largest) ** 2 for error in errors]  # squares of the errors themselves could vanish
    freedom = sum(shares) ** 2 / sum(share**2 / (len(values) - 1) for share, values in zip(shares, (x, y), strict=True))
    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * math.sqrt(sum(shares)) * largest


def _compare_constants(a: float, b: float, kind: Literal["ratio", "difference"], differs: Verdict) -> Comparison:
    """Two deterministic values are the same or not; there is nothing to estimate an interval from."""
    estimate = b / a if kind == "ratio" else b - a
    same = abs(b - a) <= ROUNDING * max(abs(a), abs(b))
    return Comparison(kind, "identical" if same else differs, estimate)
