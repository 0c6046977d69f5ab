"""W3C Trace Context: what is a trace of the caller's, what is sampled, and what providers are told."""

from collections.abc import Iterator

import pytest
from hypothesis import given as examples
from hypothesis import strategies as st

from gateway.core.trace import MAX_STATE, SPAN_BITS, Sampler, given
from gateway.core.upstream import HttpRequest, Target

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
REQUEST = HttpRequest("/chat/completions", ((b"authorization", b"Bearer x"),), b"{}")
TARGET = Target("openai", "m", "http://one", "sk-1")


def named(text: str, state: bytes | None = None) -> dict[bytes, bytes]:
    return {b"traceparent": text.encode(), **({} if state is None else {b"tracestate": state})}


def bits(*numbers: int) -> Sampler:
    drawn: Iterator[int] = iter(numbers)
    return Sampler(0.5, lambda _: next(drawn))


@pytest.mark.parametrize("flags", ["00", "01", "02", "03", "ff"])
def test_the_callers_trace_is_read(flags: str) -> None:
    trace = given(named(f"00-{TRACE}-{PARENT}-{flags}"))
    assert trace is not None
    assert (trace.name, f"{trace.parent_id:016x}", trace.recorded) == (TRACE, PARENT, False)
    assert trace.sampled is bool(int(flags, 16) & 1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"00-{TRACE}-{PARENT}",
        f"00-{TRACE}-{PARENT}-1",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01-more",
        f"00-{TRACE}-{PARENT}-01\x00",
        f"cc-{TRACE}-{PARENT}-01.what",
    ],
)
def test_what_is_no_trace_counts_as_absent(text: str) -> None:
    assert given(named(text)) is None


@pytest.mark.parametrize("text", [f"cc-{TRACE}-{PARENT}-01", f"cc-{TRACE}-{PARENT}-01-what-the-future-holds"])
def test_a_later_version_is_read_as_ours(text: str) -> None:
    trace = given(named(text))
    assert trace is not None
    assert trace.carried(REQUEST).headers[1:] == ((b"traceparent", f"00-{TRACE}-{PARENT}-01".encode()),)


@examples(st.binary(max_size=80))
def test_reading_never_fails(raw: bytes) -> None:
    trace = given({b"traceparent": raw, b"tracestate": raw})
    assert trace is None or trace.trace_id


@pytest.mark.parametrize(
    ("state", "passed"), [(b"a=1,b=2", b"a=1,b=2"), (b"x" * (MAX_STATE + 1), b""), (b"a=\xff", b""), (b"", b"")]
)
def test_a_state_is_passed_on_whole_or_not_at_all(state: bytes, passed: bytes) -> None:
    trace = given(named(f"00-{TRACE}-{PARENT}-00", state))
    assert trace is not None
    sent = dict(trace.carried(REQUEST).headers)
    assert sent.get(b"tracestate", b"") == passed
    assert sent[b"authorization"] == b"Bearer x"


def test_the_callers_flag_decides_and_chance_is_asked_only_for_an_id() -> None:
    recorded = bits(7).trace(named(f"00-{TRACE}-{PARENT}-01"))
    assert recorded is not None
    assert (recorded.span_id, recorded.recorded) == (7, True)
    assert recorded.head == f"traceresponse: 00-{TRACE}-{7:016x}-01\r\n".encode()
    passed = bits().trace(named(f"00-{TRACE}-{PARENT}-00"))
    assert passed is not None
    assert not passed.recorded


def test_without_a_caller_the_ratio_decides_by_the_trace_id() -> None:
    half = 1 << 63
    assert bits(half).trace({}) is None
    begun = bits(half - 1, 5, 9).trace(named("nonsense"))
    assert begun is not None
    assert (begun.trace_id, begun.parent_id, begun.span_id, begun.sampled) == (5 << 64 | half - 1, 0, 9, True)
    zeros = bits(0, 0, 0).trace({})
    assert zeros is not None
    assert zeros.trace_id
    assert zeros.span_id
    always = Sampler(1.0, lambda n: (1 << n) - 1).trace({})
    assert always is not None
    assert Sampler(0.0, lambda _: 0).trace({}) is None


def test_each_attempt_is_a_span_that_its_provider_is_told_of() -> None:
    trace = bits(3, 4, (1 << SPAN_BITS) - 1).trace({})
    assert trace is not None
    sent = []
    for number in (1, 1):
        trace.begin(number, TARGET, 0.0)
        sent.append(trace.carried(REQUEST).headers[1:])
    ids = [attempt.span_id for attempt in trace.attempts]
    assert len({*ids, trace.span_id, 0}) == 4
    assert max(ids) < 1 << 64
    assert sent == [((b"traceparent", f"00-{trace.name}-{span_id:016x}-01".encode()),) for span_id in ids]


def test_a_request_that_is_no_attempt_belongs_to_the_callers_span() -> None:
    begun = bits(3, 4, 5).trace({})
    assert begun is not None
    assert begun.carried(REQUEST) is REQUEST
    followed = bits(5).trace(named(f"00-{TRACE}-{PARENT}-01"))
    assert followed is not None
    assert followed.carried(REQUEST).headers[1:] == ((b"traceparent", f"00-{TRACE}-{PARENT}-01".encode()),)


def test_a_question_of_the_call_itself_is_below_its_own_span_whatever_is_being_attempted() -> None:
    recorded = bits(7).trace(named(f"00-{TRACE}-{PARENT}-01", b"vendor=1"))
    assert recorded is not None
    recorded.begin(1, TARGET, 0.0)
    asked = recorded.asked(REQUEST)
    assert asked.headers == (
        *REQUEST.headers,
        (b"traceparent", f"00-{TRACE}-{7:016x}-01".encode()),
        (b"tracestate", b"vendor=1"),
    )
    passed_on = given(named(f"00-{TRACE}-{PARENT}-00"))
    assert passed_on is not None
    assert passed_on.asked(REQUEST).headers[-1] == (b"traceparent", f"00-{TRACE}-{PARENT}-00".encode())


def test_a_call_within_a_call_is_below_its_span() -> None:
    outer = bits(5).trace(named(f"00-{TRACE}-{PARENT}-01", b"a=1"))
    assert outer is not None
    outer.begin(1, TARGET, 0.0)
    inner = outer.within(0)
    assert (inner.trace_id, inner.parent_id, inner.recorded, inner.state, inner.attempts) == (
        outer.trace_id,
        5,
        True,
        b"a=1",
        [],
    )
    passed = bits().trace(named(f"00-{TRACE}-{PARENT}-00"))
    assert passed is not None
    assert passed.within(8).parent_id == passed.parent_id
    assert not passed.within(8).recorded
