"""The serving cache in memory: the twin of Redis, for one process."""

import asyncio
from collections.abc import Callable, Sequence

from gateway.core.documents import SCHEMA_VERSION, Change, KeyDocument, ReleaseDocument
from gateway.core.references import Reference


class MemoryCache:
    """A :class:`gateway.core.ports.Cache`, and the news of it."""

    def __init__(self) -> None:
        self.available = True
        """False: everything is a miss, nothing is kept and no news arrives."""
        self._releases: dict[tuple[str, str], dict[str, ReleaseDocument]] = {}
        self._keys: dict[str, KeyDocument] = {}
        self._floors: dict[tuple[str, str], int] = {}
        self._listeners: list[Callable[[list[Change]], None]] = []

    async def get_release(self, application_id: str, reference: Reference) -> ReleaseDocument | None:
        """The cached reading of a reference."""
        found = self._releases.get((application_id, reference.slug), {}).get(reference.selector)
        return found if found is not None and self.available and found.schema_version == SCHEMA_VERSION else None

    async def put_release(self, document: ReleaseDocument) -> None:
        """Keep a reading, unless a newer one is known."""
        place = (document.application_id, document.slug)
        if self._raise_floor(place, document.generation):
            self._releases.setdefault(place, {})[document.selector] = document

    async def get_keys(self, digests: Sequence[str]) -> dict[str, KeyDocument]:
        """The cached readings of keys."""
        if not self.available:
            return {}
        found = {digest: self._keys[digest] for digest in digests if digest in self._keys}
        return {digest: key for digest, key in found.items() if key.schema_version == SCHEMA_VERSION}

    async def put_key(self, digest: str, document: KeyDocument) -> None:
        """Keep a reading, unless a newer one is known."""
        if self._raise_floor(("", digest), document.generation):
            self._keys[digest] = document

    async def announce(self, changes: list[Change]) -> None:
        """Drop what changed and tell everybody who subscribed."""
        if not self.available or not changes:
            return
        for change in changes:
            place = ("", change.name) if change.kind == "key" else (change.application_id, change.name)
            self._raise_floor(place, change.generation)
            if change.kind == "key":
                self._keys.pop(change.name, None)
            else:
                self._releases.pop(place, None)
        for listener in self._listeners:
            listener(changes)

    async def subscribe(self, on_changes: Callable[[list[Change]], None]) -> None:
        """Call ``on_changes`` for every announcement, until cancelled."""
        self._listeners.append(on_changes)
        try:
            await asyncio.Event().wait()
        finally:
            self._listeners.remove(on_changes)

    def _raise_floor(self, place: tuple[str, str], generation: int) -> bool:
        floor = self._floors.get(place, 0)
        self._floors[place] = max(floor, generation)
        return self.available and generation >= floor
