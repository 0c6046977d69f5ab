"""The event stream parser, rule by rule."""

import pytest

from gateway.core.errors import UPSTREAM_INVALID, GatewayError
from gateway.wire.sse import SseParser


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        pytest.param(b"data: a\n\n", [b"a"], id="one"),
        pytest.param(b"data: a\n\ndata: b\n\n", [b"a", b"b"], id="two"),
        pytest.param(b"data:a\n\n", [b"a"], id="no space"),
        pytest.param(b"data:  a\n\n", [b" a"], id="only one space goes"),
        pytest.param(b"data: a\r\n\r\n", [b"a"], id="crlf"),
        pytest.param(b"data: a\r\rdata: b\r\r", [b"a", b"b"], id="cr"),
        pytest.param(b"data: a\r\n\ndata: b\n\r\n", [b"a", b"b"], id="mixed line ends"),
        pytest.param(b"data: a\ndata: b\n\n", [b"a b"], id="lines join"),
        pytest.param(b"data\ndata\n\n", [b" "], id="field without colon"),
        pytest.param(b"data: \n\n", [b""], id="empty data is an event"),
        pytest.param(b"event: ping\n\ndata: a\n\n", [b"a"], id="no data, no event"),
        pytest.param(b": hello\n\n:\n\ndata: a\n: x\n\n", [b"a"], id="comments"),
        pytest.param(b"event: x\nid: 7\nretry: 5\ndata: a\nfoo: b\n\n", [b"a"], id="other fields"),
        pytest.param(b"data: a\n\n\n\ndata: b\n\n\n", [b"a", b"b"], id="blank lines"),
        pytest.param(b"data: a\n\ndatax: b\n\n data: c\n\n", [b"a"], id="near misses"),
        pytest.param(b"data: a\n\nevent: e\ndata: b\n\n", [b"a", b"b"], id="fast start, slow end"),
        pytest.param(b"\xef\xbb\xbfdata: a\n\n", [b"a"], id="bom"),
        pytest.param(b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\ndata: b\n\n", [b"b"], id="only one bom"),
        pytest.param(
            b"data: \xe2\x82\xac\x85\x0b\x0c\xe2\x80\xa8\n\n", [b"\xe2\x82\xac\x85\x0b\x0c\xe2\x80\xa8"], id="no unicode lines"
        ),
        pytest.param(b"data: a\n\ndata: b\n", [b"a"], id="cut before the blank line"),
    ],
)
def test_whole_and_byte_by_byte(stream: bytes, events: list[bytes]) -> None:
    assert SseParser().feed(stream) == events
    parser = SseParser()
    assert [event for i in range(len(stream)) for event in parser.feed(stream[i : i + 1])] == events


def test_an_event_is_out_at_its_last_byte_even_when_a_lf_may_follow() -> None:
    parser = SseParser()
    assert parser.feed(b"data: a\r\n\r") == [b"a"]
    assert parser.feed(b"\n") == []
    assert parser.feed(b"data: b\n\n") == [b"b"]


@pytest.mark.parametrize(
    ("stream", "pending"),
    [
        (b"", False),
        (b"data: a\n\n", False),
        (b"data: a\n", True),
        (b"data: a\n\ndata: b\n", True),
        (b"data: a\n\nda", True),
        (b"data: a\r\n\r\n", False),
        (b"data: a\n\n: only a comment\n", False),
        (b"data: a\n\n\n", False),
    ],
)
def test_pending_tells_a_cut_stream(stream: bytes, *, pending: bool) -> None:
    parser = SseParser()
    parser.feed(stream)
    assert parser.pending is pending


@pytest.mark.parametrize("step", [1, 7, 1000])
@pytest.mark.parametrize(
    "stream",
    [b"data: " + b"x" * 200, b"data:\n" * 40, b": " + b"c" * 200, b"data: " + b"x" * 60 + b"\ndata: " + b"x" * 60 + b"\n\n"],
    ids=["one line", "many lines", "comment", "two lines"],
)
def test_an_event_over_the_cap_is_refused(stream: bytes, step: int) -> None:
    parser = SseParser(max_event_bytes=100)
    with pytest.raises(GatewayError) as caught:
        for i in range(0, len(stream), step):
            parser.feed(stream[i : i + step])
    assert caught.value.kind is UPSTREAM_INVALID


@pytest.mark.parametrize("step", [1, 7, 90, 1000])
def test_the_cap_is_per_event_not_per_stream(step: int) -> None:
    stream = (b"data: " + b"x" * 80 + b"\n\n") * 20
    parser = SseParser(max_event_bytes=100)
    events = [event for i in range(0, len(stream), step) for event in parser.feed(stream[i : i + step])]
    assert events == [b"x" * 80] * 20
