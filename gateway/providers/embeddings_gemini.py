"""Embeddings at Gemini. Source: Google's reference of ``models.batchEmbedContents``."""

from urllib.parse import quote

import msgspec
from msgspec import Struct

from gateway.core.forward import EMBEDDINGS, Forwarded
from gateway.core.upstream import HttpRequest, Target
from gateway.providers import embeddings
from gateway.wire import openai as wire

_OWN = frozenset(("taskType", "title"))


class _Vector(Struct):
    values: list[float]


class _Answer(Struct):
    embeddings: list[_Vector]


_decode = msgspec.json.Decoder(_Answer).decode


class GeminiForwarder:
    """``Forwarder`` that puts embeddings into Gemini's form. Gemini tells no usage, so it is estimated."""

    doors = frozenset((EMBEDDINGS,))
    verbatim = False
    counts = False

    def request(self, target: Target, call: Forwarded) -> HttpRequest:
        """``POST /models/{model}:batchEmbedContents``, one request per text. Raises ``malformed`` naming a field."""
        asked = embeddings.read(call, _OWN)
        name = target.model.removeprefix("models/")
        shared: dict[str, object] = {"model": f"models/{name}", **asked.own}
        if asked.dimensions is not None:
            shared["outputDimensionality"] = asked.dimensions
        requests = [{**shared, "content": {"parts": [{"text": text}]}} for text in asked.texts]
        key = ((b"x-goog-api-key", target.api_key.encode()),) if target.api_key else ()
        return HttpRequest(
            f"/models/{quote(name, safe='')}:batchEmbedContents",
            ((b"content-type", b"application/json"), *key),
            wire.encode({"requests": requests}),
        )

    def answer(self, call: Forwarded, model: str, body: bytes) -> bytes:
        """In OpenAI's form. Raises ``upstream_invalid``."""
        try:
            answer = _decode(body)
        except wire.DECODE_ERRORS as error:
            raise embeddings.broken(str(error), body) from None
        return embeddings.write(embeddings.read(call, _OWN), model, [v.values for v in answer.embeddings], None, body)
