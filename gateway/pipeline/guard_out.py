"""stream -> stream: what may reach the caller. Text is held back only while it could still become a violation."""

from collections import deque

from gateway.core.events import Event
from gateway.core.journal import Journal
from gateway.core.verdicts import ALLOW, Block
from gateway.guards.plan import OutputGuard
from gateway.pipeline.attempt import Answer
from gateway.pipeline.guard_in import blocked
from gateway.pipeline.resolve import Recipe

Mark = tuple[tuple[int, int], ...]
"""Where an event ends: (choice, characters of that choice up to its end)."""


class Guarded:
    """An answer as the caller may see it. Events keep their bytes and their order; some come later, none is changed."""

    __slots__ = ("_answer", "_ends", "_guard", "_held", "_journal", "_scan", "_streamed")

    def __init__(self, answer: Answer, guard: OutputGuard | None, journal: Journal, *, streamed: bool) -> None:
        self._answer = answer
        self._guard = guard
        self._journal = journal
        self._streamed = streamed
        self._scan = guard.scan() if guard is not None and streamed else None
        self._held: deque[tuple[Event, Mark]] = deque()
        self._ends: dict[int, int] = {}

    @property
    def native(self) -> bool:
        """Whether the events are in the caller's own dialect already."""
        return self._answer.native

    @property
    def texts(self) -> list[str]:
        """Generated text so far."""
        return self._answer.texts

    def whole(self) -> Event:
        """An answer that was not streamed. Raises ``blocked``."""
        event = self._answer.whole()
        if self._guard is not None:
            self._judge(self._guard.check(event.texts))
        return event

    async def next(self) -> list[Event]:
        """The next events of a stream that may be shown; empty at the end. Raises ``blocked`` and the provider's failures."""
        if self._scan is None:
            return await self._answer.next()
        while True:
            events = await self._answer.next()
            if not events:
                self._judge(self._scan.end())
                rest = [event for event, _ in self._held]
                self._held.clear()
                return rest
            shown = self._pass(events)
            if shown:
                return shown

    async def drain(self) -> None:
        """Read what follows the end."""
        await self._answer.drain()

    def close(self) -> None:
        """Let go of the provider's connection."""
        self._answer.close()

    def _judge(self, verdict: object) -> None:
        if verdict is not ALLOW:
            assert isinstance(verdict, Block)
            raise blocked("post", verdict, self._journal)

    def _pass(self, events: list[Event]) -> list[Event]:
        """Feed a batch, one call per run of the same choice, and give what is cleared from the front of the queue."""
        scan, held, ends = self._scan, self._held, self._ends
        assert scan is not None
        run: list[str] = []
        current = -1
        for event in events:
            mark: Mark = ()
            for choice, text in event.texts:
                if choice != current:
                    if run:
                        self._judge(scan.feed(current, "".join(run)))
                        run.clear()
                    current = choice
                run.append(text)
                end = ends[choice] = ends.get(choice, 0) + len(text)
                mark = (*mark, (choice, end))
            held.append((event, mark))
        if run:
            self._judge(scan.feed(current, "".join(run)))
        shown: list[Event] = []
        while held:
            event, mark = held[0]
            for choice, end in mark:
                if scan.released(choice) < end:
                    return shown
            held.popleft()
            shown.append(event)
        return shown


def guard_out(recipe: Recipe, answer: Answer, journal: Journal, *, streamed: bool) -> Guarded:
    """Put the answer behind its version's output guards, if it has any."""
    release = recipe.release
    return Guarded(answer, release.guards.post if release is not None else None, journal, streamed=streamed)
