"""``idempotency-key`` at the forwarded doors: replayed, joined, refused; whatever form the body has."""

import asyncio
from typing import Any

import msgspec
import pytest

from gateway.core.errors import UPSTREAM_INCOMPLETE, GatewayError
from gateway.edge.forwarding import doors_at
from tests.unit.pipeline.test_forward import VECTORS, Forwarding, forwarding

__all__ = ["forwarding"]
KEY = "retry-1"
EMBED = {"model": "e", "input": "a"}


async def through(forwarding: Forwarding, path: str, body: Any, method: str = "POST", **headers: str) -> Any:
    given = forwarding.world.inbound(body, **{"idempotency_key": KEY, **headers})
    forwarding.calls = getattr(forwarding, "calls", 0) + 1
    inbound = msgspec.structs.replace(
        given, door=path[1:].partition("/")[0], call_id=f"00000000-0000-7000-8000-{forwarding.calls:012d}"
    )
    caller = forwarding.world.caller()
    await doors_at(path)[method](inbound, forwarding.services, caller)
    return caller


def form(boundary: str, model: str = "whisper-1") -> tuple[bytes, str]:
    lines = [f"--{boundary}", 'content-disposition: form-data; name="model"', "", model, f"--{boundary}--", ""]
    return "\r\n".join(lines).encode(), f"multipart/form-data; boundary={boundary}"


async def test_a_retry_gets_the_same_vectors_and_costs_nothing(forwarding: Forwarding) -> None:
    forwarding.answer(VECTORS)
    first = await through(forwarding, "/embeddings", EMBED)
    again = await through(forwarding, "/embeddings", EMBED, x_request_id="second")
    assert (again.status, again.body) == (200, first.body)
    assert (again.head["idempotent-replayed"], again.head["x-request-id"]) == ("true", "second")
    assert again.head["x-original-request-id"] == first.head["x-request-id"]
    assert not {"x-cost-usd", "x-attempts"} & again.head.keys()
    rows = forwarding.world.ledger.rows
    assert [(row.usage_source, row.attempt, row.requested_model, row.cost_nano == 0) for row in rows] == [
        ("upstream", 1, "e", False), ("replayed", 0, "e", True),
    ]  # fmt: skip
    other = await through(forwarding, "/embeddings", {"model": "e", "input": "b"})
    assert (other.status, other.json["error"]["param"]) == (409, "idempotency-key")
    assert len(forwarding.world.transport.requests) == 1


async def test_a_form_is_the_same_whatever_its_boundary(forwarding: Forwarding) -> None:
    forwarding.answer({"text": "Hello."})
    (body, kind), (same, renewed), (other, another) = form("one"), form("two"), form("two", "whisper-2")
    first = await through(forwarding, "/audio/transcriptions", body, content_type=kind)
    again = await through(forwarding, "/audio/transcriptions", same, content_type=renewed)
    assert (again.body, again.head["idempotent-replayed"]) == (first.body, "true")
    assert (await through(forwarding, "/audio/transcriptions", other, content_type=another)).status == 409


async def test_a_form_that_is_none_is_refused_with_a_key_too(forwarding: Forwarding) -> None:
    answer = await through(forwarding, "/audio/transcriptions", b"x", content_type="multipart/form-data")
    assert answer.status == 400


async def test_two_paths_of_a_door_are_two_requests(forwarding: Forwarding) -> None:
    forwarding.answer({"text": "Hello."})
    body, kind = form("one")
    await through(forwarding, "/audio/transcriptions", body, content_type=kind)
    assert (await through(forwarding, "/audio/translations", body, content_type=kind)).status == 409


async def test_a_sound_is_replayed_and_one_that_breaks_off_is_not(forwarding: Forwarding) -> None:
    speak = {"model": "tts", "input": "a"}
    forwarding.answer(b"one", GatewayError(UPSTREAM_INCOMPLETE, "cut"), content_type=b"audio/mpeg")
    forwarding.answer(b"one", b"two", content_type=b"audio/mpeg")
    assert not (await through(forwarding, "/audio/speech", speak)).ended
    first = await through(forwarding, "/audio/speech", speak)
    assert "idempotent-replayed" not in first.head
    again = await through(forwarding, "/audio/speech", speak)
    assert (again.body, again.head["content-type"], again.head["idempotent-replayed"]) == (b"onetwo", "audio/mpeg", "true")


async def test_a_retry_joins_the_running_call(forwarding: Forwarding) -> None:
    gate = asyncio.Event()
    forwarding.world.script(gate)
    forwarding.answer(VECTORS)
    first = asyncio.ensure_future(through(forwarding, "/embeddings", EMBED))
    while not forwarding.world.transport.requests:
        await asyncio.sleep(0)
    second = asyncio.ensure_future(through(forwarding, "/embeddings", EMBED))
    await asyncio.sleep(0)
    gate.set()
    assert (await second).body == (await first).body
    assert len(forwarding.world.transport.requests) == 1


@pytest.mark.parametrize("key", ["", "x" * 256])
async def test_a_bad_key_is_refused(forwarding: Forwarding, key: str) -> None:
    answer = await through(forwarding, "/embeddings", EMBED, idempotency_key=key)
    assert (answer.status, answer.json["error"]["param"]) == (400, "idempotency-key")


async def test_reading_and_deleting_need_no_key(forwarding: Forwarding) -> None:
    await forwarding.objects.claim("app-1", "openai", ["file-1"])
    for number in range(2):
        forwarding.answer({"id": "file-1", "n": number})
        answer = await through(forwarding, "/files/file-1", None, "GET")
        assert (answer.json["n"], "idempotent-replayed" in answer.head) == (number, False)
