"""The ``Dialect`` of ``POST /v1/responses``: which part answers what."""

from gateway.core.dialect import Framer
from gateway.core.errors import GatewayError
from gateway.core.events import Event, Usage
from gateway.core.requests import ChatRequest, Inbound
from gateway.dialects.chat import CHAT_DIALECT
from gateway.dialects.responses import framing, reading
from gateway.dialects.responses.framing import TranslatedFramer
from gateway.dialects.responses.native import NativeFramer
from gateway.dialects.responses.native import whole as native_whole
from gateway.dialects.responses.objects import error_event

RESPONSES = "responses"
"""The dialect's name."""


class ResponsesDialect:
    """``Dialect`` of ``POST /v1/responses``."""

    name = RESPONSES

    def read(self, inbound: Inbound) -> ChatRequest:
        """Decode a body and its prompt headers. Raises ``malformed`` naming the field, ``contradiction``."""
        return reading.read(inbound)

    def whole(self, event: Event, request: ChatRequest, inbound: Inbound, *, native: bool) -> bytes:
        """The response object. Raises ``upstream_invalid``."""
        return native_whole(event, request) if native else framing.whole(event, request, inbound)

    def framer(self, request: ChatRequest, inbound: Inbound, *, native: bool) -> Framer:
        """Events of the Responses API; there is no ``[DONE]``."""
        return NativeFramer(request) if native else TranslatedFramer(request, inbound)

    def problem(self, error: GatewayError, request_id: str) -> bytes:
        """OpenAI's error object."""
        return CHAT_DIALECT.problem(error, request_id)

    def problem_frames(self, error: GatewayError) -> bytes:
        """An ``error`` event: all that can be said of a stream whose events are not known."""
        return error_event(error, 0)

    def problem_head(self, request_id: str) -> str:
        """The request's id."""
        return CHAT_DIALECT.problem_head(request_id)


def finished(framer: Framer, usage: Usage | None, cost: int | None) -> bytes:
    """The response object that a stream's end will carry: what a store keeps."""
    assert isinstance(framer, NativeFramer | TranslatedFramer)
    return framer.response(usage, cost)


RESPONSES_DIALECT = ResponsesDialect()
