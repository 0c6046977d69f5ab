"""The ways an upstream goes wrong, one per model name. ``loadtests.faults`` serves them.

Names that end in a number take it as their parameter: ``mock-503``, ``mock-stall-3`` (tokens), ``mock-slow-300``
(milliseconds).
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol

import msgspec

_MIB = 1 << 20
_FOREVER = 1 << 40
_LONG = 60
"""Tokens of the slow streams: long enough to leave in the middle."""


class Call(Protocol):
    """A request under way, as a behaviour sees it."""

    model: str
    stream: bool
    include_usage: bool
    tokens: int
    """How many tokens a normal answer has (the body's ``max_tokens``, else 12)."""
    prompt: str
    """Text of the last message."""
    prompt_tokens: int
    origin: str
    """Scheme, host and port of this server."""
    key: str
    """The bearer token it came with."""

    async def send(self, data: bytes, tokens: int = 0) -> None:
        """Write bytes that carry so many tokens; raises when the client is gone."""
        ...

    async def hang(self) -> None:
        """Until the client leaves."""
        ...

    def cut(self, *, reset: bool = False) -> None:
        """Close the connection after this answer: FIN, or RST."""
        ...


Behaviour = Callable[[Call, int], Awaitable[None]]


def encode(value: object) -> bytes:
    return msgspec.json.encode(value)


def head(status: int, content_type: str, length: int | None, *extra: str) -> bytes:
    framing = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
    lines = [f"HTTP/1.1 {status} Fake", f"content-type: {content_type}", framing, *extra]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def framed(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def event(value: object) -> bytes:
    return b"data: " + (value if isinstance(value, bytes) else encode(value)) + b"\n\n"


def _usage(call: Call, tokens: int) -> dict[str, Any]:
    return {"prompt_tokens": call.prompt_tokens, "completion_tokens": tokens, "total_tokens": call.prompt_tokens + tokens}


def completion(call: Call, content: str, usage: object) -> dict[str, Any]:
    """A whole non-streamed answer."""
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
    answer: dict[str, Any] = {
        "id": "chatcmpl-mock",
        "object": "chat.completion",
        "created": 1760000000,
        "model": call.model,
        "choices": [choice],
    }
    if usage is not None:
        answer["usage"] = usage
    return answer


def delta(call: Call, content: str | None, finish: str | None = None) -> dict[str, Any]:
    """One event of a stream."""
    choice = {"index": 0, "delta": {} if content is None else {"content": content}, "finish_reason": finish}
    return {
        "id": "chatcmpl-mock",
        "object": "chat.completion.chunk",
        "created": 1760000000,
        "model": call.model,
        "choices": [choice],
    }


def word(i: int) -> str:
    return f"tok{i} "


_SSE = head(200, "text/event-stream", None)


async def _answer(call: Call, value: object, status: int = 200, *extra: str, tokens: int = 0) -> None:
    body = encode(value)
    await call.send(head(status, "application/json", len(body), *extra) + body, tokens)


async def _tokens(call: Call, count: int, gap: float = 0.0) -> None:
    for i in range(count):
        await call.send(framed(event(delta(call, word(i)))), 1)
        if gap:
            await asyncio.sleep(gap)


async def _finish(call: Call, tokens: int, usage: object = "true") -> None:
    await call.send(framed(event(delta(call, None, "stop"))))
    if call.include_usage and usage is not None:
        counted = _usage(call, tokens) if usage == "true" else usage
        await call.send(framed(event({**delta(call, None), "choices": [], "usage": counted})))
    await call.send(framed(event(b"[DONE]")) + b"0\r\n\r\n")


def _text(count: int) -> str:
    return "".join(map(word, range(count)))


async def normal(call: Call, count: int, gap: float = 0.0, usage: object = "true", *extra: str) -> None:
    """An answer of ``count`` tokens, whole or streamed; ``usage`` "true" is the true one, None leaves it out."""
    if call.stream:
        await call.send(head(200, "text/event-stream", None, *extra))
        await _tokens(call, count, gap)
        await _finish(call, count, usage)
        return
    await asyncio.sleep(gap * count)
    await _answer(
        call, completion(call, _text(count), _usage(call, count) if usage == "true" else usage), 200, *extra, tokens=count
    )


async def _echo(call: Call, _: int) -> None:
    words = call.prompt.split(" ")
    if not call.stream:
        await _answer(call, completion(call, call.prompt, _usage(call, len(words))), tokens=len(words))
        return
    await call.send(_SSE)
    for i, piece in enumerate(words):
        await call.send(framed(event(delta(call, piece if i == len(words) - 1 else piece + " "))), 1)
    await _finish(call, len(words))


async def _vectors(call: Call, _: int) -> None:
    """What an embeddings endpoint answers; a reader of pictures finds one in it, too."""
    item = {"object": "embedding", "index": 0, "embedding": [0.25, -0.5], "url": "http://pictures/1"}
    usage = {"prompt_tokens": call.prompt_tokens, "total_tokens": call.prompt_tokens}
    await _answer(call, {"object": "list", "created": 1760000000, "model": call.model, "data": [item], "usage": usage})


async def _status(call: Call, status: int) -> None:
    extra = {429: ["retry-after: 2", "x-should-retry: true"], 503: ["retry-after: 1"]}.get(status, [])
    kind = "invalid_request_error" if status < 500 else "server_error"
    await _answer(
        call,
        {"error": {"message": f"upstream says {status}", "type": kind, "param": None, "code": f"mock_{status}"}},
        status,
        *extra,
    )


async def _by_key(call: Call, _: int) -> None:
    """As the key's own name ends: ``...-401`` is refused, ``...-429-60`` limited for a minute, any other answered."""
    words = call.key.split("-")
    if words[-1] == "401":
        await _status(call, 401)
    elif words[-2:-1] == ["429"]:
        error = {"message": "this key is at its limit", "type": "requests", "param": None, "code": "rate_limit_exceeded"}
        await _answer(call, {"error": error}, 429, f"retry-after: {int(words[-1])}")
    else:
        await normal(call, call.tokens)


async def _hang(call: Call, _: int) -> None:
    await call.hang()


async def _headhang(call: Call, _: int) -> None:
    await call.send(_SSE if call.stream else head(200, "application/json", 400))
    await call.hang()


async def _stall(call: Call, count: int) -> None:
    await _begin(call, count)
    await call.hang()


async def _begin(call: Call, count: int) -> None:
    """The beginning of an answer: ``count`` tokens, or the first half of a JSON body."""
    if call.stream:
        await call.send(_SSE)
        await _tokens(call, count)
        return
    body = encode(completion(call, _text(call.tokens), _usage(call, call.tokens)))
    await call.send(head(200, "application/json", len(body)) + body[: len(body) // 2], count)


async def _truncated(call: Call, _: int) -> None:
    await _begin(call, 5)
    call.cut()


async def _cut(call: Call, _: int) -> None:
    await _begin(call, 5)
    if call.stream:
        half = event(delta(call, word(5)))
        await call.send(framed(half[: len(half) // 2]))
    call.cut()


async def _reset(call: Call, _: int) -> None:
    await _begin(call, 3)
    await asyncio.sleep(0.05)  # what was sent arrives before the reset, which would throw it away
    call.cut(reset=True)


async def _nodone(call: Call, _: int) -> None:
    await call.send(_SSE)
    await _tokens(call, 5)
    await call.send(b"0\r\n\r\n")


async def _in_stream(call: Call, data: bytes, then: bytes = b"0\r\n\r\n") -> None:
    await call.send(_SSE)
    await _tokens(call, 3)
    await call.send(framed(data) + then)


async def _badjson(call: Call, _: int) -> None:
    bad = b'{"id": "chatcmpl-mock", "choices": ['
    if call.stream:
        await call.send(_SSE + framed(event(bad)) + b"0\r\n\r\n")
    else:
        await call.send(head(200, "application/json", len(bad)) + bad)


async def _badchunk(call: Call, _: int) -> None:
    await _in_stream(call, b"data: {not json\n\n")


async def _badframe(call: Call, _: int) -> None:
    await call.send(_SSE)
    await _tokens(call, 3)
    await call.send(b"zz\r\nnot a chunk\r\n")
    call.cut()


async def _html(call: Call, status: int) -> None:
    body = b"<html><body><h1>Bad gateway</h1></body></html>"
    await call.send(head(status, "text/html", len(body)) + body)


async def _empty(call: Call, _: int) -> None:
    await call.send(head(200, "application/json", 0))


async def _short(call: Call, _: int) -> None:
    body = encode(completion(call, _text(5), _usage(call, 5)))
    await call.send(head(200, "application/json", len(body) + 100) + body, 5)
    call.cut()


async def _crlf(call: Call, _: int) -> None:
    await _rewritten(call, lambda data: data.replace(b"\n", b"\r\n"))


async def _comments(call: Call, _: int) -> None:
    await _rewritten(call, lambda data: b": keep-alive\n\n" + b"event: message\nid: 7\nretry: 10\n: note\n" + data)


async def _multiline(call: Call, _: int) -> None:
    await _rewritten(call, lambda data: data.replace(b',"choices"', b',\ndata: "choices"'))


async def _rewritten(call: Call, change: Callable[[bytes], bytes]) -> None:
    await call.send(_SSE)
    for i in range(call.tokens):
        await call.send(framed(change(event(delta(call, word(i))))), 1)
    await call.send(framed(change(event(delta(call, None, "stop")))) + framed(change(event(b"[DONE]"))) + b"0\r\n\r\n")


UNICODE = "naïve café 🚀 日本語 "
"""What ``mock-utf8split`` streams, cut inside characters."""


async def _utf8split(call: Call, _: int) -> None:
    if not call.stream:
        await _answer(call, completion(call, UNICODE, _usage(call, 4)), tokens=4)
        return
    data = b"".join(event(delta(call, piece + " ")) for piece in UNICODE.split())
    await call.send(_SSE)
    async for piece in _in_pieces(data, 3):
        await call.send(framed(piece))
    await _finish(call, 4)


async def _in_pieces(data: bytes, size: int) -> AsyncIterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]
        await asyncio.sleep(0)


async def _oversized(call: Call, mib: int) -> None:
    body_start = encode(completion(call, "", None))[:-1] + b',"padding":"'
    await call.send(head(200, "application/json", len(body_start) + mib * _MIB + 2) + body_start)
    for _ in range(mib):
        await call.send(b"x" * _MIB)
    await call.send(b'"}')


async def _hugeevent(call: Call, mib: int) -> None:
    await call.send(_SSE)
    await call.send(framed(event(delta(call, "x" * mib * _MIB))), 1)
    await _finish(call, 1)


async def _flood(call: Call, _: int) -> None:
    await call.send(_SSE)
    many = framed(b"".join(event(delta(call, word(i))) for i in range(100)))
    for _ in range(_FOREVER):
        await call.send(many, 100)


async def _error_event(call: Call, _: int) -> None:
    await _in_stream(
        call, event({"error": {"message": "the model broke down", "type": "server_error", "param": None, "code": "mock_error"}})
    )


async def _redirect(call: Call, status: int) -> None:
    await call.send(head(status, "text/plain", 0, f"location: {call.origin}/stolen"))


_PRIVATE = (
    "set-cookie: session=secret; Path=/",
    "server: mock/1.0",
    "x-internal-host: 10.0.0.7",
    "keep-alive: timeout=5",
    "x-request-id: upstream-id",
)


async def _cookie(call: Call, _: int) -> None:
    await normal(call, call.tokens, 0.0, "true", *_PRIVATE)


async def _slow(call: Call, milliseconds: int) -> None:
    await asyncio.sleep(milliseconds / 1000)
    await normal(call, call.tokens)


async def _drip(call: Call, milliseconds: int) -> None:
    await normal(call, _LONG, milliseconds / 1000)


async def _slowloris(call: Call, _: int) -> None:
    for piece in _SSE if call.stream else head(200, "application/json", 400):
        await call.send(bytes([piece]))
        await asyncio.sleep(0.05)
    await call.hang()


async def _bad_framing(call: Call, extra: str) -> None:
    body = encode(completion(call, _text(3), _usage(call, 3)))
    await call.send(head(200, "application/json", len(body), extra) + body, 3)


async def _earlyhints(call: Call, _: int) -> None:
    await call.send(b"HTTP/1.1 103 Early Hints\r\nlink: </x>; rel=preload\r\n\r\n")
    await normal(call, call.tokens)


_chance = random.Random(2016).random
"""The same course in every run of a server."""


async def _sick(call: Call, percent: int) -> None:
    """Of a hundred calls so many fail, in one of three ways, and a sixth of that many hang; the rest is answered."""
    point = _chance() * 100
    if point < percent / 3:
        await _status(call, 500)
    elif point < percent * 2 / 3:
        call.cut(reset=True)
    elif point < percent:
        if call.stream:
            await call.send(_SSE + framed(event(delta(call, "") | {"choices": [_ROLE]})))
            await call.send(framed(event({"error": {"message": "broke down", "type": "server_error"}})) + b"0\r\n\r\n")
        else:
            await _status(call, 503)
    elif point < percent * 7 / 6:
        await call.hang()
    else:
        await normal(call, call.tokens)


_ROLE = {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}

BEHAVIOURS: dict[str, tuple[Behaviour, int]] = {
    "mock-ok": (lambda c, n: normal(c, n or c.tokens), 0),
    "mock-echo": (_echo, 0),
    "mock-vectors": (_vectors, 0),
    "mock-by-key": (_by_key, 0),
    "mock-hang": (_hang, 0),
    "mock-headhang": (_headhang, 0),
    "mock-stall": (_stall, 3),
    "mock-truncated": (_truncated, 0),
    "mock-cut": (_cut, 0),
    "mock-reset": (_reset, 0),
    "mock-nodone": (_nodone, 0),
    "mock-badjson": (_badjson, 0),
    "mock-html": (_html, 200),
    "mock-badchunk": (_badchunk, 0),
    "mock-badframe": (_badframe, 0),
    "mock-empty": (_empty, 0),
    "mock-shortlen": (_short, 0),
    "mock-crlf": (_crlf, 0),
    "mock-comments": (_comments, 0),
    "mock-multiline": (_multiline, 0),
    "mock-utf8split": (_utf8split, 0),
    "mock-oversized": (_oversized, 40),
    "mock-hugeevent": (_hugeevent, 2),
    "mock-flood": (_flood, 0),
    "mock-nousage": (lambda c, _: normal(c, c.tokens, usage=None), 0),
    "mock-badusage": (
        lambda c, _: normal(c, c.tokens, usage={"prompt_tokens": -7, "completion_tokens": "many", "total_tokens": None}),
        0,
    ),
    "mock-err-in-stream": (_error_event, 0),
    "mock-redirect": (_redirect, 302),
    "mock-cookie": (_cookie, 0),
    "mock-slow": (_slow, 2000),
    "mock-drip": (_drip, 50),
    "mock-sick": (_sick, 30),
    "mock-slowloris": (_slowloris, 0),
    "mock-dupcl": (lambda c, _: _bad_framing(c, "content-length: 7"), 0),
    "mock-clte": (lambda c, _: _bad_framing(c, "transfer-encoding: chunked"), 0),
    "mock-bighead": (lambda c, _: _bad_framing(c, "x-big: " + "x" * 200_000), 0),
    "mock-earlyhints": (_earlyhints, 0),
}


def behaviour_of(model: str) -> tuple[Behaviour, int]:
    """What a model name stands for and its parameter; an unknown name answers normally."""
    if model in BEHAVIOURS:
        return BEHAVIOURS[model]
    stem, _, number = model.rpartition("-")
    if number.isdigit():
        if stem == "mock":
            return _status, int(number)
        if stem in BEHAVIOURS:
            return BEHAVIOURS[stem][0], int(number)
    return BEHAVIOURS["mock-ok"]
