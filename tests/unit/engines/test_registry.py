"""What an engine says of itself."""

from __future__ import annotations

import pytest

from bench.engines import registry
from bench.errors import UserError
from bench.model.logistic import Training


def test_what_an_engine_cannot_do_is_refused() -> None:
    with pytest.raises(UserError, match="'spark' is unknown; choose from centralised, local, federated"):
        registry.check("spark", "plain", {}, Training(), 3)
    with pytest.raises(UserError, match="'paillier' is not available with engine centralised"):
        registry.check("centralised", "paillier", {}, Training(), 3)
