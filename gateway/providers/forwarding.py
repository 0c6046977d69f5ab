"""Forwarding to servers that have OpenAI's own endpoints: nothing is translated, only the credentials are ours."""

from gateway.core.forward import EMBEDDINGS, FORWARDED, Forwarded
from gateway.core.upstream import HttpRequest, Target


def bearer(target: Target) -> tuple[tuple[bytes, bytes], ...]:
    """The header that says who asks; none for servers that ask nobody."""
    return ((b"authorization", b"Bearer " + target.api_key.encode()),) if target.api_key else ()


class OpenAIForwarder:
    """``Forwarder`` of the OpenAI family; ``doors`` for a server that has but some of them."""

    verbatim = True

    def __init__(self, doors: frozenset[str] = frozenset(FORWARDED)) -> None:
        self.doors = doors

    def request(self, target: Target, call: Forwarded) -> HttpRequest:
        """The caller's body and content type, and none of its other headers."""
        headers = bearer(target)
        if call.content_type:
            headers = ((b"content-type", call.content_type), *headers)
        return HttpRequest(call.path, headers, call.body, call.method)

    def answer(self, call: Forwarded, model: str, body: bytes) -> bytes:
        """The provider's bytes."""
        del call, model
        return body


ECHO_FORWARDER = OpenAIForwarder(frozenset({EMBEDDINGS}))
"""What the built-in answerer can do without knowing anything."""
