"""What this worker serves from: compiled releases and keys in memory, the cache behind them, the truth behind that.

Theory of operation. A lookup is a dict hit. A miss loads from the cache, then from the catalog; equal misses share one load.
The registry's *generation* rises with every change; a change names what moved. Applying a change drops the entry and raises its
*floor*, and no document read at an older generation is accepted again: a slow load, a stale cache entry or a lagging replica can
never bring an older version back. Dropped entries are kept aside as last-known-good, and are served only while neither store can
be asked; a snapshot read at start fills the same shelf, which is how a worker starts without Redis and Postgres.

Absent prompts and keys are remembered too (bounded, apart from what exists, and dropped by the change that creates them), so they cost
a lookup once; a flood of keys that differ is looked up together (:mod:`gateway.pipeline.together`). A
prompt that was absent stays so while nobody can be asked, or every call that names a plain model would fail with the registry.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Generic, TypeVar

import msgspec
from msgspec import Struct

from gateway.core.credentials import INSTALLATION, SealedCredential
from gateway.core.documents import (
    SCHEMA_VERSION,
    Change,
    Guardrails,
    KeyDocument,
    ReleaseDocument,
    decode_guardrails,
    encode_guardrails,
)
from gateway.core.errors import STORE_UNAVAILABLE, GatewayError
from gateway.core.grants import grant_of
from gateway.core.ports import Cache, Catalog
from gateway.core.references import Reference, prompt_id_of
from gateway.core.requests import Caller
from gateway.guards.plan import NO_GUARDS, GuardPlan, combined
from gateway.pipeline.accounts import Accounts
from gateway.pipeline.release import Release, compile_release
from gateway.pipeline.together import Together

ABSENT_SECONDS = 30.0
"""How long "there is no such thing" is believed without news; a lost message is repaired by the poll long before."""
MAX_ENTRIES = 20_000
"""Of each kind, per worker: at 10 KB a compiled release this is the memory a worker may spend on prompts."""
MAX_PLAIN = 1024
"""Different guardrails of applications that are held compiled."""
CATALOG_PAUSE = 1.0
"""Seconds without asking a catalog that has just failed: one slow failure must not be paid by every miss."""

T = TypeVar("T")
K = TypeVar("K")
ReleaseKey = tuple[str, str, str]


class KeyEntry(Struct, frozen=True):
    """A live key as the pipeline uses it."""

    document: KeyDocument
    caller: Caller


class Snapshot(Struct):
    """The last-known-good shelf, as it lies on disk."""

    generation: int
    releases: list[ReleaseDocument]
    keys: dict[str, KeyDocument]
    schema_version: int = SCHEMA_VERSION
    credentials: list[SealedCredential] = []
    """The installation's own, still sealed."""


class Shelf(Generic[T]):
    """Entries by key with floors, absences and last-known-good beside them. ``K`` is any hashable."""

    def __init__(self, *, trusts_absence: bool) -> None:
        self.trusts_absence = trusts_absence
        """Whether "there was nothing" may answer while nobody can be asked. For a key it may not: a 401 is final, a 503 is not."""
        self.live: dict[object, T] = {}
        self.stale: dict[object, T] = {}
        self.absent: dict[object, float] = {}
        self.loading: dict[object, asyncio.Future[T | None]] = {}

    def put(self, key: object, value: T) -> None:
        """Add an entry; at the bound the oldest goes."""
        if len(self.live) >= MAX_ENTRIES:
            self.live.pop(next(iter(self.live)))
        self.live[key] = value
        self.stale.pop(key, None)
        self.absent.pop(key, None)

    def miss(self, key: object, now: float) -> None:
        """Remember that there is nothing."""
        if len(self.absent) >= MAX_ENTRIES:
            self.absent.clear()
        self.absent[key] = now + ABSENT_SECONDS
        self.stale.pop(key, None)

    def drop(self, matches: Callable[[object], bool]) -> None:
        """Set matching entries aside."""
        for key in [k for k in self.live if matches(k)]:
            if len(self.stale) >= MAX_ENTRIES:
                self.stale.pop(next(iter(self.stale)))
            self.stale[key] = self.live.pop(key)
        for key in [k for k in self.absent if matches(k)]:
            del self.absent[key]


class Releases:
    """The worker's view of the registry."""

    def __init__(
        self,
        catalog: Catalog,
        cache: Cache,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        accounts: Accounts | None = None,
    ) -> None:
        self.accounts = accounts
        """Where the keys of provider accounts go that come with what is read here; None where calls have no others."""
        self._catalog = catalog
        self._cache = cache
        self._clock = clock
        self._releases: Shelf[Release] = Shelf(trusts_absence=True)
        self._keys: Shelf[KeyEntry] = Shelf(trusts_absence=False)
        self._strangers: Together[KeyEntry] = Together(self._find_keys, sleep)
        """Keys that are not in memory."""
        self._floors: dict[tuple[str, str], int] = {}
        self._slugs: dict[tuple[str, str], str | None] = {}
        self._catalog_rests_until = 0.0
        self._plain: dict[bytes, GuardPlan] = {}
        self._compiling: dict[tuple[bytes, int], asyncio.Future[GuardPlan]] = {}
        """Guards of applications on their way."""
        self.generation = 0
        """The generation applied: every change up to it has taken effect here."""
        self.degraded = False
        """True while the catalog cannot be asked."""
        self.stale_served = 0
        """Lookups answered from the last-known-good shelf, for the metric."""
        self.rejected = 0
        """Documents refused because they would not compile, for the metric."""

    @property
    def has_something(self) -> bool:
        """Whether anybody could be served without the registry."""
        return bool(self._keys.live or self._keys.stale)

    # --- the hot path -----------------------------------------------------------------------------------------------
    def release_now(self, application_id: str, reference: Reference) -> Release | None:
        """The release if it is in memory."""
        return self._releases.live.get((application_id, reference.slug, reference.selector))

    def lacks(self, application_id: str, reference: Reference) -> bool:
        """Whether it is known that there is no such release."""
        return self._releases.absent.get((application_id, reference.slug, reference.selector), 0.0) > self._clock()

    def key_now(self, digest: str) -> KeyEntry | None:
        """The key if it is in memory."""
        return self._keys.live.get(digest)

    def guards_now(self, application: bytes) -> GuardPlan | None:
        """What judges calls of an application that name no prompt (:attr:`gateway.core.requests.Caller.guardrails`).

        None: it is not compiled yet.
        """
        return self._plain.get(application) if application else NO_GUARDS

    # --- misses -----------------------------------------------------------------------------------------------------
    async def release(self, application_id: str, reference: Reference) -> Release | None:
        """The release from memory, the cache or the catalog; None if it does not exist. Raises ``store_unavailable``."""
        key: ReleaseKey = (application_id, reference.slug, reference.selector)

        async def load() -> Release | None:
            floor = self._floors.get((application_id, reference.slug), 0)
            document = await self._cache.get_release(application_id, reference)
            if document is None or document.generation < floor:
                document = await self._ask(lambda: self._catalog.release(application_id, reference))
                if document is not None:
                    await self._cache.put_release(document)
            if document is None:
                return None
            # Tables of many forms take a tenth of a second to compile, once per process: the loop does not wait for them.
            return await asyncio.to_thread(self._compile, document) if _has_validators(document) else self._compile(document)

        return await self._load(self._releases, key, load, lambda: self._floors.get((application_id, reference.slug), 0))

    async def guards(self, application: bytes, release: Release | None) -> GuardPlan:
        """The guards of an application, and of a release after them, compiled in a thread. Raises ``malformed``.

        Half a second at worst (tables of many forms, a model of languages), for which no other call waits.
        """
        key = (application, id(release))  # the flight keeps the release alive
        running = self._compiling.get(key)
        if running is None:
            compiling = self._compile_plain if release is None else release.join_guards
            running = asyncio.ensure_future(asyncio.to_thread(compiling, application))
            self._compiling[key] = running
            running.add_done_callback(lambda done: _over(self._compiling, key, done))
        return await asyncio.shield(running)  # a caller who leaves must not end it for the others

    def _compile_plain(self, application: bytes) -> GuardPlan:
        found = combined(decode_guardrails(application), None)
        if len(self._plain) >= MAX_PLAIN:
            self._plain.clear()
        self._plain[application] = found
        return found

    async def key(self, digest: str) -> KeyEntry | None:
        """The key from memory, the cache or the catalog; None if unknown, revoked or expired. Raises ``store_unavailable``."""
        return await self._load(
            self._keys, digest, lambda: self._strangers.find(digest), lambda: self._floors.get(("", digest), 0)
        )

    async def _find_keys(self, digests: list[str]) -> dict[str, KeyEntry | GatewayError]:
        """Keys from the cache and the catalog, by one question to each."""
        cached = await self._cache.get_keys(digests)
        known = {d: key for d, key in cached.items() if key.generation >= self._floors.get(("", d), 0)}
        found: dict[str, KeyEntry | GatewayError] = {digest: self._key_entry(key) for digest, key in known.items()}
        missing = [digest for digest in digests if digest not in known]
        if missing:
            try:
                stored = await self._ask(lambda: self._catalog.keys(missing))
            except GatewayError as error:
                return found | dict.fromkeys(missing, error)
            await asyncio.gather(*[self._cache.put_key(digest, key) for digest, key in stored.items()])
            found |= {digest: self._key_entry(key) for digest, key in stored.items()}
        return found

    async def named_by_id(self, application_id: str, reference: Reference) -> Reference | None:
        """What a reference by a prompt's own id stands for. None: it is no such reference, or there is no such prompt.

        Slugs and ids are for ever, so each answer is asked for once. Raises ``store_unavailable``.
        """
        prompt_id = prompt_id_of(reference.slug)
        if prompt_id is None:
            return None
        key = (application_id, prompt_id)
        if key not in self._slugs:
            slug = await self._ask(lambda: self._catalog.slug(application_id, prompt_id))
            if len(self._slugs) >= MAX_ENTRIES:
                self._slugs.clear()
            self._slugs[key] = slug
        slug = self._slugs[key]
        return None if slug is None else msgspec.structs.replace(reference, slug=slug)

    async def names(self, application_id: str) -> list[str]:
        """Every prompt reference the application may list. Raises ``store_unavailable``."""
        return await self._ask(lambda: self._catalog.names(application_id))

    async def _load(
        self, shelf: Shelf[T], key: object, load: Callable[[], Awaitable[T | None]], floor: Callable[[], int]
    ) -> T | None:
        found = shelf.live.get(key)
        if found is not None:
            return found
        if shelf.absent.get(key, 0.0) > self._clock():
            return None
        running = shelf.loading.get(key)
        if running is None:
            running = asyncio.ensure_future(self._fill(shelf, key, load, floor))
            shelf.loading[key] = running
            running.add_done_callback(lambda done: _over(shelf.loading, key, done))
        try:
            return await asyncio.shield(running)  # a caller who leaves must not end the load for the others
        except GatewayError as error:
            stale = shelf.stale.get(key)
            if error.kind is STORE_UNAVAILABLE and (stale is not None or (shelf.trusts_absence and key in shelf.absent)):
                self.stale_served += 1
                return stale
            raise

    async def _fill(
        self, shelf: Shelf[T], key: object, load: Callable[[], Awaitable[T | None]], floor: Callable[[], int]
    ) -> T | None:
        while True:
            before = floor()
            value = await load()
            if floor() != before:
                continue  # it moved while we read: what we hold may be the old one
            if value is None:
                shelf.miss(key, self._clock())
            else:
                shelf.put(key, value)
            return value

    async def _ask(self, ask: Callable[[], Awaitable[T]]) -> T:
        """An answer of the catalog.

        A failure after a success is asked again at once: one dead connection of the pool, or one turn of our own loop that took
        too long, is no outage.
        """
        if self._clock() < self._catalog_rests_until:
            raise GatewayError(STORE_UNAVAILABLE, "the prompt registry cannot be reached", retry_after=CATALOG_PAUSE)
        tries = 1 if self.degraded else 2
        while True:
            tries -= 1
            try:
                answer = await ask()
            except GatewayError as error:
                if error.kind is STORE_UNAVAILABLE:
                    if tries:
                        continue
                    self._catalog_rests_until = self._clock() + CATALOG_PAUSE
                    self.degraded = True
                raise
            self.degraded = False
            return answer

    def _key_entry(self, document: KeyDocument) -> KeyEntry:
        caller = Caller(
            application_id=document.application_id,
            application=document.application,
            key_id=document.key_id,
            public_id=document.public_id,
            requests_per_minute=document.requests_per_minute,
            default_model=document.default_model,
            store_responses=document.store_responses,
            grant=grant_of(document),
            limits=tuple(document.limits),
            guardrails=_guardrails(document),
            routes=None if self.accounts is None else self.accounts.table_of(document),
            ancestors=tuple(document.ancestors),
        )
        return KeyEntry(document, caller)

    def _compile(self, document: ReleaseDocument) -> Release:
        try:
            return compile_release(document)
        except GatewayError:
            self.rejected += 1
            raise

    # --- news -------------------------------------------------------------------------------------------------------
    def apply(self, changes: Iterable[Change]) -> bool:
        """Drop what changed. True if these changes follow on from what was applied; False if some are missing between."""
        contiguous = True
        for change in sorted(changes, key=lambda c: c.generation):
            self._drop(change)
            if change.generation <= self.generation + 1:
                self.generation = max(self.generation, change.generation)
            else:
                contiguous = False
        return contiguous

    def _drop(self, change: Change) -> None:
        if change.kind == "key":
            self._floors["", change.name] = change.generation
            self._keys.drop(lambda k: k == change.name)
            self._keys.stale.pop(change.name, None)  # a revoked key is not served from any shelf
        elif change.application_id == INSTALLATION:
            if self.accounts is not None:
                self.accounts.due = True
        elif change.kind == "application":
            self._keys.drop(lambda k: _application_of(self._keys.live.get(k)) == change.application_id)
        else:
            place = (change.application_id, change.name)
            self._floors[place] = change.generation
            self._releases.drop(lambda k: isinstance(k, tuple) and k[:2] == place)

    def _forget(self) -> None:
        for shelf in (self._releases, self._keys):
            shelf.live.clear()
            shelf.stale.clear()
            shelf.absent.clear()
        self._floors.clear()
        if self.accounts is not None:
            self.accounts.due = True
        self.generation = 0

    async def catch_up(self) -> None:
        """Ask the truth what changed since, and apply it. Raises ``store_unavailable``."""
        newest = await self._ask(self._catalog.generation)
        if newest < self.generation:
            self._forget()  # another registry, or one from a backup: nothing that is held here is known to be good
        if newest > self.generation:
            self.apply(await self._ask(lambda: self._catalog.changes(self.generation)))
            self.generation = max(self.generation, newest)
        await self.settle()

    async def settle(self) -> None:
        """Read the installation's keys of provider accounts again, if they have moved. Raises ``store_unavailable``."""
        accounts = self.accounts
        if accounts is None or not accounts.due:
            return
        accounts.due = False  # before asking: what moves meanwhile is asked for once more
        try:
            accounts.install(await self._ask(self._catalog.credentials))
        except BaseException:
            accounts.due = True
            raise

    # --- the shelf on disk --------------------------------------------------------------------------------------------
    def snapshot(self, kept: Snapshot | None = None) -> Snapshot:
        """Everything known good now: what this worker holds, and what the others have put into the ``kept`` one.

        The newest reading of each place wins, so that workers which write in turn come to the same.
        """
        shared = kept or Snapshot(0, [], {})
        releases = [r.document for shelf in (self._releases.stale, self._releases.live) for r in shelf.values()]
        newest = {(d.application_id, d.slug, d.selector): d for d in sorted([*shared.releases, *releases], key=_generation)}
        keys = [(str(k), e.document) for shelf in (self._keys.stale, self._keys.live) for k, e in shelf.items()]
        keys += [(k, d) for k, d in shared.keys.items() if d.generation >= self._floors.get(("", k), 0)]
        accounts = self.accounts
        return Snapshot(
            max(self.generation, shared.generation),
            [newest[place] for place in sorted(newest)],
            dict(sorted(sorted(keys, key=lambda pair: pair[1].generation), key=lambda pair: pair[0])),
            credentials=shared.credentials if accounts is None or accounts.due else accounts.installed,
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Fill the last-known-good shelf; what does not compile here is left out. News is wanted from its generation on."""
        self.generation = snapshot.generation
        if self.accounts is not None:
            self.accounts.install(snapshot.credentials)
        for document in snapshot.releases:
            try:
                release = compile_release(document)
            except GatewayError:
                self.rejected += 1
                continue
            self._releases.stale[document.application_id, document.slug, document.selector] = release
        for digest, key in snapshot.keys.items():
            self._keys.stale[digest] = self._key_entry(key)


def _generation(document: ReleaseDocument) -> int:
    return document.generation


def _over(loading: dict[K, asyncio.Future[T]], key: K, done: asyncio.Future[T]) -> None:
    loading.pop(key, None)
    if not done.cancelled():
        done.exception()  # seen: every caller may have left by now


def _has_validators(document: ReleaseDocument) -> bool:
    contents = [document.content] if document.split is None else [variant.content for variant in document.split.variants]
    rails = [content.guardrails for content in contents]
    return any(each.pre_validation.validators or each.post_validation.validators for each in rails)


def _guardrails(document: KeyDocument) -> bytes:
    given = document.guardrails
    return b"" if given is None or given == Guardrails() else encode_guardrails(given)


def _application_of(entry: KeyEntry | None) -> str | None:
    return None if entry is None else entry.document.application_id


encode_snapshot = msgspec.msgpack.Encoder().encode
decode_snapshot = msgspec.msgpack.Decoder(Snapshot).decode
