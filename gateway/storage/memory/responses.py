"""Kept responses in memory: the twin of Postgres."""

from gateway.core.errors import STORE_UNAVAILABLE, GatewayError
from gateway.core.stored import StoredResponse


class MemoryResponses:
    """A :class:`gateway.core.stored.ResponseStore`."""

    def __init__(self) -> None:
        self.available = True
        """False: every question raises ``store_unavailable``."""
        self._kept: dict[tuple[str, str], tuple[int, StoredResponse]] = {}

    async def put(self, application_id: str, response: StoredResponse, *, now_ms: int, expires_ms: int) -> bool:
        """Keep a response; False when the id is taken."""
        del now_ms
        self._ask()
        key = (application_id, response.response_id)
        if key in self._kept:
            return False
        self._kept[key] = (expires_ms, response)
        return True

    async def get(self, application_id: str, response_id: str, *, now_ms: int) -> StoredResponse | None:
        """One response."""
        self._ask()
        expires_ms, response = self._kept.get((application_id, response_id), (0, None))
        return response if expires_ms > now_ms else None

    async def chain(
        self, application_id: str, response_id: str, *, now_ms: int, most: int, most_bytes: int
    ) -> list[StoredResponse]:
        """A response and those it continues, oldest first."""
        found: list[StoredResponse] = []
        size = 0
        following: str | None = response_id
        while following is not None and len(found) < most and size <= most_bytes:
            response = await self.get(application_id, following, now_ms=now_ms)
            if response is None:
                break
            found.append(response)
            size += len(response.input) + len(response.body)
            following = response.previous_id
        return found[::-1]

    async def delete(self, application_id: str, response_id: str, *, now_ms: int) -> bool:
        """Forget a response; False when there is none."""
        if await self.get(application_id, response_id, now_ms=now_ms) is None:
            return False
        del self._kept[application_id, response_id]
        return True

    async def sweep(self, *, now_ms: int) -> int:
        """Remove the responses that are past their end."""
        self._ask()
        over = [key for key, (expires_ms, _) in self._kept.items() if expires_ms <= now_ms]
        for key in over:
            del self._kept[key]
        return len(over)

    def _ask(self) -> None:
        if not self.available:
            raise GatewayError(STORE_UNAVAILABLE, "the registry cannot be reached", cause="MemoryResponses.available is False")
