"""Embeddings that need no account: words are hashed into the places of a vector, so texts that share words are near each other.

Deterministic, and good enough to try search and clustering with. Tokens are counted as words, numbers as themselves.
"""

import hashlib
from array import array
from base64 import b64encode
from math import sqrt
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from gateway.wire import openai as wire

DIMENSIONS = 256
"""Unless the call says otherwise: at a few hundred words, few of them share a place."""
_PLACES = 8
"""Per word: two words that meet in one place still differ in the others."""

_Tokens = list[int]


class _Body(Struct):
    input: str | list[str | int | _Tokens]
    model: str
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[int, Meta(ge=1, le=4096)] = DIMENSIONS


_decode = msgspec.json.Decoder(_Body).decode


def embed(body: bytes) -> bytes:
    """The answer to an embeddings call in OpenAI's form. Raises ``msgspec.ValidationError`` for what is none."""
    asked = _decode(body)
    given = asked.input
    one = isinstance(given, str) or any(isinstance(item, int) for item in given)
    inputs = [given] if one else given
    words = [_words(text) for text in inputs]
    vectors = [_vector(text, asked.dimensions) for text in words]
    tokens = sum(map(len, words))
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": vector.tolist() if asked.encoding_format == "float" else b64encode(vector.tobytes()).decode(),
        }
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return wire.encode({"object": "list", "data": data, "model": asked.model, "usage": usage})


def _words(text: object) -> list[str]:
    return text.lower().split() if isinstance(text, str) else [str(token) for token in msgspec.convert(text, list[object])]


def _vector(words: list[str], dimensions: int) -> "array[float]":
    """Of length 1; each word adds or takes one at the places that its hash names. Without words, the first axis."""
    sums = [0.0] * dimensions
    for word in words:
        digest = hashlib.blake2b(word.encode(), digest_size=2 * _PLACES).digest()
        for place in array("H", digest):
            sums[(place >> 1) % dimensions] += 1.0 if place & 1 else -1.0
    length = sqrt(sum(value * value for value in sums))
    if not length:
        sums[0] = length = 1.0
    return array("f", [value / length for value in sums])
