"""What is refused in a head."""

import pytest

from gateway.transport.heads import MAX_HEAD_BYTES, MAX_HEADERS, fault


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {b"content-length": b"5"},
        {b"transfer-encoding": b"Chunked"},
        {b"content-encoding": b"Identity"},
        {b"x": b"a" * (MAX_HEAD_BYTES - 5)},
        {b"x-%d" % i: b"1" for i in range(MAX_HEADERS)},
    ],
)
def test_accepted(headers: dict[bytes, bytes]) -> None:
    assert fault(headers, 1 << 20) is None


@pytest.mark.parametrize(
    "headers",
    [
        {b"content-length": b"5", b"transfer-encoding": b"chunked"},
        {b"transfer-encoding": b"gzip, chunked"},
        {b"transfer-encoding": b"gzip"},
        {b"content-encoding": b"gzip"},
        {b"content-encoding": b"br"},
        {b"x": b"a" * (MAX_HEAD_BYTES - 4)},
        {b"x-%d" % i: b"1" for i in range(MAX_HEADERS + 1)},
    ],
)
def test_refused(headers: dict[bytes, bytes]) -> None:
    assert fault(headers, 1 << 20) is not None


def test_a_small_head_is_not_counted() -> None:
    assert fault({b"x": b"a" * MAX_HEAD_BYTES}, MAX_HEAD_BYTES) is None
