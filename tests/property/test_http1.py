"""However the network cuts an answer, it is the same answer; whatever else arrives instead, it ends in a known error."""

import asyncio
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import UPSTREAM_INCOMPLETE, UPSTREAM_INVALID, UPSTREAM_UNREACHABLE, GatewayError
from gateway.core.upstream import Timeouts
from gateway.transport.answer import Answer
from gateway.transport.deadlines import Wheel
from gateway.transport.gathering import Outbox
from gateway.transport.http1 import Connection
from gateway.transport.pool import Pool


class Socket:
    """The transport's end, in memory."""

    def __init__(self) -> None:
        self.aborted = self.paused = False

    def write(self, data: bytes) -> None: ...

    def abort(self) -> None:
        self.aborted = True

    def close(self) -> None:
        self.aborted = True

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


class Clockless(Wheel):
    """No timers in a property: time is not what is tested."""

    def wind(self) -> None: ...


def receive(parts: list[bytes], *, by_chunks: bool, close: bool) -> tuple[Any, ...]:
    """What a caller sees of an answer that arrives in these parts: status, headers, body, whether the connection is kept."""

    async def main() -> tuple[Any, ...]:
        pool: Pool[Connection] = Pool(1, 1e9, lambda: 0.0)
        connection = Connection(pool, Clockless(lambda: 0.0), Outbox(), lambda: 0.0)
        connection.connection_made(Socket())  # type: ignore[arg-type]
        await pool.claim(1)
        headed = connection.start("acme", Timeouts(), (b"head", b"body"), 0.0, (1e9, False))

        async def consume() -> tuple[Any, ...]:
            await headed
            if connection.failure is not None:
                connection.release()
                return (connection.failure.kind.name,)
            answer = Answer(connection, connection.status, connection.headers)
            try:
                if by_chunks:
                    body = b""
                    while piece := await answer.chunk():
                        body += piece
                else:
                    body = await answer.read(1 << 20)
            except GatewayError as error:
                return (error.kind.name,)
            finally:
                answer.close()
            return answer.status, dict(answer.headers), body, pool.take() is connection

        consumer = asyncio.ensure_future(consume())
        await asyncio.sleep(0)
        for part in parts:
            if not connection._lost:
                connection.data_received(part)
            await asyncio.sleep(0)
        if close:
            connection.connection_lost(None)
        result = await consumer
        pool.close()
        return result

    return asyncio.run(main())


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted({p % len(stream) for p in places} - {0}), len(stream)]
    return [stream[a:b] for a, b in pairwise(edges)]


TOKEN = st.text("abcdefghijklmnopqrstuvwxyzABC-", min_size=1, max_size=8).map(lambda t: b"x-" + t.encode())
VALUE = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=12).map(str.encode)
HEADERS = st.lists(st.tuples(TOKEN, VALUE), max_size=5)
BODY = st.lists(st.binary(min_size=1, max_size=40), max_size=6)
FRAMING = st.sampled_from(["length", "chunked", "close"])
INTERIM = st.sampled_from([b"", b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"])
PLACES = st.lists(st.integers(0, 100_000), max_size=12)


def build(status: int, headers: list[tuple[bytes, bytes]], body: list[bytes], framing: str, interim: bytes) -> bytes:
    fields = [b"%b: %b" % header for header in headers]
    data = b"".join(body)
    if framing == "length":
        fields.append(b"content-length: %d" % len(data))
    elif framing == "chunked":
        fields.append(b"transfer-encoding: chunked")
        data = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in body) + b"0\r\n\r\n"
    return interim + b"HTTP/1.1 %d Any\r\n%b\r\n\r\n%b" % (status, b"\r\n".join(fields or [b"filler: 1"]), data)


@given(st.sampled_from([200, 201, 400, 429, 503]), HEADERS, BODY, FRAMING, INTERIM, PLACES, st.booleans())
def test_http1_any_chunking_is_the_same_answer(
    status: int,
    headers: list[tuple[bytes, bytes]],
    body: list[bytes],
    framing: str,
    interim: bytes,
    places: list[int],
    by_chunks: bool,
) -> None:
    stream = build(status, headers, body, framing, interim)
    close = framing == "close"
    seen = receive(cut(stream, places), by_chunks=by_chunks, close=close)
    assert seen == receive([stream], by_chunks=False, close=close)
    assert seen[0] == status
    assert seen[2] == b"".join(body)
    assert seen[3] is not close
    assert {name: value for name, value in seen[1].items() if name.startswith(b"x-")} == {
        name.lower(): value for name, value in headers
    }


@given(HEADERS, BODY, st.sampled_from(["length", "chunked"]), st.integers(0, 100_000), PLACES, st.booleans())
def test_http1_a_cut_answer_is_never_a_whole_one(
    headers: list[tuple[bytes, bytes]], body: list[bytes], framing: str, end: int, places: list[int], by_chunks: bool
) -> None:
    stream = build(200, headers, body, framing, b"")
    end %= len(stream)
    seen = receive(cut(stream[:end], places) if end else [], by_chunks=by_chunks, close=True)
    assert seen == ((UPSTREAM_INCOMPLETE if end else UPSTREAM_UNREACHABLE).name,)


@given(HEADERS, BODY, FRAMING, st.integers(0, 100_000), st.binary(max_size=5), PLACES)
def test_http1_garbage_ends_in_a_known_error_or_an_answer(
    headers: list[tuple[bytes, bytes]], body: list[bytes], framing: str, place: int, garbage: bytes, places: list[int]
) -> None:
    stream = build(200, headers, body, framing, b"")
    place %= len(stream)
    stream = stream[:place] + garbage + stream[place + len(garbage) :]
    seen = receive(cut(stream, places), by_chunks=True, close=True)
    assert len(seen) == 4 or seen[0] in {UPSTREAM_INVALID.name, UPSTREAM_INCOMPLETE.name}
