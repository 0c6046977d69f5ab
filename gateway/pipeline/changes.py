"""What is to be changed in one event of the chat form before its caller sees it."""

from msgspec import structs

from gateway.core.events import Event
from gateway.wire.chat_said import Aside, Put, TextField, with_said


class Changes:
    """Of one event; told text by text, in order."""

    __slots__ = ("_puts", "_texts", "_without")

    def __init__(self) -> None:
        self._puts: dict[int, Put] = {}
        self._texts: dict[int, str] = {}
        self._without: set[str] = set()

    def say(self, choice: int, field: TextField, was: str, text: str) -> None:
        """A text of the event, and what it is to be."""
        if text != was:
            self._put(choice).texts[field] = text
        if field in {"content", "refusal"}:
            self._texts[choice] = self._texts.get(choice, "") + text

    def call(self, choice: int, index: int, arguments: str) -> None:
        """Other arguments of a tool call."""
        self._put(choice).calls[index] = arguments

    def take_away(self, aside: Aside) -> None:
        """The field that a text beside the answer is in: such a text is not rewritten."""
        if aside.choice is None:
            self._without.add(aside.field)
        else:
            put = self._put(aside.choice)
            (put.choice if aside.holder == "choice" else put.said).add(aside.field)

    def made(self, event: Event) -> Event:
        """The event as it may be shown: itself, unless something in it is changed."""
        if not self._puts and not self._without:
            return event
        shown = tuple([(choice, self._texts.get(choice, text)) for choice, text in event.texts])
        return structs.replace(event, data=with_said(event.data, self._puts, self._without), texts=shown)

    def _put(self, choice: int) -> Put:
        return self._puts.setdefault(choice, Put())
