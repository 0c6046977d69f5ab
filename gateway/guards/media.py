"""Pictures, sound and files: no guard can read them, so a section of guardrails says whether they may pass (``on_media``)."""

from gateway.core.conversation import Conversation
from gateway.core.errors import MALFORMED, GatewayError
from gateway.core.verdicts import Block, Note, Stage
from gateway.wire.openai import DECODE_ERRORS
from gateway.wire.unread import unread_in_message

MEDIA = "media"
"""What errors, headers and rows call this guard."""
MEDIA_BLOCK = Block(MEDIA, "it holds a picture, sound or a file, which guards cannot read")


def holds_media(conversation: Conversation) -> bool:
    """Whether a message has something that is not text. Raises ``malformed``."""
    try:
        return any(unread_in_message(message.raw) for message in conversation)
    except DECODE_ERRORS as error:
        raise GatewayError(MALFORMED, f"messages: a message cannot be judged: {error}", param="messages") from None


def media_note(stage: Stage) -> Note:
    """What is written down of it."""
    return Note(stage, MEDIA, "block", "enforce", {"unread": 1})
