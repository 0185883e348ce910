"""The privacy modes of the embedded engine by name: those of the kit, and those that other distributions bring."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.engines.federated.contract import GROUP, PrivacyMode
from bench.errors import UserError
from bench.model.logistic import Training
from bench.plugins import discover

MODES = discover("bench.engines.federated.privacy", PrivacyMode, GROUP)


def resolve_options(name: str, options: Mapping[str, Any], training: Training, parties: int | None) -> dict[str, Any]:
    """Return the mode's options with its defaults in place.

    ``parties`` is None where only the data can tell. Raises UserError naming the option and what may stand there.
    """
    mode = MODES[name]
    unknown = set(options) - set(mode.options)
    if unknown:
        offered = f"choose from {', '.join(mode.options)}" if mode.options else "it has none"
        raise UserError(f"privacy_options: {sorted(unknown)[0]!r} is no option of {name}; {offered}")
    settings = {**mode.options, **options}
    mode.check(settings, training, parties)
    return settings
