"""How long a sound is, by what its file says of itself: for transcriptions whose answer does not tell. Nothing is decoded.

Each reader takes a bounded number of steps, whatever the file holds. What a file says is believed only as far as it is long enough
to be true: at most a day, and for plain samples no more than there are bytes. Formats: RIFF/WAVE (Microsoft), FLAC (RFC 9639), Ogg
(RFC 3533) with Opus (RFC 7845) or Vorbis, MPEG audio (ISO 11172-3, 13818-3) with Xing's header, ISO base media (ISO 14496-12: MP4,
M4A), Matroska and WebM (RFC 9559).
"""

import struct
from collections.abc import Callable

LONGEST_MS = 24 * 3600 * 1000
"""A day: providers take 25 MB, which is 7 hours of the thinnest speech."""
STEPS = 64
"""Chunks, boxes or elements that are looked at on one level; real files have some ten before what is looked for."""
TAIL = 128 * 1024
"""Bytes at the end of an Ogg file in which its last page begins: twice the longest page."""


def length_ms(data: bytes, start: int = 0, stop: int | None = None) -> int | None:
    """Milliseconds of the sound in ``data[start:stop]``; None for a form that is not known, or that does not say."""
    sound = memoryview(data)[start:stop]
    for mark, at, read in _FORMS:
        if bytes(sound[at : at + len(mark)]) == mark:
            return _sensible(read, sound)
    if len(sound) > 4 and sound[0] == 0xFF and sound[1] & 0xE0 == 0xE0:
        return _sensible(_mpeg, sound)
    return None


def _sensible(read: Callable[[memoryview], float | None], sound: memoryview) -> int | None:
    try:
        seconds = read(sound)
    except (struct.error, IndexError):  # cut off
        return None
    if seconds is None or not 0 < seconds * 1000 <= LONGEST_MS:
        return None
    return round(seconds * 1000)


def _wave(sound: memoryview) -> float | None:
    position, per_second = 12, 0
    for _ in range(STEPS):
        name, size = struct.unpack_from("<4sI", sound, position)
        position += 8
        if name == b"fmt ":
            (per_second,) = struct.unpack_from("<I", sound, position + 8)
        elif name == b"data":
            # Who writes to a pipe does not know the size; who lies about it is not believed.
            return min(size, len(sound) - position) / per_second if per_second else None
        position += size + size % 2
    return None


def _flac(sound: memoryview) -> float | None:
    # STREAMINFO is the first block: 20 bits of rate, 3 of channels, 5 of depth, 36 of samples.
    (bits,) = struct.unpack_from(">Q", sound, 18)
    rate, samples = bits >> 44, bits & (1 << 36) - 1
    return samples / rate if rate else None


def _ogg(sound: memoryview) -> float | None:
    head = bytes(sound[:512])
    opus, vorbis = head.find(b"OpusHead"), head.find(b"\x01vorbis")
    if opus >= 0:
        (skipped,) = struct.unpack_from("<H", head, opus + 10)
        rate = 48_000
    elif vorbis >= 0:
        skipped = 0
        (rate,) = struct.unpack_from("<I", head, vorbis + 12)
    else:
        return None
    tail = bytes(sound[-TAIL:])
    (granules,) = struct.unpack_from("<q", tail, tail.rindex(b"OggS") + 6) if b"OggS" in tail else (0,)
    return (granules - skipped) / rate if rate else None


_BITRATES = {
    (3, 3): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (3, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (3, 1): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 3): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 1): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""Kilobits a second by version (3: MPEG 1, 2: later ones) and layer (3: I, 1: III)."""
_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
_XING_AT = {(3, False): 36, (3, True): 21, (2, False): 21, (2, True): 13}
"""Where Xing's header lies in the first frame: by version, and whether there is one channel."""


def _tagged_mpeg(sound: memoryview) -> float | None:
    size = 0
    for byte in sound[6:10]:  # seven bits of each
        size = size << 7 | byte & 0x7F
    footer = 10 if sound[5] & 0x10 else 0
    return _mpeg(sound[10 + size + footer :])


def _mpeg(sound: memoryview) -> float | None:
    (head,) = struct.unpack_from(">I", sound)
    version, layer, bitrate, rate = head >> 19 & 3, head >> 17 & 3, head >> 12 & 15, head >> 10 & 3
    if head >> 21 != 0x7FF or version == 1 or not layer or not 0 < bitrate < 15 or rate == 3:
        return None
    family = 3 if version == 3 else 2
    at = _XING_AT[family, head >> 6 & 3 == 3]
    if bytes(sound[at : at + 4]) in {b"Xing", b"Info"} and struct.unpack_from(">I", sound, at + 4)[0] & 1:
        (frames,) = struct.unpack_from(">I", sound, at + 8)
        samples = 384 if layer == 3 else 576 if layer == 1 and family == 2 else 1152
        return frames * samples / _RATES[version][rate]
    # Without a count of its frames it has one bitrate, which is its first frame's.
    return len(sound) * 8 / (_BITRATES[family, layer][bitrate - 1] * 1000)


def _boxes(sound: memoryview, wanted: bytes) -> memoryview:
    """What is in the first box of this name; empty if there is none."""
    position = 0
    for _ in range(STEPS):
        if position + 8 > len(sound):
            break
        size, name = struct.unpack_from(">I4s", sound, position)
        head = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", sound, position + 8)
            head = 16
        end = position + size if size else len(sound)
        if name == wanted:
            return sound[position + head : end]
        if size and size < head:
            break
        position = end
    return sound[:0]


def _mp4(sound: memoryview) -> float | None:
    header = _boxes(_boxes(sound, b"moov"), b"mvhd")
    if not header:
        return None
    scale, units = struct.unpack_from(">IQ", header, 20) if header[0] == 1 else struct.unpack_from(">II", header, 12)
    return units / scale if scale else None


_SEGMENT, _INFO, _SCALE, _DURATION = 0x18538067, 0x1549A966, 0x2AD7B1, 0x4489


def _number(sound: memoryview, position: int, *, marked: bool) -> tuple[int, int]:
    """A variable-length number and where it ends; ``marked``: with the bit that tells its length, as in ids."""
    length = 9 - sound[position].bit_length()
    if length > 8 or position + length > len(sound):
        raise IndexError
    number = int.from_bytes(sound[position : position + length], "big")
    return number if marked else number & (1 << 7 * length) - 1, position + length


def _elements(sound: memoryview, *wanted: int) -> dict[int, memoryview]:
    """What is in the elements of these ids, up to the first that is larger than what is left."""
    found: dict[int, memoryview] = {}
    position = 0
    for _ in range(STEPS):
        if position >= len(sound) or len(found) == len(wanted):
            break
        name, position = _number(sound, position, marked=True)
        size, position = _number(sound, position, marked=False)
        if name in wanted:
            found[name] = sound[position : position + size]
        position += size
    return found


def _matroska(sound: memoryview) -> float | None:
    segment = _elements(sound, _SEGMENT).get(_SEGMENT, sound[:0])
    info = _elements(segment, _INFO).get(_INFO, sound[:0])
    said = _elements(info, _SCALE, _DURATION)
    length = said.get(_DURATION, sound[:0])
    if len(length) not in {4, 8}:
        return None
    scale = int.from_bytes(said[_SCALE][:8], "big") if _SCALE in said else 1_000_000
    (units,) = struct.unpack(">f" if len(length) == 4 else ">d", length)
    return units * scale / 1e9


_FORMS: tuple[tuple[bytes, int, Callable[[memoryview], float | None]], ...] = (
    (b"WAVE", 8, _wave),
    (b"fLaC", 0, _flac),
    (b"OggS", 0, _ogg),
    (b"ID3", 0, _tagged_mpeg),
    (b"ftyp", 4, _mp4),
    (b"\x1aE\xdf\xa3", 0, _matroska),
)
