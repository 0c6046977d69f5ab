import struct
from base64 import b64decode
from math import isclose, sqrt
from typing import Any

import msgspec
import pytest

from gateway.core.upstream import HttpRequest
from gateway.providers.echo import echo


def call(given: object, **fields: object) -> tuple[int, Any]:
    body = msgspec.json.encode({"model": "echo", "input": given, **fields})
    status, headers, pieces = echo(HttpRequest("/embeddings", (), body))
    assert headers[b"content-type"] == b"application/json"
    return status, msgspec.json.decode(b"".join(pieces))


def vectors(given: object, **fields: object) -> list[list[float]]:
    status, answer = call(given, **fields)
    assert status == 200
    assert [item["index"] for item in answer["data"]] == list(range(len(answer["data"])))
    return [item["embedding"] for item in answer["data"]]


def nearness(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def test_shared_words_make_texts_near() -> None:
    near, far, same = vectors(["where is the Cat", "a dog runs home", "where is the cat"])
    (cat,) = vectors("the cat")
    assert near == same
    assert nearness(cat, near) > 0.4 > nearness(cat, far)


def test_vectors_have_length_one_and_the_dimensions_asked_for() -> None:
    for vector in vectors(["a b c", "", "a"], dimensions=7):
        assert len(vector) == 7
        assert isclose(sqrt(nearness(vector, vector)), 1.0, rel_tol=1e-6)


def test_base64_says_the_same() -> None:
    _, answer = call("a cat", encoding_format="base64")
    packed = b64decode(answer["data"][0]["embedding"])
    assert list(struct.unpack(f"={len(packed) // 4}f", packed)) == vectors("a cat")[0]


def test_tokens_are_texts_too() -> None:
    assert vectors([1, 2, 3]) == vectors([[1, 2, 3]]) == vectors("1 2 3")
    assert len(vectors([[1], [2, 3]])) == 2
    assert call([[1], [2, 3]])[1]["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
    assert vectors([]) == []


@pytest.mark.parametrize("fields", [{"input": {}}, {"dimensions": 0}, {"dimensions": 99999}, {"encoding_format": "int8"}])
def test_what_it_cannot_read_is_refused(fields: dict[str, object]) -> None:
    status, answer = call(fields.pop("input", "a"), **fields)
    assert status == 400
    assert "cannot be read" in answer["error"]["message"]
