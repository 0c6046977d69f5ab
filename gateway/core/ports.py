"""What the data plane needs from the world, as protocols. Every port has a memory twin; one contract suite holds all twins."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from gateway.core.credentials import SealedCredential
from gateway.core.documents import Change, KeyDocument, ReleaseDocument
from gateway.core.ledger import Intent, LedgerRow
from gateway.core.limits import Ask, CounterState, Reserved, Settlement, Window
from gateway.core.references import Reference


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


class LeaseStore(Protocol):
    """Shared request counters (Redis or its memory twin)."""

    async def lease(self, key_id: str, limit: int, want: int) -> Lease | None:
        """Take up to ``want`` permits of this minute's ``limit``. None: the store cannot be asked."""
        ...


class LimitStore(Protocol):
    """The shared counters behind limit rules (Redis or its memory twin). Nothing raises; None: the store cannot be asked.

    A counter is an application and a name. Its window is decided by the store's clock. What is reserved and neither settled nor
    renewed in time counts no longer.
    """

    async def reserve(self, application_id: str, reservation: str, seconds: float, asks: Sequence[Ask]) -> Reserved | None:
        """Check all counters and take all that is asked, or nothing, in one step. Reservations live for so many seconds."""
        ...

    async def settle(self, application_id: str, settlements: Sequence[Settlement], *, again: bool = False) -> bool:
        """Put the truth in the place of reservations. False: the store cannot be asked, and it may or may not have happened.

        ``again``: these were sent before, so only what is still reserved is settled; then no settlement counts twice.
        """
        ...

    async def renew(self, application_id: str, seconds: float, held: Sequence[Settlement]) -> bool:
        """Let reservations live for so many seconds from now; ``truth`` says nothing here. False: the store cannot be asked."""
        ...

    async def look(self, application_id: str, asks: Sequence[Ask]) -> list[CounterState] | None:
        """Where counters stand; nothing is taken."""
        ...

    async def lease(self, application_id: str, counter: str, window: Window, limit: int, want: int) -> Lease | None:
        """Take up to ``want`` of a counter for good, to be handed out locally."""
        ...


class Swap(Struct, frozen=True, gc=False):
    """What became of a swap."""

    done: bool
    """Whether the place holds the new value now."""
    found: bytes | None
    """What lay there instead of the expected value; None when nothing did, or the swap was done."""


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
    """Where calls are written down. Neither method blocks; both copy before returning."""

    def intend(self, intent: Intent) -> None:
        """Before the first byte goes upstream. Raises ``ledger_full`` when the spool has no room left."""
        ...

    def append(self, row: LedgerRow) -> None:
        """Before the last byte goes to the caller. Never raises: room for it was kept by the intent."""
        ...
