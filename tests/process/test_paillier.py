from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import pytest
from helpers import LIMIT, dataset

from bench.data import split
from bench.data.prepare import Balance, prepare
from bench.engines.contract import Job, Outcome
from bench.engines.federated.contract import Shape
from bench.engines.federated.privacy.paillier import MODE as PAILLIER
from bench.engines.registry import ENGINES
from bench.errors import CaseError
from bench.model.logistic import Training

Train = Callable[..., Outcome]
SHORT = {"key_bits": 1024}


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> Train:
    """Return a function that trains the federated engine under a privacy mode."""
    rows = prepare(dataset(), split.parse("25/25/50"), Balance("none"), 0.3, 1, tmp_path_factory.mktemp("rows"))

    def run(privacy: str, options: dict[str, Any], **settings: Any) -> Outcome:
        training = Training(**{"epochs": 6, **settings})
        folder = tmp_path_factory.mktemp("job")
        return ENGINES["federated"].train(Job(training, privacy, options, rows, dataset().features, 1, folder, LIMIT))

    return run


def test_training_is_that_of_plain(train: Train) -> None:
    plain, encrypted = train("plain", {}), train("paillier", SHORT)
    assert encrypted.losses == pytest.approx(plain.losses, abs=1e-9)
    assert encrypted.models[0].weights == pytest.approx(plain.models[0].weights, abs=1e-9)
    assert encrypted.models[0].deviations == pytest.approx(plain.models[0].deviations, rel=1e-12)
    assert list(map(str, encrypted.notes)) == ["a key of 1024 bits is too short to protect data; use 2048 or more"]


def test_operations_and_bytes_are_as_computed(train: Train) -> None:
    shape, traces = Shape(3, 5), train("paillier", SHORT, epochs=3).parties
    for trace in traces:
        side: Literal["party", "arbiter"] = "arbiter" if trace.role == "arbiter" else "party"
        done = {operation: n for (epoch, operation), n in trace.recorder.counts.items() if epoch == 3}
        assert done == PAILLIER.operations(shape, SHORT, side)
        carried = [span for span in trace.recorder.spans if span.epoch == 3 and span.phase == "transfer"]
        sent, received = PAILLIER.sizes(shape, SHORT)
        for span in carried:
            assert span.bytes_sent == pytest.approx(sent, abs=4)
            assert span.bytes_received == pytest.approx(received, abs=4)
    assert {operation for trace in traces for operation in trace.operations} == {"encrypt", "decrypt", "add"}


def test_weights_too_large_for_the_packing_are_refused(train: Train) -> None:
    with pytest.raises(CaseError, match=r"^party \d+ \(\w+\): cannot encrypt its round: value .* lower learning_rate$"):
        train("paillier", SHORT, aggregation="fedavg", optimiser="sgd", learning_rate=1e6)
