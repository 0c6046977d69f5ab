"""Embeddings in other forms than OpenAI's: requests and answers after the vendors' published examples."""

import struct
from base64 import b64decode
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.core.errors import MALFORMED, UPSTREAM_INVALID, GatewayError
from gateway.core.forward import EMBEDDINGS, Forwarded, Forwarder
from gateway.core.upstream import Target
from gateway.providers.embeddings_cohere import CohereForwarder
from gateway.providers.embeddings_gemini import GeminiForwarder

GOLDEN = Path(__file__).parents[2] / "golden"
COHERE = Target("cohere", "embed-v4.0", "https://api.cohere.com/v2", "ck")
GEMINI = Target("gemini", "gemini-embedding-001", "https://generativelanguage.googleapis.com/v1beta", "gk")
BOTH: list[tuple[Forwarder, Target, bytes]] = [
    (CohereForwarder(), COHERE, (GOLDEN / "cohere" / "embed.json").read_bytes()),
    (GeminiForwarder(), GEMINI, (GOLDEN / "gemini" / "batch_embed_contents.json").read_bytes()),
]
each = pytest.mark.parametrize(("forwarder", "target", "golden"), BOTH, ids=["cohere", "gemini"])


def call(given: object = ("hello", "goodbye"), **fields: object) -> Forwarded:
    body = msgspec.json.encode({"model": "asked", "input": given, **fields})
    return Forwarded(EMBEDDINGS, b"POST", "/embeddings", b"application/json", body)


def sent(forwarder: Forwarder, target: Target, asked: Forwarded) -> tuple[str, dict[bytes, bytes], Any]:
    request = forwarder.request(target, asked)
    assert request.method == b"POST"
    return request.path, dict(request.headers), msgspec.json.decode(request.body)


def test_cohere_is_told_what_texts_are_for() -> None:
    path, headers, body = sent(CohereForwarder(), COHERE, call(dimensions=256, user="u"))
    assert path == "/embed"
    assert headers == {b"content-type": b"application/json", b"authorization": b"Bearer ck"}
    assert body == {
        "model": "embed-v4.0",
        "texts": ["hello", "goodbye"],
        "input_type": "search_document",
        "embedding_types": ["float"],
        "output_dimension": 256,
    }
    own = sent(CohereForwarder(), COHERE, call("a", input_type="search_query", truncate="END"))[2]
    assert (own["texts"], own["input_type"], own["truncate"]) == (["a"], "search_query", "END")


def test_gemini_is_asked_once_per_text() -> None:
    path, headers, body = sent(GeminiForwarder(), GEMINI, call(dimensions=768, taskType="CLUSTERING"))
    assert path == "/models/gemini-embedding-001:batchEmbedContents"
    assert headers == {b"content-type": b"application/json", b"x-goog-api-key": b"gk"}
    assert body["requests"] == [
        {
            "model": "models/gemini-embedding-001",
            "taskType": "CLUSTERING",
            "outputDimensionality": 768,
            "content": {"parts": [{"text": text}]},
        }
        for text in ("hello", "goodbye")
    ]
    odd = Target("gemini", "models/a b/c", "http://g", "")
    assert GeminiForwarder().request(odd, call()).path == "/models/a%20b%2Fc:batchEmbedContents"
    assert sent(GeminiForwarder(), odd, call())[1] == {b"content-type": b"application/json"}


@each
def test_the_answer_is_in_openais_form(forwarder: Forwarder, target: Target, golden: bytes) -> None:
    answer = msgspec.json.decode(forwarder.answer(call(), target.model, golden))
    assert (answer["object"], answer["model"]) == ("list", target.model)
    assert [(item["object"], item["index"]) for item in answer["data"]] == [("embedding", 0), ("embedding", 1)]
    assert answer["data"][0]["embedding"] == [0.016296387, -0.008354187, -0.04699707]
    tokens = 12 if forwarder.counts else 4
    assert answer["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}


@each
def test_base64_holds_the_same_floats(forwarder: Forwarder, target: Target, golden: bytes) -> None:
    answer = msgspec.json.decode(forwarder.answer(call(encoding_format="base64"), target.model, golden))
    packed = b64decode(answer["data"][0]["embedding"])
    assert struct.unpack("<3f", packed) == pytest.approx([0.016296387, -0.008354187, -0.04699707])


@each
@pytest.mark.parametrize(
    ("asked", "param"),
    [
        (call([1, 2]), "input"),
        (call([[1], [2]]), "input"),
        (call(["a", 1]), "input"),
        (call({}), "input"),
        (call(dimensions=0), "dimensions"),
        (call(encoding_format="int8"), "encoding_format"),
        (call(x_new=1), "x_new"),
    ],
)
def test_what_has_no_form_there_is_refused(
    forwarder: Forwarder, target: Target, golden: bytes, asked: Forwarded, param: str
) -> None:
    with pytest.raises(GatewayError) as caught:
        forwarder.request(target, asked)
    assert (caught.value.kind, caught.value.param) == (MALFORMED, param)


@each
@pytest.mark.parametrize("asked", [call("one"), call(["a", "b", "c"])])
def test_a_vector_missing_or_too_many_is_no_answer(
    forwarder: Forwarder, target: Target, golden: bytes, asked: Forwarded
) -> None:
    for body in (golden, b"nonsense", b"{}", b'{"embeddings":5}'):
        with pytest.raises(GatewayError) as caught:
            forwarder.answer(asked, target.model, body)
        assert caught.value.kind is UPSTREAM_INVALID


def test_cohere_without_a_bill_is_estimated() -> None:
    body = b'{"embeddings":{"float":[[0.5]]}}'
    answer = msgspec.json.decode(CohereForwarder().answer(call("12345"), "m", body))
    assert answer["usage"]["prompt_tokens"] == 2
