"""What spans say of a call, in OpenTelemetry's words. The one place that knows the GenAI conventions, which still move.

Names are those of the semantic conventions for generative AI and HTTP (``gen_ai.*``, ``http.*``, ``server.*``, ``error.type``);
what they have no word for begins with ``promptgate.``. Never among them: messages, variables, answers, keys, users, sessions, error
texts.
"""

from collections.abc import Mapping
from urllib.parse import urlsplit

from gateway.core.errors import KINDS
from gateway.core.journal import Journal
from gateway.core.ledger import HEDGE_LOST
from gateway.core.trace import TracedAttempt

Attributes = dict[str, str | bool | int | float | tuple[str, ...]]

LONGEST = 200
"""Characters of a text that comes from outside, such as a model's name; real ones are shorter."""
NANO = 1e9
"""Nano-dollars in a dollar."""

_OPERATIONS = {
    "chat": "chat",
    "messages": "chat",
    "responses": "chat",
    "execute": "chat",
    "test": "chat",
    "guard": "chat",
    "completions": "text_completion",
}
"""By door; the names of all others are operations by themselves (``embeddings``)."""
_VENDORS = {
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
}
"""Kinds of provider that the conventions call otherwise."""


def operation(door: str) -> str:
    """``gen_ai.operation.name`` of a door's calls."""
    return _OPERATIONS.get(door, door)


def vendor(kind: str) -> str:
    """``gen_ai.provider.name`` of a kind of provider."""
    return _VENDORS.get(kind, kind)


def of_call(journal: Journal) -> Attributes:
    """The call as its caller sees it."""
    inbound, request, prompt, caller = journal.inbound, journal.request, journal.prompt, journal.caller
    found: Attributes = {
        "gen_ai.operation.name": operation(inbound.door),
        "http.response.status_code": journal.status,
        "promptgate.call_id": inbound.call_id,
        "promptgate.outcome": journal.outcome,
        "promptgate.attempts": journal.attempts,
    }
    if journal.outcome in KINDS:
        found["error.type"] = journal.outcome
    if caller is not None:
        found["promptgate.application"] = safe(caller.application)
    if request is not None:
        found["gen_ai.request.model"] = safe(request.model)
        found["gen_ai.request.stream"] = request.stream
    if prompt is not None:
        found["gen_ai.prompt.name"] = prompt.slug
        found["promptgate.prompt.version"] = prompt.version
        if prompt.alias is not None:
            found["promptgate.prompt.alias"] = prompt.alias
        if prompt.variant is not None:
            found["promptgate.prompt.variant"] = prompt.variant
    if journal.guard is not None:
        found["promptgate.guard"] = safe(journal.guard)
    if journal.usage_source is not None:
        found["promptgate.usage_source"] = journal.usage_source
    if journal.bill.cost_nano is not None:
        found["promptgate.cost_usd"] = (journal.bill.cost_nano + journal.aside.cost_nano) / NANO
    return found


def of_attempt(attempt: TracedAttempt, journal: Journal, vendors: Mapping[str, str]) -> Attributes:
    """One request to a provider. What the answer used is told by the attempt that answered, and by no other span."""
    request = journal.request
    found: Attributes = {
        "gen_ai.operation.name": operation(journal.inbound.door),
        "gen_ai.provider.name": vendors.get(attempt.provider, attempt.provider),
        "gen_ai.request.model": safe(attempt.model),
        "promptgate.provider": attempt.provider,
        "promptgate.attempt": attempt.number,
        **_server(attempt.base_url),
    }
    failure = failure_of(attempt, journal)
    if failure is not None:
        found["error.type"] = failure
    status = attempt.status or (200 if attempt.answered is not None else None)
    if status is not None:
        found["http.response.status_code"] = status
    if attempt.answered is not None and request is not None and request.stream:
        found["gen_ai.request.stream"] = True
        found["gen_ai.response.time_to_first_chunk"] = attempt.answered - attempt.began
    if is_last(attempt, journal):
        found |= _used(journal)
    return found


def failure_of(attempt: TracedAttempt, journal: Journal) -> str | None:
    """The name of what ended an attempt badly; a hedge that lost was cancelled for another one."""
    if attempt.error is not None:
        return attempt.error
    last = is_last(attempt, journal)
    if attempt.ended is not None:
        return journal.outcome if last and journal.outcome in KINDS else HEDGE_LOST
    return journal.outcome if last and journal.outcome in KINDS else None


def is_last(attempt: TracedAttempt, journal: Journal) -> bool:
    """Whether this is the attempt that the call ended with."""
    return attempt.number == (journal.attempt or journal.attempts)


def _used(journal: Journal) -> Attributes:
    usage, found = journal.usage, Attributes()
    if journal.finish is not None:
        found["gen_ai.response.finish_reasons"] = (safe(journal.finish),)
    if usage is not None:
        found["gen_ai.usage.input_tokens"] = usage.input
        found["gen_ai.usage.output_tokens"] = usage.output
        if usage.cached:
            found["gen_ai.usage.cache_read.input_tokens"] = usage.cached
        if usage.cache_write:
            found["gen_ai.usage.cache_creation.input_tokens"] = usage.cache_write
        if usage.reasoning:
            found["gen_ai.usage.reasoning.output_tokens"] = usage.reasoning
    return found


def _server(base_url: str) -> Attributes:
    try:
        parts = urlsplit(base_url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return {}
    if host is None:
        return {}
    return {"server.address": host, "server.port": port or (443 if parts.scheme == "https" else 80)}


def safe(text: str) -> str:
    """Text from outside, bounded, and such that it can be put into protobuf: a lone surrogate would spoil the whole batch."""
    return text[:LONGEST].encode(errors="replace").decode()
