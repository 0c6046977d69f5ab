"""Tool calls as guards outside the process are shown them, and as they are when those have written over places of their arguments.

Arguments are shown as the JSON text that says the same without needless escapes, as to the guards inside (:mod:`gateway.guards.tools`).
Only arguments are rewritten: another name would be another tool, and definitions are the caller's.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from gateway.core.conversation import Conversation
from gateway.core.events import Event
from gateway.core.verdicts import Block
from gateway.guards import incoming
from gateway.guards.edits import Wanted, Write
from gateway.guards.outgoing import CallTrack
from gateway.guards.remote.asking import ARGUMENTS, DEFINITION, NAME
from gateway.guards.rules import RemoteRule
from gateway.guards.tools import ToolCall, complete_call, is_json, repeats, said_simply, written_over
from gateway.pipeline.changes import Changes
from gateway.pipeline.consulting.masking import Marked
from gateway.pipeline.judged import said_of
from gateway.wire.chat_said import said_calls

_NOT_POSSIBLE = "the arguments of a tool call cannot be rewritten"


class _Shown(Struct):
    """One text."""

    role: str
    text: str
    call: int = -1
    """Whose it is; -1: of a definition."""
    escaped: bool = False
    """Whether it is JSON."""
    as_it_came: bool = False
    """Whether it is shown beside what it means, for it says more than that."""


class Calls:
    """Definitions and calls, in order."""

    def __init__(self, definitions: Sequence[str], calls: Sequence[ToolCall]) -> None:
        self.arguments = [call.arguments for call in calls]
        """Of each call, as they may pass on."""
        self._shown = [_Shown(DEFINITION, said_simply(text)[0]) for text in definitions]
        for number, call in enumerate(calls):
            text, escaped = (call.arguments, False) if call.plain else said_simply(call.arguments)
            self._shown += [_Shown(NAME, call.name, number), _Shown(ARGUMENTS, text, number, escaped)]
            if escaped and repeats(call.arguments, text):
                self._shown.append(_Shown(ARGUMENTS, call.arguments, number, as_it_came=True))

    @property
    def texts(self) -> tuple[str, ...]:
        """What others are shown."""
        return tuple([one.text for one in self._shown])

    @property
    def roles(self) -> tuple[str, ...]:
        """What each text is."""
        return tuple([one.role for one in self._shown])

    def mark(self, marked: Sequence[Marked], write: Write[RemoteRule]) -> Block | None:
        """Have places written over; not None where that cannot be."""
        wanted: list[list[Wanted[RemoteRule]]] = [[] for _ in self._shown]
        for order, mark in enumerate(marked):
            for span in mark.spans:
                wanted[span.text].append((span.start, order, span.end, mark.rule, span.what))
        for one, places in zip(self._shown, wanted, strict=True):
            if not places:
                continue
            _, _, _, rule, what = places[0]
            if one.role != ARGUMENTS:
                return rule.block(f"found {what}")
            made = one.text if one.as_it_came else written_over(one.text, places, write, escaped=one.escaped)
            if made is None:
                return rule.block(_NOT_POSSIBLE)
            self._put(one, made)
        return None

    def replace(self, texts: Sequence[str], rule: RemoteRule) -> Block | None:
        """Have other texts in their place; not None where that cannot be."""
        for one, text in zip(self._shown, texts, strict=True):
            if text == one.text:
                continue
            if one.role != ARGUMENTS or (one.escaped and not is_json(text)):
                return rule.block(_NOT_POSSIBLE)
            self._put(one, text)
        return None

    def _put(self, one: _Shown, text: str) -> None:
        if one.as_it_came:
            # What it hides is not shown: only what it means.
            text = next(other.text for other in self._shown if other.call == one.call and other.role == ARGUMENTS)
        self.arguments[one.call] = text
        one.text = text


class History(Calls):
    """The tool calls of a conversation that goes in, and the tools that it may use. Raises ``malformed``."""

    def __init__(self, conversation: Conversation, definitions: Sequence[str]) -> None:
        self._places: list[tuple[int, int, str]] = []
        calls: list[ToolCall] = []
        for number, message in enumerate(conversation):
            if message.role == "assistant":
                for place, call in incoming.calls_of(message):
                    made = complete_call(call)
                    calls.append(made)
                    self._places.append((number, place, made.arguments))
        super().__init__(definitions, calls)

    def changes(self) -> Mapping[int, Mapping[int, str]]:
        """Other arguments, by message and place in it."""
        changed: dict[int, dict[int, str]] = {}
        for (message, place, was), text in zip(self._places, self.arguments, strict=True):
            if text != was:
                changed.setdefault(message, {})[place] = text
        return changed


class Called(Calls):
    """The tool calls of a complete answer in the chat form."""

    def __init__(self, batches: Sequence[Sequence[Event]]) -> None:
        tracks: dict[tuple[int, int], CallTrack] = {}
        self.mixed = False
        """Whether a call is of two kinds, so that nobody can say what it is."""
        self._said: list[list[list[tuple[int, int, bool]]]] = []
        for events in batches:
            self._said.append([self._read(event, tracks) for event in events])
        self._tracks = tracks
        self._keys = sorted(tracks)
        super().__init__((), [ToolCall(tracks[key].name, tracks[key].arguments, tracks[key].plain) for key in self._keys])

    def over(self, batches: list[list[Event]]) -> list[list[Event]]:
        """The same events, with the arguments as they may pass on: the first piece of a call says all of them, the others nothing."""
        changed = {
            key: text for key, text in zip(self._keys, self.arguments, strict=True) if text != self._tracks[key].arguments
        }
        if not changed:
            return batches
        left = dict(changed)
        out: list[list[Event]] = []
        for events, of_each in zip(batches, self._said, strict=True):
            shown: list[Event] = []
            for event, pieces in zip(events, of_each, strict=True):
                changes = Changes()
                for choice, index, speaks in pieces:
                    if speaks and (choice, index) in changed:
                        changes.call(choice, index, left.pop((choice, index), ""))
                shown.append(changes.made(event))
            out.append(shown)
        return out

    def _read(self, event: Event, tracks: dict[tuple[int, int], CallTrack]) -> list[tuple[int, int, bool]]:
        answer, _ = said_of(event)
        pieces: list[tuple[int, int, bool]] = []
        for choice in answer.choices:
            for index, call in said_calls(choice.said):
                self.mixed = self.mixed or (call.custom is not None and call.function is not None)
                tracks.setdefault((choice.index, index), CallTrack()).add(call)
                speaks = (call.function is not None and call.function.arguments is not None) or call.custom is not None
                pieces.append((choice.index, index, speaks))
        return pieces
