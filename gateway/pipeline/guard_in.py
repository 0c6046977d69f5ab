"""Conversation -> Conversation: what may go to a provider."""

from collections.abc import Mapping
from functools import partial

from msgspec import Raw

from gateway.core.conversation import Conversation, Message
from gateway.core.errors import BLOCKED, MALFORMED, GatewayError
from gateway.core.journal import Journal
from gateway.core.requests import ChatRequest
from gateway.core.verdicts import ALLOW, Block, Rewritten, Stage
from gateway.guards.plan import InputGuard
from gateway.pipeline.apart import Apart, is_long
from gateway.pipeline.resolve import Recipe
from gateway.wire.chat_asides import field_texts
from gateway.wire.openai import DECODE_ERRORS

NO_MASKS: Mapping[str, str] = {}
_DEFINITIONS = ("tools", "functions")
"""The fields of a request, in chat terms, that define tools."""


_PREDICTION = "prediction"
"""The field of a request that holds what the answer is expected to say: text that goes to the provider like a message."""


class BlockedError(GatewayError):
    """A guard ends the call; ``verdict`` says what its validator wants done then."""

    def __init__(self, stage: Stage, verdict: Block, journal: Journal) -> None:
        journal.guard = f"{stage}:{verdict.guard}"
        where = "request" if stage == "pre" else "answer"
        super().__init__(
            BLOCKED,
            f"The {where} was blocked by the guardrail {verdict.guard!r}: {verdict.detail}.",
            param=journal.guard,
        )
        self.stage: Stage = stage
        self.verdict = verdict


def guard_in(
    recipe: Recipe, request: ChatRequest, conversation: Conversation, journal: Journal
) -> tuple[Conversation, Mapping[str, str]]:
    """Judge every message, the caller's and the stored ones, and the tools. Raises ``blocked`` naming the guard.

    Gives the conversation as it may go out, and the placeholders in it with the values that they stand for. Raises ``malformed`` where
    the guards must rewrite what a dialect cannot say in the chat form.
    """
    guards = recipe.guards
    if guards.needs_chat and request.untranslatable is not None:
        name = request.untranslatable
        raise GatewayError(MALFORMED, f"{name}: not possible where guardrails rewrite messages or judge tools", param=name)
    pre = guards.pre
    if pre is None:
        return conversation, NO_MASKS
    definitions = definitions_of(recipe.fields) if pre.tools else ()
    judged = conversation
    if _PREDICTION in recipe.fields:
        judged = (*conversation, *_predicted(recipe.fields[_PREDICTION], pre))
    verdict = pre.check(judged, definitions, journal.notes)
    if verdict is ALLOW:
        return conversation, NO_MASKS
    if isinstance(verdict, Rewritten):
        return verdict.conversation, verdict.masks
    assert isinstance(verdict, Block)
    raise BlockedError("pre", verdict, journal)


async def guard_in_apart(
    recipe: Recipe, request: ChatRequest, conversation: Conversation, journal: Journal, apart: Apart
) -> tuple[Conversation, Mapping[str, str]]:
    """As :func:`guard_in`, without holding the loop where the request is long."""
    if recipe.guards.pre is None or not is_long(journal, recipe.guards.long):
        return guard_in(recipe, request, conversation, journal)
    return await apart.do(partial(guard_in, recipe, request, conversation, journal))


def definitions_of(fields: Mapping[str, Raw]) -> list[str]:
    """The tool definitions of a request, as JSON texts."""
    return [bytes(fields[name]).decode(errors="replace") for name in _DEFINITIONS if name in fields]


def _predicted(raw: Raw, pre: InputGuard) -> Conversation:
    """What is predicted, as a message to be judged. Raises ``malformed`` where guards would have to rewrite it, or see it elsewhere."""
    try:
        texts = field_texts(raw)
    except DECODE_ERRORS as error:
        raise GatewayError(MALFORMED, f"prediction: cannot be judged: {error}", param=_PREDICTION) from None
    if texts and (pre.remote or any(rule.rewrites for rule in pre.rules)):
        detail = "prediction: not possible where guardrails rewrite messages or ask others"
        raise GatewayError(MALFORMED, detail, param=_PREDICTION)
    return (Message("assistant", "\n".join(texts), b"{}"),) if texts else ()
