"""Responses that are kept for the Responses API: the value and the port."""

from typing import Protocol

from msgspec import Struct


class StoredResponse(Struct, frozen=True, gc=False):
    """One turn of a conversation, as it was."""

    response_id: str
    previous_id: str | None
    """The response that it continues; None for the first turn."""
    input: bytes
    """What the turn added: a JSON list of items in the form of the Responses API."""
    body: bytes
    """The response object, JSON."""


class ResponseStore(Protocol):
    """Where responses are kept: Postgres, or its memory twin. Times are milliseconds since the epoch.

    Nothing is found without the application's id, or past its end. Every method raises ``store_unavailable`` when the store cannot
    be asked.
    """

    async def put(self, application_id: str, response: StoredResponse, *, now_ms: int, expires_ms: int) -> bool:
        """Keep a response. False when the application has one of that id already, which stays as it is."""
        ...

    async def get(self, application_id: str, response_id: str, *, now_ms: int) -> StoredResponse | None:
        """One response."""
        ...

    async def chain(
        self, application_id: str, response_id: str, *, now_ms: int, most: int, most_bytes: int
    ) -> list[StoredResponse]:
        """A response and those it continues, oldest first: at most ``most``, and no more once ``most_bytes`` are passed."""
        ...

    async def delete(self, application_id: str, response_id: str, *, now_ms: int) -> bool:
        """Forget a response. False when there is none. Those that continue it stay, but cannot be continued any more."""
        ...

    async def sweep(self, *, now_ms: int) -> int:
        """Remove some responses that are past their end; how many."""
        ...


class Keeping(Struct, frozen=True):
    """Where responses are kept, and within which bounds."""

    store: ResponseStore
    retention_days: int
    max_bytes: int
    """Of one turn: its input and its response."""
    max_turns: int
    """Of a conversation that is continued."""
    max_history_bytes: int
    """Of all turns of a conversation that is continued."""
