"""Two vendors in one fake: Anthropic's Messages API and OpenAI's chat, with tools. Model names choose what is answered.

Every Messages body is checked against the official SDK's own types before it is answered, so a request that the vendor would refuse is
refused here.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
from anthropic.types.message_count_tokens_params import MessageCountTokensParams
from anthropic.types.message_create_params import MessageCreateParamsBase
from pydantic import TypeAdapter, ValidationError

STREAMS = Path(__file__).parents[1] / "golden" / "anthropic" / "streams"
CREATE: TypeAdapter[Any] = TypeAdapter(MessageCreateParamsBase)
COUNT: TypeAdapter[Any] = TypeAdapter(MessageCountTokensParams)
ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    529: "overloaded_error",
}
BLOCKS = {
    "text": [{"type": "text", "text": "Hello!"}],
    "tools": [
        {"type": "text", "text": "Okay, let's check the weather:"},
        {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"location": "San Francisco, CA"}},
    ],
    "thinking": [
        {"type": "thinking", "thinking": "I need to find the GCD.", "signature": "c2ln"},
        {"type": "text", "text": "The greatest common divisor is **21**."},
    ],
}


@dataclass
class Vendors:
    """What was asked, and whether a caller left in the middle."""

    url: str = ""
    requests: list[tuple[str, dict[str, str], dict[str, Any]]] = field(default_factory=list)
    left: threading.Event = field(default_factory=threading.Event)

    @property
    def last(self) -> dict[str, Any]:
        return self.requests[-1][2]


@contextmanager
def vendors() -> Iterator[Vendors]:
    """The fake, on a port of its own."""
    state = Vendors()

    class Handler(_Handler):
        vendors = state

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    vendors: Vendors
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Be quiet."""

    def do_POST(self) -> None:
        body: dict[str, Any] = msgspec.json.decode(self.rfile.read(int(self.headers["content-length"])))
        self.vendors.requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        if self.path == "/v1/messages":
            self._messages(body)
        elif self.path == "/v1/messages/count_tokens":
            self._checked(COUNT, body, lambda: self._json({"input_tokens": 2095}))
        else:
            self._chat(body)

    def _checked(self, schema: TypeAdapter[Any], body: dict[str, Any], answer: Any) -> None:
        try:
            schema.validate_python(body)
        except ValidationError as error:
            self._error(400, str(error))
            return
        if not self.headers.get("anthropic-version") or self.headers.get("x-api-key") != "sk-ant-upstream":
            self._error(401, "invalid x-api-key")
            return
        answer()

    def _messages(self, body: dict[str, Any]) -> None:
        kind = body["model"].removeprefix("claude-")
        if kind.isdigit():
            self._error(int(kind), "as you wished")
        else:
            self._checked(CREATE, body, lambda: self._answer(kind, body))

    def _answer(self, kind: str, body: dict[str, Any]) -> None:
        if body.get("stream"):
            self._stream(kind)
            return
        blocks = BLOCKS[kind]
        stop = "tool_use" if blocks[-1]["type"] == "tool_use" else "end_turn"
        self._json(
            {
                "id": "msg_upstream",
                "type": "message",
                "role": "assistant",
                "model": body["model"],
                "content": blocks,
                "stop_reason": stop,
                "stop_sequence": None,
                "usage": {"input_tokens": 12, "cache_read_input_tokens": 4, "output_tokens": 6},
            }
        )

    def _stream(self, kind: str) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream; charset=utf-8")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        if kind == "drip":
            text = (STREAMS / "text.sse").read_bytes()
            begin, _, _ = text.partition(b"event: content_block_stop")
            piece = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"x"}}\n\n'
            try:
                self._chunk(begin)
                while not self.vendors.left.wait(0.02):
                    self._chunk(piece)
            except ConnectionError:
                self.vendors.left.set()
            return
        data = (STREAMS / f"{'text' if kind == 'cut' else kind}.sse").read_bytes()
        if kind == "cut":
            data = data.partition(b"event: message_delta")[0]
        for at in range(0, len(data), 37):
            self._chunk(data[at : at + 37])
        self._chunk(b"")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
        self.wfile.flush()

    def _chat(self, body: dict[str, Any]) -> None:
        """OpenAI's side: a tool call while the last message is the user's, else a text."""
        asks = bool(body.get("tools")) and body["messages"][-1]["role"] == "user"
        call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"location": "SF"}'}}
        usage = {"prompt_tokens": 20, "completion_tokens": 7, "total_tokens": 27, "prompt_tokens_details": {"cached_tokens": 5}}
        head = {"id": "chatcmpl-1", "created": 1, "model": body["model"]}
        if not body.get("stream"):
            message = {
                "role": "assistant",
                "content": None if asks else "It is sunny.",
                **({"tool_calls": [call]} if asks else {}),
            }
            finish = "tool_calls" if asks else "stop"
            choice = {"index": 0, "message": message, "finish_reason": finish}
            self._json({**head, "object": "chat.completion", "choices": [choice], "usage": usage})
            return
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        if asks:
            deltas.append({"tool_calls": [{"index": 0, **call, "function": {"name": "get_weather", "arguments": ""}}]})
            deltas += [{"tool_calls": [{"index": 0, "function": {"arguments": a}}]} for a in ('{"location"', ': "SF"}')]
        else:
            deltas += [{"reasoning_content": "Look up."}, {"content": "It is"}, {"content": " sunny."}]
        chunks = [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
        chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls" if asks else "stop"}]})
        chunks.append({"choices": [], "usage": usage})
        made = [
            b"data: " + msgspec.json.encode({**head, "object": "chat.completion.chunk", **chunk}) + b"\n\n" for chunk in chunks
        ]
        body_bytes = b"".join(made) + b"data: [DONE]\n\n"
        self._send(200, "text/event-stream", body_bytes)

    def _error(self, status: int, message: str) -> None:
        error = {"type": ERRORS.get(status, "api_error"), "message": message}
        self._send(status, "application/json", msgspec.json.encode({"type": "error", "error": error}), {"retry-after": "3"})

    def _json(self, value: object) -> None:
        self._send(200, "application/json", msgspec.json.encode(value))

    def _send(self, status: int, kind: str, data: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"content-type": kind, "content-length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)
