"""Objects that live at a provider: files and batches. The account there is shared by all applications, ownership is kept here."""

from collections.abc import Collection
from typing import Protocol


class UpstreamObjects(Protocol):
    """Who made what. Postgres, or its memory twin. Every method raises ``store_unavailable`` when the store cannot be asked."""

    async def claim(self, application_id: str, provider: str, object_ids: Collection[str]) -> None:
        """These belong to the application from now on; what belongs to somebody already stays theirs."""
        ...

    async def provider_of(self, application_id: str, object_id: str) -> str | None:
        """The provider where the application's object lives. None: it has no such object."""
        ...

    async def owned(self, application_id: str, provider: str, object_ids: Collection[str]) -> frozenset[str]:
        """Those of ``object_ids`` that the application owns at this provider."""
        ...

    async def has_any(self, application_id: str, provider: str) -> bool:
        """Whether it owns anything there: if not, no list need be asked for."""
        ...

    async def forget(self, application_id: str, provider: str, object_id: str) -> None:
        """The object is gone. Unknown ones are ignored."""
        ...
