"""Mode ``plain``: the arbiter adds up what the parties send, and sees it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.engines.contract import Visibility
from bench.engines.federated import wire
from bench.engines.federated.contract import PrivacyMode, Protocol, Shape
from bench.engines.federated.protocols.plain import PlainProtocol
from bench.i18n.language import gettext_noop


class Plain(PrivacyMode):
    """No protection: what the others are compared with."""

    name, protects, order = "plain", False, 10
    description = "parties send their sums as they are"
    visibility = Visibility(
        arbiter=gettext_noop(
            "every party's gradient (or weights) and loss of each round, its number of rows, and the sums and squares "
            "of its columns"
        ),
        parties=gettext_noop("the sum over all parties, so the common model of each round"),
        assumptions=gettext_noop("everybody trusts the arbiter with what gradients tell of rows"),
    )

    def protocol(self) -> Protocol:
        """Return its two sides."""
        return PlainProtocol()

    def sizes(self, shape: Shape, options: Mapping[str, Any]) -> tuple[float, float]:
        """Return the bytes of the messages of one party a round, (sent, received)."""
        body = 8 * wire.lengths(shape.features)[wire.ROUND]
        return wire.size_of_message(wire.ROUND, body), wire.size_of_answer(body)


MODE = Plain()
