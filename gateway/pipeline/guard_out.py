"""stream -> stream: what may reach the caller. Text is held back only while it could still become a violation."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

from gateway.core.events import Event
from gateway.core.journal import Journal
from gateway.guards.plan import LONG, LONG_LISTED, OutputGuard
from gateway.pipeline.apart import Apart
from gateway.pipeline.gates import Gate, JudgingGate
from gateway.pipeline.guard_in import NO_MASKS
from gateway.pipeline.quick_gate import QuickGate, judge_whole
from gateway.pipeline.received import Received
from gateway.pipeline.resolve import Recipe

T = TypeVar("T")

HELD_BYTES = 8 * 1024 * 1024
"""Of one stream, where nobody says otherwise: what a guard that wants the whole answer can make a worker keep."""


class Guarded:
    """An answer as the caller may see it. Events keep their order; some come later, and only those are changed that must be."""

    __slots__ = ("_answer", "_apart", "_event", "_gate", "_long", "_size", "_translated")

    def __init__(  # noqa: PLR0913 - an answer, and everything that was decided about it
        self,
        answer: Received,
        guard: OutputGuard | None,
        journal: Journal,
        masks: Mapping[str, str] = NO_MASKS,
        apart: Apart | None = None,
        *,
        streamed: bool,
        chat: bool = False,
        translated: bool = False,
        limit: int = HELD_BYTES,
    ) -> None:
        self._answer = answer
        self._translated = translated
        self._apart = apart
        self._long = LONG
        self._event: Event | None = None
        """A whole answer that was judged."""
        self._size = 0
        """Bytes of a stream so far."""
        self._gate: Gate | None = None
        if masks or (guard is not None and not guard.quick):
            self._gate = JudgingGate(guard, masks, journal, chat=chat, limit=limit)
        elif guard is not None and guard.busy:
            self._gate = QuickGate(guard, journal, streamed=streamed, chat=chat)
            self._long = LONG_LISTED
            if streamed:
                self._apart = None  # what comes in one read, lists judge in a millisecond

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
        if self._event is not None:
            return self._event
        event = self._answer.whole()
        return event if self._gate is None else self._gate.whole(event)

    async def judge(self) -> None:
        """Judge an answer that was not streamed, without holding the loop. Raises ``blocked``."""
        event, gate = self._answer.whole(), self._gate
        if gate is not None:
            self._event = await self._worked(partial(gate.whole, event), len(event.data))

    async def next(self) -> list[Event]:
        """The next events of a stream that may be shown; empty at the end. Raises ``blocked`` and the provider's failures."""
        gate = self._gate
        if gate is None:
            return await self._answer.next()
        while True:
            events = await self._answer.next()
            if self._apart is None:
                shown = gate.feed(events) if events else gate.end()
                if shown or not events:
                    return shown
                continue
            if not events:
                return await self._worked(gate.end, self._size)
            size = sum([len(event.data) for event in events])
            self._size += size
            shown = gate.feed(events) if size <= self._long else await self._worked(partial(gate.feed, events), size)
            if shown:
                return shown

    async def _worked(self, work: Callable[[], T], size: int) -> T:
        """The outcome of judging so many bytes."""
        return work() if self._apart is None or size <= self._long else await self._apart.do(work)

    async def drain(self) -> None:
        """Read what follows the end."""
        await self._answer.drain()

    def close(self) -> None:
        """Let go of the provider's connection."""
        if self._gate is not None:
            self._gate.abandon()
        self._answer.close()


def guard_out(  # noqa: PLR0913 - as Guarded
    recipe: Recipe,
    answer: Received,
    masks: Mapping[str, str],
    journal: Journal,
    apart: Apart | None = None,
    *,
    streamed: bool,
    chat: bool,
    translated: bool,
    limit: int,
) -> Received:
    """Put the answer behind its output guards, if it has any. Raises ``blocked`` where a whole answer could be judged at once.

    ``masks`` are the placeholders to be turned into their values. ``chat``: the events are in the chat form.

    ``translated``: the exchange was held in the chat form for the guards, and the caller speaks another dialect. ``limit`` is how many
    bytes of a stream may be held back.
    """
    guards = recipe.guards
    guard = guards.post
    if not streamed and not masks and not translated and (guard is None or guard.quick):
        if guard is None or not guard.busy:
            return answer
        event = answer.whole()
        if apart is None or len(event.data) <= guards.long:
            judge_whole(guard, event, journal, chat=chat)
            return answer
    return Guarded(answer, guard, journal, masks, apart, streamed=streamed, chat=chat, translated=translated, limit=limit)


async def judge_apart(answer: Received, *, streamed: bool) -> None:
    """Judge a whole answer that was put behind guards here, before somebody asks for it. Raises ``blocked``."""
    if not streamed and isinstance(answer, Guarded):
        await answer.judge()


def restored(
    answer: Received, masks: Mapping[str, str], journal: Journal, apart: Apart | None = None, *, streamed: bool, limit: int
) -> Received:
    """An answer that others have judged with the placeholders in it: who must not see a value going in does not see it coming out."""
    return Guarded(answer, None, journal, masks, apart, streamed=streamed, chat=True, limit=limit)
