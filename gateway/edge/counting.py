"""Counting the input tokens of a call without making it, in the two dialects that have a word for that."""

from gateway.core.dialect import Dialect
from gateway.core.errors import CLIENT_GONE, INTERNAL, GatewayError
from gateway.core.journal import Journal
from gateway.core.requests import Inbound
from gateway.core.upstream import CHAT, MESSAGES
from gateway.dialects.messages.dialect import MESSAGES_DIALECT
from gateway.dialects.responses.dialect import RESPONSES_DIALECT
from gateway.edge.openai import traceable
from gateway.edge.problems import refuse
from gateway.pipeline.admit import admit_alone
from gateway.pipeline.authenticate import authenticate
from gateway.pipeline.counting import count
from gateway.pipeline.guard_in import guard_in_apart
from gateway.pipeline.receive import check
from gateway.pipeline.record import record
from gateway.pipeline.render import render
from gateway.pipeline.reply import Reply
from gateway.pipeline.resolve import resolve
from gateway.pipeline.respond import header_value
from gateway.pipeline.route import route
from gateway.pipeline.services import Services
from gateway.pipeline.turns import begin
from gateway.wire.openai import encode

COUNT_TOKENS = "count_tokens"
"""The door's name."""


async def of_message(inbound: Inbound, services: Services, reply: Reply) -> None:
    """``POST /v1/messages/count_tokens``."""
    await _door(inbound, services, reply, MESSAGES_DIALECT, {})


async def of_response(inbound: Inbound, services: Services, reply: Reply) -> None:
    """``POST /v1/responses/input_tokens``: with the turns before it, if it has some."""
    await _door(inbound, services, reply, RESPONSES_DIALECT, {"object": "response.input_tokens"})


async def _door(inbound: Inbound, services: Services, reply: Reply, dialect: Dialect, beside: dict[str, str]) -> None:
    """The provider's own count where it counts, else an estimate; a header says which.

    It is a call up to its route: key, prompt, limit and guards hold. Nothing is generated, so its row has no tokens and no cost.
    """
    journal = Journal(inbound)
    if inbound.trace is not None:
        reply = traceable(reply, inbound.trace)
    try:
        number, head = await _counted(journal, services, dialect)
        record(journal, services)
        await reply.whole(200, head.encode("latin-1"), encode({**beside, "input_tokens": number}))
    except GatewayError as error:
        journal.outcome, journal.error, journal.status = error.kind.name, error.detail, error.status
        await refuse(error, inbound, reply, dialect)
    except BaseException:
        kind = CLIENT_GONE if reply.gone else INTERNAL
        journal.outcome, journal.status = kind.name, kind.status
        raise
    finally:
        record(journal, services)


async def _counted(journal: Journal, services: Services, dialect: Dialect) -> tuple[int, str]:
    """The number, and the answer's header lines."""
    inbound = journal.inbound
    caller = await authenticate(inbound, services, journal)
    check(inbound)
    journal.request = request = dialect.read(inbound)
    if request.turn is not None:
        journal.request = request = await begin(request, request.turn, caller, inbound, services)
    recipe = await resolve(request, caller, services)
    journal.prompt = recipe.release.facts if recipe.release else None
    conversation = render(recipe, request)
    journal.input_chars = sum([len(message.text) for message in conversation])
    await admit_alone(caller, services)
    conversation, _ = await guard_in_apart(recipe, request, conversation, journal, services.apart)
    plan = route(recipe, request, journal, services)
    spoken = MESSAGES if dialect is MESSAGES_DIALECT else CHAT
    number, source, target = await count(plan, request, recipe, conversation, spoken, journal, services)
    return number, (
        f"content-type: application/json\r\n{dialect.problem_head(inbound.request_id)}"
        f"x-provider: {header_value(target.provider)}\r\nx-model: {header_value(target.model)}\r\n"
        f"x-token-count: {source}\r\n"
    )
