"""Turns of kept conversations: what came before a call, and keeping what it gave. Only for dialects that have turns."""

import logging

import msgspec

from gateway.core.errors import MALFORMED, GatewayError
from gateway.core.requests import Caller, ChatRequest, Inbound, Turn
from gateway.core.stored import Keeping, StoredResponse
from gateway.dialects.responses.history import identity, items_of
from gateway.dialects.responses.reading import after
from gateway.pipeline.services import Services

_log = logging.getLogger("gateway.turns")
_encode = msgspec.json.Encoder().encode
_DAY_MS = 86_400_000
PREVIOUS = "previous_response_id"
NOT_KEPT = "the gateway keeps no responses of this application; its setting store_responses is off"


def keeping_for(caller: Caller, services: Services) -> Keeping | None:
    """Where the responses of a caller's application are kept, if they are."""
    return services.keeping if caller.store_responses else None


async def begin(request: ChatRequest, turn: Turn, caller: Caller, inbound: Inbound, services: Services) -> ChatRequest:
    """The request with the turns before it. Raises ``malformed`` naming ``previous_response_id``, ``store_unavailable``."""
    keeping = keeping_for(caller, services)
    if keeping is None:
        # SDKs and examples ask to store by default: not doing so is no error, and the answer says "store": false.
        turn.keep = False
        if turn.previous is not None:
            raise _refused(NOT_KEPT)
        return request
    if turn.previous is None:
        return request
    chain = await keeping.store.chain(
        caller.application_id,
        turn.previous,
        now_ms=inbound.started_ms,
        most=keeping.max_turns + 1,
        most_bytes=keeping.max_history_bytes,
    )
    if not chain:
        raise _refused(f"there is no response {turn.previous!r}")
    if len(chain) > keeping.max_turns:
        raise _refused(f"the conversation has more than {keeping.max_turns} turns")
    if sum([len(stored.input) + len(stored.body) for stored in chain]) > keeping.max_history_bytes:
        raise _refused(f"the conversation has more than {keeping.max_history_bytes} bytes")
    if chain[0].previous_id is not None:
        raise _refused(f"an earlier response of the conversation, {chain[0].previous_id!r}, is not there any more")
    return after(request, [item for stored in chain for item in items_of(stored)])


async def keep(turn: Turn, body: bytes, caller: Caller, inbound: Inbound, services: Services) -> None:
    """Write a finished response down before its last byte is released.

    An answer that was paid for is not withheld because it cannot be kept: then ``turn.keep`` becomes false, and the answer says so.
    """
    keeping = keeping_for(caller, services)
    turn.keep = keeping is not None and await _kept(turn, body, caller.application_id, inbound, keeping)


async def _kept(turn: Turn, body: bytes, application_id: str, inbound: Inbound, keeping: Keeping) -> bool:
    items = _encode(turn.items)
    size = len(items) + len(body)
    if size > keeping.max_bytes:
        _not_kept(inbound, f"{size} bytes are more than responses.max_bytes")
        return False
    now_ms = inbound.started_ms
    response = StoredResponse(identity(body), turn.previous, items, body)
    try:
        written = await keeping.store.put(
            application_id, response, now_ms=now_ms, expires_ms=now_ms + keeping.retention_days * _DAY_MS
        )
    except GatewayError as error:
        _not_kept(inbound, error.cause or error.detail)
        return False
    if not written:
        _not_kept(inbound, "the application has a response of the same id")
    return written


def _not_kept(inbound: Inbound, cause: str) -> None:
    _log.warning(
        "a response is not kept",
        extra={"call_id": inbound.call_id, "trace_id": inbound.trace and inbound.trace.name, "cause": cause},
    )


def _refused(detail: str) -> GatewayError:
    return GatewayError(MALFORMED, f"{PREVIOUS}: {detail}", param=PREVIOUS)
