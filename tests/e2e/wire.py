"""The front door as seen from a raw socket: what the tests of hostile and odd requests share."""

import socket
from types import TracebackType
from typing import Any, NamedTuple, Self

import msgspec

from tests.conftest import PATIENCE

CHAT = "/v1/chat/completions"


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes
    raw: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def code(self) -> str:
        """The error code; fails when the answer is no error in the OpenAI form."""
        assert set(self.json) == {"error"}, self
        assert set(self.json["error"]) == {"message", "type", "param", "code"}, self
        assert self.headers["content-type"] == "application/json"
        assert self.headers["x-request-id"]
        return str(self.json["error"]["code"])


class Wire:
    """One connection. ``answer`` reads exactly one response; ``end`` what is left until the server closes."""

    def __init__(self, port: int, seconds: float = PATIENCE, receive_buffer: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(seconds)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def try_send(self, data: bytes) -> None:
        """Send to a server that may have closed by now."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return

    def _more(self) -> bool:
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            return False
        self.buffer += data
        return bool(data)

    def _take(self, count: int) -> bytes:
        while len(self.buffer) < count:
            assert self._more(), f"closed in the middle: {self.buffer!r}"
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def until(self, mark: bytes) -> bytes:
        while mark not in self.buffer:
            assert self._more(), f"closed before {mark!r}: {self.buffer!r}"
        return self._take(self.buffer.index(mark) + len(mark))

    def answer(self) -> Answer:
        head = self.until(b"\r\n\r\n")
        first, *lines = head[:-4].decode("latin-1").split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        body, raw = b"", head
        if headers.get("transfer-encoding") == "chunked":
            size = 1
            while size:
                line = self.until(b"\r\n")
                size = int(line, 16)
                data = self._take(size + 2)
                body += data[:-2]
                raw += line + data
        elif "content-length" in headers:
            body = self._take(int(headers["content-length"]))
            raw += body
        elif not first.split()[1].startswith("1"):
            while self._more():
                pass
            body, self.buffer = self.buffer, b""
            raw += body
        return Answer(int(first.split()[1]), headers, body, raw)

    def end(self) -> bytes:
        """Everything until the server closes; fails if it does not."""
        while self._more():
            pass
        data, self.buffer = self.buffer, b""
        return data


class Door:
    """A gateway's address with the demo key."""

    def __init__(self, gateway: Any) -> None:
        self.gateway = gateway
        self.port: int = gateway.port

    def wire(self, **options: Any) -> Wire:
        return Wire(self.port, **options)

    def request(
        self,
        body: bytes | None = None,
        *extra: str,
        path: str = CHAT,
        method: str = "POST",
        version: str = "1.1",
        length: bool = True,
    ) -> bytes:
        body = chat() if body is None else body
        lines = [f"{method} {path} HTTP/{version}", "host: gateway", f"authorization: Bearer {self.gateway.api_key}", *extra]
        if length:
            lines += ["content-type: application/json", f"content-length: {len(body)}"]
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body if length else b"")

    def one(self, data: bytes) -> Answer:
        with self.wire() as wire:
            wire.try_send(data)
            return wire.answer()


def chat(text: str = "hi", model: str = "echo", **fields: object) -> bytes:
    return msgspec.json.encode({"model": model, "messages": [{"role": "user", "content": text}], **fields})


def said(answer: Answer) -> str:
    assert answer.status == 200, answer
    return str(answer.json["choices"][0]["message"]["content"])
