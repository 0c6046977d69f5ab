"""Embeddings at Cohere. Source: Cohere's reference of ``v2/embed``."""

import msgspec
from msgspec import Raw, Struct

from gateway.core.forward import EMBEDDINGS, Forwarded
from gateway.core.upstream import HttpRequest, Target
from gateway.providers import embeddings
from gateway.providers.forwarding import bearer
from gateway.wire import openai as wire

_OWN = frozenset(("input_type", "truncate", "max_tokens", "priority"))
_STORED_TEXTS = Raw(b'"search_document"')
"""Cohere must be told what a text is for, and OpenAI's form does not say it; callers may add ``input_type`` themselves."""


class _Billed(Struct):
    input_tokens: float | None = None


class _Meta(Struct):
    billed_units: _Billed = msgspec.field(default_factory=_Billed)


class _Vectors(Struct):
    float: list[list[float]]


class _Answer(Struct):
    embeddings: _Vectors
    meta: _Meta = msgspec.field(default_factory=_Meta)


_decode = msgspec.json.Decoder(_Answer).decode


class CohereForwarder:
    """``Forwarder`` that puts embeddings into Cohere's form."""

    doors = frozenset((EMBEDDINGS,))
    verbatim = False
    counts = True

    def request(self, target: Target, call: Forwarded) -> HttpRequest:
        """``POST /embed``. Raises ``malformed`` naming a field that Cohere has no form for."""
        asked = embeddings.read(call, _OWN)
        body: dict[str, object] = {
            "model": target.model,
            "texts": asked.texts,
            "input_type": _STORED_TEXTS,
            "embedding_types": ["float"],
            **asked.own,
        }
        if asked.dimensions is not None:
            body["output_dimension"] = asked.dimensions
        return HttpRequest("/embed", ((b"content-type", b"application/json"), *bearer(target)), wire.encode(body))

    def answer(self, call: Forwarded, model: str, body: bytes) -> bytes:
        """In OpenAI's form, with the tokens that Cohere bills. Raises ``upstream_invalid``."""
        try:
            answer = _decode(body)
        except wire.DECODE_ERRORS as error:
            raise embeddings.broken(str(error), body) from None
        tokens = answer.meta.billed_units.input_tokens
        asked = embeddings.read(call, _OWN)
        return embeddings.write(asked, model, answer.embeddings.float, None if tokens is None else int(tokens), body)
