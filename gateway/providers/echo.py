"""The built-in provider that needs no account: it answers with what it was asked, deterministically, with usage.

It is a *server* in the OpenAI dialect, as a pure function; the in-process transport calls it and the OpenAI translator reads it,
so an echo call takes the same path as any other. Tokens are counted as words, which is exact for what it generates.
"""

import hashlib

import msgspec
from msgspec import Struct

from gateway.core.upstream import HttpRequest
from gateway.providers.echo_embeddings import embed
from gateway.wire import openai as wire


class _Body(Struct):
    messages: list[wire.InputMessage]
    model: str
    stream: bool = False
    n: int | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None


_decode = msgspec.json.Decoder(_Body).decode
_CREATED = 1_700_000_000
"""A fixed time stamp: equal requests get equal answers, byte for byte."""
_JSON = {b"content-type": b"application/json"}
_SSE = {b"content-type": b"text/event-stream"}


def echo(request: HttpRequest) -> tuple[int, dict[bytes, bytes], list[bytes]]:
    """Status, headers and body pieces for a chat request or an embeddings call. Each piece of a stream is one SSE event."""
    if request.path == "/embeddings":
        try:
            return 200, _JSON, [embed(request.body)]
        except wire.DECODE_ERRORS as error:
            return 400, _JSON, [wire.encode({"error": {"message": f"the call cannot be read: {error}"}})]
    body = _decode(request.body)
    texts = [wire.message_text(m) for m in body.messages]
    last = next(
        (t for m, t in zip(reversed(body.messages), reversed(texts), strict=True) if m.role == "user"),
        texts[-1] if texts else "",
    )
    words = f"echo: {last}".split(" ")
    limit = body.max_completion_tokens or body.max_tokens
    cut = limit is not None and limit < len(words)
    words = words[:limit] if cut else words
    answer = _Answer(
        id="chatcmpl-" + hashlib.sha256(request.body).hexdigest()[:24],
        model=body.model,
        words=words,
        finish="length" if cut else "stop",
        choices=body.n or 1,
        prompt_tokens=sum(len(t.split()) for t in texts),
    )
    return (200, _SSE, _stream(answer)) if body.stream else (200, _JSON, [_whole(answer)])


class _Answer(Struct):
    id: str
    model: str
    words: list[str]
    finish: str
    choices: int
    prompt_tokens: int

    def usage(self) -> dict[str, int]:
        output = len(self.words) * self.choices
        return {"prompt_tokens": self.prompt_tokens, "completion_tokens": output, "total_tokens": self.prompt_tokens + output}


def _whole(answer: _Answer) -> bytes:
    return wire.encode(
        {
            "id": answer.id,
            "object": "chat.completion",
            "created": _CREATED,
            "model": answer.model,
            "choices": [
                {
                    "index": i,
                    "message": {"role": "assistant", "content": " ".join(answer.words), "refusal": None},
                    "logprobs": None,
                    "finish_reason": answer.finish,
                }
                for i in range(answer.choices)
            ],
            "usage": answer.usage(),
        }
    )


def _stream(answer: _Answer) -> list[bytes]:
    def event(choices: list[dict[str, object]], usage: dict[str, int] | None = None) -> bytes:
        chunk = {
            "id": answer.id,
            "object": "chat.completion.chunk",
            "created": _CREATED,
            "model": answer.model,
            "choices": choices,
            "usage": usage,
        }
        return b"data: " + wire.encode(chunk) + b"\n\n"

    def choice(index: int, delta: dict[str, object], finish: str | None = None) -> list[dict[str, object]]:
        return [{"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}]

    pieces: list[bytes] = []
    for i in range(answer.choices):
        pieces.append(event(choice(i, {"role": "assistant", "content": ""})))
        pieces.extend(event(choice(i, {"content": word if k == 0 else " " + word})) for k, word in enumerate(answer.words))
        pieces.append(event(choice(i, {}, answer.finish)))
    pieces.append(event([], answer.usage()))
    pieces.append(b"data: [DONE]\n\n")
    return pieces
