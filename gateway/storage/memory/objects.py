"""Ownership of providers' objects in memory: the twin of Postgres, for one process."""

from collections.abc import Collection

from gateway.core.errors import STORE_UNAVAILABLE, GatewayError


class MemoryObjects:
    """A :class:`gateway.core.objects.UpstreamObjects`."""

    def __init__(self) -> None:
        self.available = True
        """False: nothing can be asked."""
        self._owners: dict[tuple[str, str], str] = {}

    async def claim(self, application_id: str, provider: str, object_ids: Collection[str]) -> None:
        """The first owner stays."""
        self._check()
        for object_id in object_ids:
            self._owners.setdefault((provider, object_id), application_id)

    async def provider_of(self, application_id: str, object_id: str) -> str | None:
        """Of the object that was claimed last, should two providers use the same id."""
        self._check()
        places = [p for (p, known), owner in self._owners.items() if known == object_id and owner == application_id]
        return places[-1] if places else None

    async def owned(self, application_id: str, provider: str, object_ids: Collection[str]) -> frozenset[str]:
        """Those that are the application's."""
        self._check()
        return frozenset(i for i in object_ids if self._owners.get((provider, i)) == application_id)

    async def has_any(self, application_id: str, provider: str) -> bool:
        """Whether there is one."""
        self._check()
        return any(p == provider and owner == application_id for (p, _), owner in self._owners.items())

    async def forget(self, application_id: str, provider: str, object_id: str) -> None:
        """Drop it, if it is the application's."""
        self._check()
        if self._owners.get((provider, object_id)) == application_id:
            del self._owners[provider, object_id]

    def _check(self) -> None:
        if not self.available:
            raise GatewayError(STORE_UNAVAILABLE, "the store of upstream objects cannot be reached")
