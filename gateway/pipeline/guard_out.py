"""stream -> stream: what may reach the caller. Text is held back only while it could still become a violation."""

from collections.abc import Mapping
from functools import partial

from gateway.core.events import Event
from gateway.core.journal import Journal
from gateway.guards.plan import LONG_LISTED, OutputGuard
from gateway.pipeline.apart import Apart
from gateway.pipeline.course import Course
from gateway.pipeline.delivery import Delivery
from gateway.pipeline.gates import OPEN, Gate, JudgingGate
from gateway.pipeline.quick_gate import QuickGate, judge_whole
from gateway.pipeline.received import Received


class Guarded:
    """An answer as the caller may see it. Events keep their order; some come later, and only those are changed that must be.

    ``translated``: the exchange was held in the chat form for the guards, and the caller speaks another dialect.
    """

    __slots__ = ("_answer", "_apart", "_event", "_gate", "_size", "_translated")

    def __init__(self, answer: Received, gate: Gate, apart: Apart, *, translated: bool = False) -> None:
        self._answer = answer
        self._gate = gate
        self._apart = apart
        self._translated = translated
        self._event: Event | None = None
        """A whole answer that was judged."""
        self._size = 0
        """Bytes of a stream so far."""

    @property
    def native(self) -> bool:
        """Whether the events are in the caller's own dialect already."""
        return self._answer.native and not self._translated

    @property
    def texts(self) -> list[str]:
        """Generated text so far."""
        return self._answer.texts

    def whole(self) -> Event:
        """An answer that was not streamed. Raises ``blocked``."""
        return self._gate.whole(self._answer.whole()) if self._event is None else self._event

    async def judge(self) -> None:
        """Judge an answer that was not streamed, without holding the loop. Raises ``blocked``."""
        event, gate = self._answer.whole(), self._gate
        short = gate.long is None or len(event.data) <= gate.long
        self._event = gate.whole(event) if short else await self._apart.do(partial(gate.whole, event))

    async def next(self) -> list[Event]:
        """The next events of a stream that may be shown; empty at the end. Raises ``blocked`` and the provider's failures."""
        gate, long = self._gate, self._gate.long
        while True:
            events = await self._answer.next()
            if long is None or self._bytes(events) <= long:
                shown = gate.feed(events) if events else gate.end()
            else:
                shown = await self._apart.do(partial(gate.feed, events) if events else gate.end)
            if shown or not events:
                return shown

    def _bytes(self, events: list[Event]) -> int:
        """How much is to be judged: these events, or the whole stream at its end."""
        if not events:
            return self._size
        size = sum([len(event.data) for event in events])
        self._size += size
        return size

    async def drain(self) -> None:
        """Read what follows the end."""
        await self._answer.drain()

    def close(self) -> None:
        """Let go of the provider's connection."""
        self._gate.abandon()
        self._answer.close()


def guard_out(
    answer: Received, course: Course, masks: Mapping[str, str], delivery: Delivery, *, chat: bool, translated: bool
) -> Received:
    """Put the answer behind its output guards, if it has any. Raises ``blocked`` where a whole answer could be judged at once.

    ``masks`` are the placeholders to be turned into their values. ``chat``: the events are in the chat form. ``translated``: as of
    :class:`Guarded`.
    """
    guard, journal, services, streamed = course.recipe.guards.post, delivery.journal, delivery.services, course.request.stream
    if guard is not None and guard.busy and guard.quick and not (streamed or masks or translated):
        event = answer.whole()
        if len(event.data) <= LONG_LISTED:
            judge_whole(guard, event, journal, chat=chat)
            return answer
    gate = gate_of(guard, masks, journal, streamed=streamed, chat=chat, limit=services.max_answer_bytes)
    if gate is None and not translated:
        return answer
    return Guarded(answer, gate or OPEN, services.apart, translated=translated)


def gate_of(
    guard: OutputGuard | None, masks: Mapping[str, str], journal: Journal, *, streamed: bool, chat: bool, limit: int
) -> Gate | None:
    """What stands before an answer; None: nothing has to. ``limit``: bytes of a stream that may be held back to be judged."""
    if masks or (guard is not None and not guard.quick):
        return JudgingGate(guard, masks, journal, chat=chat, limit=limit)
    if guard is not None and guard.busy:
        return QuickGate(guard, journal, streamed=streamed, chat=chat)
    return None


async def judge_apart(answer: Received, *, streamed: bool) -> None:
    """Judge a whole answer that was put behind guards here, before somebody asks for it. Raises ``blocked``."""
    if not streamed and isinstance(answer, Guarded):
        await answer.judge()


def restored(answer: Received, masks: Mapping[str, str], delivery: Delivery) -> Received:
    """An answer that others have judged with the placeholders in it: who must not see a value going in does not see it coming out."""
    services = delivery.services
    gate = JudgingGate(None, masks, delivery.journal, chat=True, limit=services.max_answer_bytes)
    return Guarded(answer, gate, services.apart)
