"""A call as operators see it."""

import re
from datetime import UTC, datetime

import msgspec

from gateway.core.errors import MALFORMED, GatewayError
from gateway.core.ledger import LedgerRow, State

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TRACE_ID = re.compile(r"[0-9a-fA-F]{32}")
_ATTEMPT = re.compile(r"[0-9]{1,4}")


class Call(LedgerRow, array_like=False, kw_only=True):
    """One row of the ledger, its fields named: money in nano-dollars, times in microseconds, unknown is null."""

    started_at: datetime
    ended: bool
    """False while only the intent is known, and for calls whose worker died."""

    @classmethod
    def of(cls, row: LedgerRow) -> "Call":
        """From a row; a call's id holds the millisecond it began."""
        started_ms = int(row.call_id[:8] + row.call_id[9:13], 16)
        return cls(
            **msgspec.structs.asdict(row),
            started_at=datetime.fromtimestamp(started_ms / 1000, UTC),
            ended=row.state == State.FINAL,
        )


def to_ms(moment: datetime | None) -> int | None:
    """Milliseconds since the epoch; a time without a zone is UTC, one before 1970 is 1970."""
    if moment is None:
        return None
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return max(0, int(aware.timestamp() * 1000))


def is_call_id(text: str) -> bool:
    """Whether ``text`` is a UUID in its canonical form."""
    return _UUID.fullmatch(text) is not None


def read_trace_id(text: str | None) -> str | None:
    """A trace id as rows have it; capitals are read too. Raises ``malformed``."""
    if text is None:
        return None
    if _TRACE_ID.fullmatch(text) is None:
        raise GatewayError(MALFORMED, "trace_id: must be 32 hex digits", param="trace_id")
    return text.lower()


def cursor_of(row: LedgerRow) -> str:
    """Where the page after ``row`` begins."""
    return f"{row.call_id}.{row.attempt}"


def read_cursor(text: str | None) -> tuple[str, int] | None:
    """The inverse of :func:`cursor_of`. Raises ``malformed``."""
    if text is None:
        return None
    call_id, _, attempt = text.partition(".")
    if not is_call_id(call_id) or _ATTEMPT.fullmatch(attempt) is None:
        raise GatewayError(MALFORMED, "cursor: not one of ours", param="cursor")
    return call_id, int(attempt)
