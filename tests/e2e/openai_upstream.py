"""A small OpenAI in a thread: one account, its files and batches, and every other endpoint that is passed on to it.

It is what the vendor's published API says, as far as the official SDK reads it; ``seen`` keeps what it was sent.
"""

import asyncio
import base64
import email
import struct
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Self

import msgspec
from aiohttp import web

SOUND = bytes(range(256)) * 2048
"""Half a megabyte: more than any one buffer on the way."""
VECTOR = (0.25, -0.5, 0.125)
MAX_BODY = 64 << 20


@dataclass
class Seen:
    """One request as it came."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def form(self) -> dict[str, tuple[str, bytes]]:
        """File name and value by field, as another reader than ours sees the form."""
        message = email.message_from_bytes(f"content-type: {self.headers['content-type']}\r\n\r\n".encode() + self.body)
        return {
            str(part.get_param("name", header="content-disposition")): (
                part.get_filename() or "",
                part.get_payload(decode=True),  # type: ignore[dict-item]
            )
            for part in message.walk()
            if not part.is_multipart()
        }


@dataclass
class OpenAIUpstream:
    """``with OpenAIUpstream() as upstream: upstream.url``; ``chat`` answers chat calls, given the decoded body.

    An iterator from ``chat`` is a stream that says one thing after the other until it ends or the caller leaves, which ``left`` tells.
    """

    seen: list[Seen] = field(default_factory=list)
    files: dict[str, tuple[dict[str, Any], bytes]] = field(default_factory=dict)
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    chat: Callable[[dict[str, Any]], list[dict[str, Any]] | dict[str, Any] | Iterator[dict[str, Any]]] | None = None
    left: threading.Event = field(default_factory=threading.Event)
    fail: dict[str, tuple[int, dict[str, str]]] = field(default_factory=dict)
    """By path: the status and headers to refuse with."""
    cut: set[str] = field(default_factory=set)
    """Paths whose answers end before their end."""
    port: int = 0
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def last(self) -> Seen:
        return self.seen[-1]

    def __enter__(self) -> Self:
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), daemon=True)
        self._thread.start()
        assert ready.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        app = web.Application(client_max_size=MAX_BODY, middlewares=[self._notes()])
        app.router.add_routes(
            [
                web.post("/v1/chat/completions", self._chat),
                web.post("/v1/completions", self._completions),
                web.post("/v1/embeddings", self._embeddings),
                web.post("/v1/moderations", self._moderations),
                web.post("/v1/images/generations", self._images),
                web.post("/v1/images/edits", self._images),
                web.post("/v1/audio/speech", self._speech),
                web.post("/v1/audio/transcriptions", self._transcription),
                web.post("/v1/files", self._make_file),
                web.get("/v1/files", self._list),
                web.get("/v1/files/{id}", self._file),
                web.get("/v1/files/{id}/content", self._content),
                web.delete("/v1/files/{id}", self._delete),
                web.post("/v1/batches", self._make_batch),
                web.get("/v1/batches", self._list),
                web.get("/v1/batches/{id}", self._batch),
                web.post("/v1/batches/{id}/cancel", self._batch),
            ]
        )

        runner = web.AppRunner(app, shutdown_timeout=0.1)

        async def start() -> None:
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
            ready.set()

        self._loop.run_until_complete(start())
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.close()

    def _notes(self) -> Any:
        @web.middleware
        async def note(request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> Any:
            headers = {name.lower(): value for name, value in request.headers.items()}
            self.seen.append(Seen(request.method, request.path, request.query_string, headers, await request.read()))
            if request.path in self.fail:
                status, more = self.fail[request.path]
                return web.json_response({"error": {"message": f"refused with {status}"}}, status=status, headers=more)
            if headers.get("authorization") != "Bearer sk-upstream":
                return web.json_response({"error": {"message": "who are you?"}}, status=401)
            return await handler(request)

        return note

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        assert self.chat is not None
        body = self.last.json
        answer = self.chat(body)
        if isinstance(answer, dict):
            return web.json_response(answer)
        if isinstance(answer, list):
            return await self._events(request, [*answer, "[DONE]"])
        return await self._drip(request, answer)

    async def _drip(self, request: web.Request, events: Iterator[dict[str, Any]]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        try:
            for event in events:
                await response.write(b"data: " + msgspec.json.encode(event) + b"\n\n")
                await asyncio.sleep(0.02)
        except ConnectionError:
            self.left.set()
        return response

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        body = self.last.json
        prompts = (
            body["prompt"]
            if isinstance(body["prompt"], list) and isinstance(body["prompt"][0], (str, list))
            else [body["prompt"]]
        )
        usage = {"prompt_tokens": 3, "completion_tokens": 2 * len(prompts), "total_tokens": 3 + 2 * len(prompts)}
        frame = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": body["model"]}
        if not body.get("stream"):
            choices = [{"text": f" {p}!", "index": i, "logprobs": None, "finish_reason": "stop"} for i, p in enumerate(prompts)]
            return web.json_response({**frame, "choices": choices, "usage": usage})
        chunks: list[Any] = [
            {**frame, "choices": [{"text": piece, "index": i, "logprobs": None, "finish_reason": end}]}
            for i in range(len(prompts))
            for piece, end in ((" one", None), (" two", "stop"))
        ]
        if (body.get("stream_options") or {}).get("include_usage"):
            chunks.append({**frame, "choices": [], "usage": usage})
        return await self._events(request, [*chunks, "[DONE]"])

    async def _events(self, request: web.Request, events: list[Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for event in events:
            data = event.encode() if isinstance(event, str) else msgspec.json.encode(event)
            await response.write(b"data: " + data + b"\n\n")
        await response.write_eof()
        return response

    async def _embeddings(self, request: web.Request) -> web.Response:
        body = self.last.json
        given = body["input"]
        count = len(given) if isinstance(given, list) and given and not isinstance(given[0], int) else 1
        packed = base64.b64encode(struct.pack("<3f", *VECTOR)).decode()
        vector = packed if body.get("encoding_format") == "base64" else list(VECTOR)
        return web.json_response(
            {
                "object": "list",
                "model": body["model"],
                "data": [{"object": "embedding", "index": i, "embedding": vector} for i in range(count)],
                "usage": {"prompt_tokens": 8 * count, "total_tokens": 8 * count},
            },
            headers={"set-cookie": "account=secret", "openai-organization": "the-operators", "x-request-id": "theirs"},
        )

    async def _moderations(self, request: web.Request) -> web.Response:
        flags = {"hate": False, "violence": True}
        result = {"flagged": True, "categories": flags, "category_scores": {"hate": 0.1, "violence": 0.9}}
        return web.json_response({"id": "modr-1", "model": self.last.json.get("model", "omni"), "results": [result]})

    async def _images(self, request: web.Request) -> web.StreamResponse:
        usage = {"input_tokens": 50, "output_tokens": 100, "total_tokens": 150, "input_tokens_details": {"text_tokens": 50}}
        if request.content_type == "application/json" and self.last.json.get("stream"):
            done = {"type": "image_generation.completed", "b64_json": "eHg=" * 1000, "usage": usage}
            return await self._events(request, [{"type": "image_generation.partial_image", "b64_json": "eA=="}, done])
        return web.json_response({"created": 1, "data": [{"b64_json": "eA=="}], "usage": usage})

    async def _speech(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "audio/mpeg"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        for start in range(0, len(SOUND), 65536):
            if start and request.path in self.cut:
                assert request.transport is not None
                request.transport.abort()
                return response
            await response.write(SOUND[start : start + 65536])
        await response.write_eof()
        return response

    async def _transcription(self, request: web.Request) -> web.Response:
        form = self.last.form
        if form.get("response_format") == ("", b"text"):
            return web.Response(text="hello\n")
        text = f"{len(form['file'][1])} bytes to {form['model'][1].decode()}"
        return web.json_response({"text": text, "usage": {"type": "duration", "seconds": 3}})

    async def _make_file(self, request: web.Request) -> web.Response:
        name, content = self.last.form["file"]
        return web.json_response(self.add_file(name, self.last.form["purpose"][1].decode(), content))

    def add_file(self, name: str, purpose: str, content: bytes) -> dict[str, Any]:
        """As somebody with the account's key would."""
        made = {
            "id": f"file-{len(self.files) + 1:04d}",
            "object": "file",
            "bytes": len(content),
            "created_at": len(self.files),
            "filename": name,
            "purpose": purpose,
            "status": "processed",
        }
        self.files[made["id"]] = (made, content)
        return made

    async def _list(self, request: web.Request) -> web.Response:
        stored = [made for made, _ in self.files.values()] if request.path.endswith("files") else list(self.batches.values())
        purpose, after = request.query.get("purpose"), request.query.get("after")
        found = [made for made in reversed(stored) if purpose in {None, made.get("purpose")}]
        start = next((i + 1 for i, made in enumerate(found) if made["id"] == after), 0)
        # Small pages, whatever was asked for: vendors may give fewer.
        limit = min(3, int(request.query.get("limit", 20)))
        page = found[start : start + limit]
        return web.json_response({"object": "list", "data": page, "has_more": start + limit < len(found)})

    async def _file(self, request: web.Request) -> web.Response:
        return web.json_response(self.files[request.match_info["id"]][0])

    async def _content(self, request: web.Request) -> web.Response:
        content = self.files[request.match_info["id"]][1]
        return web.Response(
            body=content, content_type="application/json", headers={"content-disposition": 'attachment; filename="a.jsonl"'}
        )

    async def _delete(self, request: web.Request) -> web.Response:
        del self.files[request.match_info["id"]]
        return web.json_response({"id": request.match_info["id"], "object": "file", "deleted": True})

    async def _make_batch(self, request: web.Request) -> web.Response:
        body = self.last.json
        made = {
            "id": f"batch_{len(self.batches) + 1:04d}",
            "object": "batch",
            "endpoint": body["endpoint"],
            "input_file_id": body["input_file_id"],
            "completion_window": body["completion_window"],
            "status": "validating",
            "created_at": 1,
            "output_file_id": None,
            "usage": {"input_tokens": 1000, "output_tokens": 1000, "total_tokens": 2000},
        }
        self.batches[made["id"]] = made
        return web.json_response(made)

    async def _batch(self, request: web.Request) -> web.Response:
        made = self.batches[request.match_info["id"]]
        if request.path.endswith("cancel"):
            made["status"] = "cancelling"
        return web.json_response(made)
