"""Reading kept responses back, through the doors."""

from typing import Any

import msgspec
import pytest
from openai.types.responses.response_item_list import ResponseItemList

from gateway.core.stored import Keeping, StoredResponse
from gateway.edge import doors
from gateway.storage.memory.responses import MemoryResponses
from tests.unit.pipeline.conftest import STARTED_MS, Caller, World

ITEMS = [
    {"role": "user", "content": "one"},
    {"role": "assistant", "content": "two"},
    {"type": "function_call", "id": "fc_own", "call_id": "c", "name": "f", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "c", "output": "3"},
    {"role": "user", "content": [{"type": "input_text", "text": "four"}]},
]
BODY = b'{"id": "resp_1",  "output": []}'


@pytest.fixture
async def store(world: World) -> MemoryResponses:
    world.allow(store_responses=True)
    store = MemoryResponses()
    world.keeping = Keeping(store, 30, 1000, 10, 1000)
    kept = StoredResponse("resp_1", None, msgspec.json.encode(ITEMS), BODY)
    await store.put("app-1", kept, now_ms=0, expires_ms=STARTED_MS + 1)
    await store.put("app-2", StoredResponse("resp_2", None, b"[]", BODY), now_ms=0, expires_ms=STARTED_MS + 1)
    return store


async def ask(world: World, method: str, path: str, query: str = "", **headers: str | bytes) -> Caller:
    inbound = world.inbound(b"", **headers)
    inbound.query = query
    caller = world.caller()
    await doors.answer(method, path, inbound, world.services, caller)
    return caller


async def items(world: World, query: str = "") -> Any:
    caller = await ask(world, "GET", "/v1/responses/resp_1/input_items", query)
    if caller.status == 200:
        ResponseItemList.model_validate(caller.json)
    return caller.json


async def test_reading(world: World, store: MemoryResponses) -> None:
    caller = await ask(world, "GET", "/v1/responses/resp_1")
    assert (caller.status, caller.body) == (200, BODY)
    assert caller.head["x-request-id"]
    assert caller.head["content-type"] == "application/json"


async def test_forgetting(world: World, store: MemoryResponses) -> None:
    caller = await ask(world, "DELETE", "/v1/responses/resp_1")
    assert caller.json == {"id": "resp_1", "object": "response", "deleted": True}
    assert (await ask(world, "DELETE", "/v1/responses/resp_1")).status == 404
    assert (await ask(world, "GET", "/v1/responses/resp_1")).status == 404


async def test_input_items_in_their_published_form(world: World, store: MemoryResponses) -> None:
    page = await items(world, "order=asc")
    assert [item["id"] for item in page["data"]] == ["msg_1i0000", "msg_1i0001", "fc_own", "fco_1i0003", "msg_1i0004"]
    assert page["data"][0] == {
        "role": "user",
        "content": [{"type": "input_text", "text": "one"}],
        "id": "msg_1i0000",
        "type": "message",
        "status": "completed",
    }
    assert page["data"][1]["content"] == [{"type": "output_text", "text": "two", "annotations": []}]
    assert (page["first_id"], page["last_id"], page["has_more"]) == ("msg_1i0000", "msg_1i0004", False)


async def test_pages_of_input_items(world: World, store: MemoryResponses) -> None:
    first = await items(world, "limit=2")
    assert [item["id"] for item in first["data"]] == ["msg_1i0004", "fco_1i0003"]
    assert first["has_more"] is True
    rest = await items(world, f"limit=100&after={first['last_id']}")
    assert [item["id"] for item in rest["data"]] == ["fc_own", "msg_1i0001", "msg_1i0000"]
    assert rest["has_more"] is False
    none = await ask(world, "GET", "/v1/responses/resp_1/input_items", "after=msg_1i0000")
    assert none.json["data"] == []


@pytest.mark.parametrize(
    ("query", "param"),
    [("limit=0", "limit"), ("limit=101", "limit"), ("limit=x", "limit"), ("order=up", "order"), ("after=nope", "after")],
)
async def test_a_page_that_cannot_be(world: World, store: MemoryResponses, query: str, param: str) -> None:
    assert (await items(world, query))["error"]["param"] == param


async def test_a_kept_response_as_its_stream(world: World, store: MemoryResponses) -> None:
    caller = await ask(world, "GET", "/v1/responses/resp_1", "stream=true&include_obfuscation=false")
    assert (caller.status, caller.head["content-type"]) == (200, "text/event-stream; charset=utf-8")
    frames = caller.body.decode().split("\n\n")[:-1]
    assert [frame.partition("\n")[0] for frame in frames] == [
        "event: response.created", "event: response.in_progress", "event: response.completed",
    ]  # fmt: skip
    rest = await ask(world, "GET", "/v1/responses/resp_1", "stream=true&starting_after=0")
    assert rest.body.decode().split("\n\n")[:-1] == frames[1:]
    assert (await ask(world, "GET", "/v1/responses/resp_1", "stream=true&starting_after=2")).body == b""


@pytest.mark.parametrize("query", ["stream=true&starting_after=3", "stream=true&starting_after=-1", "starting_after=0",
                                   "stream=true&starting_after=9999999999999", "stream=true&starting_after=x"])  # fmt: skip
async def test_a_place_in_a_stream_that_is_none(world: World, store: MemoryResponses, query: str) -> None:
    caller = await ask(world, "GET", "/v1/responses/resp_1", query)
    assert (caller.status, caller.json["error"]["param"]) == (400, "starting_after")


async def test_what_was_answered_while_its_caller_waited_cannot_be_cancelled(world: World, store: MemoryResponses) -> None:
    caller = await ask(world, "POST", "/v1/responses/resp_1/cancel")
    error = caller.json["error"]
    assert (caller.status, error["type"]) == (400, "invalid_request_error")
    assert error["message"] == "Cannot cancel a synchronous response."


@pytest.mark.parametrize(("method", "end"), [("GET", ""), ("DELETE", ""), ("GET", "/input_items"), ("POST", "/cancel")])
async def test_whose_it_is_not(world: World, store: MemoryResponses, method: str, end: str) -> None:
    assert (await ask(world, method, f"/v1/responses/resp_2{end}")).status == 404
    assert (await ask(world, method, f"/v1/responses/resp_2{end}", authorization="Bearer x")).status == 401
    world.allow()
    off = await ask(world, method, f"/v1/responses/resp_1{end}")
    assert off.status == 404
    assert "store_responses" in off.json["error"]["message"]
    store.available = False
    world.allow(store_responses=True)
    assert (await ask(world, method, f"/v1/responses/resp_1{end}")).status == 503


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/v1/responses", "POST"),
        ("POST", "/v1/responses/resp_1", "GET, DELETE"),
        ("DELETE", "/v1/responses/resp_1/input_items", "GET"),
        ("GET", "/v1/responses/resp_1/cancel", "POST"),
    ],
)
async def test_wrong_methods(world: World, method: str, path: str, allow: str) -> None:
    caller = await ask(world, method, path)
    assert (caller.status, caller.head["allow"]) == (405, allow)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/responses/",
        "/v1/responses/a/b",
        "/v1/responses//input_items",
        "/v1/responses/a/",
        "/v1/responses/a/cancel/",
        "/v1/responsesx",
    ],
)
async def test_no_such_path(world: World, path: str) -> None:
    assert (await ask(world, "GET", path)).status == 404
