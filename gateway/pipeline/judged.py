"""What gates read in an event, and how they refuse it."""

from gateway.core.errors import UPSTREAM_INVALID, GatewayError
from gateway.core.events import Event
from gateway.core.journal import Journal
from gateway.core.verdicts import Block, OutputVerdict
from gateway.guards.media import MEDIA_BLOCK, media_note
from gateway.guards.rules import Tally
from gateway.pipeline.guard_in import BlockedError
from gateway.wire.chat_said import TEXT_FIELDS, Aside, SaidAnswer, read_said
from gateway.wire.openai import DECODE_ERRORS
from gateway.wire.thoughts import thoughts, thoughts_again
from gateway.wire.unread import unread_in_answer


def refuse(verdict: OutputVerdict, journal: Journal) -> None:
    """Raises ``blocked``, and notes it, where the verdict says so."""
    if isinstance(verdict, Block):
        Tally("post", journal.notes).block(verdict)
        raise BlockedError("post", verdict, journal)


def refuse_media(event: Event, journal: Journal) -> None:
    """Raises ``blocked``, and notes it, where an event of the chat form has what no guard can read; ``upstream_invalid``."""
    try:
        unread = unread_in_answer(event.data)
    except DECODE_ERRORS as error:
        raise GatewayError(UPSTREAM_INVALID, "the answer cannot be judged", cause=str(error)) from None
    if unread:
        journal.notes.append(media_note("post"))
        raise BlockedError("post", MEDIA_BLOCK, journal)


class Thoughts:
    """What a model thinks in the events of one answer, in any dialect but chat's."""

    __slots__ = ("_had",)

    def __init__(self) -> None:
        self._had: list[str] = []

    def of(self, event: Event) -> list[tuple[int, str]]:
        """By choice; what was told before in pieces is not told again. Raises ``upstream_invalid``."""
        try:
            found, again = thoughts(event.data), thoughts_again(event.data)
        except DECODE_ERRORS as error:
            raise GatewayError(UPSTREAM_INVALID, "the answer cannot be judged", cause=str(error)) from None
        self._had += [text for _, text in found]
        for text in again:
            if text not in (had := "".join(self._had)):
                self._had = [had, "\n", text]
                found.append((0, f"\n{text}"))
        return found


def too_many() -> GatewayError:
    """The end of an answer that has texts in more places than can be followed."""
    return GatewayError(UPSTREAM_INVALID, "the answer has more texts beside itself than can be judged")


def said_of(event: Event) -> tuple[SaidAnswer, list[Aside]]:
    """Everything that an event of the chat form says. Raises ``upstream_invalid``."""
    try:
        return read_said(event.data)
    except DECODE_ERRORS as error:
        raise GatewayError(UPSTREAM_INVALID, "the answer cannot be judged", cause=str(error)) from None


def beside_of(event: Event) -> list[Aside]:
    """All texts of an event of the chat form but its content, each by the field that it is in.

    A refusal is in ``Event.texts`` too, in one text with the content; here it stands alone, whatever comes between its pieces.
    """
    answer, asides = said_of(event)
    for choice in answer.choices:
        for field in TEXT_FIELDS[1:]:
            text = getattr(choice.said, field)
            if text:
                asides.append(Aside(choice.index, "said", field, field, text, choice.delta is not None))
    return asides
