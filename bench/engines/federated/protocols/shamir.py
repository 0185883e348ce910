"""Shamir's secret sharing (Shamir 1979) of 32-byte secrets: any ``threshold`` shares give the secret, fewer nothing."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

# The smallest prime above 2^256, so that every 32-byte secret is an element of the field.
PRIME = 2**256 + 297
SHARE_BYTES = 33


def least_parties(options: Mapping[str, Any], parties: int) -> int:
    """Return how many of ``parties`` must be left for a sum: by default more than half, and at least two."""
    return int(options["threshold"] or max(2, parties // 2 + 1))


def split(secret: bytes, threshold: int, places: Sequence[int]) -> list[bytes]:
    """Return a share of the 32-byte ``secret`` for each place (whole numbers from 1 on), SHARE_BYTES each."""
    coefficients = [secrets.randbelow(PRIME) for _ in range(threshold - 1)]
    constant = int.from_bytes(secret, "little")
    shares = []
    for place in places:
        value = 0
        for coefficient in coefficients:
            value = (value + coefficient) * place % PRIME
        shares.append(((value + constant) % PRIME).to_bytes(SHARE_BYTES, "little"))
    return shares


def join(shares: Mapping[int, bytes]) -> bytes:
    """Return the secret from the shares of at least ``threshold`` places; from fewer, or wrong ones, a random value."""
    weights = _weights(tuple(shares))
    total = sum(w * int.from_bytes(share, "little") for w, share in zip(weights, shares.values(), strict=True)) % PRIME
    return (total % 2**256).to_bytes(32, "little")


@lru_cache(maxsize=64)
def _weights(places: tuple[int, ...]) -> tuple[int, ...]:
    """Return Lagrange's weights at zero: the same for every secret of a round."""
    weights = []
    for place in places:
        above = below = 1
        for other in places:
            if other != place:
                above = above * other % PRIME
                below = below * (other - place) % PRIME
        weights.append(above * pow(below, -1, PRIME) % PRIME)
    return tuple(weights)
