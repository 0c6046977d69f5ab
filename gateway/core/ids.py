"""Identifiers that sort by time: UUIDv7 (RFC 9562 section 5.7). Pure: the clock and the random bits are arguments."""

_RAND_B = (1 << 62) - 1

RANDOM_BITS = 76
"""How many random bits :func:`uuid7` consumes: 12 beside the version, 62 beside the variant, 2 spare."""


def uuid7(unix_ms: int, random_bits: int) -> str:
    """The canonical text form, 36 characters."""
    low = random_bits & _RAND_B
    return "%08x-%04x-7%03x-%04x-%012x" % (  # noqa: UP031 - one call of C, at every request
        unix_ms >> 16 & 0xFFFF_FFFF,
        unix_ms & 0xFFFF,
        random_bits >> 62 & 0xFFF,
        0x8000 | low >> 48,
        low & 0xFFFF_FFFF_FFFF,
    )


def uuid7_floor(unix_ms: int) -> str:
    """The smallest UUIDv7 of that millisecond: a bound for range scans and for day partitions."""
    return uuid7(unix_ms, 0)


def uuid7_ms(text: str) -> int:
    """The wall clock in milliseconds that a UUIDv7 carries; ``ValueError`` if ``text`` is no UUID."""
    return int(text.replace("-", "")[:12], 16)
