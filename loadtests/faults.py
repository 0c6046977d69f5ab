"""A fake OpenAI upstream that misbehaves on request: the model name says how (``loadtests.fault_models`` lists them).

``python -m loadtests.faults --port 9200``, or in a test ``async with FaultServer() as upstream: upstream.url``.
It keeps the upstream's own book of what it served: ``GET /ledger`` answers ``{user: [call, ...]}``, keyed by the body's
``user``, so that a test can lay it beside what the caller saw and what the database holds. ``DELETE /ledger`` empties it.
"""

import argparse
import asyncio
import contextlib
import socket
import struct
import sys
import time
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import msgspec

from loadtests.fault_models import BEHAVIOURS, behaviour_of, encode, head

DOORS = ("/chat/completions", "/embeddings", "/images/generations")
"""Paths where the model says what happens."""


class CallRecord(msgspec.Struct):
    """The upstream's entry for one call. Times are seconds since the call was received."""

    model: str
    stream: bool
    tokens_sent: int = 0
    """Tokens handed to the socket, read by the client or not."""
    completed: bool = False
    """The behaviour came to its own end (which may be a cut or a reset)."""
    aborted: bool = False
    """The client left before that."""
    client_closed_after: float | None = None
    """When the client's close was seen."""
    headers: dict[str, str] = {}
    body_bytes: int = 0


class _Call:
    """One request under way: see :class:`loadtests.fault_models.Call`."""

    def __init__(self, body: dict[str, Any], record: CallRecord, writer: asyncio.StreamWriter, origin: str) -> None:
        self.model: str = record.model
        self.stream: bool = record.stream
        options: dict[str, Any] = body.get("stream_options") or {}
        self.include_usage: bool = bool(options.get("include_usage"))
        self.tokens: int = body.get("max_tokens") or 12
        messages: list[dict[str, Any]] = body.get("messages") or [{}]
        self.prompt: str = str(messages[-1].get("content", ""))
        self.prompt_tokens: int = max(1, sum(len(str(m.get("content", ""))) for m in messages) // 4)
        self.origin: str = origin
        self.key: str = record.headers.get("authorization", "").removeprefix("Bearer ")
        self.close: bool = False
        self.reset: bool = False
        self._record = record
        self._writer = writer

    async def send(self, data: bytes, tokens: int = 0) -> None:
        self._writer.write(data)
        await self._writer.drain()
        self._record.tokens_sent += tokens

    async def hang(self) -> None:
        await asyncio.Event().wait()

    def cut(self, *, reset: bool = False) -> None:
        self.close = True
        self.reset = reset


class FaultServer:
    """The server, on ``127.0.0.1``; port 0 takes a free one."""

    def __init__(self, port: int = 0) -> None:
        self.calls: dict[str, list[CallRecord]] = {}
        self.connections = 0
        self._port = port
        self._server: asyncio.Server | None = None
        self._busy: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        return self._port

    @property
    def url(self) -> str:
        """What to give as an OpenAI base URL."""
        return f"http://127.0.0.1:{self._port}/v1"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connection, "127.0.0.1", self._port, limit=1 << 16)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._busy:
            task.cancel()
        await asyncio.gather(*self._busy, return_exceptions=True)

    async def serve_forever(self) -> None:
        async with self:
            await asyncio.Event().wait()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._busy.add(task)
        self.connections += 1
        try:
            pending = b""
            while (request := await _read_request(reader, pending)) is not None:
                pending = await self._handle(request, reader, writer)
                if writer.is_closing():
                    break
        except (ConnectionError, asyncio.CancelledError, asyncio.IncompleteReadError):
            pass
        finally:
            self._busy.discard(task)
            writer.close()

    async def _handle(self, request: "_Request", reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        """Answer; returns bytes of a following request that came too early."""
        if request.method == "POST" and request.path.endswith(DOORS):
            return await self._act(request, reader, writer)
        status, value = 404, b'{"error":{"message":"no such route","type":"invalid_request_error"}}'
        if request.path == "/ledger" and request.method == "DELETE":
            self.calls.clear()
            status, value = 200, b"{}"
        elif request.path == "/ledger":
            user = request.query.get("user")
            status, value = 200, encode(self.calls if user is None else {user: self.calls.get(user, [])})
        elif request.path.endswith("/models"):
            listed = [{"id": name, "object": "model", "created": 1760000000, "owned_by": "mock"} for name in BEHAVIOURS]
            status, value = 200, encode({"object": "list", "data": listed})
        writer.write(head(status, "application/json", len(value)) + value)
        await writer.drain()
        return b""

    async def _act(self, request: "_Request", reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        began = time.monotonic()
        body: dict[str, Any] = msgspec.json.decode(request.body)
        record = CallRecord(
            str(body.get("model", "")), bool(body.get("stream")), headers=request.headers, body_bytes=len(request.body)
        )
        self.calls.setdefault(str(body.get("user", "")), []).append(record)
        call = _Call(body, record, writer, f"http://127.0.0.1:{self._port}")
        behave, parameter = behaviour_of(record.model)
        writer.transport.set_write_buffer_limits(0)  # so that tokens_sent is what the kernel took, not what we queued
        acting = asyncio.ensure_future(behave(call, parameter))
        watching = asyncio.ensure_future(reader.read(1 << 16))
        try:
            await asyncio.wait({acting, watching}, return_when=asyncio.FIRST_COMPLETED)
            early = b""
            if watching.done() and not acting.done():
                early = b"" if watching.exception() else watching.result()
                if early:
                    await asyncio.wait({acting})
                else:
                    record.aborted, record.client_closed_after = True, time.monotonic() - began
            if acting.done():
                if isinstance(acting.exception(), ConnectionError):
                    record.aborted, record.client_closed_after = True, time.monotonic() - began
                else:
                    acting.result()
                    record.completed = True
        finally:
            acting.cancel()
            await asyncio.gather(acting, return_exceptions=True)
            if not watching.done():
                watching.cancel()
            left = await asyncio.gather(watching, return_exceptions=True)
        if not early and isinstance(left[0], bytes):
            early = left[0]
        if call.reset:
            linger: socket.socket = writer.get_extra_info("socket")
            linger.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        if call.close or record.aborted or reader.at_eof():
            writer.close()
        return early


class _Request(msgspec.Struct):
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


async def _read_request(reader: asyncio.StreamReader, pending: bytes) -> _Request | None:
    """The next request, of which ``pending`` was read already; None when the client closed in between."""
    data = pending
    while b"\r\n\r\n" not in data:
        more = await reader.read(1 << 16)
        if not more:
            return None
        data += more
    raw, _, rest = data.partition(b"\r\n\r\n")
    first, *lines = raw.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
    missing = int(headers.get("content-length", "0")) - len(rest)
    if missing > 0:
        rest += await reader.readexactly(missing)
    parts = urlsplit(target)
    return _Request(method, parts.path, {k: v[-1] for k, v in parse_qs(parts.query).items()}, headers, rest)


def main() -> None:
    parser = argparse.ArgumentParser(description="A fake OpenAI upstream that misbehaves by model name.")
    parser.add_argument("--port", type=int, default=9200)
    port: int = parser.parse_args().port
    print(
        f"fault upstream on http://127.0.0.1:{port}/v1; models: {' '.join(BEHAVIOURS)} mock-<status>",
        file=sys.stderr,
        flush=True,
    )
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(FaultServer(port).serve_forever())


if __name__ == "__main__":
    main()
