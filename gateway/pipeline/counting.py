"""The input tokens of a call that is not made: by the provider's own count where it counts, else by an estimate."""

from msgspec import structs

from gateway.core.conversation import Conversation
from gateway.core.errors import GatewayError
from gateway.core.journal import Journal
from gateway.core.requests import ChatRequest
from gateway.core.upstream import MESSAGES, CountsTokens, Target, UpstreamCall
from gateway.pipeline.call import travel
from gateway.pipeline.forwarding.asking import Answered, Tries, send
from gateway.pipeline.resolve import Recipe
from gateway.pipeline.services import Services
from gateway.routing.failures import Next, judge
from gateway.routing.table import Plan, Stop
from gateway.wire.chat_in import json_text

_LARGEST_COUNT = 64 * 1024
"""Bytes of a provider's answer; a count has some twenty."""


async def count(
    plan: Plan,
    request: ChatRequest,
    recipe: Recipe,
    conversation: Conversation,
    dialect: str,
    journal: Journal,
    services: Services,
) -> tuple[int, str, Target]:
    """How many, whether that is ``exact`` or ``estimated``, and whose tokens these are.

    ``dialect``: that of messages, which goes on as it came, or the common one.

    The targets are tried in order, as for a call; the first that does not count by itself ends the search with an estimate.
    """
    # What the common dialect has no words for, a provider's count would leave out.
    able = () if dialect != MESSAGES and request.untranslatable is not None else _counting(plan, services)
    estimating = plan.stops[len(able) :]
    if able:
        asked = structs.replace(plan, stops=able, attempts=plan.attempts if plan.policy.attempts else len(able))
        tries = _tries(request, recipe, conversation, dialect, journal, services)
        try:
            answered = await travel(tries, asked)
        except GatewayError as error:
            if not estimating or judge(error).next is Next.NOTHING:
                raise
            # The call's own row is about the estimate; the failed attempts have theirs.
            tries.book_failure()
            journal.intent, journal.target = None, None
        else:
            try:
                return _number(answered, services), "exact", answered.target
            finally:
                answered.close()
    target = estimating[0].target
    texts = ["\n".join([message.text for message in conversation]), *_tool_texts(recipe)]
    return sum(await services.tokens.count(target.model, texts)), "estimated", target


def _counting(plan: Plan, services: Services) -> tuple[Stop, ...]:
    for number, stop in enumerate(plan.stops):
        if not isinstance(services.providers[stop.account.provider].translator, CountsTokens):
            return plan.stops[:number]
    return plan.stops


def _tries(
    request: ChatRequest, recipe: Recipe, conversation: Conversation, dialect: str, journal: Journal, services: Services
) -> Tries:
    stored = {name: value for name, value in recipe.fields.items() if name not in request.fields}

    async def work(target: Target) -> Answered:
        translator = services.providers[target.provider].translator
        assert isinstance(translator, CountsTokens)
        call = UpstreamCall(
            target.model, conversation, stream=False, fields=recipe.fields, dialect=dialect,
            native=request.native if dialect == MESSAGES else {}, stored=stored, headers=request.headers,
        )  # fmt: skip
        exchange = await send(target, translator.count_request(target, call), journal, services)
        try:
            answered = Answered(target, exchange, await exchange.read(_LARGEST_COUNT))
            _number(answered, services)
        except BaseException:
            exchange.close()
            raise
        return answered

    return Tries(work, journal, services, repeatable=True)


def _number(answered: Answered, services: Services) -> int:
    """Raises ``upstream_invalid``."""
    translator = services.providers[answered.target.provider].translator
    assert isinstance(translator, CountsTokens)
    assert answered.body is not None
    return translator.counted(answered.body)


def _tool_texts(recipe: Recipe) -> list[str]:
    """Tools count too: their JSON is close to what a model is shown."""
    tools = recipe.fields.get("tools")
    return [] if tools is None else [json_text(tools, "tools")]
