"""Amazon's binary event stream: framing, checksums, bounds."""

import struct
import zlib

import pytest

from gateway.core.errors import GatewayError
from gateway.wire.eventstream import EventStreamParser, Message

# The two examples of AWS's specification: no headers and an empty payload, and a JSON payload under one header.
EMPTY = bytes.fromhex("00000010 00000000 05c248eb 7d98c8ff".replace(" ", ""))
JSON = (
    bytes.fromhex(
        "0000003d 00000020 07fd8396 0c 636f6e74656e742d74797065 07 0010 6170706c69636174696f6e2f6a736f6e".replace(" ", "")
    )
    + b"{'foo':'bar'}"
    + bytes.fromhex("8d9c08b1")
)


def built(headers: bytes, payload: bytes = b"") -> bytes:
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + payload
    return message + struct.pack(">I", zlib.crc32(message))


def test_the_published_examples() -> None:
    parser = EventStreamParser()
    assert list(parser.feed(EMPTY + JSON)) == [
        Message({}, b""),
        Message({"content-type": "application/json"}, b"{'foo':'bar'}"),
    ]
    assert not parser.pending


def test_bytes_in_any_pieces() -> None:
    parser = EventStreamParser()
    found = [message for i in range(len(JSON)) for message in parser.feed(JSON[i : i + 1])]
    assert [m.payload for m in found] == [b"{'foo':'bar'}"]
    assert list(parser.feed(JSON[:20])) == []
    assert parser.pending


def test_headers_of_every_type_are_passed_over() -> None:
    values = [
        (0, b""),
        (1, b""),
        (2, b"\x01"),
        (3, b"\0\x01"),
        (4, b"\0\0\0\x01"),
        (5, b"\0" * 8),
        (6, b"\0\x02ab"),
        (8, b"\0" * 8),
        (9, b"\0" * 16),
        (7, b"\0\x01v"),
    ]
    headers = b"".join(b"\x02h" + str(kind).encode() + bytes([kind]) + value for kind, value in values)
    assert list(EventStreamParser().feed(built(headers))) == [Message({"h7": "v"}, b"")]


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"\0" * 12, "a message shorter than its headers"),
        (JSON[:8] + b"\0\0\0\0" + JSON[12:], "damaged prelude"),
        (JSON[:-1] + b"\0", "damaged message"),
        (JSON[:-6] + b"X" + JSON[-5:], "damaged message"),
        (built(b"\x01a\x63"), "unreadable headers"),
        (built(b"\x05a"), "unreadable headers"),
        (built(b"\x01\xff\x00"), "unreadable headers"),
        (built(b"\x01a\x07\x00\x09ab"), "longer than the headers"),
        (built(b"", b"x" * 200), "more than 100 bytes"),
    ],
)
def test_what_is_damaged_or_too_large_is_refused_after_what_came_before(data: bytes, what: str) -> None:
    parser = EventStreamParser(100)
    found = []
    if data == b"\0" * 12:
        data = struct.pack(">II", 12, 0) + struct.pack(">I", zlib.crc32(struct.pack(">II", 12, 0)))
    with pytest.raises(GatewayError) as caught:
        for message in parser.feed(EMPTY + data):
            found.append(message)
    assert found == [Message({}, b"")]
    assert caught.value.kind.name == "upstream_invalid"
    assert what in caught.value.detail
