"""A privacy mode: parties round what they send."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bench.engines.contract import Visibility
from bench.engines.federated.contract import PrivacyMode, Protocol, Setup, Shape, Talk
from bench.engines.federated.privacy.plain import MODE as PLAIN
from bench.engines.federated.protocols.plain import PlainProtocol
from bench.engines.training import AllReduce
from bench.errors import UserError
from bench.model.logistic import Array, Training


class RoundedProtocol(PlainProtocol):
    """The two sides of mode plain, over rounded gradients."""

    def party(self, setup: Setup, talk: Talk) -> AllReduce:
        """Join, and return the function that rounds a vector and returns the sum over all parties."""
        add_up, digits = super().party(setup, talk), setup.options["digits"]

        def all_reduce(kind: str, vector: Array) -> Array:
            if kind == "round":
                with setup.recorder.span("encrypt"):
                    vector = np.round(vector, digits)
                    setup.recorder.count("round", len(vector))
            return add_up(kind, vector)

        return all_reduce


class Rounded(PrivacyMode):
    """The arbiter sees gradients with a few digits only."""

    name, protects = "rounded", True
    description = "parties round what they send"
    options = {"digits": 6}
    visibility = Visibility(
        arbiter="every party's rounded gradient",
        parties="the sum of the rounded gradients",
        assumptions="the digits that are left tell little of rows",
    )

    def protocol(self) -> Protocol:
        """Return its two sides."""
        return RoundedProtocol()

    def check(self, options: Mapping[str, Any], training: Training, parties: int | None) -> None:
        """Refuse digits that are no number of digits."""
        if not isinstance(options["digits"], int) or not 1 <= options["digits"] <= 15:
            raise UserError(f"privacy_options.digits: {options['digits']!r} is not a whole number from 1 to 15")

    def sizes(self, shape: Shape, options: Mapping[str, Any]) -> tuple[float, float]:
        """Return the bytes of the messages of one party a round, those of mode plain."""
        return PLAIN.sizes(shape, options)
