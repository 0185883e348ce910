"""Whether a service's memory grows under load."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

FEWEST = 10  # samples; fewer say nothing about growth
MOST = 600  # the fit looks at all pairs, so more are averaged over equal stretches first


def growth(seconds: Sequence[float], resident: Sequence[float]) -> dict[str, Any] | None:
    """Fit a line to resident memory (bytes) over time; None for fewer than 10 samples.

    Theil and Sen's slope: the median of the slopes between all pairs, which single steps of the allocator do not move
    (Sen 1968, "Estimates of the regression coefficient based on Kendall's tau"). Without an interval: his is for
    independent samples, and resident memory moves in steps.
    """
    from scipy.stats import theilslopes

    if len(seconds) < FEWEST:
        return None
    parts = np.array_split(np.arange(len(seconds)), min(len(seconds), MOST))
    y, x = (np.array([np.asarray(values, float)[part].mean() for part in parts]) for values in (resident, seconds))
    fit = theilslopes(y, x)
    return {
        "samples": len(seconds),
        "seconds": float(seconds[-1] - seconds[0]),
        "first_bytes": float(resident[0]),
        "last_bytes": float(resident[-1]),
        "highest_bytes": float(max(resident)),
        "bytes_per_minute": 60 * float(fit.slope),
    }
