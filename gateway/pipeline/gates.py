"""What stands between the events of an answer and its caller: events go in as they come, and out as soon as they may be shown."""

from collections import deque
from collections.abc import Callable, Mapping
from itertools import groupby
from operator import itemgetter
from typing import Protocol

from msgspec import Struct, structs

from gateway.core.errors import UPSTREAM_INVALID, GatewayError
from gateway.core.events import Event
from gateway.core.journal import Journal
from gateway.core.verdicts import ALLOW, Block, OutputVerdict
from gateway.guards.edits import rewritten
from gateway.guards.outgoing import CallTrack, Outgoing
from gateway.guards.plan import OutputGuard
from gateway.guards.rules import Tally
from gateway.guards.stream import Rules, Window
from gateway.pipeline.guard_in import BlockedError
from gateway.wire.chat_texts import TEXT_FIELDS, Put, SaidAnswer, TextField, decode_said, said_calls, with_said
from gateway.wire.openai import DECODE_ERRORS

Mark = tuple[tuple[int, int], ...]
"""Where an event ends: (choice, characters of that choice up to its end)."""
_choice_of: Callable[[tuple[int, str]], int] = itemgetter(0)
_text_of: Callable[[tuple[int, str]], str] = itemgetter(1)


class Gate(Protocol):
    """Of one answer. After a block nothing more is shown of it."""

    def feed(self, events: list[Event]) -> list[Event]:
        """More of a stream: what may be shown now. Raises ``blocked``."""
        ...

    def end(self) -> list[Event]:
        """The stream is complete: what was still held. Asking again gives nothing. Raises ``blocked``."""
        ...

    def whole(self, event: Event) -> Event:
        """An answer that was not streamed. Raises ``blocked``."""
        ...

    def abandon(self) -> None:
        """The answer is over, whether or not it came to its end."""
        ...


class QuickGate:
    """Prohibited terms and required elements: events of any dialect, never changed."""

    __slots__ = ("_ends", "_guard", "_held", "_journal", "_scan")

    def __init__(self, guard: OutputGuard, journal: Journal, *, streamed: bool) -> None:
        self._guard = guard
        self._journal = journal
        self._scan = guard.scan() if streamed else None
        self._held: deque[tuple[Event, Mark]] = deque()
        self._ends: dict[int, int] = {}

    def whole(self, event: Event) -> Event:
        """As :meth:`Gate.whole`."""
        judge_whole(self._guard, event, self._journal)
        return event

    def feed(self, events: list[Event]) -> list[Event]:
        """As :meth:`Gate.feed`: one call per run of the same choice, then what is cleared from the front of the queue."""
        scan, held = self._scan, self._held
        assert scan is not None
        texts = [text for event in events for text in event.texts]
        if not held and len(set(map(_choice_of, texts))) == 1:
            # Nearly every batch: of one choice, and with nothing in it that could become a violation.
            choice = texts[0][0]
            text = "".join(map(_text_of, texts))
            start = self._ends.get(choice, 0)
            self._judge(scan.feed(choice, text))
            if scan.released(choice) == start + len(text):
                self._ends[choice] = start + len(text)
                return events
            self._hold(events)
        else:
            self._feed_runs(texts)
            self._hold(events)
        return self._cleared()

    def _feed_runs(self, texts: list[tuple[int, str]]) -> None:
        assert self._scan is not None
        for choice, run in groupby(texts, _choice_of):
            self._judge(self._scan.feed(choice, "".join(map(_text_of, run))))

    def _hold(self, events: list[Event]) -> None:
        ends = self._ends
        for event in events:
            mark: Mark = ()
            for choice, text in event.texts:
                end = ends[choice] = ends.get(choice, 0) + len(text)
                mark = (*mark, (choice, end))
            self._held.append((event, mark))

    def _cleared(self) -> list[Event]:
        scan, held = self._scan, self._held
        assert scan is not None
        shown: list[Event] = []
        while held:
            event, mark = held[0]
            for choice, end in mark:
                if scan.released(choice) < end:
                    return shown
            held.popleft()
            shown.append(event)
        return shown

    def end(self) -> list[Event]:
        """As :meth:`Gate.end`."""
        assert self._scan is not None
        self._judge(self._scan.end())
        rest = [event for event, _ in self._held]
        self._held.clear()
        return rest

    def abandon(self) -> None:
        """As :meth:`Gate.abandon`: nothing is left to be done."""

    def _judge(self, verdict: OutputVerdict) -> None:
        _refuse(verdict, self._journal)


def judge_whole(guard: OutputGuard, event: Event, journal: Journal) -> None:
    """Judge a whole answer by its prohibited terms and required elements. Raises ``blocked``."""
    verdict = guard.check(event.texts)
    if verdict is not ALLOW:
        _refuse(verdict, journal)


def _refuse(verdict: OutputVerdict, journal: Journal) -> None:
    if isinstance(verdict, Block):
        Tally("post", journal.notes).block(verdict)
        raise BlockedError("post", verdict, journal)


class _Text(Struct):
    """A text of an event."""

    window: Window
    choice: int
    field: TextField
    text: str
    start: int


class _Call(Struct):
    """A piece of a tool call in an event."""

    track: CallTrack
    choice: int
    index: int
    speaks: bool
    """Whether it has a place for arguments."""


class JudgingGate:
    """Any guards, and masks to be undone. ``chat``: the events are in the chat form, so that they can be read in full and changed."""

    __slots__ = ("_bytes", "_chat", "_current", "_ends", "_held", "_journal", "_limit", "_outgoing", "_run")

    def __init__(
        self, guard: OutputGuard | None, masks: Mapping[str, str], journal: Journal, *, chat: bool, limit: int
    ) -> None:
        self._outgoing = Outgoing(
            (guard.texts if guard is not None else None) or Rules(),
            guard.tools if guard is not None else (),
            masks,
            journal.notes,
        )
        self._journal = journal
        self._chat = chat
        self._limit = limit
        self._bytes = 0
        self._held: deque[tuple[Event, list[_Text | _Call]]] = deque()
        self._ends: dict[tuple[int, TextField], int] = {}
        self._run: list[str] = []
        """Texts that follow each other in one window: judged at once."""
        self._current: Window | None = None

    def whole(self, event: Event) -> Event:
        """As :meth:`Gate.whole`."""
        marks = self._marks(event)
        self._flush()
        self._judge(self._outgoing.end())
        return _changed(event, marks)

    def feed(self, events: list[Event]) -> list[Event]:
        """As :meth:`Gate.feed`."""
        held = self._held
        for event in events:
            held.append((event, self._marks(event)))
            self._bytes += len(event.data)
        self._flush()
        shown: list[Event] = []
        while held and all(_ready(mark) for mark in held[0][1]):
            event, marks = held.popleft()
            self._bytes -= len(event.data)
            shown.append(_changed(event, marks))
        if self._bytes > self._limit:
            raise GatewayError(
                UPSTREAM_INVALID, f"the answer is longer than the {self._limit} bytes that can be held back to be judged"
            )
        return shown

    def end(self) -> list[Event]:
        """As :meth:`Gate.end`."""
        self._judge(self._outgoing.end())
        shown = [_changed(event, marks) for event, marks in self._held]
        self._held.clear()
        return shown

    def abandon(self) -> None:
        """As :meth:`Gate.abandon`."""
        self._outgoing.abandon()

    def _judge(self, verdict: OutputVerdict) -> None:
        if isinstance(verdict, Block):
            raise BlockedError("post", verdict, self._journal)

    def _flush(self) -> None:
        if self._current is not None and self._run:
            self._judge(self._current.feed("".join(self._run)))
            self._run.clear()

    def _text(self, choice: int, field: TextField, text: str) -> _Text:
        window = self._outgoing.window(choice, field)
        if window is not self._current:
            self._flush()
            self._current = window
        self._run.append(text)
        start = self._ends.get((choice, field), 0)
        self._ends[choice, field] = start + len(text)
        return _Text(window, choice, field, text, start)

    def _marks(self, event: Event) -> list[_Text | _Call]:
        if not self._chat:
            return [self._text(choice, "content", text) for choice, text in event.texts if text]
        marks: list[_Text | _Call] = []
        for choice in _said(event).choices:
            said, index = choice.said, choice.index
            for field in TEXT_FIELDS:
                text = getattr(said, field)
                if text:
                    marks.append(self._text(index, field, text))
            if self._outgoing.judges_calls:
                for place, call in said_calls(said):
                    self._flush()
                    self._judge(self._outgoing.call(index, place, call))
                    speaks = (call.function is not None and call.function.arguments is not None) or call.custom is not None
                    marks.append(_Call(self._outgoing.track(index, place), index, place, speaks))
                if choice.finish_reason is not None:
                    self._flush()
                    self._judge(self._outgoing.finish_calls(index))
        return marks


def _said(event: Event) -> SaidAnswer:
    try:
        return decode_said(event.data)
    except DECODE_ERRORS as error:
        raise GatewayError(UPSTREAM_INVALID, "the answer cannot be judged", cause=str(error)) from None


def _ready(mark: _Text | _Call) -> bool:
    if isinstance(mark, _Call):
        return mark.track.complete
    return mark.window.released >= mark.start + len(mark.text)


def _changed(event: Event, marks: list[_Text | _Call]) -> Event:
    """The event as it may be shown: itself, unless something in it is to be rewritten."""
    puts: dict[int, Put] = {}
    texts: dict[int, str] = {}
    for mark in marks:
        if isinstance(mark, _Call):
            track = mark.track
            if track.changed and mark.speaks:
                # The first piece says it all, the others nothing.
                puts.setdefault(mark.choice, Put()).calls[mark.index] = "" if track.written else track.arguments
                track.written = True
            continue
        edits, end = mark.window.edits, mark.start + len(mark.text)
        text = rewritten(mark.text, edits, mark.start) if edits else mark.text
        while edits and edits[0].end <= end:
            edits.popleft()
        if text != mark.text:
            puts.setdefault(mark.choice, Put()).texts[mark.field] = text
        if mark.field in {"content", "refusal"}:
            texts.setdefault(mark.choice, text)
    if not puts:
        return event
    shown = tuple([(choice, texts.get(choice, text)) for choice, text in event.texts])
    return structs.replace(event, data=with_said(event.data, puts), texts=shown)
