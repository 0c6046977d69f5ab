"""Lengths of sounds, from files made by hand as their formats say, whole and cut."""

import io
import struct
import wave

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.sound import LONGEST_MS, STEPS, length_ms


def wav(seconds: float = 2.5, rate: int = 16_000, before: bytes = b"") -> bytes:
    made = io.BytesIO()
    with wave.open(made, "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(bytes(int(seconds * rate) * 2))
    data = made.getvalue()
    return data[:12] + before + data[12:]


def flac(samples: int = 220_500, rate: int = 44_100) -> bytes:
    bits = rate << 44 | 1 << 41 | 15 << 36 | samples
    return b"fLaC\x80\x00\x00\x22" + bytes(10) + struct.pack(">Q", bits) + bytes(16) + b"frames"


def page(granules: int, packet: bytes) -> bytes:
    return b"OggS\x00\x02" + struct.pack("<q", granules) + bytes(12) + b"\x01" + bytes([len(packet)]) + packet


def opus(granules: int = 48_000 * 3 + 312) -> bytes:
    head = b"OpusHead\x01\x02" + struct.pack("<H", 312) + struct.pack("<I", 16_000) + bytes(3)
    return page(0, head) + page(0, b"OpusTags") + page(granules, b"x" * 200)


def vorbis() -> bytes:
    head = b"\x01vorbis" + struct.pack("<IBI", 0, 2, 44_100) + bytes(14)
    return page(0, head) + page(88_200, b"x")


def mpeg(head: bytes, size: int, at: int = 36, xing: bytes = b"") -> bytes:
    return (head + bytes(at - 4) + xing).ljust(size, b"\x00")


MP3 = b"\xff\xfb\x90\x00"
"""MPEG 1, layer III, 128 kilobits, 44,100 Hz, two channels."""
MP3_24K = b"\xff\xf3\x84\xc0"
"""MPEG 2, layer III, 64 kilobits, 24,000 Hz, one channel."""
XING = b"Xing" + struct.pack(">II", 1, 1000)


def box(name: bytes, *content: bytes, size: int | None = None) -> bytes:
    inside = b"".join(content)
    return struct.pack(">I4s", 8 + len(inside) if size is None else size, name) + inside


def large_box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I4sQ", 1, name, 16 + len(content)) + content


MVHD = box(b"mvhd", bytes(12), struct.pack(">II", 1000, 4250), bytes(80))
MVHD_1 = box(b"mvhd", b"\x01" + bytes(19), struct.pack(">IQ", 600, 2550), bytes(80))
FTYP = box(b"ftyp", b"M4A \x00\x00\x00\x00")


def element(name: int, content: bytes, size: bytes | None = None) -> bytes:
    length = struct.pack(">Q", len(content) | 1 << 56) if size is None else size
    return name.to_bytes((name.bit_length() + 7) // 8, "big") + length + content


def webm(duration: bytes, scale: bytes | None = b"\x0f\x42\x40", size: bytes | None = None) -> bytes:
    info = element(0x2AD7B1, scale) if scale is not None else b""
    segment = element(0xEC, bytes(50)) + element(0x1549A966, info + element(0x4489, duration))
    return element(0x1A45DFA3, element(0x4282, b"webm")) + element(0x18538067, segment, size)


@pytest.mark.parametrize(
    ("sound", "ms"),
    [
        (wav(), 2500),
        (wav(before=b"LIST\x03\x00\x00\x00abc\x00"), 2500),
        (wav().replace(struct.pack("<I", 80_000), b"\xff\xff\xff\xff"), 2500),  # written to a pipe
        (flac(), 5000),
        (opus(), 3000),
        (vorbis(), 2000),
        (mpeg(MP3, 160_000), 10_000),
        (mpeg(MP3, 5000, 36, XING), 26_122),
        (mpeg(MP3_24K, 80_000, 13), 10_000),
        (mpeg(MP3_24K, 5000, 13, XING), 24_000),
        (mpeg(b"\xff\xff\x90\x00", 36_000), 1000),  # layer I, 288 kilobits
        (mpeg(b"\xff\xff\x90\x00", 900, 36, XING), 8707),
        (b"ID3\x04\x00\x00\x00\x00\x01\x00" + bytes(128) + mpeg(MP3, 160_000), 10_000),
        (b"ID3\x04\x00\x10\x00\x00\x00\x05" + bytes(15) + mpeg(MP3, 160_000), 10_000),
        (FTYP + box(b"free") + box(b"moov", MVHD) + box(b"mdat", b"x" * 99), 4250),
        (FTYP + large_box(b"mdat", b"x" * 99) + box(b"moov", box(b"trak"), MVHD_1), 4250),
        (FTYP + box(b"moov", MVHD, size=0), 4250),
        (webm(struct.pack(">d", 7000.0)), 7000),
        (webm(struct.pack(">f", 7000.0), scale=None, size=b"\xff"), 7000),  # of unknown size, in one byte
        (webm(struct.pack(">f", 3500.0), scale=b"\x1e\x84\x80", size=b"\x01" + b"\xff" * 7), 7000),  # and in eight
    ],
)
def test_lengths(sound: bytes, ms: int) -> None:
    assert length_ms(sound) == ms
    assert length_ms(b"before" + sound + b"behind it", 6, 6 + len(sound)) == ms


@pytest.mark.parametrize(
    "sound",
    [
        b"",
        b"x",
        b"hello world, this is no sound at all",
        wav(seconds=0),
        b"RIFF\x00\x00\x00\x00WAVEdata\x04\x00\x00\x00abcd",  # samples before anybody said what they are
        b"RIFF\x00\x00\x00\x00WAVE" + b"LIST\x00\x00\x00\x00" * (STEPS + 1) + wav()[12:],
        flac(samples=0),
        flac(rate=0),
        flac()[:20],
        page(0, b"Speex   ") + page(9999, b"x"),
        opus(granules=-1),
        opus()[:40],
        vorbis().replace(struct.pack("<I", 44_100), bytes(4)),
        mpeg(b"\xff\xeb\x90\x00", 999),  # a version that there is not
        mpeg(b"\xff\xf9\x90\x00", 999),  # nor this layer
        mpeg(b"\xff\xfb\x00\x00", 999),  # nor this bitrate
        mpeg(b"\xff\xfb\x9c\x00", 999),  # nor this rate
        b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f" + mpeg(MP3, 999),
        b"ID3\x04",
        FTYP,
        FTYP + box(b"moov", box(b"trak")),
        FTYP + box(b"moov", MVHD, size=3),
        FTYP + box(b"free", size=2) + box(b"moov", MVHD),
        FTYP + box(b"moov", box(b"mvhd", bytes(100))),
        FTYP + box(b"moov", box(b"mvhd", bytes(10))),
        FTYP + box(b"free") * STEPS + box(b"moov", MVHD),
        webm(b"\x00"),
        webm(struct.pack(">d", float("nan"))),
        webm(struct.pack(">d", float("inf"))),
        webm(struct.pack(">d", -1.0)),
        webm(struct.pack(">d", 9e300), scale=b"\xff" * 100),
        webm(struct.pack(">d", LONGEST_MS + 1.0)),
        webm(struct.pack(">d", 7000.0))[:60],
        b"\x1aE\xdf\xa3\x00" + bytes(20),
        b"\x1aE\xdf\xa3\x01\xff",
    ],
)
def test_what_does_not_say_has_no_length(sound: bytes) -> None:
    assert length_ms(sound) is None


WHOLE = [wav(0.1), flac(), opus(), vorbis(), mpeg(MP3, 400, 36, XING), FTYP + box(b"moov", MVHD), webm(struct.pack(">d", 7.0))]


@given(st.sampled_from(WHOLE), st.data())
def test_no_bytes_are_too_much(sound: bytes, data: st.DataObject) -> None:
    broken = bytearray(sound)
    for _ in range(data.draw(st.integers(0, 4))):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    ms = length_ms(bytes(broken[: data.draw(st.integers(0, len(broken)))]))
    assert ms is None or 0 <= ms <= LONGEST_MS
