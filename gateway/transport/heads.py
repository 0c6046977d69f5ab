"""What we refuse in the head of an answer. Pure; the parsers have refused what is not HTTP before."""

from collections.abc import Mapping

MAX_HEAD_BYTES = 64 * 1024
"""Interim (1xx) answers included. Real heads are 1-4 KiB; nginx refuses above 8 KiB by default."""
MAX_HEADERS = 200
"""Different names in a head: ten times what providers send behind their CDNs."""


def fault(headers: Mapping[bytes, bytes], at_most: int) -> str | None:
    """Why an answer with these headers (lower-case names) is refused, for the private log; None if it is not.

    ``at_most``: a bound on the head's bytes that the caller knows for nothing; only if it is over the cap they are counted.
    """
    if len(headers) > MAX_HEADERS or (at_most > MAX_HEAD_BYTES and _size(headers) > MAX_HEAD_BYTES):
        return "head too large"
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        return "compressed though we asked for identity"
    coding = headers.get(b"transfer-encoding")
    if coding is not None and (coding.lower() != b"chunked" or b"content-length" in headers):
        return "transfer coding other than chunked alone"
    return None


def _size(headers: Mapping[bytes, bytes]) -> int:
    return sum(len(name) + len(value) + 4 for name, value in headers.items())
