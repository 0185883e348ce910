"""Whether a service's memory grows under load."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

FEWEST = 10  # samples; fewer say nothing about growth


def growth(seconds: Sequence[float], resident: Sequence[float]) -> dict[str, Any] | None:
    """Fit a line to resident memory (bytes) over time; None for fewer than 10 samples.

    Theil and Sen's slope: the median of the slopes between all pairs, which single steps of the allocator do not move
    (Sen 1968, "Estimates of the regression coefficient based on Kendall's tau"), with its 95 % interval.
    """
    from scipy.stats import theilslopes

    if len(seconds) < FEWEST:
        return None
    fit = theilslopes(np.asarray(resident, float), np.asarray(seconds, float))
    return {
        "samples": len(seconds),
        "seconds": float(seconds[-1] - seconds[0]),
        "first_bytes": float(resident[0]),
        "last_bytes": float(resident[-1]),
        "highest_bytes": float(max(resident)),
        "bytes_per_minute": 60 * float(fit.slope),
        "bytes_per_minute_low": 60 * float(fit.low_slope),
        "bytes_per_minute_high": 60 * float(fit.high_slope),
    }
