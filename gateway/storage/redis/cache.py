"""The serving cache: what references resolve to and what keys may do, shared by all workers, in front of Postgres.

One Redis hash per prompt and per key holds every reading of it, so that a change drops them all with one command, and one
command touches one key only (which is what Redis Cluster wants).

    pg:{application_id}:release:{slug}    selector -> sealed ReleaseDocument, floor -> generation below which nothing is stored
    pg:key:{digest}                       "key"    -> sealed KeyDocument,     floor
    pg:generation                         the last change that was announced here without a gap
    pg:changes                            the channel of announcements
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from redis.asyncio import Redis

from gateway.core.documents import SCHEMA_VERSION, Change, KeyDocument, ReleaseDocument
from gateway.core.ports import Catalog
from gateway.core.references import Reference
from gateway.storage.redis.link import Link
from gateway.storage.redis.seal import seal, unseal

T = TypeVar("T")

GENERATION = "pg:generation"
CHANNEL = "pg:changes"
TTL_S = 86_400
"""A day: long enough that a restarted fleet finds it warm, short enough that what nobody calls goes away."""
ANNOUNCE_TIMEOUT_S = 0.25
"""An announcement may carry thousands of keys and nobody's call waits for it."""

_KEY_FIELD = "key"
_PUT, _DROP, _ADVANCE = (
    (Path(__file__).parent / name).read_text(encoding="utf-8") for name in ("put.lua", "drop.lua", "advance.lua")
)
# JSON, because the content came as JSON: whatever it holds (integers of any size, say) can be written again.
_ENCODER = msgspec.json.Encoder()
_RELEASE = msgspec.json.Decoder(ReleaseDocument)
_KEY = msgspec.json.Decoder(KeyDocument)
CHANGES = msgspec.json.Decoder(list[Change])


class RedisCache:
    """The :class:`gateway.core.ports.Cache` of Redis. Nothing here raises: whatever goes wrong is a miss."""

    def __init__(self, link: Link, secret: bytes) -> None:
        self._link = link
        self._secret = secret
        self.hits = 0
        self.misses = 0
        self.rejected = 0
        """Entries that were there but false: a MAC, tenant, place or schema that does not fit."""

    async def get_release(self, application_id: str, reference: Reference) -> ReleaseDocument | None:
        """The cached reading of a reference."""
        document = await self._get(_release(application_id, reference.slug), reference.selector, _RELEASE)
        if document is None:
            return None
        told = (document.application_id, document.slug, document.selector, document.schema_version)
        return self._judge(document, told, (application_id, reference.slug, reference.selector, SCHEMA_VERSION))

    async def put_release(self, document: ReleaseDocument) -> None:
        """Keep a reading, unless a newer one is known."""
        place = _release(document.application_id, document.slug)
        await self._put(place, document.selector, document.generation, _ENCODER.encode(document))

    async def get_keys(self, digests: Sequence[str]) -> dict[str, KeyDocument]:
        """The cached readings of keys, in one round trip. Their expiry is the reader's to check."""
        places = [_key(digest) for digest in digests]

        async def work(client: Redis) -> list[Any]:
            pipeline = client.pipeline(transaction=False)
            for place in places:
                pipeline.execute_command("HGET", place, _KEY_FIELD)
            return await pipeline.execute()

        values = await self._link.ask(work) or [None] * len(places)
        found: dict[str, KeyDocument] = {}
        for digest, place, value in zip(digests, places, values, strict=True):
            document = self._read(place, _KEY_FIELD, value, _KEY)
            if document is not None:
                document = self._judge(document, document.schema_version, SCHEMA_VERSION)
            if document is not None:
                found[digest] = document
        return found

    async def put_key(self, digest: str, document: KeyDocument) -> None:
        """Keep a reading, unless a newer one is known."""
        await self._put(_key(digest), _KEY_FIELD, document.generation, _ENCODER.encode(document))

    async def announce(self, changes: list[Change]) -> None:
        """Drop what changed and push the news to every worker."""
        if not changes:
            return
        message = seal(self._secret, CHANNEL, _ENCODER.encode(changes))
        numbers = [change.generation for change in changes]

        async def work(client: Redis) -> None:
            drops = client.pipeline(transaction=False)
            for change in changes:
                if change.kind != "application":
                    drops.eval(_DROP, 1, _place(change), str(change.generation), str(TTL_S))
            try:
                await drops.execute()
            finally:
                # Workers hear of it even where one node of a cluster is away. The generation then stays behind: it is repeated.
                await client.execute_command("PUBLISH", CHANNEL, message)
            await client.execute_command("EVAL", _ADVANCE, 1, GENERATION, str(min(numbers)), str(max(numbers)))

        await self._link.ask(work, ANNOUNCE_TIMEOUT_S)

    async def repair(self, catalog: Catalog, generation: int) -> None:
        """Repeat announcements that never arrived here, up to ``generation``: Redis was away, or their sender died.

        For whoever polls the generation. Raises ``store_unavailable`` when the catalog cannot be asked.
        """
        known = await self.generation()
        if known is not None and known < generation:
            await self.announce(await catalog.changes(known))

    async def generation(self) -> int | None:
        """The last change announced here without a gap; None: none yet, or no answer."""

        async def work(client: Redis) -> Any:
            return await client.execute_command("GET", GENERATION)

        known = await self._link.ask(work)
        return int(known) if known is not None and known.isdigit() else None

    async def _get(self, place: str, field: str, decoder: "msgspec.json.Decoder[T]") -> T | None:
        async def work(client: Redis) -> Any:
            return await client.execute_command("HGET", place, field)

        return self._read(place, field, await self._link.ask(work), decoder)

    def _read(self, place: str, field: str, value: bytes | None, decoder: "msgspec.json.Decoder[T]") -> T | None:
        if value is None:
            self.misses += 1
            return None
        payload = unseal(self._secret, f"{place} {field}", value)
        if payload is not None:
            try:
                return decoder.decode(payload)
            except msgspec.MsgspecError:
                pass
        self.rejected += 1
        return None

    async def _put(self, place: str, field: str, generation: int, payload: bytes) -> None:
        value = seal(self._secret, f"{place} {field}", payload)

        async def work(client: Redis) -> object:
            return await client.execute_command("EVAL", _PUT, 1, place, generation, field, value, TTL_S)

        await self._link.ask(work)

    def _judge(self, document: T, told: object, asked: object) -> T | None:
        if told == asked:
            self.hits += 1
            return document
        self.rejected += 1
        return None


def _release(application_id: str, slug: str) -> str:
    return f"pg:{application_id}:release:{slug}"


def _key(digest: str) -> str:
    return f"pg:key:{digest}"


def _place(change: Change) -> str:
    return _key(change.name) if change.kind == "key" else _release(change.application_id, change.name)
