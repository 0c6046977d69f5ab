"""Kept responses by their id: reading, whole or as a stream, listing what was said to them, forgetting."""

from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs, unquote

import msgspec

from gateway.core.errors import MALFORMED, NOT_FOUND, GatewayError
from gateway.core.requests import Caller, Inbound
from gateway.core.stored import Keeping, StoredResponse
from gateway.dialects.responses.dialect import RESPONSES_DIALECT
from gateway.dialects.responses.history import listed
from gateway.dialects.responses.replay import replayed
from gateway.edge.problems import refuse
from gateway.pipeline.authenticate import authenticate
from gateway.pipeline.reply import Reply
from gateway.pipeline.services import Services
from gateway.pipeline.turns import NOT_KEPT, keeping_for

_encode = msgspec.json.Encoder().encode
MOST_ITEMS = 100
"""Per page of input items, as at OpenAI."""
_USUAL_ITEMS = 20
MAX_DIGITS = 10
"""Of a number in a query: more would be of no response that fits into a worker."""

_JSON, _SSE = "application/json", "text/event-stream; charset=utf-8"

Work = Callable[[Caller, Keeping, str], Awaitable[bytes]]


async def read(inbound: Inbound, services: Services, reply: Reply, name: str) -> None:
    """``GET /v1/responses/{id}``: whole, or with ``stream=true`` as the events it would have come in."""
    query = _query(inbound)
    streamed = query.get("stream") == "true"

    async def work(caller: Caller, keeping: Keeping, response_id: str) -> bytes:
        after = query.get("starting_after")
        if after is not None and not streamed:
            raise GatewayError(MALFORMED, "starting_after: only with stream=true", param="starting_after")
        body = (await _find(caller, keeping, response_id, inbound)).body
        return _events(body, after) if streamed else body

    await _answer(inbound, services, reply, name, work, _SSE if streamed else _JSON)


async def cancel(inbound: Inbound, services: Services, reply: Reply, name: str) -> None:
    """``POST /v1/responses/{id}/cancel``: refused, as at OpenAI, since every kept response was answered while its caller waited."""

    async def work(caller: Caller, keeping: Keeping, response_id: str) -> bytes:
        await _find(caller, keeping, response_id, inbound)
        raise GatewayError(MALFORMED, "Cannot cancel a synchronous response.")

    await _answer(inbound, services, reply, name, work)


async def delete(inbound: Inbound, services: Services, reply: Reply, name: str) -> None:
    """``DELETE /v1/responses/{id}``."""

    async def work(caller: Caller, keeping: Keeping, response_id: str) -> bytes:
        if not await keeping.store.delete(caller.application_id, response_id, now_ms=inbound.started_ms):
            raise _unknown(response_id)
        return _encode({"id": response_id, "object": "response", "deleted": True})

    await _answer(inbound, services, reply, name, work)


async def input_items(inbound: Inbound, services: Services, reply: Reply, name: str) -> None:
    """``GET /v1/responses/{id}/input_items``: newest first unless ``order=asc``; ``limit`` and ``after`` page through them."""

    async def work(caller: Caller, keeping: Keeping, response_id: str) -> bytes:
        return _encode(_page(listed(await _find(caller, keeping, response_id, inbound)), _query(inbound)))

    await _answer(inbound, services, reply, name, work)


async def _answer(inbound: Inbound, services: Services, reply: Reply, name: str, work: Work, content_type: str = _JSON) -> None:
    try:
        caller = await authenticate(inbound, services)
        keeping = keeping_for(caller, services)
        if keeping is None:
            raise GatewayError(NOT_FOUND, f"there is no kept response: {NOT_KEPT}", param="store_responses")
        body = await work(caller, keeping, unquote(name))
    except GatewayError as error:
        await refuse(error, inbound, reply, RESPONSES_DIALECT)
        return
    head = f"content-type: {content_type}\r\nx-request-id: {inbound.request_id}\r\n"
    await reply.whole(200, head.encode(), body)


async def _find(caller: Caller, keeping: Keeping, response_id: str, inbound: Inbound) -> StoredResponse:
    found = await keeping.store.get(caller.application_id, response_id, now_ms=inbound.started_ms)
    if found is None:
        raise _unknown(response_id)
    return found


def _unknown(response_id: str) -> GatewayError:
    return GatewayError(NOT_FOUND, f"there is no response {response_id[:100]!r}", param="response_id")


def _query(inbound: Inbound) -> dict[str, str]:
    return {name: values[-1] for name, values in parse_qs(inbound.query).items()}


def _events(body: bytes, after: str | None) -> bytes:
    """The stream of a kept response, from behind the event with the number ``after``."""
    frames = replayed(body)
    if after is None:
        return b"".join(frames)
    if not (after.isascii() and after.isdigit() and len(after) < MAX_DIGITS and int(after) < len(frames)):
        raise GatewayError(
            MALFORMED, f"starting_after: the number of an event of this stream, 0 to {len(frames) - 1}", param="starting_after"
        )
    return b"".join(frames[int(after) + 1 :])


def _page(items: list[dict[str, object]], query: dict[str, str]) -> dict[str, object]:
    limit, order = query.get("limit", str(_USUAL_ITEMS)), query.get("order", "desc")
    if not (limit.isascii() and limit.isdigit() and 1 <= int(limit) <= MOST_ITEMS):
        raise GatewayError(MALFORMED, f"limit: must be between 1 and {MOST_ITEMS}", param="limit")
    if order not in {"asc", "desc"}:
        raise GatewayError(MALFORMED, "order: asc or desc", param="order")
    if order == "desc":
        items.reverse()
    ids = [_id(item) for item in items]
    start = 0
    after = query.get("after")
    if after is not None:
        if after not in ids:
            raise GatewayError(MALFORMED, f"after: there is no item {after[:100]!r}", param="after")
        start = ids.index(after) + 1
    shown = items[start : start + int(limit)]
    return {
        "object": "list",
        "data": shown,
        "first_id": _id(shown[0]) if shown else None,
        "last_id": _id(shown[-1]) if shown else None,
        "has_more": start + len(shown) < len(items),
    }


def _id(item: dict[str, object]) -> str:
    given = item["id"]
    return given if isinstance(given, str) else msgspec.json.decode(_encode(given), type=str)
