"""A prompt as an endpoint, rendering without a call, and the list of models: on a pipeline from memory twins."""

from typing import Any

import msgspec
import pytest

from gateway.core.documents import VariantSpec
from gateway.core.requests import Inbound
from gateway.edge import doors
from gateway.routing.models import Model, ModelTable
from gateway.routing.table import Route, RouteTable


async def ask(world: Any, method: str, path: str, body: object = b"", **headers: str) -> Any:
    """One request through the doors."""
    inbound: Inbound = world.inbound(body, **headers)
    caller = world.caller()
    await doors.answer(method, path, msgspec.structs.replace(inbound, door=doors.name_of(method, path)), world.services, caller)
    return caller


@pytest.fixture
def shop(world: Any) -> Any:
    world.publish(
        "faq",
        ("system", "You are {{ tone }}."),
        ("user", "{{ q }}"),
        variables={"type": "object", "required": ["q"]},
        params={"temperature": 0},
        overridable=["*"],
    )
    world.publish("faq", ("system", "Staged."), alias="staging")
    world.publish("billing/refund", ("user", "Refund."))
    world.routes.append(Route(("gpt-4o", "o*"), world.targets))
    return world


async def test_models_are_prompts_and_listed_routes(shop: Any) -> None:
    answer = await ask(shop, "GET", "/v1/models")
    assert answer.status == 200
    assert answer.json["object"] == "list"
    assert [model["id"] for model in answer.json["data"]] == [
        "billing/refund",
        "billing/refund@production",
        "faq",
        "faq@production",
        "faq@staging",
        "gpt-4o",
    ]
    assert answer.json["data"][0] == {"id": "billing/refund", "object": "model", "created": 0, "owned_by": "promptgate"}
    assert answer.head["x-request-id"]
    assert shop.ledger.rows == []


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("faq", "faq"),
        ("faq%40staging", "faq@staging"),
        ("billing/refund", "billing/refund"),
        ("billing%2Frefund", "billing/refund"),
        ("gpt-4o", "gpt-4o"),
    ],
)
async def test_one_model(shop: Any, name: str, found: str) -> None:
    answer = await ask(shop, "GET", f"/v1/models/{name}")
    assert (answer.status, answer.json["id"]) == (200, found)


@pytest.mark.parametrize("name", ["nobody", "faq@draft", "o1", "x" * 500])
async def test_no_such_model(shop: Any, name: str) -> None:
    answer = await ask(shop, "GET", f"/v1/models/{name}")
    assert (answer.status, answer.json["error"]["code"]) == (404, "model_not_found")
    assert len(answer.json["error"]["message"]) < 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/models"),
        ("GET", "/v1/models/faq"),
        ("POST", "/v1/prompts/faq/render"),
        ("POST", "/v1/prompts/faq/completions"),
    ],
)
async def test_nothing_without_a_key(shop: Any, method: str, path: str) -> None:
    answer = await ask(shop, method, path, {}, authorization="Bearer wrong")
    assert (answer.status, answer.json["error"]["code"]) == (401, "invalid_api_key")


async def test_rendering_shows_what_would_be_sent(shop: Any) -> None:
    body = {"variables": {"tone": "brief", "q": "Why?"}, "messages": [{"role": "user", "content": "And?", "name": "kept"}]}
    answer = await ask(shop, "POST", "/v1/prompts/faq/render", body)
    assert answer.status == 200
    assert answer.json["prompt"] == "faq@production:1"
    assert answer.json["model"] == "gpt-4o-mini"
    assert answer.json["params"] == {"temperature": 0}
    assert answer.json["messages"] == [
        {"role": "system", "content": "You are brief."},
        {"role": "user", "content": "Why?"},
        {"role": "user", "content": "And?", "name": "kept"},
    ]
    assert answer.json["digest"] == answer.head["x-prompt-digest"]
    assert shop.transport.requests == []
    assert shop.ledger.rows == shop.ledger.intents == []


@pytest.mark.parametrize(
    ("path", "headers", "label"),
    [
        ("faq@staging", {}, "faq@staging:2"),
        ("faq:2", {}, "faq:2"),
        ("faq%3A2", {}, "faq:2"),
        ("faq", {"x_prompt_alias": "staging"}, "faq@staging:2"),
        ("faq", {"x_prompt_version": "2"}, "faq:2"),
        ("billing/refund", {}, "billing/refund@production:1"),
    ],
)
async def test_the_path_and_pins_choose_the_version(shop: Any, path: str, headers: dict[str, str], label: str) -> None:
    assert (await ask(shop, "POST", f"/v1/prompts/{path}/render", {}, **headers)).json["prompt"] == label


async def test_rendering_shows_the_variant_of_the_unit_or_the_pin(shop: Any) -> None:
    split = [VariantSpec("control", 1, 5_000), VariantSpec("other", 2, 5_000)]
    shop.releases.apply(shop.catalog.split("app-1", "faq", split, "production"))
    body = {"variables": {"tone": "t", "q": "q"}}
    pinned = await ask(shop, "POST", "/v1/prompts/faq/render", {}, x_prompt_variant="other")
    assert (pinned.json["prompt"], pinned.json["variant"], pinned.head["x-prompt-variant"]) == (
        "faq@production:2", "other", "other",
    )  # fmt: skip
    seen = {(await ask(shop, "POST", "/v1/prompts/faq/render", body, x_prompt_unit=f"u{i}")).json["variant"] for i in range(20)}
    assert seen == {"control", "other"}
    wrong = await ask(shop, "POST", "/v1/prompts/faq/render", {}, x_prompt_variant="nobody")
    assert (wrong.status, wrong.json["error"]["param"]) == (400, "x-prompt-variant")
    assert (await ask(shop, "POST", "/v1/prompts/faq@staging/render")).json["variant"] is None


async def test_a_prompt_as_an_endpoint_takes_the_pin(shop: Any, say: Any) -> None:
    split = [VariantSpec("control", 1, 10_000), VariantSpec("other", 2, 0)]
    shop.releases.apply(shop.catalog.split("app-1", "faq", split, "production"))
    shop.script(say.completion())
    answer = await ask(shop, "POST", "/v1/prompts/faq/completions", {"messages": []}, x_prompt_variant="other")
    assert (answer.status, answer.head["x-prompt"], answer.head["x-prompt-variant"]) == (200, "faq@production:2", "other")


async def test_an_empty_body_renders_without_variables(shop: Any) -> None:
    assert (await ask(shop, "POST", "/v1/prompts/billing/refund/render")).json["messages"] == [
        {"role": "user", "content": "Refund."}
    ]


@pytest.mark.parametrize(
    ("path", "body", "headers", "status", "code", "param"),
    [
        ("nobody", {}, {}, 404, "prompt_not_found", "prompt"),
        ("faq@draft", {}, {}, 404, "prompt_not_found", "prompt"),
        ("not%20one", {}, {}, 400, "invalid_request", "path"),
        ("faq:1", {}, {"x_prompt_version": "2"}, 400, "contradictory_reference", "x-prompt-version"),
        ("faq", {}, {}, 400, "missing_variable", "q"),
        ("faq", {"vars": {}}, {}, 400, "invalid_request", None),
        ("faq", b"[", {}, 400, "invalid_request", None),
        ("faq", {"variables": {"q": "x"}, "messages": [{"role": "robot"}]}, {}, 400, "invalid_request", "messages[0].role"),
        ("faq", {}, {"content_type": "text/plain"}, 415, "unsupported_media_type", "content-type"),
    ],
)
async def test_what_cannot_be_rendered(
    shop: Any, path: str, body: object, headers: dict[str, str], status: int, code: str, param: str | None
) -> None:
    answer = await ask(shop, "POST", f"/v1/prompts/{path}/render", body, **headers)
    error = answer.json["error"]
    assert (answer.status, error["code"]) == (status, code)
    assert param is None or error["param"] in {param, f"variables.{param}"}


async def test_a_prompt_as_an_endpoint_is_a_chat_call(shop: Any, say: Any) -> None:
    shop.script(say.completion())
    answer = await ask(shop, "POST", "/v1/prompts/billing/refund/completions", {"messages": [], "x": 1})
    assert (answer.status, answer.head["x-prompt"]) == (200, "billing/refund@production:1")
    assert shop.row.door == "chat"
    assert b'"x":1' in shop.transport.requests[0][1].body


async def test_the_paths_prompt_and_the_bodys_must_agree(shop: Any) -> None:
    answer = await ask(shop, "POST", "/v1/prompts/faq/completions", {"prompt": {"id": "billing/refund"}})
    assert (answer.status, answer.json["error"]["code"]) == (400, "contradictory_reference")


async def test_a_chat_call_that_fails_is_answered_in_the_dialect(world: Any, say: Any) -> None:
    world.script(say.refusal(500))
    answer = await ask(world, "POST", "/v1/chat/completions", say.chat())
    assert (answer.status, answer.json["error"]["type"]) == (502, "server_error")
    world.script(say.stream(say.delta("x"), b"data: {broken\n\n"))
    answer = await ask(world, "POST", "/v1/chat/completions", say.chat(stream=True))
    assert answer.status == 200
    assert answer.chunks[-1]["error"]["code"] == "upstream_invalid_response"
    assert "[DONE]" not in answer.frames


async def test_without_the_registry_listing_is_a_503(world: Any) -> None:
    await world.releases.key(world.key.digest)
    world.catalog.available = False
    answer = await ask(world, "GET", "/v1/models")
    assert (answer.status, answer.json["error"]["code"]) == (503, "store_unavailable")
    assert "MemoryCatalog" not in answer.body.decode(), "the cause is private"


async def test_a_known_model_tells_what_it_can_do(shop: Any) -> None:
    known = Model(128_000, 16_384, tools=True, vision=None)
    models = ModelTable({"gpt-4o": known, "nowhere": known}, (("o", Model(reasoning=True)),))
    routes = RouteTable([Route(("gpt-4o", "o*"), shop.targets)])
    services = msgspec.structs.replace(shop.services, models=models, routes=routes)

    async def get(name: str) -> Any:
        caller = shop.caller()
        await doors.answer("GET", f"/v1/models/{name}", shop.inbound(b""), services, caller)
        return caller

    listed = await get("gpt-4o")
    assert listed.json["promptgate"] == {"context": 128_000, "max_output": 16_384, "tools": True}
    assert listed.json["id"] == "gpt-4o"
    by_pattern = await get("o3")
    assert (by_pattern.status, by_pattern.json["promptgate"]) == (200, {"reasoning": True})
    unrouted = await get("nowhere")
    assert (unrouted.status, unrouted.json["error"]["code"]) == (404, "model_not_found")
    assert "promptgate" not in (await get("faq")).json
