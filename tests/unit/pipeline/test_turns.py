"""Conversations that the gateway keeps: continued for any provider, kept before the last byte, never another tenant's."""

from typing import Any

import msgspec
import pytest

from gateway.core.stored import Keeping, StoredResponse
from gateway.dialects.responses.dialect import RESPONSES_DIALECT
from gateway.storage.memory.responses import MemoryResponses
from tests.unit.pipeline.conftest import STARTED_MS, World

DAY_MS = 86_400_000
OUTPUT = [
    {"type": "reasoning", "id": "rs_1", "summary": []},
    {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "x"},
    {"type": "message", "id": "msg_1", "role": "assistant", "content": [{"type": "output_text", "text": "Two."}]},
]


class KeepingStore(MemoryResponses):
    """Says when it was written to."""

    def __init__(self, steps: list[str]) -> None:
        super().__init__()
        self.steps = steps

    async def put(self, application_id: str, response: StoredResponse, *, now_ms: int, expires_ms: int) -> bool:
        self.steps.append("keep")
        return await super().put(application_id, response, now_ms=now_ms, expires_ms=expires_ms)


@pytest.fixture
def store(world: World) -> KeepingStore:
    world.dialect = RESPONSES_DIALECT
    world.allow(store_responses=True)
    store = KeepingStore(world.steps)
    world.keeping = Keeping(store, retention_days=2, max_bytes=10_000, max_turns=3, max_history_bytes=2_000)
    return store


def ask(text: str = "Hello", **fields: object) -> dict[str, object]:
    return {"model": "gpt-4o-mini", "input": text, **fields}


async def put(store: MemoryResponses, name: str, previous: str | None = None, text: str = "1+1", **more: Any) -> None:
    items = msgspec.json.encode([{"role": "user", "content": text}])
    body = msgspec.json.encode({"id": name, "output": OUTPUT})
    await store.put(
        more.get("application", "app-1"), StoredResponse(name, previous, items, body), now_ms=0, expires_ms=STARTED_MS + 1
    )


def sent(world: World) -> Any:
    return msgspec.json.decode(world.transport.requests[-1][1].body)


async def test_a_whole_answer_is_kept_before_it_is_sent(world: World, store: KeepingStore, say: Any) -> None:
    world.script(say.completion("Hi there"))
    caller = await world.call(ask())
    assert caller.json["store"] is True
    assert world.steps[-3:] == ["keep", "row 1 ok", "whole"]
    kept = await store.get("app-1", caller.json["id"], now_ms=STARTED_MS + 2 * DAY_MS - 1)
    assert kept is not None
    assert kept.body == caller.body
    assert msgspec.json.decode(kept.input) == [{"type": "message", "role": "user", "content": "Hello"}]
    assert await store.get("app-1", caller.json["id"], now_ms=STARTED_MS + 2 * DAY_MS) is None


async def test_a_stream_is_kept_before_its_last_event(world: World, store: KeepingStore, say: Any) -> None:
    world.script(say.stream(say.delta("Hi"), say.delta(finish="stop"), say.usage(), say.DONE))
    caller = await world.call(ask(stream=True))
    assert world.steps[-3:] == ["keep", "row 1 ok", "end"]
    last = msgspec.json.decode(caller.pieces[-1].partition(b"data: ")[2])
    assert last["type"] == "response.completed"
    assert last["response"]["store"] is True
    kept = await store.get("app-1", last["response"]["id"], now_ms=STARTED_MS)
    assert kept is not None
    assert msgspec.json.decode(kept.body) == last["response"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("reason", ["away", "taken", "too large", "off", "unwanted"])
async def test_an_answer_that_cannot_be_kept_is_still_given(
    world: World, store: KeepingStore, say: Any, stream: bool, reason: str
) -> None:
    text = "Hello"
    if reason == "away":
        store.available = False
    elif reason == "taken":
        name = "resp_" + world.inbound().call_id.replace("-", "")
        await put(store, name.replace("7f00", "7f01"))  # ids of a worker count
    elif reason == "too large":
        text = "x" * 10_000
    elif reason == "off":
        world.allow(store_responses=False)
    answer = say.stream(say.delta("Hi"), say.delta(finish="stop"), say.usage(), say.DONE) if stream else say.completion("Hi")
    world.script(answer)
    caller = await world.call(ask(text, stream=stream, **({"store": False} if reason == "unwanted" else {"store": True})))
    body = caller.json if not stream else msgspec.json.decode(caller.pieces[-1].partition(b"data: ")[2])["response"]
    assert body["store"] is False
    assert body["output"][0]["content"][0]["text"] == "Hi"
    assert world.row.outcome == "ok"


async def test_a_stream_cut_short_is_not_kept(world: World, store: KeepingStore, say: Any) -> None:
    world.script(say.stream(say.delta("Hi")))
    await world.fail("upstream_incomplete", ask(stream=True))
    assert "keep" not in world.steps


async def test_a_conversation_continues(world: World, store: KeepingStore, say: Any) -> None:
    await put(store, "resp_1")
    await put(store, "resp_2", "resp_1", "2+2")
    world.script(say.completion("Three."))
    caller = await world.call(ask("3+3", previous_response_id="resp_2", instructions="Be brief."))
    assert [(m["role"], m["content"]) for m in sent(world)["messages"]] == [
        ("system", "Be brief."),
        ("user", "1+1"),
        ("assistant", "Two."),
        ("user", "2+2"),
        ("assistant", "Two."),
        ("user", "3+3"),
    ]
    assert caller.json["previous_response_id"] == "resp_2"
    kept = await store.get("app-1", caller.json["id"], now_ms=STARTED_MS)
    assert kept is not None
    # A turn keeps what it added, not what came before it.
    assert (kept.previous_id, len(msgspec.json.decode(kept.input))) == ("resp_2", 1)


async def test_a_continued_conversation_goes_to_native_targets_as_items(world: World, store: KeepingStore, say: Any) -> None:
    await put(store, "resp_1")
    world.translator = type(world.translator)(has_responses=True)
    body = {"id": "resp_up", "status": "completed", "output": [], "store": False}
    world.script(say.completion(**body))
    caller = await world.call(ask("2+2", previous_response_id="resp_1"))
    request = sent(world)
    assert request["store"] is False
    assert "previous_response_id" not in request
    # Reasoning goes back only where it is encrypted.
    assert [item.get("id", item.get("content")) for item in request["input"]] == ["1+1", "rs_2", "msg_1", "2+2"]
    assert (caller.json["store"], caller.json["previous_response_id"]) == (True, "resp_1")
    assert await store.get("app-1", "resp_up", now_ms=STARTED_MS) is not None


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("unknown", "there is no response 'resp_3'"),
        ("other tenant", "there is no response 'resp_3'"),
        ("deleted", "an earlier response of the conversation, 'resp_1', is not there any more"),
        ("too many", "the conversation has more than 3 turns"),
        ("too large", "the conversation has more than 2000 bytes"),
        ("off", "its setting store_responses is off"),
    ],
)
async def test_what_cannot_be_continued(world: World, store: KeepingStore, reason: str, words: str) -> None:
    names = {"deleted": [2, 3], "too many": [0, 1, 2, 3], "too large": [3], "off": [3]}.get(reason, [])
    for number in names:
        text = "x" * 2_000 if reason == "too large" else "1+1"
        previous = None if number == names[0] and reason != "deleted" else f"resp_{number - 1}"
        await put(store, f"resp_{number}", previous, text)
    if reason == "other tenant":
        await put(store, "resp_3", application="app-2")
    if reason == "off":
        world.allow()
    error = await world.fail("malformed", ask(previous_response_id="resp_3"))
    assert error.param == "previous_response_id"
    assert words in error.detail
    assert not world.transport.requests


async def test_history_without_a_chat_form_is_named(world: World, store: KeepingStore) -> None:
    items = msgspec.json.encode([{"type": "web_search_call", "id": "ws_1"}])
    await store.put("app-1", StoredResponse("resp_1", None, items, b'{"id":"resp_1"}'), now_ms=0, expires_ms=STARTED_MS + 1)
    error = await world.fail("malformed", ask(previous_response_id="resp_1"))
    assert error.param == "previous_response_id[0].type"


async def test_a_store_that_is_away_stops_a_conversation(world: World, store: KeepingStore) -> None:
    store.available = False
    await world.fail("store_unavailable", ask(previous_response_id="resp_1"))


async def test_estimated_usage_is_in_the_answer(world: World, store: KeepingStore, say: Any) -> None:
    world.script(say.completion("Hi there", usage=None))
    caller = await world.call(ask("one two three"))
    assert caller.json["usage"]["input_tokens"] == 3
    assert caller.json["usage"]["output_tokens"] == 2
