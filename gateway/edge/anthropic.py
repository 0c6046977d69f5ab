"""Counting the tokens of a Messages call without making it."""

from gateway.core.conversation import Conversation
from gateway.core.errors import GatewayError
from gateway.core.journal import Journal
from gateway.core.requests import ChatRequest, Inbound
from gateway.core.upstream import MESSAGES, CountsTokens, Target, UpstreamCall
from gateway.dialects.messages.dialect import MESSAGES_DIALECT
from gateway.edge.problems import refuse
from gateway.pipeline.admit import admit_alone
from gateway.pipeline.attempt import MAX_ERROR_BYTES
from gateway.pipeline.authenticate import authenticate
from gateway.pipeline.guard_in import guard_in
from gateway.pipeline.receive import check
from gateway.pipeline.render import render
from gateway.pipeline.reply import Reply
from gateway.pipeline.resolve import Recipe, resolve
from gateway.pipeline.respond import header_value
from gateway.pipeline.route import route
from gateway.pipeline.services import Services
from gateway.wire.chat_in import json_text
from gateway.wire.openai import encode

COUNT_TOKENS = "count_tokens"
"""The door's name."""
_LARGEST_COUNT = 64 * 1024
"""Bytes of a provider's answer; a count has some twenty."""


async def count_tokens(inbound: Inbound, services: Services, reply: Reply) -> None:
    """``POST /v1/messages/count_tokens``: the provider's own count where it counts, else an estimate; a header says which.

    It is a call up to its route: key, prompt, limit and guards hold. Nothing is generated, so there is no row.
    """
    try:
        caller = await authenticate(inbound, services)
        check(inbound)
        request = MESSAGES_DIALECT.read(inbound)
        recipe = await resolve(request, caller, services)
        conversation = render(recipe, request)
        journal = Journal(inbound, caller, request)
        journal.input_chars = sum([len(message.text) for message in conversation])
        await admit_alone(caller, services)
        conversation, _ = guard_in(recipe, request, conversation, journal)
        target = route(recipe, request, journal, services).targets[0]
        number, source = await _count(target, request, recipe, conversation, inbound, services)
        head = (
            f"content-type: application/json\r\n{MESSAGES_DIALECT.problem_head(inbound.request_id)}"
            f"x-provider: {header_value(target.provider)}\r\nx-model: {header_value(target.model)}\r\n"
            f"x-token-count: {source}\r\n"
        )
        await reply.whole(200, head.encode("latin-1"), encode({"input_tokens": number}))
    except GatewayError as error:
        await refuse(error, inbound, reply, MESSAGES_DIALECT)


async def _count(
    target: Target, request: ChatRequest, recipe: Recipe, conversation: Conversation, inbound: Inbound, services: Services
) -> tuple[int, str]:
    provider = services.providers[target.provider]
    translator = provider.translator
    if not isinstance(translator, CountsTokens):
        texts = ["\n".join([message.text for message in conversation]), *_tool_texts(recipe)]
        return sum(await services.tokens.count(target.model, texts)), "estimated"
    stored = {name: value for name, value in recipe.fields.items() if name not in request.fields}
    call = UpstreamCall(
        target.model, conversation, stream=False, fields=recipe.fields, dialect=MESSAGES, native=request.native,
        stored=stored, headers=request.headers,
    )  # fmt: skip
    asked = translator.count_request(target, call)
    if inbound.trace is not None:
        asked = inbound.trace.carried(asked)
    exchange = await provider.transport.send(target, asked, inbound.deadline)
    try:
        if exchange.status != 200:
            body = await exchange.read(MAX_ERROR_BYTES)
            raise translator.failure(target, exchange.status, exchange.headers, body)
        return translator.counted(await exchange.read(_LARGEST_COUNT)), "exact"
    finally:
        exchange.close()


def _tool_texts(recipe: Recipe) -> list[str]:
    """Tools count too: their JSON is close to what a model is shown."""
    tools = recipe.fields.get("tools")
    return [] if tools is None else [json_text(tools, "tools")]
