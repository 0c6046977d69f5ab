"""Promptgate's own routes on the data plane: a prompt as an endpoint, rendering without a call, and the list of models."""

from typing import Any
from urllib.parse import unquote

import msgspec
from msgspec import Raw, Struct

from gateway.core.errors import MALFORMED, UNKNOWN_MODEL, GatewayError
from gateway.core.grants import Grant
from gateway.core.references import Reference, parse_reference
from gateway.core.requests import Caller, ChatRequest, Inbound
from gateway.dialects.chat import CHAT_DIALECT
from gateway.dialects.naming import candidate, pinned
from gateway.edge.problems import refuse
from gateway.pipeline.authenticate import authenticate
from gateway.pipeline.receive import check
from gateway.pipeline.render import render
from gateway.pipeline.reply import Reply
from gateway.pipeline.resolve import resolve, unknown_prompt
from gateway.pipeline.route import table_of
from gateway.pipeline.services import Services
from gateway.routing.models import Model
from gateway.routing.table import RouteTable
from gateway.wire import openai as wire

_encode = msgspec.json.Encoder().encode
_OWNER = "promptgate"
_NAMINGS = frozenset((b"x-prompt", b"x-prompt-version", b"x-prompt-alias"))
"""Headers that name a prompt, or a version or alias of it."""


class RenderBody(Struct, forbid_unknown_fields=True):
    """Body of ``POST /v1/prompts/{ref}/render``."""

    variables: dict[str, Any] = {}
    messages: list[Raw] = []


_decode_render = msgspec.json.Decoder(RenderBody).decode


async def models(inbound: Inbound, services: Services, reply: Reply) -> None:
    """``GET /v1/models``: the prompts the key may name as a model, and the routes."""
    try:
        caller = await authenticate(inbound, services)
        data = [_model(name) for name in await _names(caller, services)]
        await _answer(reply, inbound, {"object": "list", "data": data})
    except GatewayError as error:
        await refuse(error, inbound, reply)


async def model(inbound: Inbound, services: Services, reply: Reply, name: str) -> None:
    """``GET /v1/models/{id}``: what is listed, and every other reference that answers (``faq:7``, ``faq@latest``)."""
    try:
        caller = await authenticate(inbound, services)
        asked = unquote(name)
        known = services.models.find(asked) if caller.grant is None or caller.grant.may_model(asked) else None
        if known is None and asked not in await _names(caller, services) and not await _answers(asked, caller, services):
            raise GatewayError(UNKNOWN_MODEL, f"The model {asked[:100]!r} does not exist", param="model")
        await _answer(reply, inbound, {**_model(asked), **_abilities(asked, known, table_of(caller, services), services)})
    except GatewayError as error:
        await refuse(error, inbound, reply)


async def render_prompt(inbound: Inbound, services: Services, reply: Reply, ref: str) -> None:
    """``POST /v1/prompts/{ref}/render``: the messages a call would send, with no upstream call and no row."""
    try:
        caller = await authenticate(inbound, services)
        check(inbound)
        reference = _reference(inbound, ref)
        try:
            body = _decode_render(inbound.body or b"{}")
        except wire.DECODE_ERRORS as error:
            raise GatewayError(MALFORMED, f"the body cannot be read: {error}") from None
        plain = Inbound(
            inbound.door,
            {k: v for k, v in inbound.headers.items() if k not in _NAMINGS and k != b"x-prompt-variant"},
            _encode({"messages": body.messages}),
            inbound.call_id,
            inbound.request_id,
            inbound.started_ms,
            inbound.started,
            inbound.deadline,
        )
        request: ChatRequest = msgspec.structs.replace(CHAT_DIALECT.read(plain), reference=reference, variables=body.variables)
        recipe = await resolve(request, caller, services)
        if recipe.release is None:
            raise unknown_prompt(reference)
        conversation = render(recipe, request)
        facts = recipe.release.facts
        await _answer(
            reply,
            inbound,
            {
                "prompt": facts.label,
                "version": facts.version,
                "variant": facts.variant,
                "digest": facts.content_hash,
                "generation": facts.generation,
                "model": recipe.model,
                "messages": [Raw(message.raw) for message in conversation],
                "params": recipe.fields,
            },
            head=facts.head.encode(),
        )
    except GatewayError as error:
        await refuse(error, inbound, reply)


def prompt_as_model(inbound: Inbound, ref: str) -> Inbound:
    """``POST /v1/prompts/{ref}/completions`` is a chat call whose path names the prompt; raises ``malformed``."""
    return named(inbound, parse_reference(unquote(ref), "path"))


def named(inbound: Inbound, path: Reference) -> Inbound:
    """The chat call of a path that names a prompt; a call without a body names nothing else. Raises ``malformed``."""
    reference = _pinned(inbound, path)
    headers = {k: v for k, v in inbound.headers.items() if k not in _NAMINGS}
    headers[b"x-prompt"] = str(reference).encode()
    return msgspec.structs.replace(inbound, headers=headers, body=inbound.body or b"{}", bare=False)


def _reference(inbound: Inbound, ref: str) -> Reference:
    return _pinned(inbound, parse_reference(unquote(ref), "path"))


def _pinned(inbound: Inbound, path: Reference) -> Reference:
    reference = pinned(path, inbound.headers, "path")
    assert reference is not None
    return reference


async def _names(caller: Caller, services: Services) -> list[str]:
    """What the key may use. Prompts first: a name that is both is a prompt when it is called."""
    prompts, grant = await services.releases.names(caller.application_id), caller.grant
    routes = table_of(caller, services).names
    if grant is not None:
        prompts = [name for name in prompts if _may(name, grant)]
        routes = [name for name in routes if grant.may_model(name)]
    return list(dict.fromkeys([*prompts, *routes]))


async def _answers(name: str, caller: Caller, services: Services) -> bool:
    reference = candidate(name)
    if reference is None or (caller.grant is not None and not _may(name, caller.grant)):
        return False
    return await services.releases.release(caller.application_id, reference) is not None


def _may(name: str, grant: Grant) -> bool:
    reference = candidate(name)
    return reference is not None and grant.may_prompt(reference.slug, reference.selector)


def _model(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": 0, "owned_by": _OWNER}


def _abilities(name: str, known: Model | None, table: RouteTable, services: Services) -> dict[str, object]:
    """What is known of the model that a route of this name leads to first, or that is called so. Raises ``unknown_model``."""
    if known is None and not table.lists(name):
        return {}
    target = table.plan(name).targets[0]
    known = services.models.find(target.model) or known
    return {} if known is None else {"promptgate": known}


async def _answer(reply: Reply, inbound: Inbound, body: object, head: bytes = b"") -> None:
    lines = f"content-type: application/json\r\nx-request-id: {inbound.request_id}\r\n".encode()
    await reply.whole(200, lines + head, _encode(body))
