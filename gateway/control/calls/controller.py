"""``/calls``."""

from datetime import datetime
from typing import Annotated

from litestar import Controller, get
from litestar.params import FromPath, FromQuery, QueryParameter

from gateway.control.calls.schemas import Call, cursor_of, is_call_id, read_cursor, read_trace_id, to_ms
from gateway.control.inject import Cursor, Limit, Services
from gateway.control.listing import Listing
from gateway.core.errors import MALFORMED, NOT_FOUND, GatewayError
from gateway.storage.postgres.calls import CallFilter


class CallController(Controller):
    """The ledger, newest first: one row per attempt, whatever its end."""

    path = "/calls"
    tags = ["calls"]

    @get(summary="List calls")
    async def index(  # noqa: PLR0917 - Litestar fills them by name
        self,
        services: Services,
        application: Annotated[str | None, QueryParameter(description="Only calls of this application.")] = None,
        prompt: Annotated[str | None, QueryParameter(description="Only calls of the prompt with this slug.")] = None,
        outcome: Annotated[str | None, QueryParameter(description="`ok`, or how it failed: `blocked`, ...")] = None,
        trace_id: Annotated[str | None, QueryParameter(description="Only calls of this trace: 32 hex digits.")] = None,
        since: FromQuery[datetime | None] = None,
        until: FromQuery[datetime | None] = None,
        cursor: Cursor = None,
        limit: Limit = 50,
    ) -> Listing[Call]:
        owner = None if application is None else (await services.registry.get_application(application)).id
        wanted = CallFilter(owner, prompt, outcome, read_trace_id(trace_id), to_ms(since), to_ms(until), read_cursor(cursor))
        rows = await services.calls.list(wanted, limit + 1)
        more = len(rows) > limit
        return Listing([Call.of(row) for row in rows[:limit]], cursor_of(rows[limit - 1]) if more else None)

    @get("/{call_id:str}", summary="Read one call, all its attempts")
    async def read(self, services: Services, call_id: FromPath[str]) -> Listing[Call]:
        if not is_call_id(call_id):
            raise GatewayError(MALFORMED, f"call_id: {call_id[:80]!r} is not the id of a call", param="call_id")
        rows = await services.calls.get(call_id)
        if not rows:
            raise GatewayError(NOT_FOUND, f"call_id: there is no call {call_id[:80]!r}", param="call_id")
        return Listing([Call.of(row) for row in rows])
