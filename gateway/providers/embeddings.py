"""Embeddings in OpenAI's form, for providers that have another: what is asked, and the answer written. Pure."""

import struct
from base64 import b64encode
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from gateway.core.errors import MALFORMED, UPSTREAM_INVALID, GatewayError
from gateway.core.forward import Forwarded
from gateway.wire import openai as wire

CHARS_PER_TOKEN = 4
"""For providers that tell no usage: the usual length of a token of English text."""


class _Body(Struct):
    input: str | list[str | int | list[int]]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[int, Meta(ge=1)] | None = None


_decode = msgspec.json.Decoder(_Body).decode
_READ = ("model", "input", "encoding_format", "dimensions", "user")
"""Fields acted on; the caller's ``user`` goes into our own records."""


class Asked(Struct, frozen=True):
    """What a call wants."""

    texts: list[str]
    base64: bool
    dimensions: int | None
    own: dict[str, Raw]
    """Fields that the provider's own API has, as they came."""


def read(call: Forwarded, own: frozenset[str]) -> Asked:
    """The call, whose other fields must be in ``own``. Raises ``malformed`` naming a field that the provider has no form for."""
    try:
        body, fields = _decode(call.body), wire.decode_fields(call.body)
    except wire.DECODE_ERRORS as error:
        what, _, path = str(error).rpartition(" - at `$.")
        raise GatewayError(MALFORMED, f"{path.rstrip('`')}: {what}", param=path.rstrip("`")) from None
    for name in _READ:
        fields.pop(name, None)
    unknown = next((name for name in fields if name not in own), None)
    if unknown is not None:
        raise GatewayError(MALFORMED, f"{unknown}: this model's provider has no such field", param=unknown)
    given = [body.input] if isinstance(body.input, str) else body.input
    texts = [text for text in given if isinstance(text, str)]
    if len(texts) != len(given):
        raise GatewayError(MALFORMED, "input: this model's provider takes texts, not tokens", param="input")
    return Asked(texts, body.encoding_format == "base64", body.dimensions, fields)


def write(asked: Asked, model: str, vectors: Sequence[Sequence[float]], tokens: int | None, body: bytes) -> bytes:
    """The answer. ``tokens`` None is estimated. Raises ``upstream_invalid`` unless there is a vector for each text."""
    if len(vectors) != len(asked.texts):
        raise broken(f"{len(vectors)} vectors for {len(asked.texts)} texts", body)
    if tokens is None:
        tokens = sum(-(-len(text) // CHARS_PER_TOKEN) for text in asked.texts)
    data = [
        {"object": "embedding", "index": index, "embedding": _packed(vector) if asked.base64 else vector}
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return wire.encode({"object": "list", "data": data, "model": model, "usage": usage})


def broken(why: str, body: bytes) -> GatewayError:
    """The provider's answer is no embeddings."""
    return GatewayError(UPSTREAM_INVALID, "the provider's answer holds no embeddings", cause=f"{why}: {body[:200]!r}")


def _packed(vector: Sequence[float]) -> str:
    """As OpenAI packs: 32-bit floats, least byte first."""
    return b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
