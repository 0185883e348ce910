"""The engines by name: those of the kit, and those that other distributions bring."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.engines.contract import GROUP, Engine, Privacy
from bench.errors import UserError
from bench.model.logistic import Training
from bench.plugins import Found, discover

ENGINES = discover("bench.engines", Engine, GROUP, inside="engine")


def check(
    engine: str, privacy: str, privacy_options: Mapping[str, Any], training: Training, parties: int | None
) -> dict[str, Any]:
    """Refuse what an engine cannot do; return the privacy options with their defaults.

    ``parties`` is None where only the data can tell. Raises UserError naming the setting and the choices.
    """
    chosen = ENGINES.choose(engine, "engine")
    modes = chosen.privacy_modes
    if isinstance(modes, Found) and privacy in modes.refused:
        raise UserError(f"privacy: {modes.refused[privacy]}")
    if privacy not in modes:
        choices = ", ".join(modes)
        raise UserError(f"privacy: {privacy!r} is not available with engine {engine}; choose from {choices}")
    if training.solver not in chosen.solvers:
        able = ", ".join(name for name, other in ENGINES.items() if training.solver in other.solvers)
        raise UserError(f"training.solver: {training.solver!r} is not for engine {engine}; it is for {able}")
    if parties is not None:
        check_parties(engine, parties)
    chosen.check_training(training)
    return chosen.resolve_options(privacy, privacy_options, training, parties)


def check_parties(engine: str, parties: int) -> None:
    """Raise UserError where an engine cannot train with so many parties."""
    least, most = ENGINES[engine].parties
    if parties < least or (most is not None and parties > most):
        bounds = f"at least {least}" if most is None else f"{least} to {most}"
        raise UserError(f"split: engine {engine} trains with {bounds} parties, not {parties}")


def mode(engine: str | None, privacy: str | None) -> Privacy | None:
    """Return the privacy mode of an engine; None where the kit does not know it (any more)."""
    known = ENGINES.get(engine or "")
    return known.privacy_modes.get(privacy or "") if known else None
