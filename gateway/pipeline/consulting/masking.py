"""Writing over the places that guards outside the process found, with placeholders that are put back into the answer."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from gateway.core.conversation import Conversation
from gateway.guards.edits import Wanted, edits_of, rewritten
from gateway.guards.masks import Masks
from gateway.guards.remote.asking import Span
from gateway.guards.rules import RemoteRule


class Marked(Struct, frozen=True):
    """What a rule wants to be written over."""

    rule: RemoteRule
    spans: tuple[Span, ...]


class Masking:
    """Of one call. ``known`` are the placeholders that stand in the conversation already, with their values."""

    def __init__(self, conversation: Conversation, known: Mapping[str, str], definitions: Sequence[str] = ()) -> None:
        self._known = known
        raws = [message.raw.decode(errors="replace") for message in conversation]
        self._masks = Masks([*raws, *[message.text for message in conversation], *definitions])

    @property
    def values(self) -> Mapping[str, str]:
        """All placeholders, with what they stand for."""
        return {**self._known, **self._masks.values}

    def over(self, texts: Sequence[str], marked: Sequence[Marked]) -> tuple[str, ...]:
        """The texts with what was found written over. Of places of several rules that overlap, the first is written whole."""
        wanted: list[list[Wanted[RemoteRule]]] = [[] for _ in texts]
        for order, mark in enumerate(marked):
            for span in mark.spans:
                wanted[span.text].append((span.start, order, span.end, mark.rule, span.what))
        return tuple(
            [
                rewritten(text, edits_of(text, places, self.write)) if places else text
                for text, places in zip(texts, wanted, strict=True)
            ]
        )

    def write(self, rule: RemoteRule, text: str, what: str) -> str:
        """What stands in the place of something that a rule has found."""
        if rule.validator.on_fail != "mask":
            return rule.written(what)
        for placeholder, value in self._known.items() if "<" in text else ():
            # Values are inert when they are put back: a placeholder within one would stay.
            text = text.replace(placeholder, value)
        return self._masks.place(what, text)
