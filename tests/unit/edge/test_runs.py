"""The run endpoints: published versions by an application's key, drafts by an operator's token."""

from typing import Any

import msgspec
import pytest

from gateway.core.documents import AnswerCache, KeyDocument, MessageTemplate, ReleaseDocument, VersionContent
from gateway.core.errors import NOT_FOUND, GatewayError
from gateway.core.references import Reference
from gateway.edge import doors, runs

OWNER = KeyDocument("", "app-1", "demo", "admin", default_model="gpt-4o")
STORED = VersionContent(
    messages=[MessageTemplate("user", "Stored {{ q }}")], model="gpt-4o", cache=AnswerCache(ttl_seconds=60, coalesce=True)
)


class Bench:
    """An operator's side with one application and one stored draft."""

    def admits(self, credential: bytes) -> bool:
        return credential == b"admin-token"

    async def caller(self, application: str | None) -> KeyDocument:
        if application not in {None, "demo"}:
            raise GatewayError(NOT_FOUND, "no such application", param="application")
        return OWNER

    async def version(self, application: str, reference: Reference) -> ReleaseDocument:
        if reference != Reference("faq", version=3):
            raise GatewayError(NOT_FOUND, f"faq has no {reference.selector}", param="prompt")
        return ReleaseDocument("app-1", "prompt-id", "faq", reference.selector, 3, STORED, "ab" * 32, 0)


async def run(world: Any, path: str, body: object = b"", method: str = "POST", **headers: str) -> Any:
    inbound = msgspec.structs.replace(world.inbound(body, **headers), door=doors.name_of(method, path))
    caller = world.caller()
    assert doors.serves(path)
    await doors.answer(method, path, inbound, world.services, caller)
    return caller


@pytest.fixture
def shop(world: Any) -> Any:
    world.publish("faq", ("user", "One {{ q }}"))
    world.publish("faq", ("user", "Two"), alias="staging")
    world.publish("billing/refund", ("user", "Refund"))
    world.workbench = Bench()
    return world


def asked(world: Any) -> Any:
    return msgspec.json.decode(world.transport.requests[-1][1].body)


@pytest.mark.parametrize(
    ("path", "text", "label"),
    [
        ("faq/1", "One why?", "faq:1"),
        ("faq/2", "Two", "faq:2"),
        ("faq/latest", "Two", "faq@latest:2"),
        ("billing%2Frefund/1", "Refund", "billing/refund:1"),
        ("billing~refund/latest", "Refund", "billing/refund@latest:1"),
        ("billing/refund/1", "Refund", "billing/refund:1"),
    ],
)
async def test_a_published_version_is_run(shop: Any, say: Any, path: str, text: str, label: str) -> None:
    shop.script(say.completion("Because."))
    answer = await run(shop, f"/api/v1/execute/{path}", {"variables": {"q": "why?"}})
    assert (answer.status, answer.json["choices"][0]["message"]["content"]) == (200, "Because.")
    assert answer.head["x-prompt"] == label
    assert asked(shop)["messages"] == [{"role": "user", "content": text}]
    assert (shop.row.door, shop.row.outcome) == ("execute", "ok")


async def test_a_run_may_have_no_body_and_may_be_streamed(shop: Any, say: Any) -> None:
    shop.script(say.completion(), say.stream(say.delta("a"), say.delta(finish="stop"), say.usage(), say.DONE))
    assert (await run(shop, "/api/v1/execute/faq/2")).status == 200
    assert (await run(shop, "/api/v1/execute/faq/2", {"stream": True})).frames[-1] == "[DONE]"


@pytest.mark.parametrize(
    ("path", "status", "code", "param"),
    [
        ("faq/9", 404, "prompt_not_found", None),
        ("faq/draft", 400, "invalid_request", "version"),
        ("faq/production", 400, "invalid_request", "version"),
        ("faq/latest@x", 400, "invalid_request", "version"),
        ("/1", 400, "invalid_request", "prompt_id"),
        ("a%20b/1", 400, "invalid_request", "prompt_id"),
        ("faq", 400, "invalid_request", "prompt_id"),
    ],
)
async def test_what_names_no_published_version_is_refused(
    shop: Any, path: str, status: int, code: str, param: str | None
) -> None:
    answer = await run(shop, f"/api/v1/execute/{path}", {})
    assert (answer.status, answer.json["error"]["code"]) == (status, code)
    assert param is None or answer.json["error"]["param"] == param


async def test_a_pin_header_that_disagrees_is_a_contradiction(shop: Any) -> None:
    answer = await run(shop, "/api/v1/execute/faq/1", {}, x_prompt_version="2")
    assert answer.json["error"]["code"] == "contradictory_reference"


async def test_only_an_applications_key_executes_and_only_by_post(shop: Any) -> None:
    assert (await run(shop, "/api/v1/execute/faq/1", {}, authorization="Bearer admin-token")).status == 401
    refused = await run(shop, "/api/v1/execute/faq/1", method="GET")
    assert (refused.status, refused.head["allow"]) == (405, "POST")


# --- trials ----------------------------------------------------------------------------------------------------------
def content(text: str = "Try {{ q }}", **fields: Any) -> dict[str, Any]:
    return {"messages": [{"type": "message", "role": "user", "content": text}], **fields}


async def trial(world: Any, body: object, **headers: str) -> Any:
    return await run(world, "/api/v1/test-prompt", body, **{"authorization": "Bearer admin-token", **headers})


async def test_an_unsaved_content_is_run_once_and_flagged(shop: Any, say: Any) -> None:
    shop.script(say.completion("Because."))
    answer = await trial(
        shop,
        {
            "content": content(params={"temperature": 0}, model="gpt-4o"),
            "variables": {"q": "this"},
            "model": "gpt-4o-mini",
            "seed": 1,
        },
    )
    assert (answer.status, answer.json["choices"][0]["message"]["content"]) == (200, "Because.")
    assert answer.head["x-prompt"] == "unsaved@draft:0"
    assert asked(shop) == {
        "model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Try this"}], "temperature": 0, "seed": 1,
    }  # fmt: skip
    row = shop.row
    assert (row.door, row.alias, row.prompt, row.version) == ("test", "draft", "unsaved", 0)
    assert (row.application_id, row.key_id, row.prompt_id) == ("app-1", runs.NOBODY, runs.NOBODY)
    assert row.cost_nano
    assert shop.releases.release_now("app-1", Reference("unsaved", alias="draft")) is None


async def test_a_stored_draft_is_run_and_neither_recalled_nor_kept(shop: Any, say: Any) -> None:
    for _ in range(2):
        shop.script(say.stream(say.delta("a"), say.delta(finish="stop"), say.usage(), say.DONE))
        answer = await trial(shop, {"prompt": "faq:3", "variables": {"q": "x"}, "stream": True, "application": "demo"})
        assert answer.frames[-1] == "[DONE]"
        assert answer.head["x-prompt"] == "faq@draft:3"
        assert "x-cache" not in answer.head
    assert asked(shop)["model"] == "gpt-4o"
    assert shop.answers._kept == {}
    assert {row.prompt_id for row in shop.ledger.rows} == {"prompt-id"}


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({}, 400, "content"),
        ({"content": content(), "prompt": "faq:3"}, 400, "prompt"),
        ({"content": {"messages": 5}}, 400, "content.messages"),
        ({"content": content(cache={"ttl_seconds": -1})}, 400, "content.cache.ttl_seconds"),
        ({"content": content("{% if %}")}, 400, "messages[0].content"),
        ({"content": {**content(), "x": 1}}, 400, "content"),
        ({"prompt": "faq:4"}, 404, "prompt"),
        ({"prompt": "no prompt"}, 400, "prompt"),
        ({"content": content(), "application": "other"}, 404, "application"),
        ({"content": content(), "variables": {}}, 400, "q"),
        ({"content": content(), "variables": {"q": ""}, "n": 99}, 400, "n"),
        (b"{", 400, None),
    ],
)
async def test_what_cannot_be_tried_is_refused_naming_the_field(shop: Any, body: Any, status: int, param: str | None) -> None:
    answer = await trial(shop, body)
    assert (answer.status, answer.json["error"]["param"]) == (status, param)
    assert shop.transport.requests == []


@pytest.mark.parametrize("credential", ["Bearer wrong", "admin-token", "Basic admin-token", ""])
async def test_only_an_operator_tries_drafts(shop: Any, credential: str) -> None:
    assert (await trial(shop, {"content": content()}, authorization=credential)).status == 401
    key = await run(shop, "/api/v1/test-prompt", {"content": content()})
    assert key.status == 401
    shop.workbench = None
    assert (await trial(shop, {"content": content()})).status == 401


async def test_the_key_inside_a_trial_opens_nothing_outside(shop: Any) -> None:
    answer = await run(shop, "/api/v1/execute/faq/2", {}, authorization=f"Bearer {runs._KEY.text}")
    assert answer.status == 401


async def test_trials_have_a_limit_of_their_own(shop: Any, say: Any) -> None:
    shop.script(*[say.completion() for _ in range(runs.TRIALS_PER_MINUTE)])
    ends = [(await trial(shop, {"content": content("x")})).status for _ in range(runs.TRIALS_PER_MINUTE + 1)]
    assert ends == [200] * runs.TRIALS_PER_MINUTE + [429]
