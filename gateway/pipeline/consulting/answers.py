"""A whole answer as guards outside the process are shown it, and as it is when they have written over places of it."""

from collections import deque
from collections.abc import Sequence

from msgspec import Struct

from gateway.core.events import Event
from gateway.guards.edits import Edit, Wanted, edits_of, rewritten
from gateway.guards.remote.asking import BESIDE, SPOKEN, THOUGHT
from gateway.guards.rules import RemoteRule
from gateway.pipeline.changes import Changes
from gateway.pipeline.consulting.masking import Marked
from gateway.pipeline.judged import Thoughts, said_of, too_many
from gateway.wire.chat_said import TEXT_FIELDS, Aside, TextField

MAX_BESIDE = 1 << 20
"""Characters of texts beside an answer that are shown to others: a list of sources has some thousand."""
_LAST = len(TEXT_FIELDS)
"""The rank of what stands beside the answer."""
_ALIKE = 16
"""Texts of one place with which another is compared, to be shown once: a list of sources is the same in all chunks."""


class _Text(Struct):
    """One text of the answer, in pieces as they came."""

    role: str
    pieces: list[str] = []
    size: int = 0
    edits: Sequence[Edit] = ()
    left: deque[Edit] = deque()
    """Those that the next pieces are about."""

    def add(self, piece: str) -> int:
        """One more; where it begins."""
        start = self.size
        self.pieces.append(piece)
        self.size += len(piece)
        return start


class _Mark(Struct):
    """A piece in an event."""

    text: _Text
    piece: str
    start: int
    choice: int
    place: TextField | Aside


class Answered:
    """One answer, complete. ``chat``: it is in the chat form, so that all of it can be read, and be changed."""

    def __init__(self, batches: list[list[Event]], *, chat: bool) -> None:
        self._batches = batches
        self._texts: dict[tuple[int, int, str], _Text] = {}
        """In the order in which they are shown: by choice, kind and place."""
        self._beside_size = self._others = 0
        self._marks: list[list[list[_Mark]]] = []
        if chat:
            self._marks = [[self._marked(event) for event in events] for events in batches]
        else:
            self._read(batches)
        self._all = [self._texts[key] for key in sorted(self._texts)]

    @property
    def texts(self) -> tuple[str, ...]:
        """What it says, as things stand."""
        return tuple([rewritten("".join(text.pieces), text.edits) for text in self._all])

    @property
    def roles(self) -> tuple[str, ...]:
        """Whose each text is."""
        return tuple([text.role for text in self._all])

    def mark(self, marked: Sequence[Marked]) -> None:
        """Have places written over, as their rules say. Of places that overlap, the first is written whole."""
        wanted: list[list[Wanted[RemoteRule]]] = [[] for _ in self._all]
        for order, mark in enumerate(marked):
            for span in mark.spans:
                wanted[span.text].append((span.start, order, span.end, mark.rule, span.what))
        for text, places in zip(self._all, wanted, strict=True):
            if places:
                text.edits = edits_of("".join(text.pieces), places, _write)

    def replace(self, texts: Sequence[str]) -> None:
        """Have it say something else: as many texts as it has."""
        for text, old, new in zip(self._all, self.texts, texts, strict=True):
            if new != old:
                text.edits = [Edit(0, text.size, new)]

    def batches(self) -> list[list[Event]]:
        """The events, changed where they must be. Where a text is replaced, its first piece says all of the new one."""
        if not any(text.edits for text in self._all):
            return self._batches
        for text in self._all:
            text.left = deque(text.edits)
        return [
            [_changed(event, marks) for event, marks in zip(events, of_each, strict=True)]
            for events, of_each in zip(self._batches, self._marks, strict=True)
        ]

    def _marked(self, event: Event) -> list[_Mark]:
        answer, asides = said_of(event)
        marks: list[_Mark] = []
        for choice in answer.choices:
            for rank, field in enumerate(TEXT_FIELDS):
                piece = getattr(choice.said, field)
                if piece:
                    text = self._text(choice.index, rank, "", SPOKEN if field in {"content", "refusal"} else THOUGHT)
                    marks.append(_Mark(text, piece, text.add(piece), choice.index, field))
        return marks + [self._beside(aside) for aside in asides]

    def _beside(self, aside: Aside) -> _Mark:
        choice = aside.choice or 0
        text = self._text(choice, _LAST, aside.path, BESIDE) if aside.grows else self._whole(choice, aside)
        start = text.size if aside.grows else 0
        self._beside_size += max(0, start + len(aside.text) - text.size)
        if self._beside_size > MAX_BESIDE:
            raise too_many()
        if aside.grows:
            text.add(aside.text)
        elif len(aside.text) > text.size:
            text.pieces, text.size = [aside.text], len(aside.text)
        return _Mark(text, aside.text, start, choice, aside)

    def _whole(self, choice: int, aside: Aside) -> _Text:
        """Where a text belongs that is complete: servers repeat such in each chunk, or say it as far as it has come."""
        for number in range(_ALIKE):
            text = self._text(choice, _LAST, f"{aside.path}#{number}", BESIDE)
            had = "".join(text.pieces)
            if aside.text.startswith(had) or had.startswith(aside.text):
                return text
        self._others += 1
        return self._text(choice, _LAST, f"{aside.path}#{_ALIKE + self._others}", BESIDE)

    def _text(self, choice: int, rank: int, path: str, role: str) -> _Text:
        text = self._texts.get((choice, rank, path))
        if text is None:
            text = self._texts[choice, rank, path] = _Text(role)
        return text

    def _read(self, batches: list[list[Event]]) -> None:
        """Of another form than chat's: what its events say they say."""
        thoughts = Thoughts()
        for events in batches:
            for event in events:
                for choice, piece in event.texts:
                    self._text(choice, 0, "", SPOKEN).add(piece)
                for choice, piece in thoughts.of(event):
                    self._text(choice, 2, "", THOUGHT).add(piece)


def _write(rule: RemoteRule, found: str, what: str) -> str:
    del found
    return rule.written(what)


def _changed(event: Event, marks: Sequence[_Mark]) -> Event:
    changes = Changes()
    for mark in marks:
        left, end = mark.text.left, mark.start + len(mark.piece)
        text = rewritten(mark.piece, left, mark.start)
        if not isinstance(mark.place, Aside) or mark.place.grows:
            while left and left[0].end <= end:
                left.popleft()
        if not isinstance(mark.place, Aside):
            changes.say(mark.choice, mark.place, mark.piece, text)
        elif text != mark.piece:
            changes.take_away(mark.place)
    return changes.made(event)
