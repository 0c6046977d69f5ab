"""The decision path of a chat call, told and not walked to its end: no provider is asked, no row is written, no permit of calls taken.

Every verb up to route says what it would do. Where one would refuse the call, its part holds the error that the caller would get, and
the parts that need it are left out.
"""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from msgspec import Raw, Struct

from gateway.core.conversation import Conversation
from gateway.core.documents import AnswerCache, Guardrails
from gateway.core.errors import GatewayError
from gateway.core.events import Usage
from gateway.core.journal import Journal
from gateway.core.notes import rows
from gateway.core.requests import Caller, ChatRequest, Inbound
from gateway.core.upstream import Target
from gateway.guards.plan import NO_GUARDS
from gateway.guards.telling import Told, held_back
from gateway.guards.telling import told as planned
from gateway.pipeline.estimates import output_bound
from gateway.pipeline.fetch import read_kept
from gateway.pipeline.guard_in import guard_in_apart
from gateway.pipeline.recall import answer_name
from gateway.pipeline.render import render
from gateway.pipeline.resolve import Recipe, resolve
from gateway.pipeline.route import route
from gateway.pipeline.services import Services
from gateway.pipeline.sharing import is_awaited
from gateway.pipeline.standing import RuleStanding, standings
from gateway.pricing.table import price

PER_MINUTE = 60
"""Explanations for one key, apart from its limit of calls: a person's pace with room for a test run, and no free use of our templates,
guards and token counter."""
_NANO = 1_000_000_000


class Fault(Struct, frozen=True):
    """Why a verb would refuse the call, in the words that the caller would get."""

    kind: str
    status: int
    message: str
    param: str | None


class Asked(Struct, frozen=True, omit_defaults=True):
    """What the request names."""

    model: str
    prompt: str | None
    """The reference, all its namings combined, with the alias or version that it means."""
    stream: bool
    unit: str | None
    """What keeps an assignment stable."""
    session: str | None
    tags: tuple[str, ...]


class Resolved(Struct, frozen=True, omit_defaults=True):
    """What answers it. Without a prompt only ``model`` and ``params`` are given."""

    model: str
    params: Mapping[str, Raw]
    """The body fields for the provider, stored defaults under the caller's."""
    prompt: str | None = None
    slug: str | None = None
    alias: str | None = None
    version: int | None = None
    digest: str | None = None
    generation: int | None = None
    variant: str | None = None
    """Whose turn it is for this unit, where the alias is split."""


class Rendered(Struct, frozen=True):
    """The messages to send, and how many tokens they are by our count."""

    messages: list[Raw]
    input_tokens: int


class Limits(Struct, frozen=True, omit_defaults=True):
    """Where the key stands, and the rules of its application; nothing is taken from them."""

    requests_per_minute: int | None
    """None: no limit."""
    remaining: int | None
    """As far as this worker knows; None if it has not asked yet."""
    reset_seconds: float | None
    rules: tuple[RuleStanding, ...] = ()
    """All that apply to the call; empty where it would be refused before."""


class Guarded(Struct, frozen=True):
    """What is judged, and the verdict on what goes in."""

    guardrails: Guardrails
    """Of the version."""
    plan: tuple[Told, ...]
    """Every guard in the order of asking, the application's first."""
    held_back: int | Literal["end"]
    """The most characters of a stream that wait to be decided; ``end``: all of it waits for its end."""
    verdict: str
    """``allow`` or ``block``, of the guards inside the process: nobody outside is asked."""
    guard: str | None
    """What blocks, as ``pre:prohibited_terms``."""
    found: list[str]
    """What the guards found, as in the header ``x-guardrails``."""
    fault: Fault | None


class Recalled(Struct, frozen=True):
    """Whether an answer is kept for it."""

    cache: AnswerCache
    state: str
    """``hit``, ``miss``, or ``coalesced``: one is on its way."""
    name: str
    """The digest of the rendered request."""


class Choice(Struct, frozen=True):
    """One target, with what the call would cost there."""

    provider: str
    model: str
    input_cost_usd: float | None
    """None: it has no price."""
    max_cost_usd: float | None
    """With as much output as the request allows; None without a bound or a price."""


class Explanation(Struct, frozen=True, omit_defaults=True):
    """The answer of ``POST /v1/explain``."""

    object: str
    answerable: bool
    """Whether a provider would be asked, or an answer recalled."""
    request: Asked
    limits: Limits
    resolve: Resolved | None = None
    render: Rendered | None = None
    guards: Guarded | None = None
    recall: Recalled | None = None
    route: tuple[Choice, ...] | None = None
    refused_by: str | None = None
    """The verb that would refuse the call."""
    error: Fault | None = None


async def explain(inbound: Inbound, request: ChatRequest, caller: Caller, services: Services) -> Explanation:
    """Everything that is decided about a call before a provider is asked."""
    journal = Journal(inbound, caller, request)
    told: dict[str, Any] = {}
    rules: tuple[RuleStanding, ...] = ()
    fault: Fault | None = None
    refused_by = verb = "resolve"
    try:
        recipe = await resolve(request, caller, services)
        journal.prompt = recipe.release.facts if recipe.release else None
        told["resolve"] = _resolved(recipe)
        verb = "render"
        conversation = render(recipe, request)
        journal.input_chars = sum([len(message.text) for message in conversation])
        tokens = await _count(recipe.model, conversation, services)
        told["render"] = Rendered([Raw(message.raw) for message in conversation], tokens)
        verb = "admit"
        rules, refusal = await standings(caller, request, recipe, journal, services)
        if refusal is not None:
            fault, refused_by = _fault(refusal), verb
        verb = "guard_in"
        conversation, guarded = await _guarded(recipe, request, conversation, journal, services)
        told["guards"] = guarded
        if fault is None and guarded is not None and guarded.fault is not None:
            fault, refused_by = guarded.fault, verb
        told["recall"] = await _recalled(recipe, conversation, caller, services)
        verb = "route"
        plan = route(recipe, request, journal, services)
        told["route"] = tuple([_choice(target, tokens, recipe, services) for target in plan.targets])
    except GatewayError as error:
        if fault is None:
            fault, refused_by = _fault(error), verb
    limits = _limits(caller, rules, services)
    return Explanation(
        "explanation",
        fault is None,
        _asked(request),
        limits,
        **told,
        refused_by=None if fault is None else refused_by,
        error=fault,
    )


def _asked(request: ChatRequest) -> Asked:
    named = None if request.reference is None else str(request.reference)
    return Asked(request.model, named, request.stream, request.unit, request.session, request.tags)


def _resolved(recipe: Recipe) -> Resolved:
    if recipe.release is None:
        return Resolved(recipe.model, recipe.fields)
    facts = recipe.release.facts
    return Resolved(
        recipe.model,
        recipe.fields,
        facts.label,
        facts.slug,
        facts.alias,
        facts.version,
        facts.content_hash,
        facts.generation,
        facts.variant,
    )


async def _count(model: str, conversation: Conversation, services: Services) -> int:
    (tokens,) = await services.tokens.count(model, ["\n".join([message.text for message in conversation])])
    return tokens


async def _guarded(
    recipe: Recipe, request: ChatRequest, conversation: Conversation, journal: Journal, services: Services
) -> tuple[Conversation, Guarded | None]:
    """The conversation as it would go out, and what the guards say of it."""
    if recipe.release is None and recipe.guards is NO_GUARDS:
        return conversation, None
    fault = None
    try:
        conversation, _ = await guard_in_apart(recipe, request, conversation, journal, services.apart)
    except GatewayError as error:
        fault = _fault(error)
    return conversation, Guarded(
        Guardrails() if recipe.release is None else recipe.release.document.content.guardrails,
        planned(recipe.guards),
        held_back(recipe.guards),
        "allow" if fault is None else "block",
        journal.guard,
        rows(journal.notes),
        fault,
    )


async def _recalled(recipe: Recipe, conversation: Conversation, caller: Caller, services: Services) -> Recalled | None:
    if recipe.cache is None or recipe.release is None:
        return None
    name = answer_name(recipe, recipe.release, conversation)
    kept = await services.memory.store.get(caller.application_id, name) if recipe.cache.ttl_seconds else None
    hit = kept is not None and read_kept(kept) is not None
    flies = recipe.cache.coalesce and (
        name in services.memory.flights or await is_awaited(services.memory, caller.application_id, name)
    )
    return Recalled(recipe.cache, "coalesced" if flies else "hit" if hit else "miss", name)


def _choice(target: Target, tokens: int, recipe: Recipe, services: Services) -> Choice:
    def cost(usage: Usage) -> float | None:
        nano, _ = price(services.prices, target.provider, target.model, usage, estimated=True)
        return None if nano is None else nano / _NANO

    bound = output_bound(recipe)
    most = None if bound is None else cost(Usage(tokens, bound))
    return Choice(target.provider, target.model, cost(Usage(tokens, 0)), most)


def _limits(caller: Caller, rules: tuple[RuleStanding, ...], services: Services) -> Limits:
    limit, standing = services.permits.look(caller)
    if standing is None:
        return Limits(limit, None, None, rules)
    return Limits(limit, standing.remaining, round(standing.reset, 3), rules)


def _fault(error: GatewayError) -> Fault:
    return Fault(error.kind.name, error.status, error.detail, error.param)


encode = msgspec.json.Encoder().encode
