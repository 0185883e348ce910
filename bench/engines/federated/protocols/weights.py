"""How weights lie in the plaintexts of mode ``paillier_host``."""

from __future__ import annotations

# Bits behind the point of a weight that the arbiter has encrypted, and of the numbers that a host multiplies it by.
START_BITS = 48
FACTOR_BITS = 32
# No weight that the arbiter encrypts is larger than 2^13 in magnitude; while a host trains, it may grow by four bits a
# step. Hosts check before each step that what they cannot see has room.
MAGNITUDE_BITS = 13
GROWTH_BITS = 4
