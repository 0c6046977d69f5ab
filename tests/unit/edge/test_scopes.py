"""Restricted keys at every door of the data plane: its scope opens it, the others do not; lists hold wherever a name can be given."""

import re
from typing import Any

import pytest

from gateway.core.grants import SCOPE_NAMES, SCOPES
from gateway.edge import doors
from gateway.edge.schema import data_plane_paths
from gateway.routing.table import Route
from tests.unit.edge.test_native import ask

ADMIN = {("POST", "/api/v1/test-prompt")}
"""What the admin token opens."""
ROUTES = [
    (method.upper(), re.sub(r"\{\w+\}", "1", path))
    for path, item in data_plane_paths().items()
    for method in ("get", "post", "put", "delete")
    if getattr(item, method) is not None
]
HI = [{"role": "user", "content": "Hi"}]


@pytest.mark.parametrize(("method", "path"), [route for route in ROUTES if route not in ADMIN])
async def test_a_route_takes_its_scope_and_no_other(world: Any, method: str, path: str) -> None:
    scope = SCOPES[doors.name_of(method, path)]
    world.allow(scopes=sorted(SCOPE_NAMES - {scope}))
    refused = await ask(world, method, path)
    assert refused.status == 403
    error = refused.json["error"]
    assert error["type"] in {"invalid_request_error", "permission_error"}, "OpenAI's form, or Anthropic's"
    assert error["message"] == f"the API key {world.key.public_id} lacks the scope {scope!r}"
    assert world.transport.requests == []
    world.allow(scopes=[scope])
    assert (await ask(world, method, path)).status != 403


def test_every_scope_opens_something() -> None:
    assert {doors.name_of(*route) for route in ROUTES if route not in ADMIN} == set(SCOPES)


async def test_a_scope_that_is_missing_has_its_row(world: Any, say: Any) -> None:
    world.allow(scopes=["models"])
    assert (await ask(world, "POST", "/v1/chat/completions", say.chat())).status == 403
    assert (await ask(world, "POST", "/v1/embeddings", {"model": "e", "input": "x"})).status == 403
    assert (await ask(world, "POST", "/v1/chat/completions", say.chat(), idempotency_key="k")).status == 403
    assert [(row.key_id, row.outcome, row.status) for row in world.ledger.rows] == [("key-1", "forbidden", 403)] * 3


@pytest.fixture
def shop(world: Any) -> Any:
    for slug in ("faq", "billing/refund", "secret"):
        world.publish(slug, ("user", "Hello."), overridable=["model"])
    world.publish("faq", ("user", "Staged."), alias="staging")
    world.routes.append(Route(("gpt-4o", "gpt-4o-mini", "o1"), world.targets))
    world.allow(prompts=["faq@production", "billing/*"], models=["gpt-4o*"])
    return world


async def status(
    world: Any, body: dict[str, Any], path: str = "/v1/chat/completions", **headers: str
) -> tuple[int, str | None]:
    """The status, and the field at fault."""
    answer = await ask(world, "POST", path, body, **headers)
    return answer.status, answer.json.get("error", {}).get("param")


async def test_prompts_of_the_list_answer_however_they_are_named(shop: Any, say: Any) -> None:
    for body in ({"model": "faq"}, {"prompt": {"id": "faq"}}, {"model": "billing/refund:1"}):
        shop.script(say.completion())
        assert await status(shop, body) == (200, None)


@pytest.mark.parametrize(
    ("path", "body", "headers"),
    [
        ("/v1/chat/completions", {"model": "secret"}, {}),
        ("/v1/chat/completions", {"model": "faq@staging"}, {}),
        ("/v1/chat/completions", {"model": "faq:1"}, {}),
        ("/v1/chat/completions", {"model": "faq:77"}, {}),
        ("/v1/chat/completions", {"model": "secret:77"}, {}),
        ("/v1/chat/completions", {"prompt": {"id": "secret"}}, {}),
        ("/v1/chat/completions", {"prompt": {"id": "nobody-made-this"}}, {}),
        ("/v1/chat/completions", {"prompt": {"id": "pmpt_" + "0" * 32}}, {}),
        ("/v1/chat/completions", {"model": "faq"}, {"x_prompt_alias": "staging"}),
        ("/v1/chat/completions", {}, {"x_prompt": "secret"}),
        ("/v1/completions", {"model": "secret"}, {}),
        ("/v1/responses", {"model": "secret"}, {}),
        ("/v1/messages", {"model": "secret", "max_tokens": 9, "messages": HI}, {}),
        ("/v1/messages/count_tokens", {"model": "secret", "messages": HI}, {}),
        ("/v1/responses/input_tokens", {"model": "secret", "input": "hi"}, {}),
        ("/v1/prompts/secret/completions", {}, {}),
        ("/v1/prompts/secret/render", {}, {}),
        ("/api/v1/execute/secret/latest", {}, {}),
    ],
)
async def test_prompts_outside_the_list_are_forbidden_whether_or_not_they_exist(
    shop: Any, path: str, body: dict[str, Any], headers: dict[str, str]
) -> None:
    answer = await ask(shop, "POST", path, body, **headers)
    assert answer.status == 403
    assert f"the API key {shop.key.public_id} may not use the prompt " in answer.json["error"]["message"]
    assert shop.transport.requests == []


async def test_a_prompt_by_its_own_id_is_what_it_is_called(shop: Any, say: Any) -> None:
    for slug, expected in (("billing/refund", 200), ("secret", 403)):
        own = shop.catalog._prompts["app-1", slug].id.replace("-", "")
        shop.script(say.completion())
        assert (await status(shop, {"prompt": {"id": f"pmpt_{own}"}}))[0] == expected


async def test_models_are_held_to_their_list(shop: Any, say: Any) -> None:
    for model in ("gpt-4o", "gpt-4o-mini", None):
        shop.script(say.completion())
        assert await status(shop, {"messages": HI, **({"model": model} if model else {})}) == (200, None)
    assert await status(shop, {"messages": HI, "model": "o1"}) == (403, "model")
    assert await status(shop, {"prompt": {"id": "faq"}, "model": "o1"}) == (403, "model"), "asked for in the prompt's place"
    assert await status(shop, {"model": "o1", "input": "x"}, "/v1/embeddings") == (403, "model")
    assert await status(shop, {"input": "x"}, "/v1/moderations") == (403, "model"), "the provider would choose"
    shop.allow(models=["o1"])
    assert await status(shop, {"messages": HI}) == (403, "model"), "the default model is none of the list"


async def test_a_version_may_use_a_model_that_its_callers_may_not_ask_for(shop: Any, say: Any) -> None:
    shop.publish("own", ("user", "Hello."), model="o1")
    shop.allow(models=[])
    shop.script(say.completion())
    assert await status(shop, {"model": "own"}) == (200, None)


async def test_a_key_of_some_models_makes_no_batches(world: Any) -> None:
    world.allow(models=["gpt-4o"])
    answer = await ask(world, "POST", "/v1/batches", {"input_file_id": "file-1", "endpoint": "/v1/chat/completions"})
    assert (answer.status, "may not make batches" in answer.json["error"]["message"]) == (403, True)
    world.allow(models=["*"])
    assert (await ask(world, "POST", "/v1/batches", {"input_file_id": "file-1"})).status == 501, "nothing keeps them here"


async def test_what_is_listed_is_what_may_be_used(shop: Any) -> None:
    listed = [model["id"] for model in (await ask(shop, "GET", "/v1/models")).json["data"]]
    assert listed == ["billing/refund", "billing/refund@production", "faq", "faq@production", "gpt-4o", "gpt-4o-mini"]
    for name in [*listed, "billing/refund:1", "billing/refund@latest"]:
        assert (await ask(shop, "GET", f"/v1/models/{name}")).status == 200, name
    for name in ("secret", "faq@staging", "faq:1", "o1", "nobody"):
        answer = await ask(shop, "GET", f"/v1/models/{name}")
        assert (answer.status, answer.json["error"]["message"]) == (404, f"The model '{name}' does not exist")


async def test_an_explanation_says_that_the_call_is_forbidden(shop: Any) -> None:
    told = (await ask(shop, "POST", "/v1/explain", {"model": "secret"})).json
    assert (told["answerable"], told["refused_by"], told["error"]["kind"]) == (False, "resolve", "forbidden")


async def test_a_restricted_key_is_not_given_what_another_was_answered(shop: Any, say: Any) -> None:
    shop.allow()
    shop.script(say.completion("for the other key"))
    body = {"model": "secret"}
    assert await status(shop, body, idempotency_key="k") == (200, None)
    shop.allow(prompts=["faq"])
    assert (await status(shop, body, idempotency_key="k"))[0] == 403
