"""Mode ``dp``: differential privacy by clipping and Gaussian noise, added by each party before anything leaves it.

With ``protects: row`` each row's gradient is clipped to a Euclidean norm of ``clip`` before a party adds them up (Abadi
et al. 2016, full batches): what one row holds is hidden from everybody but its own party, the arbiter included, and
nobody else need be trusted. With ``protects: party`` a party's whole update, its mean gradient, is clipped, so that
what all its rows hold together is hidden; few parties' noise does not average out, so this costs far more accuracy. In
both, one may be exchanged for another, as numbers of rows are known: that moves what is sent by ``2 clip`` at most, and
the noise has a standard deviation of ``noise_multiplier * 2 clip``.

All rounds together are one Gaussian mechanism with a noise multiplier smaller by the root of their number (Dong et al.
2022, corollary 3.3), so its exact (epsilon, delta) is known (Balle and Wang 2018): computed by the library
``dp-accounting``. Not covered: the means and standard deviations that scale the columns, and the number of rows. They
are shared exactly, as in mode plain. The loss is not shared. The noise is from NumPy's generator, seeded by the system:
good enough to measure what noise costs, but no cryptographic generator, nor hardened against attacks on floating-point
noise (Mironov 2012).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bench.engines import training as loop
from bench.engines.contract import Visibility
from bench.engines.federated.contract import PrivacyMode, Protocol, Setup, Shape
from bench.engines.federated.privacy.plain import MODE as PLAIN
from bench.engines.federated.protocols.plain import PlainProtocol
from bench.engines.training import AllReduce
from bench.errors import UserError
from bench.i18n.language import gettext_noop
from bench.i18n.messages import Message
from bench.model import logistic
from bench.model.logistic import Array, Sums, Training

GUARANTEE = {
    "row": Message(
        "dp_guarantee_row",
        gettext_noop(
            "({epsilon}, {delta})-differential privacy of a row over all rounds, noise multiplier {noise} a round; the "
            "columns' means and standard deviations and the number of rows are shared exactly and are not covered"
        ),
    ),
    "party": Message(
        "dp_guarantee_party",
        gettext_noop(
            "({epsilon}, {delta})-differential privacy of a party over all rounds, noise multiplier {noise} a round; "
            "the columns' means and standard deviations and the number of rows are shared exactly and are not covered"
        ),
    ),
}
DELTA_TOO_LARGE = Message(
    "dp_delta_too_large",
    gettext_noop("{who}: delta {delta} is not below 1 / {rows} rows: a row could be given away whole"),
)


class DpProtocol(PlainProtocol):
    """The two sides of mode ``plain``, over clipped sums with noise."""

    def train(
        self, setup: Setup, X: Array, y: Array, training: Training, seed: int, all_reduce: AllReduce
    ) -> dict[str, Any]:
        """Train as in mode plain, from clipped sums with noise."""
        options = setup.options
        noise, clip = np.random.default_rng(), options["clip"]  # not from the run's seed: nobody else may know it
        deviation, norms = options["noise_multiplier"] * 2.0 * clip, np.empty(0)

        def row_sums(X: Array, y: Array, weights: Array) -> Sums:
            nonlocal norms
            if not len(norms):  # X is scaled by now, and stays
                norms = np.sqrt(np.einsum("ij,ij->i", X, X) + 1.0)
            gradient = logistic.loss_and_gradient(X, y, weights, logistic.Clip(norms, clip)).gradient
            return Sums(0.0, gradient + noise.normal(0.0, deviation, len(gradient)))

        def party_sums(X: Array, y: Array, weights: Array) -> Sums:
            mean = logistic.loss_and_gradient(X, y, weights).gradient / len(y)
            mean *= min(1.0, clip / max(float(np.linalg.norm(mean)), 1e-300))
            mean += noise.normal(0.0, deviation, len(mean))
            return Sums(0.0, mean * len(y))

        sums = row_sums if options["protects"] == "row" else party_sums
        result = loop.train(X, y, training, seed, setup.who, setup.recorder, all_reduce, sums)
        if options["protects"] == "row" and options["delta"] * len(y) >= 1:
            result["notes"] = [DELTA_TOO_LARGE.of(who=setup.who, delta=f"{options['delta']:g}", rows=len(y))]
        return result


class Dp(PrivacyMode):
    """Differential privacy by each party's own noise."""

    name, protects, order = "dp", True, 50
    description = "parties clip gradients and add Gaussian noise (differential privacy)"
    options = {"epsilon": 1.0, "delta": 1e-6, "clip": 1.0, "protects": "row"}
    cost_options = ("protects",)
    visibility = Visibility(
        arbiter=gettext_noop(
            "every party's gradients under noise: of what one row (or one party) holds, no more than epsilon and delta "
            "allow. Exactly: sums and squares of each party's columns, once, and its number of rows"
        ),
        parties=gettext_noop(
            "the sum of the gradients under noise, so the common model of each round. Exactly: the common means and "
            "standard deviations"
        ),
        assumptions=gettext_noop(
            "nobody is trusted with a row in the rounds; the sums for the scaling are not covered"
        ),
    )

    def protocol(self) -> Protocol:
        """Return its two sides."""
        return DpProtocol()

    def check(self, options: Mapping[str, Any], training: Training, parties: int | None) -> None:
        """Refuse what gives no guarantee, and training whose releases are not one clipped sum a round."""
        for name, largest in (("epsilon", 1e7), ("delta", 1.0), ("clip", np.inf)):
            value = options[name]
            good = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < largest
            if not good:
                upper = "" if largest == np.inf else f" and below {largest:g}"
                raise UserError(f"privacy_options.{name}: {value!r} is not a number above 0{upper}")
        if options["protects"] not in ("row", "party"):
            raise UserError(f"privacy_options.protects: {options['protects']!r} is not one of row, party")
        if training.aggregation != "fedsgd":
            raise UserError("privacy: dp adds noise to gradients; use aggregation: fedsgd")
        if training.tolerance:
            raise UserError("training.tolerance: with dp the loss is not shared, so it cannot stop the training; use 0")

    def resolve(self, options: Mapping[str, Any], training: Training) -> dict[str, Any]:
        """Return the options with the ``noise_multiplier`` that meets (epsilon, delta) over all rounds."""
        from dp_accounting import gaussian_mechanism  # takes a second to import

        one_release = gaussian_mechanism.get_sigma_gaussian(options["epsilon"], options["delta"])
        return {**options, "noise_multiplier": float(np.sqrt(training.rounds) * one_release)}

    def notes(self, options: Mapping[str, Any]) -> list[Message]:
        """Say what the guarantee is, and what it does not cover."""
        guarantee = GUARANTEE[options["protects"]]
        numbers = {"epsilon": f"{options['epsilon']:g}", "delta": f"{options['delta']:g}"}
        return [guarantee.of(**numbers, noise=f"{options['noise_multiplier']:.4g}")]

    def sizes(self, shape: Shape, options: Mapping[str, Any]) -> tuple[float, float]:
        """Return the bytes of the messages of one party a round, those of mode ``plain``."""
        return PLAIN.sizes(shape, options)


MODE = Dp()
