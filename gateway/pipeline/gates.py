"""What stands between the events of an answer and its caller: events go in as they come, and out as soon as they may be shown."""

from collections import deque
from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct

from gateway.core.errors import UPSTREAM_INVALID, GatewayError
from gateway.core.events import Event
from gateway.core.journal import Journal
from gateway.core.verdicts import Block, OutputVerdict
from gateway.guards.edits import rewritten
from gateway.guards.outgoing import CallTrack, Outgoing
from gateway.guards.plan import LONG, OutputGuard
from gateway.guards.stream import Rules, Window
from gateway.pipeline.changes import Changes
from gateway.pipeline.guard_in import BlockedError
from gateway.pipeline.judged import Thoughts, refuse_media, said_of, too_many
from gateway.wire.chat_said import TEXT_FIELDS, Aside, TextField, said_calls


class Gate(Protocol):
    """Of one answer. After a block nothing more is shown of it."""

    @property
    def long(self) -> int | None:
        """Bytes from which it judges for so long that it has to do so apart, for others to be served meanwhile; None: never."""
        ...

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


class OpenGate:
    """Everything passes as it is."""

    __slots__ = ()
    long = None

    def feed(self, events: list[Event]) -> list[Event]:
        """As they came."""
        return events

    def end(self) -> list[Event]:
        """Nothing is held."""
        return []

    def whole(self, event: Event) -> Event:
        """As it came."""
        return event

    def abandon(self) -> None:
        """Nothing is left to be done."""


OPEN = OpenGate()
"""It knows nothing of the answers that pass, so one is enough for all."""


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


class _Aside(Struct):
    """A text of an event that is in none of the API's places: it is not rewritten, but its field taken away."""

    window: Window
    aside: Aside
    start: int


_Mark = _Text | _Call | _Aside


class JudgingGate:
    """Any guards, and masks to be undone. ``chat``: the events are in the chat form, so that they can be read in full and changed."""

    __slots__ = (
        "_bytes",
        "_chat",
        "_current",
        "_ends",
        "_held",
        "_journal",
        "_limit",
        "_media",
        "_outgoing",
        "_run",
        "_thoughts",
    )
    long = LONG

    def __init__(
        self, guard: OutputGuard | None, masks: Mapping[str, str], journal: Journal, *, chat: bool, limit: int
    ) -> None:
        self._outgoing = Outgoing(
            (guard.texts if guard is not None else None) or Rules(),
            guard.tools if guard is not None else (),
            masks,
            journal.notes,
        )
        self._media = guard is None or guard.media
        self._journal = journal
        self._chat = chat
        self._limit = limit
        self._bytes = 0
        self._held: deque[tuple[Event, list[_Mark]]] = deque()
        self._ends: dict[tuple[int, str], int] = {}
        self._run: list[str] = []
        """Texts that follow each other in one window: judged at once."""
        self._current: Window | None = None
        self._thoughts = Thoughts()

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

    def _marks(self, event: Event) -> list[_Mark]:
        if not self._media:
            refuse_media(event, self._journal)
        if not self._chat:
            texts = [self._text(choice, "content", text) for choice, text in event.texts if text]
            return [*texts, *[self._text(choice, "reasoning", text) for choice, text in self._thoughts.of(event)]]
        marks: list[_Mark] = []
        answer, asides = said_of(event)
        for choice in answer.choices:
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
        if asides:
            self._flush()
            marks += [self._beside(aside) for aside in asides]
        return marks

    def _beside(self, aside: Aside) -> _Aside:
        choice = aside.choice or 0
        window = self._outgoing.aside(choice, aside.path, grows=aside.grows)
        if window is None:
            raise too_many()
        self._judge(window.feed(aside.text))
        if not aside.grows:
            self._judge(window.finish())
            return _Aside(window, aside, 0)
        start = self._ends.get((choice, aside.path), 0)
        self._ends[choice, aside.path] = start + len(aside.text)
        return _Aside(window, aside, start)


def _ready(mark: _Mark) -> bool:
    if isinstance(mark, _Call):
        return mark.track.complete
    text = mark.text if isinstance(mark, _Text) else mark.aside.text
    return mark.window.released >= mark.start + len(text)


def _changed(event: Event, marks: list[_Mark]) -> Event:
    """The event as it may be shown: itself, unless something in it is to be rewritten."""
    changes = Changes()
    for mark in marks:
        if isinstance(mark, _Call):
            track = mark.track
            if track.changed and mark.speaks:
                # The first piece says it all, the others nothing.
                changes.call(mark.choice, mark.index, "" if track.written else track.arguments)
                track.written = True
            continue
        was = mark.text if isinstance(mark, _Text) else mark.aside.text
        edits, end = mark.window.edits, mark.start + len(was)
        text = rewritten(was, edits, mark.start) if edits else was
        while edits and edits[0].end <= end:
            edits.popleft()
        if isinstance(mark, _Text):
            changes.say(mark.choice, mark.field, was, text)
        elif text != was:
            changes.take_away(mark.aside)
    return changes.made(event)
