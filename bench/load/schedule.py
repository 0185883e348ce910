"""When requests are due in an open loop: independent callers, so a Poisson process, after a ramp."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator


def due_times(rate: float, ramp: float, seconds: float, seed: int) -> Iterator[float]:
    """Give the seconds since the start at which requests are due, in order, up to ``ramp`` + ``seconds``.

    The rate (requests a second) grows evenly from 0 over ``ramp`` seconds and then stays. The times depend on nothing
    but the arguments: a slow service does not slow them. They are those of a Poisson process, drawn with unit rate and
    then stretched by the inverse of the expected number of requests so far (Lewis and Shedler 1979, "Simulation of
    nonhomogeneous Poisson processes by thinning", names the method in its introduction).
    """
    draw = random.Random(seed).expovariate  # noqa: S311
    in_ramp = rate * ramp / 2
    expected = draw(1.0)
    while True:
        # In the ramp, rate * t^2 / (2 * ramp) requests are expected until t.
        t = math.sqrt(2 * ramp * expected / rate) if expected < in_ramp else ramp + (expected - in_ramp) / rate
        if t >= ramp + seconds:
            return
        yield t
        expected += draw(1.0)
