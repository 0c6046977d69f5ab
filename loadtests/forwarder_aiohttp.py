"""An idiomatic aiohttp forwarder: what the usual Python stack costs when it only passes calls on. A mark beside the gateway.

It parses the body to learn whether to stream, as any OpenAI-compatible proxy must, and does nothing else: no keys, prompts,
limits, guards or rows.
"""

import argparse
import json
from collections.abc import AsyncIterator

import aiohttp
import uvloop
from aiohttp import web

_SESSION = web.AppKey("session", aiohttp.ClientSession)
_UPSTREAM = web.AppKey("upstream", str)
_HEADERS = {"authorization": "Bearer bench", "content-type": "application/json"}


async def _chat(request: web.Request) -> web.StreamResponse:
    body = await request.read()
    stream: bool = json.loads(body).get("stream", False)
    async with request.app[_SESSION].post(request.app[_UPSTREAM], data=body, headers=_HEADERS) as upstream:
        if not stream:
            return web.Response(body=await upstream.read(), status=upstream.status, content_type="application/json")
        answer = web.StreamResponse(status=upstream.status, headers={"content-type": "text/event-stream"})
        await answer.prepare(request)
        async for piece in upstream.content.iter_any():
            await answer.write(piece)
        await answer.write_eof()
        return answer


async def _session(app: web.Application) -> AsyncIterator[None]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1024)) as session:
        app[_SESSION] = session
        yield


def main() -> None:
    parser = argparse.ArgumentParser(description="Forward chat completions with aiohttp.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream", required=True, help="the URL to forward to")
    given = parser.parse_args()
    app = web.Application(client_max_size=16 << 20)
    app[_UPSTREAM] = given.upstream
    app.cleanup_ctx.append(_session)
    app.router.add_post("/v1/chat/completions", _chat)
    web.run_app(app, host="127.0.0.1", port=given.port, access_log=None, print=None, loop=uvloop.new_event_loop())


if __name__ == "__main__":
    main()
