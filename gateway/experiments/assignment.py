"""Units to variants: sticky without storage, by a keyed hash."""

from collections.abc import Sequence
from hashlib import blake2b

from gateway.core.errors import MALFORMED, GatewayError
from gateway.experiments.allocation import BUCKETS, Share

DOMAIN = b"promptgate split"
"""Keeps these hashes apart from any other use of the same salt; at most 16 bytes (BLAKE2b's personalisation)."""
_BYTES = 8
"""Of the digest: with 64 bits, 10,000 buckets differ in probability by less than one in 10^15."""


class Assignment:
    """Which variant, by its index, a unit belongs to.

    The salt (1 to 64 bytes) is the key of the hash: without it nobody can choose a unit for a variant, and splits with different
    salts are independent. Raises ``malformed`` unless ``shares`` cover every bucket exactly once.
    """

    __slots__ = ("_keyed", "_owner")

    def __init__(self, salt: str, shares: Sequence[Share]) -> None:
        try:
            # Keyed once and copied per unit: half the time of keying each hash.
            self._keyed = blake2b(key=salt.encode(), digest_size=_BYTES, person=DOMAIN)
        except ValueError:
            raise GatewayError(MALFORMED, "split: the salt is longer than 64 bytes", param="salt") from None
        owners = sorted((first, end, index) for index, share in enumerate(shares) for first, end in share)
        ends = [0, *(end for _, end, _ in owners)]
        if ends != [*(first for first, _, _ in owners), BUCKETS]:
            raise GatewayError(MALFORMED, "split: the variants do not cover every bucket exactly once", param="variants")
        self._owner = b"".join([bytes([index]) * (end - first) for first, end, index in owners])

    def bucket(self, unit: str) -> int:
        """0 to 9,999; the same for the same unit and salt, always and everywhere."""
        keyed = self._keyed.copy()
        keyed.update(unit.encode())
        return int.from_bytes(keyed.digest(), "big") % BUCKETS

    def arm(self, unit: str) -> int:
        """The index of the unit's variant."""
        return self._owner[self.bucket(unit)]
