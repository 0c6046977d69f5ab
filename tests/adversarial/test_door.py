"""Hostile requests against the real program: what no client sends, and what an attacker does. See docs/security.md."""

import time
from typing import Any

import msgspec
import psutil
import pytest

from tests.conftest import PATIENCE
from tests.e2e.wire import CHAT, Answer, Door, chat, said

MB = 1_000_000
BODIES: dict[str, tuple[str, bytes]] = {
    "chat": (CHAT, b'{"model":"echo","messages":[{"role":"user","content":"%b"}]}'),
    "messages": ("/v1/messages", b'{"model":"echo","max_tokens":9,"messages":[{"role":"user","content":"%b"}]}'),
    "responses": ("/v1/responses", b'{"model":"echo","input":"%b"}'),
    "completions": ("/v1/completions", b'{"model":"echo","prompt":"%b"}'),
    "embeddings": ("/v1/embeddings", b'{"model":"echo","input":"%b"}'),
    "a prompt as an endpoint": ("/v1/prompts/guarded/completions", b'{"messages":[{"role":"user","content":"%b"}]}'),
}
"""Door by door: its path, and a body with a place for text."""
DOORS = list(BODIES)


def post(door: Door, name: str, text: bytes, *extra: str) -> bytes:
    path, body = BODIES[name]
    return door.request(body % text, *extra, path=path)


def problem(answer: Answer, door: str) -> str:
    """The error's code, or in Anthropic's dialect its type; fails when it is said in another door's dialect."""
    if door == "messages":
        assert answer.json["type"] == "error"
        assert answer.headers["request-id"]
        return str(answer.json["error"]["type"])
    return answer.code


def test_the_bodies_are_good_ones(door: Door) -> None:
    for name in DOORS:
        answer = door.one(post(door, name, b"hello"))
        assert answer.status == 200, (name, answer)


# --- size ---------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", DOORS)
def test_more_than_ten_megabytes_are_a_413_in_the_callers_dialect(door: Door, name: str) -> None:
    worker = psutil.Process(door.gateway.worker_pids[0])
    before = worker.memory_info().rss
    answer = door.one(post(door, name, b"x" * 11 * MB))
    assert (answer.status, problem(answer, name)) == (413, "request_too_large")
    assert worker.memory_info().rss - before < 60 * MB, "six copies of what is let in"


def test_ten_megabytes_are_read_and_do_not_stay(door: Door) -> None:
    worker = psutil.Process(door.gateway.worker_pids[0])
    text = b"x" * 9_900_000
    for _ in range(2):
        assert said(door.one(post(door, "chat", text))) == "echo: " + text.decode()
    before = worker.memory_info().rss
    for _ in range(2):
        assert door.one(post(door, "chat", text)).status == 200
    assert worker.memory_info().rss - before < 30 * MB, "what the first two took is enough for all that follow"


def test_a_chunk_extension_without_end_costs_no_memory(door: Door) -> None:
    worker = psutil.Process(door.gateway.worker_pids[0])
    before = worker.memory_info().rss
    head = door.request(length=False)[:-2] + b"transfer-encoding: chunked\r\n\r\n5;"
    with door.wire() as wire:
        wire.try_send(head)
        for _ in range(40):
            wire.try_send(b"x" * 500_000)
    assert worker.memory_info().rss - before < 20 * MB
    assert said(door.one(door.request())) == "echo: hi"


# --- depth --------------------------------------------------------------------------------------------------------------
DEEP = b"[" * 100_000 + b"]" * 100_000
DEEP_OBJECT = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
PLACES = {
    "chat": [b'{"model":"echo","messages":%b}', b'{"model":"echo","messages":[{"role":"user","content":%b}]}', b'{"model":"guarded","messages":[],"variables":{"a":%b}}', b'{"x":%b}'],
    "messages": [b'{"model":"echo","max_tokens":9,"messages":%b}', b'{"model":"echo","max_tokens":9,"system":%b,"messages":[]}', b'{"model":"echo","max_tokens":9,"messages":[{"role":"user","content":"x"}],"tools":%b}'],
    "responses": [b'{"model":"echo","input":%b}', b'{"model":"echo","input":"x","text":%b}', b'{"model":"echo","input":[{"role":"user","content":%b}]}'],
    "completions": [b'{"model":"echo","prompt":%b}', b'{"model":"echo","prompt":"x","stop":%b}'],
    "embeddings": [b'{"model":"echo","input":%b}'],
    "a prompt as an endpoint": [b'{"variables":%b}', b'{"messages":%b}'],
}  # fmt: skip


@pytest.mark.parametrize("name", DOORS)
def test_a_hundred_thousand_levels_are_a_400_and_not_a_crash(door: Door, name: str) -> None:
    path, _ = BODIES[name]
    pids = door.gateway.worker_pids
    for place in PLACES[name]:
        for deep in (DEEP, DEEP_OBJECT):
            answer = door.one(door.request(place % deep, path=path))
            assert answer.status == 400, (place, answer.status)
            assert problem(answer, name) in {"invalid_request", "invalid_request_error"}
    assert door.gateway.worker_pids == pids, "the worker that read them lives"


# --- null bytes -----------------------------------------------------------------------------------------------------------
NULLS: dict[str, tuple[str, ...]] = {
    "x-tags": ("x-tags: a\0b",),
    "x-prompt": ("x-prompt: guarded\0",),
    "x-session-id": ("x-session-id: \0",),
    "x-request-id": ("x-request-id: a\0b",),
    "authorization": ("authorization: Bearer \0",),
    "a name": ("x-ta\0gs: a",),
}


@pytest.mark.parametrize("name", NULLS)
def test_a_null_byte_in_a_head_is_a_400_and_closes(door: Door, name: str) -> None:
    with door.wire() as wire:
        wire.try_send(door.request(None, *NULLS[name]))
        answer = wire.answer()
        assert (answer.status, answer.code, answer.headers["connection"]) == (400, "invalid_request", "close")
        assert wire.end() == b""


NULL_FIELDS: list[dict[str, Any]] = [
    {"model": "echo\0"},
    {"model": "guarded\0@production"},
    {"user": "u\0v"},
    {"prompt": {"id": "guarded\0"}},
    {"prompt": {"id": "guarded", "variables": {"a\0": "\0"}}, "model": ""},
    {"metadata": {"k\0": "v\0"}},
    {"messages": [{"role": "user\0", "content": "x"}]},
    {"messages": [{"role": "user", "content": "\0" * 1000, "name": "\0"}]},
    {"tools": [{"type": "function", "function": {"name": "f\0", "description": "\0"}}]},
]


@pytest.mark.parametrize("fields", NULL_FIELDS, ids=[next(iter(fields)) + str(n) for n, fields in enumerate(NULL_FIELDS)])
def test_a_null_character_in_a_body_is_refused_or_on_the_books(door: Door, fields: dict[str, Any]) -> None:
    answer = door.one(door.request(msgspec.json.encode({"model": "echo", "messages": [], **fields})))
    assert answer.status in {200, 400, 404}, answer
    end = time.monotonic() + PATIENCE
    query = "select outcome from calls where request_id = $1"
    while not (rows := door.gateway.rows(query, answer.headers["x-request-id"])) and answer.status == 200:
        assert time.monotonic() < end, "a call that was answered has no row"
        time.sleep(0.05)
    assert all((row["outcome"] == "ok") == (answer.status == 200) for row in rows)
    assert not door.gateway.rows("select 1 from calls_dead_letter")


# --- smuggling ------------------------------------------------------------------------------------------------------------
CODINGS = {
    "tab before the value": b"transfer-encoding:\tchunked",
    "vertical tab": b"transfer-encoding: \x0bchunked",
    "form feed": b"transfer-encoding: \x0cchunked",
    "quoted": b'transfer-encoding: "chunked"',
    "with a parameter": b"transfer-encoding: chunked;q=1",
    "a comma before": b"transfer-encoding: ,chunked",
    "a comma behind": b"transfer-encoding: chunked,",
    "a null behind": b"transfer-encoding: chunked\0",
    "a byte above ASCII": b"transfer-encoding: chunked\xff",
    "two lines, chunked last": b"transfer-encoding: identity\r\ntransfer-encoding: chunked",
    "two lines, chunked first": b"transfer-encoding: chunked\r\ntransfer-encoding: identity",
    "space before the colon": b"transfer-encoding : chunked",
    "tab before the colon": b"transfer-encoding\t: chunked",
    "folded": b"transfer-encoding:\r\n chunked",
    "a space before the name": b" transfer-encoding: chunked",
    "behind a bare line feed": b"x-a: b\ntransfer-encoding: chunked",
    "behind a bare carriage return": b"x-a: b\rtransfer-encoding: chunked",
    "length in the same line": b"transfer-encoding: chunked, content-length: 4",
    "a second, equal length": b"content-length: 4\r\ncontent-length: 4",
}
LOOKALIKES = {
    "an underscored coding": b"transfer_encoding: chunked\r\ncontent-length: 4",
    "a length with a leading zero": b"content-length: 04",
    "an underscored length": b"content_length: 999\r\ncontent-length: 4",
    "a length in another header": b"x-content-length: 999\r\ncontent-length: 4",
}
"""Heads that mean one thing to every reader."""
CHUNKS = {
    "a negative size": b"-5\r\nhello\r\n0\r\n\r\n",
    "a signed size": b"+5\r\nhello\r\n0\r\n\r\n",
    "a prefixed size": b"0x5\r\nhello\r\n0\r\n\r\n",
    "a size beyond 64 bits": b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "a size that wraps": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    "a space in a size": b"5 \r\nhello\r\n0\r\n\r\n",
    "a bare line feed behind a size": b"5\nhello\r\n0\r\n\r\n",
    "a bare line feed in an extension": b"5;a\nhello\r\n0\r\n\r\n",
    "a chunk longer than it says": b"3\r\nhello\r\n0\r\n\r\n",
    "no line end behind a chunk": b"5\r\nhello0\r\n\r\n",
    "a length among the trailers": b"5\r\nhello\r\n0\r\ncontent-length: 90\r\n\r\n",
    "a coding among the trailers": b"5\r\nhello\r\n0\r\ntransfer-encoding: chunked\r\n\r\n",
    "an empty size": b"\r\nhello\r\n0\r\n\r\n",
}


def smuggle(door: Door, lines: bytes, body: bytes) -> bytes:
    """What comes back for a request with these head lines and this body, and one more request behind it."""
    head = f"POST {CHAT} HTTP/1.1\r\nhost: g\r\nauthorization: Bearer {door.gateway.api_key}\r\n".encode()
    with door.wire() as wire:
        wire.try_send(head + lines + b"\r\n\r\n" + body + door.request(chat("smuggled"), "connection: close"))
        return wire.end()


@pytest.mark.parametrize("name", CODINGS)
def test_a_length_or_coding_that_two_readers_could_read_differently(door: Door, name: str) -> None:
    """To a reader who sees the coding the body ends with the last chunk, to one who does not it has four bytes.

    Whoever is in front of us may be either: one refusal, a closed connection, and the request behind is never read.
    """
    lines = CODINGS[name] if b"content-length" in CODINGS[name] else b"content-length: 4\r\n" + CODINGS[name]
    data = smuggle(door, lines, b"0\r\n\r\n")
    assert b"smuggled" not in data
    assert data.startswith(b"HTTP/1.1 4")
    assert data.count(b"HTTP/1.1 ") <= 2, "the refusal of what was read, and of what cannot be read behind it"


@pytest.mark.parametrize("name", LOOKALIKES)
def test_what_only_looks_like_a_length_or_coding_changes_nothing(door: Door, name: str) -> None:
    data = smuggle(door, LOOKALIKES[name], b"nope")
    refused, _, answered = data.partition(b"HTTP/1.1 200")
    assert refused.startswith(b"HTTP/1.1 400")
    assert b"echo: smuggled" in answered, "a request of its own, answered as one"
    assert data.count(b"HTTP/1.1 ") == 2


@pytest.mark.parametrize("name", CHUNKS)
def test_a_chunk_that_two_readers_could_read_differently(door: Door, name: str) -> None:
    data = smuggle(door, b"transfer-encoding: chunked", CHUNKS[name])
    answers = data.count(b"HTTP/1.1 ")
    assert data.startswith(b"HTTP/1.1 4")
    # Trailers are legal: such a body is whole, and the request behind it is one of its own, answered as such.
    assert (b"smuggled" in data) == ("trailers" in name and answers == 2), data


# --- tokens split over the events of a stream -------------------------------------------------------------------------------
CARD = "4111 1111 1111 1111"


def streamed(door: Door, name: str, text: str) -> str:
    """Every byte of a streamed answer of the guarded prompt, in one dialect."""
    bodies: dict[str, dict[str, Any]] = {
        "chat": {"messages": [{"role": "user", "content": text}]},
        "messages": {"max_tokens": 99, "messages": [{"role": "user", "content": text}]},
        "responses": {"input": text},
    }
    body = msgspec.json.encode({"model": "guarded", "stream": True, **bodies[name]})
    return door.one(door.request(body, path=BODIES[name][0])).body.decode()


@pytest.mark.parametrize("name", ["chat", "messages", "responses"])
def test_what_is_split_over_events_is_found_and_nothing_of_it_shown(door: Door, name: str) -> None:
    """The provider sends a word per event, so the term and the number come in three and four of them."""
    shown = streamed(door, name, "so this is internal use only, I think")
    assert "so" in shown
    assert "internal" not in shown
    assert "guardrail_blocked" in shown or "invalid_request_error" in shown
    shown = streamed(door, name, f"pay with {CARD} today")
    assert "today" in shown
    assert not any(part in shown.split() or f"{part} " in shown for part in CARD.split())
    assert "guardrail_blocked" not in shown
