"""Recipe, variables -> Conversation."""

from gateway.core.conversation import Conversation
from gateway.core.errors import MALFORMED, GatewayError
from gateway.core.requests import ChatRequest
from gateway.pipeline.resolve import Recipe


def render(recipe: Recipe, request: ChatRequest) -> Conversation:
    """The messages to send. Raises ``missing_variable``, ``invalid_variable``, ``template_failed``, ``malformed``."""
    release = recipe.release
    if release is not None:
        return release.prompt.render(request.variables, request.messages, near=recipe.guards.near)
    if not request.messages:
        raise GatewayError(MALFORMED, "messages: required when no prompt is named", param="messages")
    return request.messages
