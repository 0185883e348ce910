"""Names of steps and operations that a privacy mode and its protocol share; pages show those of operations."""

from __future__ import annotations

from bench.i18n.language import gettext_noop

# Steps
KEYS = "keys"
RENEW = "renew"
INPUT = "input"
UNMASK = "unmask"

# Operations of Paillier's cryptosystem
ENCRYPT = gettext_noop("encrypt")
DECRYPT = gettext_noop("decrypt")
ADD = gettext_noop("add")
MULTIPLY = gettext_noop("multiply")

# Operations of secure aggregation
MASK = gettext_noop("mask, a number")
AGREE = gettext_noop("agree on a secret")
MAKE = gettext_noop("make a key pair")
SHARE = gettext_noop("share, a term")
SEAL = gettext_noop("seal or open")
JOIN = gettext_noop("join shares, a term")
