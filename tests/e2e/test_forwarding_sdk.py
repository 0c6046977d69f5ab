"""The official openai SDK on every door that passes calls on, against the real process and a small OpenAI behind it."""

import io
import time
import uuid
import wave
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from tests.e2e.openai_upstream import SOUND, VECTOR, OpenAIUpstream

START_SECONDS = 60


@pytest.fixture(scope="module")
def upstream() -> Iterator[OpenAIUpstream]:
    with OpenAIUpstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def gateway(start_gateway: Callable[..., Any], upstream: OpenAIUpstream) -> Any:
    return start_gateway(upstream=upstream.url)


@pytest.fixture(scope="module")
def client(gateway: Any) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.api_key, max_retries=0, timeout=120) as client:
        yield client


@pytest.fixture(scope="module")
def stranger(gateway: Any) -> Iterator[OpenAI]:
    """Another application behind the same upstream account."""
    with gateway.admin() as admin:
        made = admin.post("/api/v1/applications", json={"slug": "stranger", "name": "Stranger"})
    assert made.is_success, made.text
    with OpenAI(base_url=f"{gateway.url}/v1", api_key=made.json()["api_key"], max_retries=0, timeout=120) as client:
        yield client


def row(gateway: Any, request_id: str) -> Any:
    """The ledger's row of one call."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        found = gateway.rows("SELECT * FROM calls WHERE request_id = $1", request_id)
        if found:
            (only,) = found
            return only
        time.sleep(0.05)
    pytest.fail(f"no row of {request_id}; log:\n{gateway.log}")


def named() -> tuple[str, dict[str, str]]:
    request_id = str(uuid.uuid4())
    return request_id, {"x-request-id": request_id}


# --- embeddings -------------------------------------------------------------------------------------------------------


def test_embeddings_are_recorded_with_their_cost(client: OpenAI, gateway: Any, upstream: OpenAIUpstream) -> None:
    request_id, headers = named()
    raw = client.embeddings.with_raw_response.create(
        model="text-embedding-3-small", input=["a", "b"], dimensions=3, user="u1", extra_headers=headers
    )
    answer = raw.parse()
    assert [item.index for item in answer.data] == [0, 1]
    assert answer.data[0].embedding == pytest.approx(VECTOR)
    assert answer.usage.prompt_tokens == 16
    assert upstream.last.json["encoding_format"] == "base64", "the SDK's own default"
    assert upstream.last.json["dimensions"] == 3
    assert raw.headers["x-request-id"] == request_id
    assert raw.headers["x-provider"] == "openai"
    assert float(raw.headers["x-cost-usd"]) > 0
    assert "set-cookie" not in raw.headers
    assert "openai-organization" not in raw.headers
    written = row(gateway, request_id)
    assert (written["door"], written["outcome"], written["status"], written["user"]) == ("embeddings", "ok", 200, "u1")
    assert (written["input_tokens"], written["output_tokens"], written["cost_status"]) == (16, 0, "exact")
    assert written["cost_nano"] == round(float(raw.headers["x-cost-usd"]) * 1e9)


def test_base64_is_not_touched(gateway: Any, upstream: OpenAIUpstream) -> None:
    body = b'{"input": [1, 2, 3],  "encoding_format": "base64", "x_new": {"a": 1.0}, "model": "text-embedding-3-small"}'
    with gateway.client() as client:
        answer = client.post("/v1/embeddings", content=body, headers={"content-type": "application/json"})
    assert answer.is_success
    assert answer.json()["data"][0]["embedding"] == "AACAPgAAAL8AAAA+"
    assert b'"input":[1, 2, 3]' in upstream.last.body, "fields keep their bytes"
    assert b'"x_new":{"a": 1.0}' in upstream.last.body


def test_the_callers_key_and_cookies_stay_here(gateway: Any, upstream: OpenAIUpstream) -> None:
    more = {"cookie": "a=b", "openai-organization": "org", "x-secret": "1", "te": "trailers"}
    with gateway.client() as client:
        client.post("/v1/embeddings?leak=1", json={"model": "text-embedding-3-small", "input": "a"}, headers=more)
    assert set(upstream.last.headers) == {
        "host", "accept-encoding", "connection", "content-type", "authorization", "content-length",
    }  # fmt: skip
    assert upstream.last.headers["authorization"] == "Bearer sk-upstream"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": "a"}, "model"),
        ({"model": "m"}, "input"),
        ({"model": "m", "input": None}, "input"),
        ({"model": "m", "input": ["a"] * 2049}, "input"),
        ({"model": 5, "input": "a"}, "model"),
        ({"model": "m" * 300, "input": "a"}, "model"),
    ],
)
def test_bad_embeddings_name_the_field(gateway: Any, body: dict[str, Any], param: str) -> None:
    with gateway.client() as client:
        answer = client.post("/v1/embeddings", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


async def test_the_async_client(gateway: Any) -> None:
    async with AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.api_key, max_retries=0) as client:
        answer = await client.embeddings.create(model="text-embedding-3-small", input="a", encoding_format="float")
        assert answer.data[0].embedding == list(VECTOR)
        result = await client.moderations.create(input="a")
        assert result.results[0].flagged
        made = await client.files.create(file=("a.jsonl", b"{}"), purpose="batch")
        assert await (await client.files.content(made.id)).aread() == b"{}"
        async with client.audio.speech.with_streaming_response.create(model="tts-1", voice="alloy", input="a") as speech:
            assert b"".join([piece async for piece in speech.iter_bytes()]) == SOUND


def test_a_retry_with_its_key_is_answered_once(client: OpenAI, upstream: OpenAIUpstream) -> None:
    key = {"idempotency-key": str(uuid.uuid4())}
    before = len(upstream.seen)
    first = client.embeddings.with_raw_response.create(model="text-embedding-3-small", input="a", extra_headers=key)
    again = client.embeddings.with_raw_response.create(model="text-embedding-3-small", input="a", extra_headers=key)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.parse().data[0].embedding == first.parse().data[0].embedding
    with pytest.raises(openai.ConflictError):
        client.embeddings.create(model="text-embedding-3-small", input="b", extra_headers=key)
    key = {"idempotency-key": str(uuid.uuid4())}
    made = [client.files.create(file=("a.jsonl", b"{}"), purpose="batch", extra_headers=key).id for _ in range(2)]
    assert made[0] == made[1], "the SDK marks the parts of each form anew, and the file is still the same"
    assert len(upstream.seen) == before + 2


# --- moderations, images, audio ---------------------------------------------------------------------------------------


def test_moderations_with_and_without_a_model(client: OpenAI, gateway: Any, upstream: OpenAIUpstream) -> None:
    request_id, headers = named()
    assert client.moderations.create(input="a", model="omni-moderation-latest", extra_headers=headers).results[0].flagged
    assert upstream.last.json == {"input": "a", "model": "omni-moderation-latest"}
    written = row(gateway, request_id)
    assert (written["door"], written["model"], written["cost_nano"]) == ("moderations", "omni-moderation-latest", None)
    client.moderations.create(input=["a", "b"])
    assert upstream.last.json == {"input": ["a", "b"]}


def test_images(client: OpenAI, gateway: Any, upstream: OpenAIUpstream) -> None:
    request_id, headers = named()
    answer = client.images.generate(model="gpt-image-1", prompt="a cat", n=1, size="1024x1024", extra_headers=headers)
    assert answer.data is not None
    assert answer.data[0].b64_json == "eA=="
    written = row(gateway, request_id)
    assert (written["door"], written["input_tokens"], written["output_tokens"]) == ("images", 50, 100)
    client.images.edit(model="gpt-image-1", image=("a.png", b"\x89PNG"), prompt="a dog")
    assert upstream.last.path == "/v1/images/edits"
    assert b"\x89PNG" in upstream.last.body


def test_a_stream_of_images_and_its_usage(client: OpenAI, gateway: Any) -> None:
    request_id, headers = named()
    stream = client.images.generate(model="gpt-image-1", prompt="a cat", stream=True, partial_images=1, extra_headers=headers)
    assert [event.type for event in stream] == ["image_generation.partial_image", "image_generation.completed"]
    written = row(gateway, request_id)
    assert (written["stream"], written["input_tokens"], written["output_tokens"]) == (True, 50, 100)


def test_speech_comes_whole(client: OpenAI, gateway: Any) -> None:
    request_id, headers = named()
    raw = client.audio.speech.with_raw_response.create(model="tts-1", voice="alloy", input="hi", extra_headers=headers)
    assert raw.content == SOUND
    assert raw.headers["content-type"] == "audio/mpeg"
    written = row(gateway, request_id)
    assert (written["door"], written["characters"], written["usage_source"]) == ("audio", 2, "counted")
    assert (written["cost_nano"], written["cost_status"]) == (2 * 15_000, "exact")


def test_speech_that_is_cut_is_seen_to_be_cut(client: OpenAI, gateway: Any, upstream: OpenAIUpstream) -> None:
    request_id, headers = named()
    upstream.cut.add("/v1/audio/speech")
    try:
        # httpx's own class: the SDK wraps errors of the head only
        with pytest.raises((openai.APIConnectionError, httpx.RemoteProtocolError)):
            client.audio.speech.create(model="tts-1", voice="alloy", input="hi", extra_headers=headers).read()
    finally:
        upstream.cut.clear()
    assert row(gateway, request_id)["outcome"] == "upstream_incomplete"


def test_a_transcription_is_routed_by_the_forms_model(client: OpenAI, gateway: Any, upstream: OpenAIUpstream) -> None:
    request_id, headers = named()
    answer = client.audio.transcriptions.create(
        model="whisper-1", file=("a.mp3", SOUND, "audio/mpeg"), language="en", extra_headers=headers
    )
    assert answer.text == f"{len(SOUND)} bytes to whisper-1"
    written = row(gateway, request_id)
    assert (written["door"], written["requested_model"], written["cost_nano"]) == ("audio", "whisper-1", 300_000)


def test_a_transcription_as_text_costs_what_its_sound_is_long(client: OpenAI, gateway: Any, upstream: OpenAIUpstream) -> None:
    sound = io.BytesIO()
    with wave.open(sound, "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(3 * 16_000))
    request_id, headers = named()
    text = client.audio.transcriptions.create(
        model="whisper-1", file=("a.wav", sound.getvalue()), response_format="text", extra_headers=headers
    )
    assert text == "hello\n"
    written = row(gateway, request_id)
    assert (written["audio_ms"], written["cost_nano"], written["cost_status"]) == (3000, 300_000, "estimated")


# --- files and batches ------------------------------------------------------------------------------------------------


def test_the_life_of_a_file(client: OpenAI, gateway: Any, upstream: OpenAIUpstream) -> None:
    request_id, headers = named()
    content = b'{"custom_id": "1"}\n' * 1000
    made = client.files.create(file=("in.jsonl", content), purpose="batch", extra_headers=headers)
    assert made.bytes == len(content)
    assert row(gateway, request_id)["door"] == "files"
    assert client.files.retrieve(made.id).filename == "in.jsonl"
    raw = client.files.with_raw_response.content(made.id)
    assert raw.content == content
    assert raw.headers["content-disposition"] == 'attachment; filename="a.jsonl"'
    assert made.id in [file.id for file in client.files.list()]
    assert client.files.delete(made.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(made.id)


def test_nobody_sees_the_files_of_another(client: OpenAI, stranger: OpenAI, upstream: OpenAIUpstream) -> None:
    made = client.files.create(file=("mine.jsonl", b"{}"), purpose="batch")
    theirs = upstream.add_file("the-operators.jsonl", "fine-tune", b"secret")
    asked = len(upstream.seen)
    for file_id in (made.id, theirs["id"], "file-none", "file-%2e%2e"):
        for attempt in (stranger.files.retrieve, stranger.files.content, stranger.files.delete):
            with pytest.raises(openai.NotFoundError):
                attempt(file_id)
    with pytest.raises(openai.NotFoundError) as caught:
        stranger.batches.create(input_file_id=made.id, endpoint="/v1/chat/completions", completion_window="24h")
    assert caught.value.param == "input_file_id"
    assert list(stranger.files.list()) == []
    assert len(upstream.seen) == asked, "the provider was not even asked"
    assert client.files.retrieve(made.id).id == made.id


def test_lists_are_the_applications_own_over_all_pages(client: OpenAI, stranger: OpenAI, upstream: OpenAIUpstream) -> None:
    mine: list[str] = []
    for i in range(4):
        mine.append(stranger.files.create(file=(f"{i}.jsonl", b"{}"), purpose="assistants").id)
        for _ in range(4):
            client.files.create(file=("other.jsonl", b"{}"), purpose="assistants")
    found = [file.id for file in stranger.files.list(limit=2)]
    assert found == mine[::-1]
    assert stranger.files.list(limit=2).has_more
    assert [file.id for file in stranger.files.list(purpose="assistants", after=mine[2])] == mine[1::-1]
    assert list(stranger.files.list(purpose="batch")) == []


def test_the_life_of_a_batch(client: OpenAI, stranger: OpenAI, gateway: Any, upstream: OpenAIUpstream) -> None:
    given = client.files.create(file=("in.jsonl", b"{}"), purpose="batch")
    request_id, headers = named()
    made = client.batches.create(
        input_file_id=given.id, endpoint="/v1/chat/completions", completion_window="24h", extra_headers=headers
    )
    written = row(gateway, request_id)
    assert (written["door"], written["input_tokens"], written["cost_nano"]) == ("batches", None, None)
    assert client.batches.retrieve(made.id).status == "validating"
    for attempt in (stranger.batches.retrieve, stranger.batches.cancel):
        with pytest.raises(openai.NotFoundError):
            attempt(made.id)
    assert [batch.id for batch in client.batches.list()] == [made.id]
    assert list(stranger.batches.list()) == []
    # The provider makes the result; it belongs to who made the batch, once that one has seen it.
    result = upstream.add_file("out.jsonl", "batch_output", b"[1]")
    upstream.batches[made.id]["output_file_id"] = result["id"]
    with pytest.raises(openai.NotFoundError):
        client.files.content(result["id"])
    assert client.batches.retrieve(made.id).output_file_id == result["id"]
    assert client.files.content(result["id"]).read() == b"[1]"
    with pytest.raises(openai.NotFoundError):
        stranger.files.content(result["id"])
    assert client.batches.cancel(made.id).status == "cancelling"


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "error", "code"),
    [
        (401, openai.InternalServerError, "upstream_auth_error"),
        (400, openai.BadRequestError, "upstream_rejected"),
        (429, openai.RateLimitError, "upstream_rate_limited"),
        (500, openai.InternalServerError, "upstream_error"),
        (302, openai.InternalServerError, "upstream_invalid_response"),
    ],
)
def test_upstream_failures(
    client: OpenAI, gateway: Any, upstream: OpenAIUpstream, status: int, error: type[openai.APIStatusError], code: str
) -> None:
    upstream.fail["/v1/moderations"] = (status, {"location": f"{upstream.url}/files", "retry-after": "2"})
    request_id, headers = named()
    asked = len(upstream.seen)
    try:
        with pytest.raises(error) as caught:
            client.moderations.create(input="a", extra_headers=headers)
    finally:
        upstream.fail.clear()
    assert caught.value.code == code
    assert len(upstream.seen) == asked + 1, "redirects are not followed"
    written = row(gateway, request_id)
    assert written["outcome"] == code.removesuffix("_response")
    assert written["cost_nano"] is None


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("PUT", "/v1/files", 405, "GET, POST"),
        ("POST", "/v1/files/file-1", 405, "GET, DELETE"),
        ("GET", "/v1/embeddings", 405, "POST"),
        ("DELETE", "/v1/batches/batch_1", 405, "GET"),
        ("POST", "/v1/audio/voices", 404, None),
        ("GET", "/v1/files/..%2Fmodels", 404, None),
        ("GET", "/v1/files/file-1/content/more", 404, None),
        ("GET", "/v1/fine_tuning/jobs", 404, None),
    ],
)
def test_no_such_door(gateway: Any, method: str, path: str, status: int, allow: str | None) -> None:
    with gateway.client() as client:
        answer = client.request(method, path)
    assert (answer.status_code, answer.headers.get("allow")) == (status, allow)
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_a_key_is_needed_and_counted(gateway: Any, upstream: OpenAIUpstream) -> None:
    asked = len(upstream.seen)
    with OpenAI(base_url=f"{gateway.url}/v1", api_key="pg_wrong", max_retries=0) as client:
        for attempt in (client.files.list, lambda: client.embeddings.create(model="m", input="a")):
            with pytest.raises(openai.AuthenticationError):
                attempt()
    assert len(upstream.seen) == asked
    with gateway.admin() as admin:
        made = admin.post("/api/v1/applications/demo/keys", json={"name": "few", "requests_per_minute": 1})
    few = OpenAI(base_url=f"{gateway.url}/v1", api_key=made.json()["api_key"], max_retries=0)
    with few, pytest.raises(openai.RateLimitError):
        for _ in range(3):  # a minute may turn in between
            few.moderations.create(input="a")


def test_what_is_too_large_or_of_another_kind(start_gateway: Callable[..., Any], upstream: OpenAIUpstream) -> None:
    gateway = start_gateway(upstream=upstream.url, PROMPTGATE_SERVER_MAX_BODY_BYTES="100000")
    asked = len(upstream.seen)
    with gateway.client() as client:
        large = client.post("/v1/files", files={"file": ("a", b"x" * 200_000)}, data={"purpose": "batch"})
        assert (large.status_code, large.json()["error"]["code"]) == (413, "request_too_large")
        other = client.post("/v1/files", content=b"x", headers={"content-type": "application/octet-stream"})
        assert (other.status_code, other.json()["error"]["param"]) == (415, "content-type")
        broken = client.post("/v1/files", content=b"x", headers={"content-type": "multipart/form-data; boundary=b"})
        assert (broken.status_code, broken.json()["error"]["code"]) == (400, "invalid_request")
        query = client.get("/v1/files?limit=0")
        assert (query.status_code, query.json()["error"]["param"]) == (400, "limit")
    assert len(upstream.seen) == asked


def test_without_an_upstream_the_error_is_clear(gateway_process: Any) -> None:
    with OpenAI(base_url=f"{gateway_process.url}/v1", api_key=gateway_process.api_key, max_retries=0) as client:
        for attempt in (
            lambda: client.moderations.create(input="a"),
            lambda: client.moderations.create(input="a", model="omni-moderation-latest"),
            lambda: client.files.list(),
            lambda: client.images.generate(prompt="a"),
        ):
            with pytest.raises(openai.InternalServerError) as caught:
                attempt()
            assert caught.value.code == "not_configured"
        # The built-in answerer can embed.
        near = client.embeddings.create(model="echo", input=["the cat sat", "the cat ran", "a dog"], encoding_format="float")
        a, b, c = (item.embedding for item in near.data)
        assert sum(x * y for x, y in zip(a, b, strict=True)) > sum(x * y for x, y in zip(a, c, strict=True))


def test_the_doors_are_counted(client: OpenAI, gateway: Any) -> None:
    client.moderations.create(input="a")
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        text = httpx.get(f"{gateway.url}/metrics", trust_env=False).text
        if 'promptgate_calls_total{door="moderations",outcome="ok"}' in text:
            return
        time.sleep(0.05)
    pytest.fail("moderations are not counted")
