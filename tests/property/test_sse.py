"""Any chunking of an event stream gives the same events, and they are those that the openai SDK's decoder sees."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from openai._streaming import SSEDecoder

from gateway.wire.sse import SseParser

ENDS = st.sampled_from([b"\n", b"\n", b"\n", b"\r\n", b"\r"])
VALUE = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=12).map(str.encode)
LINE = st.one_of(
    VALUE.map(lambda v: b"data: " + v),
    VALUE.map(lambda v: b"data:" + v),
    VALUE.map(lambda v: b": " + v),
    VALUE.map(lambda v: b"event: " + v),
    VALUE.map(lambda v: b"data: " + v),
    st.sampled_from([b"data", b"", b"", b"id: 1", b"retry: 10", b"data: [DONE]", b"foo: bar"]),
)
TIDY = st.lists(VALUE.map(lambda v: b"data: " + v + b"\n\n"), max_size=8).map(b"".join)
STREAM = st.one_of(
    TIDY, st.lists(st.builds(bytes.__add__, LINE, ENDS), max_size=14).map(b"".join), st.builds(bytes.__add__, TIDY, VALUE)
)


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(p % (len(stream) + 1) for p in places), len(stream)]
    return [stream[a:b] for a, b in pairwise(edges)]


@given(STREAM, st.lists(st.integers(0, 10_000), max_size=8))
def test_sse_any_chunking_gives_the_same_events(stream: bytes, places: list[int]) -> None:
    whole, parts, drops = SseParser(), SseParser(), SseParser()
    expected = whole.feed(stream)
    assert [e for part in cut(stream, places) for e in parts.feed(part)] == expected
    assert [e for i in range(len(stream)) for e in drops.feed(stream[i : i + 1])] == expected
    assert whole.pending == parts.pending == drops.pending


@given(STREAM, st.lists(st.integers(0, 10_000), max_size=8))
def test_sse_events_are_those_of_the_openai_sdk(stream: bytes, places: list[int]) -> None:
    parser = SseParser()
    ours = [e.decode() for part in cut(stream, places) for e in parser.feed(part)]
    theirs = [e.data for e in SSEDecoder().iter_bytes(iter([stream]))]
    # The SDK also reports events without any data line (a name or an id alone); the standard, and we, do not. Lines are joined by
    # a blank here and by a line feed there, which are the same between the words of JSON.
    assert [e for e in ours if e] == [e.replace("\n", " ") for e in theirs if e]
