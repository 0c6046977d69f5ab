"""What comes in: an HTTP request as the front door hands it over, who sent it, and what it asks for."""

from collections.abc import Mapping
from typing import Any

from msgspec import Raw, Struct

from gateway.core.conversation import Message
from gateway.core.grants import Grant
from gateway.core.limits import LimitRule
from gateway.core.references import Reference
from gateway.core.trace import Trace


class Inbound(Struct, gc=False):
    """A received request: size and headers checked, body still raw."""

    door: str
    """Which edge took it (``chat``, ``render``, ``models``): the metric label and the ledger column."""
    headers: dict[bytes, bytes]
    """Lower-case names; only those the gateway knows, the rest was dropped at the door."""
    body: bytes
    call_id: str
    """UUIDv7; the ledger key."""
    request_id: str
    """What ``x-request-id`` answers: the caller's own id if it sent a well-formed one, else the call id."""
    started_ms: int
    """Wall clock, milliseconds since the epoch."""
    started: float
    """Monotonic seconds; every duration is measured from here."""
    deadline: float
    """Monotonic seconds after which the call fails with ``deadline``."""
    query: str = ""
    """What follows ``?`` in the request's path, still percent-encoded; empty where no route takes any."""
    trace: Trace | None = None
    """The trace that the call is part of; None unless the caller named one, or the call is sampled."""
    bare: bool = False
    """Whether its headers are known to say nothing of it but who makes it and that its body is JSON."""


class Caller(Struct, frozen=True):
    """Who is asking: an application by one of its keys."""

    application_id: str
    application: str
    key_id: str
    public_id: str
    requests_per_minute: int | None
    default_model: str | None
    store_responses: bool = False
    """Whether the gateway keeps responses of this application, for ``previous_response_id`` and for reading them back."""
    grant: Grant | None = None
    """What the key is restricted to; None: nothing is withheld from it."""
    limits: tuple[LimitRule, ...] = ()
    """The rules of its application, beside ``requests_per_minute``."""
    guardrails: bytes = b""
    """What judges every call of the application, as canonical JSON of :class:`gateway.core.documents.Guardrails`; empty: nothing."""
    routes: Any = None
    """The application's own :class:`gateway.routing.table.RouteTable`, which this layer cannot name; None: the installation's."""
    ancestors: tuple[str, ...] = ()
    """The public ids of the keys that this one took the place of, the first one first."""


class Turn(Struct, gc=False):
    """One turn of a conversation that the gateway may keep for the caller, as the Responses API does."""

    previous: str | None
    """The id of the response that this one continues."""
    keep: bool
    """Whether the response is to be kept: the caller's wish until the application is known, then also what the answer says."""
    items: list[Raw]
    """What this turn adds: input items in the caller's dialect."""
    echo: dict[str, Raw]
    """Fields of the request that the answer repeats although the gateway itself acted on them."""


class ChatRequest(Struct, gc=False):
    """What a chat call asks for, dialect already gone."""

    model: str
    """As the caller wrote it; empty when only a prompt was named."""
    reference: Reference | None
    """The prompt it named, all its namings combined; None is a plain pass-through call."""
    variables: dict[str, Any]
    messages: tuple[Message, ...]
    stream: bool
    include_usage: bool
    """Whether the caller wants the usage chunk at the end of a stream."""
    choices: int
    """``n``."""
    unit: str | None
    """What keeps an A/B assignment stable: header, else body ``user``, else session."""
    user: str | None
    session: str | None
    tags: tuple[str, ...]
    fields: dict[str, Raw]
    """Every body field the gateway does not act on, by its name and in its form of the Chat Completions API; untouched when the
    caller spoke that."""
    native: dict[str, Raw] = {}
    """The same fields as the caller wrote them, when its dialect is not chat: for providers that speak it too."""
    headers: Mapping[bytes, bytes] = {}
    """Headers that belong to the caller's dialect, for providers that speak it too."""
    untranslatable: str | None = None
    """The first field of a dialect other than chat that has no form in chat: only a provider of that dialect can be asked."""
    turn: Turn | None = None
    """None for dialects in which every call stands alone."""
