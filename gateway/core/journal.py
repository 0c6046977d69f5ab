"""What telemetry wants to know of one call. Phases write it, only ``record`` reads it, nothing decides by it."""

from collections.abc import Mapping

from msgspec import Struct

from gateway.core.events import Usage
from gateway.core.ledger import UNBILLED, Bill, Intent, ServedPrompt
from gateway.core.limits import Holding, Spent
from gateway.core.requests import Caller, ChatRequest, Inbound
from gateway.core.upstream import Target
from gateway.core.verdicts import Note

PHASES = ("queue", "authenticate", "resolve", "render", "admit", "guard_in", "route", "call", "guard_out", "respond")
"""What is timed, in order: the wait for a turn of the event loop, then the verbs. ``receive`` ends where the clock starts."""


NOTHING_SPENT = Spent()


class Journal(Struct, gc=False):
    """One call's facts, written as they become known."""

    inbound: Inbound
    caller: Caller | None = None
    request: ChatRequest | None = None
    prompt: "PromptFacts | None" = None
    target: Target | None = None
    attempts: int = 0
    """Made so far, hedges included."""
    attempt: int = 0
    """The number of the one that the row is about, where that need not be the last: of two at one time, who won. 0: the last."""
    intent: Intent | None = None
    """The last that went into the spool, so a final record must follow."""
    laps: list[float] = []
    """Monotonic seconds at the end of each phase of :data:`PHASES` reached."""
    first_byte: float | None = None
    """Monotonic seconds of the first upstream event."""
    upstream: float = 0.0
    """Seconds spent waiting for the provider."""
    input_chars: int = 0
    generated: int = 0
    """Characters of generated text seen, where there is no usage that says more."""
    usage: Usage | None = None
    usage_source: str | None = None
    """As :attr:`gateway.core.ledger.LedgerRow.usage_source`."""
    bill: Bill = UNBILLED
    finish: str | None = None
    outcome: str = "ok"
    status: int = 200
    guard: str | None = None
    notes: list[Note] = []
    """What guards found, enforced or observed; one per guard and stage."""
    error: str | None = None
    recorded: bool = False
    guard_types: Mapping[str, str] = {}
    """The types of guards that are not called like them, by what they are called."""
    booked_notes: int = 0
    """How many of them are on rows of earlier attempts."""
    head: str = ""
    """Further response header lines, of phases that not every call goes through."""
    holding: Holding | None = None
    """What is reserved of the application's limits."""
    route: str | None = None
    """What the route table was asked for, where limits were asked."""
    shadowed: tuple[str, ...] | None = None
    """The shadow rules that would have refused the call; None: no limits were asked."""
    aside: Spent = NOTHING_SPENT
    """What other attempts of the call used, those whose rows are written already: hedges that lost, answers that guards refused."""


class PromptFacts:
    """Which prompt was served, as the ledger and the response headers name it."""

    __slots__ = ("alias", "content_hash", "generation", "head", "label", "prompt_id", "served", "slug", "variant", "version")

    def __init__(
        self,
        *,
        prompt_id: str,
        slug: str,
        version: int,
        alias: str | None,
        content_hash: str,
        generation: int,
        variant: str | None = None,
    ) -> None:
        self.prompt_id = prompt_id
        self.slug = slug
        self.version = version
        self.alias = alias
        self.content_hash = content_hash
        self.generation = generation
        self.variant = variant
        """The name of the variant, where the alias is split."""
        self.served = ServedPrompt(prompt_id, slug, version, alias, variant, content_hash, generation)
        """The same for the ledger."""
        self.label = f"{slug}@{alias}:{version}" if alias else f"{slug}:{version}"
        """``name@alias:version``, the value of the ``x-prompt`` response header."""
        self.head = f"x-prompt: {self.label}\r\nx-prompt-digest: {content_hash}\r\nx-prompt-generation: {generation}\r\n"
        if variant is not None:
            self.head += f"x-prompt-variant: {variant}\r\n"
        """The response header lines that name it; every part is plain ASCII by its grammar."""
