"""How a call is being answered: what a guard's refusal may change (:mod:`gateway.pipeline.rescue`)."""

from collections.abc import Mapping

from msgspec import Struct

from gateway.core.conversation import Conversation
from gateway.core.requests import Caller, ChatRequest
from gateway.pipeline.guard_in import NO_MASKS
from gateway.pipeline.resolve import Recipe


class Course(Struct, frozen=True, gc=False):
    """The request, what answers it, and the conversation to answer."""

    caller: Caller
    request: ChatRequest
    recipe: Recipe
    conversation: Conversation
    masks: Mapping[str, str] = NO_MASKS
    """Placeholders in the conversation, and the values that they stand for."""
    judged: bool = False
    """Whether the conversation has passed its guards already."""
    reasks: int = 0
    """How often the model was asked again."""
    fell_back: bool = False
    """Whether this is the course of a fallback."""
