"""The privacy modes of the embedded engine by name: those of the kit, and those that other distributions bring."""

from __future__ import annotations

from bench.engines.federated.contract import GROUP, PrivacyMode
from bench.plugins import discover

MODES = discover("bench.engines.federated.privacy", PrivacyMode, GROUP)
