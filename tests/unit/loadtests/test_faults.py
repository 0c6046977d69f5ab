"""The fault upstream does what its model names say, and keeps an honest book of it."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import msgspec
import pytest

from loadtests.fault_models import BEHAVIOURS, UNICODE
from loadtests.faults import FaultServer
from tests.conftest import until


@pytest.fixture
async def upstream() -> AsyncIterator[FaultServer]:
    async with FaultServer() as server:
        yield server


def _body(model: str, *, stream: bool = True, **more: object) -> bytes:
    messages = [{"role": "user", "content": "say it again"}]
    return msgspec.json.encode({"model": model, "stream": stream, "user": "u1", "messages": messages, **more})


async def _raw(server: FaultServer, body: bytes, *, seconds: float = 2.0) -> tuple[bytes, str]:
    """All bytes of the answer, and how it ended: ``eof``, ``reset`` or ``open`` (nothing more within ``seconds``)."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
    got = b""
    try:
        async with asyncio.timeout(seconds):
            while piece := await reader.read(1 << 16):
                got += piece
        return got, "eof"
    except TimeoutError:
        return got, "open"
    except ConnectionResetError:
        return got, "reset"
    finally:
        writer.close()


async def _post(server: FaultServer, model: str, **more: object) -> httpx.Response:
    async with httpx.AsyncClient() as client:
        return await client.post(f"{server.url}/chat/completions", content=_body(model, stream=False, **more))


def _events(raw: bytes) -> list[str]:
    return [line[6:] for line in raw.decode().splitlines() if line.startswith("data: ")]


async def test_a_normal_answer_counts_its_tokens_and_is_in_the_book(upstream: FaultServer) -> None:
    answer = (await _post(upstream, "mock-ok", max_tokens=4)).json()
    assert answer["choices"][0]["message"]["content"] == "tok0 tok1 tok2 tok3 "
    assert answer["usage"]["completion_tokens"] == 4
    (record,) = upstream.calls["u1"]
    assert (record.completed, record.aborted, record.tokens_sent) == (True, False, 4)


async def test_a_stream_ends_with_usage_if_asked_and_done(upstream: FaultServer) -> None:
    raw, how = await _raw(upstream, _body("mock-ok", max_tokens=3, stream_options={"include_usage": True}), seconds=0.3)
    events = _events(raw)
    assert how == "open", "the connection is kept alive"
    assert events[-1] == "[DONE]"
    assert '"completion_tokens":3' in events[-2]
    assert raw.endswith(b"0\r\n\r\n")


async def test_echo_gives_back_the_last_message(upstream: FaultServer) -> None:
    assert (await _post(upstream, "mock-echo")).json()["choices"][0]["message"]["content"] == "say it again"


@pytest.mark.parametrize("status", [400, 401, 429, 500, 503, 529])
async def test_a_status_by_name(upstream: FaultServer, status: int) -> None:
    answer = await _post(upstream, f"mock-{status}")
    assert answer.status_code == status
    assert answer.json()["error"]["code"] == f"mock_{status}"
    assert ("retry-after" in answer.headers) == (status in {429, 503})


@pytest.mark.parametrize(
    ("model", "how", "tokens", "last"),
    [
        ("mock-hang", "open", 0, None),
        ("mock-headhang", "open", 0, None),
        ("mock-stall-3", "open", 3, "tok2"),
        ("mock-truncated", "eof", 5, "tok4"),
        ("mock-cut", "eof", 5, None),
        ("mock-reset", "reset", 3, "tok2"),
        ("mock-nodone", "open", 5, "tok4"),
        ("mock-badchunk", "open", 3, "{not json"),
        ("mock-badframe", "eof", 3, "tok2"),
        ("mock-err-in-stream", "open", 3, "mock_error"),
    ],
)
async def test_how_broken_streams_end(upstream: FaultServer, model: str, how: str, tokens: int, last: str | None) -> None:
    raw, end = await _raw(upstream, _body(model), seconds=0.4)
    assert end == how
    assert b"[DONE]" not in raw
    assert upstream.calls["u1"][0].tokens_sent == tokens
    if last is not None:
        assert last in _events(raw)[-1]


async def test_characters_are_split_between_chunks_and_whole_when_joined(upstream: FaultServer) -> None:
    async with (
        httpx.AsyncClient() as client,
        client.stream("POST", f"{upstream.url}/chat/completions", content=_body("mock-utf8split")) as answer,
    ):
        raw = b"".join([piece async for piece in answer.aiter_raw()])
    deltas = [msgspec.json.decode(e)["choices"][0]["delta"].get("content", "") for e in _events(raw) if e != "[DONE]"]
    assert "".join(deltas) == UNICODE


async def test_the_book_says_when_the_client_left(upstream: FaultServer) -> None:
    raw, _ = await _raw(upstream, _body("mock-drip-20"), seconds=0.2)
    (record,) = upstream.calls["u1"]
    await until(lambda: record.aborted)
    assert record.aborted
    assert not record.completed
    assert record.client_closed_after is not None
    assert 0.15 < record.client_closed_after < 0.4
    assert len(_events(raw)) <= record.tokens_sent <= len(_events(raw)) + 2


async def test_the_ledger_route_is_the_book(upstream: FaultServer) -> None:
    await _post(upstream, "mock-500")
    root = upstream.url.removesuffix("/v1")
    async with httpx.AsyncClient() as client:
        assert (await client.get(f"{root}/ledger")).json()["u1"][0]["model"] == "mock-500"
        assert (await client.get(f"{root}/ledger?user=nobody")).json() == {"nobody": []}
        await client.delete(f"{root}/ledger")
    assert upstream.calls == {}


async def test_a_kept_alive_connection_serves_the_next_call(upstream: FaultServer) -> None:
    async with httpx.AsyncClient() as client:
        for _ in range(3):
            assert (
                await client.post(f"{upstream.url}/chat/completions", content=_body("mock-ok", stream=False))
            ).status_code == 200
    assert upstream.connections == 1


@pytest.mark.parametrize("model", sorted(set(BEHAVIOURS) - {"mock-hang", "mock-slow", "mock-drip", "mock-slowloris"}))
async def test_every_model_sends_http(upstream: FaultServer, model: str) -> None:
    raw, _ = await _raw(upstream, _body(model), seconds=0.1)
    assert raw.startswith(b"HTTP/1.1 ")


async def test_the_sick_one_fails_hangs_and_answers_in_its_proportions(upstream: FaultServer) -> None:
    ends: list[str] = []
    for _ in range(60):
        raw, how = await _raw(upstream, _body("mock-sick-60"), seconds=0.05)
        good = b"[DONE]" in raw
        ends.append("good" if good else "hang" if not raw and how == "open" else "bad")
    counts = {end: ends.count(end) for end in ("good", "bad", "hang")}
    assert 22 <= counts["bad"] <= 48, counts
    assert counts["hang"] >= 1, counts
    assert counts["good"] >= 6, counts
