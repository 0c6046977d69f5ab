"""The quickest gate: prohibited terms and required elements alone, in events of any dialect, which it never changes."""

from collections import deque
from collections.abc import Callable
from itertools import groupby
from operator import itemgetter

from gateway.core.events import Event
from gateway.core.journal import Journal
from gateway.core.verdicts import ALLOW, OutputVerdict
from gateway.guards.judge import judge
from gateway.guards.outgoing import MAX_ASIDES
from gateway.guards.plan import LONG_LISTED, OutputGuard
from gateway.guards.window import OutputScan
from gateway.pipeline.judged import Thoughts, beside_of, refuse, too_many
from gateway.wire.chat_said import Aside, is_plain
from gateway.wire.thoughts import may_think

Mark = tuple[tuple[OutputScan, int, int], ...]
"""Where an event ends: (whose, choice, characters of that choice up to its end)."""
_choice_of: Callable[[tuple[int, str]], int] = itemgetter(0)
_text_of: Callable[[tuple[int, str]], str] = itemgetter(1)


class QuickGate:
    """Prohibited terms and required elements: events of any dialect, never changed.

    Terms are looked for in thoughts too, of which each choice has one text beside its answer. ``chat``: the events are in the chat
    form, so all other texts in them are found, and searched too.
    """

    __slots__ = (
        "_beside",
        "_chat",
        "_ends",
        "_guard",
        "_held",
        "_journal",
        "_scan",
        "_thinking",
        "_thought",
        "_thoughts",
        "long",
    )

    def __init__(self, guard: OutputGuard, journal: Journal, *, streamed: bool, chat: bool = False) -> None:
        self._guard = guard
        self._journal = journal
        self._chat = chat and guard.terms is not None
        self.long = None if streamed else LONG_LISTED
        """As :attr:`Gate.long`: what comes in one read of a stream, lists judge in a millisecond."""
        self._scan = guard.scan() if streamed else None
        self._thinking = OutputScan(guard.terms, guard.tails, None) if streamed and guard.terms is not None else None
        self._thought: dict[int, int] = {}
        self._thoughts = Thoughts()
        self._beside: dict[str, tuple[OutputScan, dict[int, int]]] = {}
        """By place: what stands beside the answer, and how many characters of it have come."""
        self._held: deque[tuple[Event, Mark]] = deque()
        self._ends: dict[int, int] = {}

    def whole(self, event: Event) -> Event:
        """As :meth:`Gate.whole`."""
        judge_whole(self._guard, event, self._journal, chat=self._chat)
        return event

    def feed(self, events: list[Event]) -> list[Event]:
        """As :meth:`Gate.feed`: one call per run of the same choice, then what is cleared from the front of the queue."""
        scan = self._scan
        assert scan is not None
        texts = [text for event in events for text in event.texts]
        if self._held or len(set(map(_choice_of, texts))) != 1 or not all(map(self._is_plain, events)):
            self._feed_each(scan, events)
            return self._cleared()
        # Nearly every batch: of one choice, and with nothing in it that could become a violation.
        choice = texts[0][0]
        text = "".join(map(_text_of, texts))
        end = self._ends.get(choice, 0) + len(text)
        self._judge(scan.feed(choice, text))
        if scan.released(choice) == end:
            self._ends[choice] = end
            return events
        self._held += [(event, self._mark(scan, event)) for event in events]
        return self._cleared()

    def _is_plain(self, event: Event) -> bool:
        """Whether there is no text in it but those that it came with."""
        return event.plain or (is_plain(event.data) if self._chat else not may_think(event.data))

    def _feed_each(self, scan: OutputScan, events: list[Event]) -> None:
        for event in events:
            for choice, run in groupby(event.texts, _choice_of):
                self._judge(scan.feed(choice, "".join(map(_text_of, run))))
            mark = self._mark(scan, event)
            if self._thinking is not None and not self._is_plain(event):
                if self._chat:
                    mark = (*mark, *[end for aside in beside_of(event) for end in self._aside(aside)])
                else:
                    mark = (*mark, *self._think(self._thinking, self._thought, self._thoughts.of(event)))
            self._held.append((event, mark))

    def _mark(self, scan: OutputScan, event: Event) -> Mark:
        mark: Mark = ()
        for choice, text in event.texts:
            end = self._ends[choice] = self._ends.get(choice, 0) + len(text)
            mark = (*mark, (scan, choice, end))
        return mark

    def _cleared(self) -> list[Event]:
        held = self._held
        shown: list[Event] = []
        while held:
            event, mark = held[0]
            for whose, choice, end in mark:
                if whose.released(choice) < end:
                    return shown
            held.popleft()
            shown.append(event)
        return shown

    def end(self) -> list[Event]:
        """As :meth:`Gate.end`."""
        assert self._scan is not None
        self._judge(self._scan.end())
        for scan in (self._thinking, *[scan for scan, _ in self._beside.values()]):
            if scan is not None:
                self._judge(scan.end())
        rest = [event for event, _ in self._held]
        self._held.clear()
        return rest

    def abandon(self) -> None:
        """As :meth:`Gate.abandon`: nothing is left to be done."""

    def _think(self, scan: OutputScan, ends: dict[int, int], found: list[tuple[int, str]]) -> Mark:
        mark: Mark = ()
        for choice, text in found:
            self._judge(scan.feed(choice, text))
            end = ends[choice] = ends.get(choice, 0) + len(text)
            mark = (*mark, (scan, choice, end))
        return mark

    def _aside(self, aside: Aside) -> Mark:
        guard, choice = self._guard, aside.choice or 0
        if not aside.grows:
            self._judge(judge(aside.text, guard.terms, None, choice))
            return ()
        known = self._beside.get(aside.path)
        if known is None:
            if len(self._beside) >= MAX_ASIDES:
                raise too_many()
            known = self._beside[aside.path] = (OutputScan(guard.terms, guard.tails, None), {})
        return self._think(*known, [(choice, aside.text)])

    def _judge(self, verdict: OutputVerdict) -> None:
        refuse(verdict, self._journal)


def judge_whole(guard: OutputGuard, event: Event, journal: Journal, *, chat: bool) -> None:
    """Judge a whole answer by its prohibited terms and required elements. ``chat``: as of :class:`QuickGate`. Raises ``blocked``."""
    terms, required = guard.terms, guard.required
    for choice, text in event.texts:
        verdict = judge(text, terms, required, choice)
        if verdict is not ALLOW:
            refuse(verdict, journal)
    if terms is None or event.plain or (is_plain(event.data) if chat else not may_think(event.data)):
        return
    beside = [(aside.choice or 0, aside.text) for aside in beside_of(event)] if chat else Thoughts().of(event)
    for choice, text in beside:
        refuse(judge(text, terms, None, choice), journal)
