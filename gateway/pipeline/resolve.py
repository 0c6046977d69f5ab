"""Inbound -> ChatRequest -> Recipe: what is asked for, and which prompt version answers it.

A prompt is named in the body (``prompt``), by the model name (``faq-bot@staging``) or by headers; all namings must agree. A model
name with ``@`` or ``#`` is a prompt reference; a plain one is a prompt if the application has it, else the name of a route.
"""

import re

from msgspec import Raw, Struct

from gateway.core.conversation import Message
from gateway.core.errors import CONTRADICTION, MALFORMED, UNKNOWN_PROMPT, GatewayError
from gateway.core.references import DRAFT, Reference, is_slug, narrow, parse_alias, parse_reference, parse_version
from gateway.core.requests import Caller, ChatRequest, Inbound
from gateway.pipeline.receive import check
from gateway.pipeline.release import PIN, Release, unsplit
from gateway.pipeline.services import Services
from gateway.wire import openai as wire

MAX_CHOICES = 8
"""``n``: every number that multiplies cost is bounded (threat T12)."""
MAX_MODEL = 256
"""Characters of a model name."""
MAX_LABEL = 256
"""Characters of a user, session, unit or tag."""
MAX_TAGS = 16

_NAMING = frozenset(
    (b"x-session-id", b"x-tags", b"x-prompt", b"x-prompt-unit", b"x-prompt-version", b"x-prompt-alias", b"x-prompt-variant")
)
_PINS = frozenset((b"x-prompt-version", b"x-prompt-alias", b"x-prompt-variant"))
_SELECTOR = re.compile("[@:#]")
_REMEMBERED = 4096
"""Distinct model names whose reading is remembered; names come from callers, so the memory is bounded."""
_candidates: dict[str, Reference | None] = {}

_ACTED_ON = ("model", "messages", "stream", "prompt", "variables")


class Recipe(Struct, frozen=True, gc=False):
    """How a request will be answered: the release, if a prompt was named, and what is asked of the route."""

    release: Release | None
    model: str
    """The name the route table is asked for."""
    fields: dict[str, Raw]
    """Body fields for the provider: stored defaults under the caller's overrides."""


def read_chat(inbound: Inbound) -> ChatRequest:
    """Decode a chat body and its prompt headers. Raises ``malformed`` naming the field, ``contradiction``."""
    check(inbound)
    data = inbound.body
    try:
        body = wire.decode_chat_body(data)
        fields = wire.decode_fields(data)
    except wire.DECODE_ERRORS as error:
        raise _malformed(error, "") from None
    messages = _read_messages(body.messages)
    for name in _ACTED_ON:
        fields.pop(name, None)
    if len(body.model) > MAX_MODEL:
        raise GatewayError(MALFORMED, f"model: longer than {MAX_MODEL} characters", param="model")
    for name, text in (("model", body.model), ("user", body.user)):
        if text and "\0" in text:
            raise GatewayError(MALFORMED, f"{name}: must not contain a NUL character", param=name)
    choices = 1 if body.n is None else body.n
    if not 1 <= choices <= MAX_CHOICES:
        raise GatewayError(MALFORMED, f"n: must be between 1 and {MAX_CHOICES}", param="n")
    headers = inbound.headers
    session, unit, tags, variant = (None, None, (), None) if _NAMING.isdisjoint(headers) else _labels(headers)
    user = body.user[:MAX_LABEL] if body.user else None
    reference, variables = _named_prompt(body, headers)
    return ChatRequest(
        model=body.model,
        reference=reference,
        variables=variables,
        messages=messages,
        stream=bool(body.stream),
        include_usage=body.stream_options is not None and body.stream_options.include_usage,
        choices=choices,
        unit=unit or user or session,
        user=user,
        session=session,
        tags=tags,
        fields=fields,
        variant=variant,
    )


async def resolve(request: ChatRequest, caller: Caller, services: Services) -> Recipe:
    """Find what answers. Raises ``unknown_prompt``, ``malformed``, ``store_unavailable``."""
    reference = request.reference
    release = None
    releases, application_id = services.releases, caller.application_id
    if reference is not None:
        release = releases.release_now(application_id, reference) or await releases.release(application_id, reference)
        if release is None and not (reference is _from_model(request) and services.routes.lists(request.model)):
            raise unknown_prompt(reference)
    elif request.model:
        candidate = _candidate(request.model)
        if candidate is not None:
            release = releases.release_now(application_id, candidate) or await releases.release(application_id, candidate)
        if release is None:
            await _refuse_mistyped(request.model, application_id, services)
    if release is not None and release.split is not None:
        release = release.split.choose(request.unit or caller.key_id, request.variant)
    elif request.variant is not None:
        raise unsplit(request.variant, release, reference)
    if release is None:
        if request.variables:
            raise GatewayError(MALFORMED, "variables: given, but no prompt is named", param="variables")
        model = request.model or caller.default_model or services.default_model
        return Recipe(None, model, request.fields)
    asked = "" if _names_prompt(request.model, release) else request.model
    model = release.prompt.merge_model(asked) or caller.default_model or services.default_model
    return Recipe(release, model, release.prompt.merge_fields(request.fields))


async def _refuse_mistyped(model: str, application_id: str, services: Services) -> None:
    """A version or alias that is not there, of a prompt that is, must not pass as the name of a model, past its guards."""
    slug = _SELECTOR.split(model, maxsplit=1)[0]
    if slug == model or not is_slug(slug) or services.routes.lists(model):
        return
    prompt = Reference(slug)
    if services.releases.release_now(application_id, prompt) or await services.releases.release(application_id, prompt):
        raise GatewayError(
            UNKNOWN_PROMPT, f"model: the prompt {slug} has nothing published under {model[:100]!r}", param="model"
        )


def unknown_prompt(reference: Reference) -> GatewayError:
    """What a caller is told about a prompt that is not there for it."""
    if reference.alias == DRAFT:
        return GatewayError(UNKNOWN_PROMPT, f"{reference}: drafts are not served; publish the version first", param="prompt")
    return GatewayError(UNKNOWN_PROMPT, f"no published prompt answers to {reference}", param="prompt")


def pinned(reference: Reference | None, headers: dict[bytes, bytes], param: str) -> Reference | None:
    """Narrow a reference by the pin headers. Raises ``contradiction`` or ``malformed`` naming them."""
    version = _label(headers, b"x-prompt-version")
    alias = _label(headers, b"x-prompt-alias")
    if version is not None and alias is not None:
        raise GatewayError(
            CONTRADICTION,
            f"x-prompt-version ({version}) and x-prompt-alias ({alias}) are both given; give one",
            param="x-prompt-alias",
        )
    if version is None and alias is None:
        return reference
    name = "x-prompt-version" if version is not None else "x-prompt-alias"
    if reference is None:
        raise GatewayError(MALFORMED, f"{name}: given, but no prompt is named", param=name)
    pin = (
        parse_version(reference.slug, version, name)
        if version is not None
        else Reference(reference.slug, alias=parse_alias(alias or "", name))
    )
    return narrow(reference, pin, param, name)


def _named_prompt(body: wire.ChatBody, headers: dict[bytes, bytes]) -> tuple[Reference | None, dict[str, object]]:
    """All namings of the body and the headers, combined; and the variables."""
    reference: Reference | None = None
    param = "model"
    if "@" in body.model or "#" in body.model:
        reference = _candidate(body.model)
    variables = body.variables or {}
    prompt = body.prompt
    if prompt is not None:
        named = parse_reference(prompt.id, "prompt.id")
        if prompt.version is not None:
            named = narrow(
                named, parse_version(named.slug, str(prompt.version), "prompt.version"), "prompt.id", "prompt.version"
            )
        reference, param = (named if reference is None else narrow(reference, named, "model", "prompt")), "prompt"
        if prompt.variables:
            if variables and variables != prompt.variables:
                raise GatewayError(
                    CONTRADICTION,
                    "variables and prompt.variables are both given and differ; give one",
                    param="prompt.variables",
                )
            variables = prompt.variables
    if reference is None and variables and body.model and b"x-prompt" not in headers:
        reference = _candidate(body.model) or parse_reference(body.model, "model")
    if _NAMING.isdisjoint(headers):
        return reference, variables
    header = _label(headers, b"x-prompt")
    if header is not None:
        named = parse_reference(header, "x-prompt")
        reference, param = (named if reference is None else narrow(reference, named, param, "x-prompt")), "x-prompt"
    if reference is None and not _PINS.isdisjoint(headers):
        reference = _candidate(body.model) if body.model else None
    return pinned(reference, headers, param), variables


def _from_model(request: ChatRequest) -> Reference | None:
    """The request's reference if the model name alone made it."""
    return request.reference if request.reference == _candidate(request.model) and not request.variables else None


def _candidate(model: str) -> Reference | None:
    if model in _candidates:
        return _candidates[model]
    try:
        reference = parse_reference(model, "model")
    except GatewayError:
        reference = None
    if len(_candidates) >= _REMEMBERED:
        _candidates.clear()
    _candidates[model] = reference
    return reference


def _names_prompt(model: str, release: Release) -> bool:
    candidate = _candidate(model)
    return candidate is not None and candidate.slug == release.document.slug


def _read_messages(raws: list[Raw]) -> tuple[Message, ...]:
    messages: list[Message] = []
    for index, raw in enumerate(raws):
        try:
            message = wire.decode_message(raw)
        except wire.DECODE_ERRORS as error:
            raise _malformed(error, f"messages[{index}]") from None
        messages.append(Message(message.role, wire.message_text(message), bytes(raw)))
    return tuple(messages)


def _malformed(error: Exception, prefix: str) -> GatewayError:
    text = str(error)
    if isinstance(error, RecursionError):
        return GatewayError(MALFORMED, "the body is nested too deeply", param=prefix or None)
    what, found, path = text.rpartition(" - at `$")
    param = prefix + path.rstrip("`") if found else prefix
    param = param.removeprefix(".")
    if not param:
        return GatewayError(MALFORMED, f"the body is not a valid JSON object: {text}")
    return GatewayError(MALFORMED, f"{param}: {what if found else text}", param=param)


def _label(headers: dict[bytes, bytes], name: bytes) -> str | None:
    value = headers.get(name)
    if not value:
        return None
    if len(value) > MAX_LABEL:
        raise GatewayError(MALFORMED, f"{name.decode()}: longer than {MAX_LABEL} bytes", param=name.decode())
    try:
        return value.decode("utf-8").strip() or None
    except UnicodeDecodeError:
        raise GatewayError(MALFORMED, f"{name.decode()}: not valid UTF-8", param=name.decode()) from None


def _labels(headers: dict[bytes, bytes]) -> tuple[str | None, str | None, tuple[str, ...], str | None]:
    return _label(headers, b"x-session-id"), _label(headers, b"x-prompt-unit"), _tags(headers), _label(headers, PIN.encode())


def _tags(headers: dict[bytes, bytes]) -> tuple[str, ...]:
    value = _label(headers, b"x-tags")
    if value is None:
        return ()
    tags = tuple(tag for tag in (part.strip() for part in value.split(",")) if tag)
    if len(tags) > MAX_TAGS:
        raise GatewayError(MALFORMED, f"x-tags: more than {MAX_TAGS} tags", param="x-tags")
    return tags
