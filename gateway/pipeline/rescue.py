"""What is done in the place of a refusal, where the guard that refused says so and nothing was shown yet.

``message``   the caller gets a normal answer with the configured text, and the row says that the call was blocked
``reask``     the model hears what was wrong with its answer, and answers again; every attempt has its row, and all are paid for
``fallback``  another prompt answers, under its own guards; once per call, so that two prompts cannot refer to each other for ever
"""

import msgspec
from msgspec import structs

from gateway.core.conversation import Message
from gateway.core.errors import GatewayError
from gateway.core.events import Event, Usage
from gateway.core.journal import Journal
from gateway.core.ledger import UNBILLED
from gateway.core.references import parse_reference
from gateway.core.upstream import CHAT
from gateway.core.verdicts import Block
from gateway.limits.tokens import estimate
from gateway.pipeline.course import Course
from gateway.pipeline.delivery import Delivery
from gateway.pipeline.guard_in import BlockedError
from gateway.pipeline.recall import FREE
from gateway.pipeline.received import Received
from gateway.pipeline.record import book_refusal, estimated_usage, set_aside
from gateway.pipeline.render import render
from gateway.pipeline.resolve import resolve
from gateway.pipeline.respond import count_usage, respond
from gateway.pipeline.services import Services
from gateway.wire.chat_out import Choice, Delta, Writer

FINISH = "content_filter"
"""The finish reason of an answer that a guard wrote: OpenAI's word for content that a filter withheld."""
BEFORE_GUARD_IN = 5
"""Phases timed by then: what is done again is timed again, so that ``server-timing`` tells of the attempt that answered."""
_encode = msgspec.json.Encoder().encode


class Said(Received):
    """An answer that no provider gave: one text, with the finish reason of a filter."""

    def __init__(self, text: str, journal: Journal, *, native: bool) -> None:
        inbound, target, request = journal.inbound, journal.target, journal.request
        named = target.model if target is not None else request.model if request is not None else ""
        self._text = text
        self._usage = journal.usage
        self._writer = Writer(f"chatcmpl-{inbound.call_id}", inbound.started_ms // 1000, named)
        self._over = False
        self._native = native

    @property
    def native(self) -> bool:
        """It is in the chat form."""
        return self._native

    @property
    def texts(self) -> list[str]:
        """None that a provider generated."""
        return []

    def whole(self) -> Event:
        """The text as a whole answer."""
        return self._writer.whole([Choice(0, Delta(content=self._text), FINISH)], self._usage)

    async def next(self) -> list[Event]:
        """The text as a stream of two chunks."""
        if self._over:
            return []
        self._over = True
        return [self._writer.chunk(Delta(content=self._text)), self._writer.chunk(Delta(), FINISH)]

    async def drain(self) -> None:
        """Nothing follows."""

    def close(self) -> None:
        """Nothing is held."""


async def rescue(refusal: BlockedError, answer: Received | None, course: Course, delivery: Delivery) -> Course | None:
    """Another course to take, or None where the caller has been answered. Closes ``answer``.

    Raises ``refusal`` where nothing can be done, or no more, and what answering raises.
    """
    journal, services, block = delivery.journal, delivery.services, refusal.verdict
    said = "" if answer is None else "".join(answer.texts)
    if answer is not None:
        if journal.intent is not None and journal.usage is None and said:
            await count_usage(answer.texts, course.conversation, journal, services)
        answer.close()
    if journal.recorded:
        # Others share the answer, and whoever fetches it for them writes the row.
        raise refusal
    del journal.laps[BEFORE_GUARD_IN:]
    if block.on_fail == "reask" and said and _may_ask_again(course):
        again = structs.replace(
            course, conversation=(*course.conversation, *corrected(said, block)), judged=True, reasks=course.reasks + 1
        )
        _book(journal, refusal, services)
        return again
    if block.on_fail == "fallback" and not course.fell_back:
        return await _other(refusal, block, course, journal, services)
    if not block.message:
        raise refusal
    await _say(block.message, refusal, course, delivery)
    return None


def _may_ask_again(course: Course) -> bool:
    # With several choices the answers could not be told apart in one conversation.
    return course.reasks < course.recipe.guards.max_reasks and course.request.choices == 1


def corrected(said: str, block: Block) -> tuple[Message, Message]:
    """What is added to a conversation: the refused answer, and what was wrong with it."""
    complaint = f"Your answer was not accepted: {block.detail}. Answer again, and avoid that. Give only the answer itself."
    return _message("assistant", said), _message("user", complaint)


def _message(role: str, text: str) -> Message:
    return Message(role, text, _encode({"role": role, "content": text}))


def _book(journal: Journal, refusal: GatewayError, services: Services) -> None:
    """Write the row of the attempt that was refused, and make room for the next one's."""
    if journal.intent is not None:
        book_refusal(journal, services, refusal)
        if journal.usage is not None:
            set_aside(journal, journal.usage, journal.bill.cost_nano)
        journal.booked_notes = len(journal.notes)
    journal.intent = journal.target = None
    journal.usage = journal.usage_source = journal.finish = journal.guard = journal.first_byte = None
    journal.bill = UNBILLED
    journal.attempt = journal.generated = 0


async def _other(refusal: GatewayError, block: Block, course: Course, journal: Journal, services: Services) -> Course:
    """The course of the prompt that answers instead. The refusal stands where that prompt cannot take the call."""
    asked = course.request
    try:
        request = structs.replace(asked, reference=parse_reference(block.fallback, "fallback"), model="")
        recipe = await resolve(request, course.caller, services)
        conversation = render(recipe, request)
    except GatewayError as error:
        refusal.cause = f"fallback {block.fallback}: {error.kind.name}: {error.detail}"
        raise refusal from error
    _book(journal, refusal, services)
    journal.prompt = recipe.release.facts if recipe.release else None
    journal.input_chars = sum([len(message.text) for message in conversation])
    journal.head += f"x-fallback: {block.fallback}\r\n"
    return Course(course.caller, asked, recipe, conversation, fell_back=True)


async def _say(text: str, refusal: GatewayError, course: Course, delivery: Delivery) -> None:
    """Answer with the configured text. The usage is what was really spent, and the row says that the call was blocked."""
    journal = delivery.journal
    if journal.intent is None:
        journal.usage, journal.bill = Usage(0, 0, requests=0), FREE
    elif journal.usage is None:
        journal.usage = estimated_usage(journal, estimate(journal.input_chars), estimate(journal.generated))
        journal.usage_source = "estimated"
    journal.outcome, journal.error, journal.finish = refusal.kind.name, refusal.detail, FINISH
    journal.laps += [delivery.services.clock()] * 4
    answer = Said(text, journal, native=delivery.dialect.name == CHAT)
    await respond(answer, course.request, course.conversation, delivery)
