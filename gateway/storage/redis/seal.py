"""Values in Redis carry a MAC over where they lie and what they say: a neighbour can drop them, not forge them."""

import hmac

import msgspec

_MAC_BYTES = 32


def seal(secret: bytes, place: str, payload: bytes) -> bytes:
    """HMAC-SHA-256 of place and payload, then the payload. ``place`` is the key and field, so a value cannot be moved."""
    return _mac(secret, place, payload) + payload


def unseal(secret: bytes, place: str, value: bytes) -> bytes | None:
    """The payload; None when the MAC does not fit."""
    payload = value[_MAC_BYTES:]
    return payload if hmac.compare_digest(value[:_MAC_BYTES], _mac(secret, place, payload)) else None


def name_of_key(secret: bytes, key: str) -> str:
    """What a provider's key is called where others could read it: 64 bits that say nothing of it to who has not the secret."""
    return _mac(secret, "name of a key", key.encode())[:8].hex()


def _mac(secret: bytes, place: str, payload: bytes) -> bytes:
    # As an array, because plain concatenation would let place and payload trade bytes.
    return hmac.digest(secret, msgspec.json.encode(place) + payload, "sha256")
