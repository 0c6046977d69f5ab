"""What the data plane needs from the world, as protocols. Every port has a memory twin; one contract suite holds all twins."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from gateway.core.credentials import SealedCredential
from gateway.core.documents import Change, KeyDocument, ReleaseDocument
from gateway.core.ledger import Ending, Intent
from gateway.core.limits import Ask, CounterState, LimitRule, Reserved, Seed, Settlement, Stage, Turn, Unseeded, Window
from gateway.core.references import Reference
from gateway.core.spending import Charge, Question, Span, Total


class Catalog(Protocol):
    """The readable side of the registry: Postgres, or its memory twin. Raises ``store_unavailable`` when it cannot be asked."""

    async def release(self, application_id: str, reference: Reference) -> ReleaseDocument | None:
        """What a reference resolves to now; published versions only. None: no such prompt, alias or published version."""
        ...

    async def keys(self, digests: Sequence[str]) -> dict[str, KeyDocument]:
        """Live keys by the SHA-256 of their texts, 64 hex digits. Not among them: what is unknown, revoked or expired."""
        ...

    async def credentials(self) -> list[SealedCredential]:
        """The keys of provider accounts that belong to the installation, oldest first; those of applications come with their keys."""
        ...

    async def slug(self, application_id: str, prompt_id: str) -> str | None:
        """The slug of a prompt by its id, a UUID; it never changes. None: the application has no such prompt."""
        ...

    async def names(self, application_id: str) -> list[str]:
        """Every reference that ``GET /v1/models`` lists: ``slug`` and ``slug@alias`` of active prompts, sorted."""
        ...

    async def generation(self) -> int:
        """The number that rises with every change of what is served."""
        ...

    async def changes(self, after: int) -> list[Change]:
        """What changed since ``after``, oldest first."""
        ...


class Cache(Protocol):
    """The shared serving cache (Redis or its memory twin). Every call is bounded by a few milliseconds and a breaker.

    A failure is a miss: nothing here raises. Entries carry tenant, schema version and a MAC; a mismatch is a miss too.
    """

    async def get_release(self, application_id: str, reference: Reference) -> ReleaseDocument | None: ...

    async def put_release(self, document: ReleaseDocument) -> None: ...

    async def get_keys(self, digests: Sequence[str]) -> dict[str, KeyDocument]: ...

    async def put_key(self, digest: str, document: KeyDocument) -> None: ...

    async def announce(self, changes: list[Change]) -> None:
        """Drop what changed and push the news to every worker."""
        ...


class Lease(Struct, frozen=True):
    """A bundle of permits taken from a shared window."""

    granted: int
    """0 when the window is used up."""
    remaining: int
    """What is left in the window for everybody, after this grant."""
    window_ends: float
    """Monotonic seconds at which the window resets."""
    seeded_ms: int = 0
    """When the counter was made again from the ledger, by the store's clock in milliseconds since the epoch, while the ledger is yet to
    be asked a last time; 0: it is not."""


class LeaseStore(Protocol):
    """Shared request counters (Redis or its memory twin)."""

    async def lease(self, key_id: str, limit: int, want: int) -> Lease | None:
        """Take up to ``want`` permits of this minute's ``limit``. None: the store cannot be asked."""
        ...


class LimitStore(Protocol):
    """The shared counters behind limit rules (Redis or its memory twin). Nothing raises; None: the store cannot be asked.

    A counter is an application and a name. Its window is decided by the store's clock. What is reserved and neither settled nor
    renewed in time counts no longer. ``Unseeded``: the store has no account of an application's long windows
    (:data:`gateway.core.limits.LONG_WINDOWS`), since it is new or has lost its data; they are to be seeded before they can be asked.
    """

    async def reserve(
        self, application_id: str, reservation: str, seconds: float, asks: Sequence[Ask]
    ) -> Reserved | Unseeded | None:
        """Check all counters and take all that is asked, or nothing, in one step. Reservations live for so many seconds."""
        ...

    async def cancel(self, application_id: str, reservation: str, asks: Sequence[Ask]) -> bool | None:
        """Undo a reservation whose answer never came: whether there was one. ``asks`` are those that it was made with."""
        ...

    async def settle(self, application_id: str, settlements: Sequence[Settlement], *, again: bool = False) -> bool:
        """Put the truth in the place of reservations. False: the store cannot be asked, and it may or may not have happened.

        ``again``: these were sent before, so only what is still reserved is settled; then no settlement counts twice.
        """
        ...

    async def renew(self, application_id: str, seconds: float, held: Sequence[Settlement]) -> int | None:
        """Let reservations live for so many seconds from now; ``truth`` says nothing here. The store's epoch.

        Those of an earlier epoch, which the store has lost, are made again.
        """
        ...

    async def look(self, application_id: str, asks: Sequence[Ask]) -> list[CounterState] | Unseeded | None:
        """Where counters stand; nothing is taken."""
        ...

    async def lease(
        self, application_id: str, counter: str, window: Window, limit: int, want: int, least: int = 1
    ) -> Lease | Unseeded | None:
        """Take up to ``want`` of a counter for good, to be handed out locally; nothing where ``least`` are not left."""
        ...

    async def turn(self, application_id: str, who: str, seconds: float) -> Turn | None:
        """Whether ``who`` is to seed the application's counters. If so, nobody else is within so many seconds."""
        ...

    async def seed(self, application_id: str, seeds: Sequence[Seed], stage: Stage) -> int | None:
        """Add what the ledger knows to counters made in this epoch, in the place of what an earlier seed said.

        The store's clock, in milliseconds since the epoch: calls that ended before the seed ``first`` are the ledger's to count.
        """
        ...

    async def early(self, application_id: str) -> list[str] | None:
        """Ids of calls that started before the seed ``first`` and were counted in this store after it, until the seed ``last``."""
        ...

    async def note(self, application_id: str, reservations: Sequence[str]) -> bool:
        """Calls that spend permits leased after the seed ``first``, for :meth:`early`. False: the store cannot be asked.

        Those that started later are left aside, and so is everything after the seed ``last``.
        """
        ...

    async def charge(self, application_id: str, name: str, started_ms: int, spent: Sequence[Seed]) -> bool:
        """Count what a call used that nobody settled; ``name`` counts once. False: the store cannot be asked.

        While a seed ``last`` is to come, calls that started before the first are left to it.
        """
        ...


class Spending(Protocol):
    """What the ledger says that calls have used. Raises ``store_unavailable`` when it cannot be asked, or not within its time."""

    async def rules(self, application_id: str) -> list[LimitRule]:
        """The limit rules of an application, as they stand now."""
        ...

    async def totals(self, application_id: str, question: Question, low_ms: int, high_ms: int) -> list[Total]:
        """The answer to a question for calls that started from ``low_ms`` up to ``high_ms``, by value."""
        ...

    async def summed(self, since_ms: int, until_ms: int) -> frozenset[Span]:
        """The hours and days from ``since_ms`` up to ``until_ms`` that are summed up, and whose sums are true."""
        ...

    async def sums(self, application_id: str, question: Question, spans: Sequence[Span]) -> list[Total]:
        """The answer to a question for all calls that started in these spans, from their sums."""
        ...

    async def charges(self, call_ids: Sequence[str]) -> list[Charge]:
        """What calls came to, all their attempts together. Not among them: calls that the ledger does not have."""
        ...


class Swap(Struct, frozen=True, gc=False):
    """What became of a swap."""

    done: bool
    """Whether the place holds the new value now."""
    found: bytes | None
    """What lay there instead of the expected value; None when nothing did, or the swap was done."""


PIECES = 16
"""Of a row that are read at once: half a second of a stream, so that whoever is behind catches up and no reply is large."""


class AnswerStore(Protocol):
    """Answers kept for whoever asks the same again (Redis or its memory twin). Every call is bounded in time; nothing raises.

    A place is an application and a name; no application can read or replace what lies in another's. What was tampered with is
    nothing.
    """

    async def get(self, application_id: str, name: str) -> bytes | None:
        """What lies there. None: nothing, or no answer in time."""
        ...

    async def swap(
        self, application_id: str, name: str, old: bytes | None, new: bytes | None, seconds: float = 0.0
    ) -> Swap | None:
        """Put ``new`` in the place of ``old``, for so many seconds, in one step; None stands for nothing.

        None: the store cannot be asked, and the swap may or may not have happened.
        """
        ...

    async def put(self, application_id: str, name: str, value: bytes, seconds: float) -> None:
        """Keep a value for so many seconds, whatever lay there."""
        ...

    async def append(self, application_id: str, name: str, number: int, value: bytes, seconds: float, *, oldest: int) -> bool:
        """Put one more piece into a row of numbered ones, which lives for so many seconds from now on.

        Pieces below ``oldest`` go. One that is not above the last stays out: it was written before. False: nobody can say
        whether it is there now.
        """
        ...

    async def after(self, application_id: str, name: str, number: int) -> list[tuple[int, bytes]]:
        """Pieces of a row above ``number``, in order, at most :data:`PIECES`. Empty: no more yet, or no answer in time."""
        ...


class Workbench(Protocol):
    """What trying a draft needs of the control plane."""

    def admits(self, credential: bytes) -> bool:
        """Whether this is an operator's credential."""
        ...

    async def caller(self, application: str | None) -> KeyDocument:
        """Who an operator acts for. Raises ``not_found``, and ``malformed`` when none is named and there are several."""
        ...

    async def version(self, application: str, reference: Reference) -> ReleaseDocument:
        """A stored version, published or not. Raises ``not_found``."""
        ...


class Outages(Protocol):
    """What workers tell each other of targets that fail (Redis or its memory twin). Nothing here raises."""

    async def exchange(self, opened: Mapping[str, float]) -> dict[str, float] | None:
        """Tell which targets this worker has just begun to leave alone, and for how many seconds; hear of all that any did.

        None: the store cannot be asked, or the call took too long.
        """
        ...


class Ledger(Protocol):
    """Where calls are written down. Neither method blocks."""

    def intend(self, intent: Intent) -> None:
        """Before the first byte goes upstream. Raises ``ledger_full`` when the spool has no room left."""
        ...

    def append(self, intent: Intent, ending: Ending) -> None:
        """Before the last byte goes to the caller. Never raises: room for it was kept by ``intend``.

        ``intent`` is the one given there; an attempt that was never made has none there, and only a row of its refusal.
        """
        ...
