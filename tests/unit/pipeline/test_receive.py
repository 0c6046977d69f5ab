"""Ids, deadlines, and headers that forbid reading the body."""

import pytest

from gateway.core.errors import GatewayError
from gateway.core.ids import RANDOM_BITS
from gateway.pipeline.receive import KNOWN_HEADERS, MAX_REQUEST_ID, Receiver, check, is_bare


@pytest.fixture
def receiver() -> Receiver:
    return Receiver(lambda: 100.0, lambda: 1_760_000_000_000, lambda bits: (1 << bits) - 1, 600.0)


def test_ids_and_times_are_fixed(receiver: Receiver) -> None:
    inbound = receiver.receive("chat", {b"x-tags": b"a"}, b"{}")
    assert (inbound.door, inbound.body, inbound.headers) == ("chat", b"{}", {b"x-tags": b"a"})
    assert inbound.call_id == inbound.request_id == "0199c82c-c000-7f00-bfff-ffffffffffff"
    assert (inbound.started_ms, inbound.started, inbound.deadline) == (1_760_000_000_000, 100.0, 700.0)


def test_the_randomness_is_asked_for_as_many_bits_as_an_id_takes() -> None:
    asked: list[int] = []
    Receiver(lambda: 0.0, lambda: 0, lambda bits: asked.append(bits) or 0, 1.0).receive("chat", {}, b"")
    assert asked == [RANDOM_BITS]


@pytest.mark.parametrize("given", ["a", "req-1/2:3.4_5", "x" * MAX_REQUEST_ID])
def test_a_callers_own_id_is_kept(receiver: Receiver, given: str) -> None:
    assert receiver.receive("chat", {b"x-request-id": given.encode()}, b"").request_id == given


@pytest.mark.parametrize("given", [b"", b"a b", b"a\tb", b"\xc3\xa9", b"x" * (MAX_REQUEST_ID + 1), b"a\r\nb", b"\x7f"])
def test_an_odd_id_is_replaced_and_never_cut(receiver: Receiver, given: bytes) -> None:
    inbound = receiver.receive("chat", {b"x-request-id": given}, b"")
    assert inbound.request_id == inbound.call_id


@pytest.mark.parametrize(("asked", "deadline"), [(b"250", 100.25), (b"999999999", 700.0), (b"1", 100.001)])
def test_callers_shorten_the_deadline_and_never_lengthen_it(receiver: Receiver, asked: bytes, deadline: float) -> None:
    inbound = receiver.receive("chat", {b"x-request-timeout-ms": asked}, b"")
    assert inbound.deadline == pytest.approx(deadline)
    check(inbound)


@pytest.mark.parametrize("asked", [b"0", b"-1", b"1.5", b"soon", b"", b"1000000000", b"\xb2"])
def test_a_deadline_that_is_no_time_is_told(receiver: Receiver, asked: bytes) -> None:
    inbound = receiver.receive("chat", {b"x-request-timeout-ms": asked}, b"")
    with pytest.raises(GatewayError) as caught:
        check(inbound)
    assert (caught.value.kind.name, caught.value.param) == ("malformed", "x-request-timeout-ms")


@pytest.mark.parametrize("name", sorted(KNOWN_HEADERS))
def test_bare_headers_say_who_calls_and_that_it_is_json(name: bytes) -> None:
    usual = {b"authorization": b"Bearer x", b"content-type": b"application/json", b"content-length": b"2"}
    assert is_bare(usual)
    assert is_bare({})
    assert is_bare({**usual, name: b"x"}) is (name in (b"authorization", b"x-api-key", b"anthropic-version"))


@pytest.mark.parametrize("content_type", [None, b"application/json", b"application/json; charset=utf-8"])
@pytest.mark.parametrize("encoding", [None, b"identity"])
def test_json_is_read(receiver: Receiver, content_type: bytes | None, encoding: bytes | None) -> None:
    headers = {b"content-type": content_type, b"content-encoding": encoding}
    check(receiver.receive("chat", {name: value for name, value in headers.items() if value is not None}, b""))


@pytest.mark.parametrize(
    ("name", "value"),
    [(b"content-type", b"text/plain"), (b"content-type", b""), (b"content-encoding", b"gzip"), (b"content-encoding", b"br")],
)
def test_other_bodies_are_refused_naming_the_header(receiver: Receiver, name: bytes, value: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        check(receiver.receive("chat", {name: value}, b""))
    assert (caught.value.status, caught.value.param) == (415, name.decode())
