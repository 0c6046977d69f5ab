"""What a request asks for: every way to name a prompt, how namings agree or contradict, and who answers a plain model name."""

from typing import Any

import msgspec
import pytest

from gateway.core.errors import GatewayError
from gateway.core.references import Reference
from gateway.dialects import naming as module
from gateway.dialects.chat import CHAT_DIALECT
from gateway.dialects.naming import MAX_LABEL, MAX_MODEL, MAX_TAGS
from gateway.pipeline.resolve import resolve
from gateway.routing.table import Route

USER = [{"role": "user", "content": "hi"}]


@pytest.fixture
def shop(world: Any) -> Any:
    """An application with ``faq`` in versions 1 (staging) and 2 (production), and ``billing/refund``."""
    world.publish("faq", ("system", "one"), alias="staging")
    world.publish("faq", ("system", "two"))
    world.publish("billing/refund", ("system", "refund"), model="o3", params={"temperature": 0.5}, overridable=["temperature"])
    return world


async def answered(world: Any, body: object, **headers: str | bytes) -> Any:
    """The recipe for a body."""
    inbound = world.inbound(body, **headers)
    entry = await world.releases.key(world.key.digest)
    return await resolve(CHAT_DIALECT.read(inbound), entry.caller, world.services)


def refused(world: Any, body: object, **headers: str | bytes) -> GatewayError:
    """What reading a body says is wrong."""
    with pytest.raises(GatewayError) as caught:
        CHAT_DIALECT.read(world.inbound(body, **headers))
    return caught.value


async def not_resolved(world: Any, body: object, **headers: str | bytes) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        await answered(world, body, **headers)
    return caught.value


NAMINGS: list[tuple[dict[str, object], dict[str, str], str]] = [
    ({"model": "faq"}, {}, "faq@production:2"),
    ({"model": "faq@staging"}, {}, "faq@staging:1"),
    ({"model": "faq@latest"}, {}, "faq@latest:2"),
    ({"model": "faq:1"}, {}, "faq:1"),
    ({"prompt": {"id": "faq"}}, {}, "faq@production:2"),
    ({"prompt": {"id": "faq@staging"}}, {}, "faq@staging:1"),
    ({"prompt": {"id": "faq", "version": "1"}}, {}, "faq:1"),
    ({"prompt": {"id": "faq", "version": 1}}, {}, "faq:1"),
    ({}, {"x_prompt": "faq"}, "faq@production:2"),
    ({}, {"x_prompt": "faq:1"}, "faq:1"),
    ({}, {"x_prompt": "faq", "x_prompt_version": "1"}, "faq:1"),
    ({}, {"x_prompt": "faq", "x_prompt_alias": "staging"}, "faq@staging:1"),
    ({"model": "faq"}, {"x_prompt_version": "1"}, "faq:1"),
    ({"model": "faq"}, {"x_prompt_alias": "staging"}, "faq@staging:1"),
    ({"model": "faq"}, {"x_prompt": "faq:1"}, "faq:1"),
    ({"model": "faq@staging"}, {"x_prompt": "faq"}, "faq@staging:1"),
    (
        {"model": "faq@staging", "prompt": {"id": "faq@staging"}},
        {"x_prompt": "faq@staging", "x_prompt_alias": "staging"},
        "faq@staging:1",
    ),
    ({"model": "billing/refund"}, {}, "billing/refund@production:1"),
    ({"model": "faq", "variables": {"unused": 1}}, {}, "faq@production:2"),
    ({"model": "gpt-4o-mini", "prompt": {"id": "faq"}}, {}, "faq@production:2"),
    ({"model": "gpt-4o-mini"}, {"x_prompt": "faq"}, "faq@production:2"),
]


@pytest.mark.parametrize(("body", "headers", "label"), NAMINGS)
async def test_every_way_to_name_a_prompt(shop: Any, body: dict[str, object], headers: dict[str, str], label: str) -> None:
    recipe = await answered(shop, body, **headers)
    assert recipe.release.facts.label == label


async def test_a_hash_names_its_version(shop: Any) -> None:
    digest = (await answered(shop, {"model": "faq:1"})).release.document.content_hash
    assert (await answered(shop, {"model": f"faq#{digest[:8]}"})).release.facts.label == "faq:1"


@pytest.mark.parametrize(
    ("body", "headers", "param"),
    [
        ({"prompt": {"id": "faq"}}, {"x_prompt": "other"}, "x-prompt"),
        ({"prompt": {"id": "faq:1"}}, {"x_prompt": "faq:2"}, "x-prompt"),
        ({"model": "faq@staging", "prompt": {"id": "other"}}, {}, "prompt"),
        ({"model": "faq@staging"}, {"x_prompt": "faq@production"}, "x-prompt"),
        ({"prompt": {"id": "faq:1", "version": "2"}}, {}, "prompt.version"),
        ({"prompt": {"id": "faq:1"}}, {"x_prompt_version": "2"}, "x-prompt-version"),
        ({"model": "faq@staging"}, {"x_prompt_alias": "production"}, "x-prompt-alias"),
        ({"model": "faq@staging"}, {"x_prompt_version": "1"}, "x-prompt-version"),
        ({"model": "faq"}, {"x_prompt_version": "1", "x_prompt_alias": "staging"}, "x-prompt-alias"),
        ({"prompt": {"id": "faq", "variables": {"a": 1}}, "variables": {"a": 2}}, {}, "prompt.variables"),
    ],
)
def test_namings_that_disagree_are_a_contradiction_naming_the_later_one(
    shop: Any, body: dict[str, object], headers: dict[str, str], param: str
) -> None:
    error = refused(shop, body, **headers)
    assert (error.kind.name, error.param) == ("contradiction", param)


def test_equal_variables_twice_are_no_contradiction(shop: Any) -> None:
    body = {"prompt": {"id": "faq", "variables": {"a": 1}}, "variables": {"a": 1}}
    assert CHAT_DIALECT.read(shop.inbound(body)).variables == {"a": 1}
    assert CHAT_DIALECT.read(shop.inbound({"prompt": {"id": "faq", "variables": {"a": 1}}})).variables == {"a": 1}


@pytest.mark.parametrize(
    ("body", "headers", "param"),
    [
        ({"prompt": {"id": "no reference!"}}, {}, "prompt.id"),
        ({"prompt": {"id": "faq", "version": "one"}}, {}, "prompt.version"),
        ({"prompt": {"id": "faq", "version": 0}}, {}, "prompt.version"),
        ({"prompt": {"id": "faq", "version": -1}}, {}, "prompt.version"),
        ({"prompt": {}}, {}, "prompt"),
        ({"prompt": "faq"}, {}, "prompt"),
        ({}, {"x_prompt": "a b"}, "x-prompt"),
        ({"model": "faq"}, {"x_prompt_version": "v1"}, "x-prompt-version"),
        ({"model": "faq"}, {"x_prompt_alias": "No Alias"}, "x-prompt-alias"),
        ({"model": "faq"}, {"x_prompt_alias": "12"}, "x-prompt-alias"),
        ({}, {"x_prompt_version": "1"}, "x-prompt-version"),
        ({}, {"x_prompt_alias": "staging"}, "x-prompt-alias"),
        ({"model": "not a reference"}, {"x_prompt_alias": "staging"}, "x-prompt-alias"),
        ({"model": "not a reference", "variables": {"a": 1}}, {}, "model"),
        ({"model": "faq"}, {"x_prompt_variant": "v" * (MAX_LABEL + 1)}, "x-prompt-variant"),
        ({"model": "m" * (MAX_MODEL + 1)}, {}, "model"),
        ({"model": 7}, {}, "model"),
        ({"model": "a\0b"}, {}, "model"),
        ({"user": "a\0b"}, {}, "user"),
        ({"n": 0}, {}, "n"),
        ({"n": 9}, {}, "n"),
        ({"n": "2"}, {}, "n"),
        ({"stream": "yes"}, {}, "stream"),
        ({"stream_options": {"include_usage": 1}}, {}, "stream_options.include_usage"),
        ({"messages": {}}, {}, "messages"),
        ({"messages": [{"role": "user", "content": "x"}, {"role": "robot", "content": "x"}]}, {}, "messages[1].role"),
        ({"messages": [{"content": "x"}]}, {}, "messages[0]"),
        ({"messages": ["x"]}, {}, "messages[0]"),
        ({"messages": [{"role": "user", "content": 7}]}, {}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": 7}]}]}, {}, "messages[0].content[0].text"),
        ({"variables": []}, {}, "variables"),
        ({"user": 7}, {}, "user"),
        ({"model": "faq"}, {"x_session_id": "s" * (MAX_LABEL + 1)}, "x-session-id"),
        ({"model": "faq"}, {"x_prompt_unit": "s" * (MAX_LABEL + 1)}, "x-prompt-unit"),
        ({"model": "faq"}, {"x_tags": "t" * (MAX_LABEL + 1)}, "x-tags"),
        ({"model": "faq"}, {"x_tags": ",".join("abcdefghijklmnopq")}, "x-tags"),
        ({"model": "faq"}, {"x_prompt": b"\xff\xfe"}, "x-prompt"),
        ({"model": "faq"}, {"x_session_id": b"\xc3\x28"}, "x-session-id"),
        ({"model": "faq"}, {"x_prompt_alias": b"\xff"}, "x-prompt-alias"),
    ],
)
def test_what_cannot_be_read_is_a_400_naming_the_field(
    shop: Any, body: dict[str, object], headers: dict[str, Any], param: str
) -> None:
    error = refused(shop, body, **headers)
    assert (error.kind.name, error.status, error.param) == ("malformed", 400, param)
    assert error.detail.startswith(f"{param}")


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b"{", b'{"a":1}x', b'{"model":"\xff"}', b"\x00", b'"text"', b'{"model": NaN}']
)
def test_a_body_that_is_no_json_object(world: Any, body: bytes) -> None:
    error = refused(world, body)
    assert (error.kind.name, error.param) == ("malformed", None)
    assert error.detail.startswith("the body is not a valid JSON object")


def test_a_body_nested_deeper_than_the_stack(world: Any) -> None:
    error = refused(world, b'{"variables":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001)
    assert (error.kind.name, error.detail) == ("malformed", "the body is nested too deeply")


def test_a_message_nested_deeper_than_the_stack(world: Any) -> None:
    error = refused(world, b'{"messages":[{"role":"user","content":' + b"[" * 100_000 + b"]" * 100_000 + b"}]}")
    assert error.kind.name == "malformed"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"prompt": {"id": "nobody"}}, "prompt"),
        ({"model": "nobody@staging"}, "prompt"),
        ({"model": "faq@canary"}, "prompt"),
        ({"prompt": {"id": "faq:99"}}, "prompt"),
        ({"model": "faq#abcdef"}, "prompt"),
        ({"model": "nobody", "variables": {"a": 1}}, "prompt"),
    ],
)
async def test_a_prompt_that_is_not_there_is_a_404(shop: Any, body: dict[str, object], param: str) -> None:
    error = await not_resolved(shop, body)
    assert (error.kind.name, error.param) == ("unknown_prompt", param)


async def test_a_draft_is_not_served_and_the_answer_says_why(shop: Any) -> None:
    error = await not_resolved(shop, {"model": "faq@draft"})
    assert error.kind.name == "unknown_prompt"
    assert "publish" in error.detail


async def test_another_applications_prompt_is_not_there(shop: Any) -> None:
    shop.catalog.add_version("app-2", "theirs", (await answered(shop, {"model": "faq"})).release.document.content)
    shop.releases.apply(shop.catalog.publish("app-2", "theirs", 1))
    assert (await not_resolved(shop, {"prompt": {"id": "theirs"}})).kind.name == "unknown_prompt"


async def test_a_plain_name_is_a_prompt_first_and_a_model_else(shop: Any) -> None:
    assert (await answered(shop, {"model": "faq"})).release is not None
    recipe = await answered(shop, {"model": "gpt-4o"})
    assert (recipe.release, recipe.model) == (None, "gpt-4o")


@pytest.mark.parametrize("model", ["not a reference", "llama3.1:8b", "claude-3-5-sonnet@20240620", "@cf/meta/llama-3"])
async def test_a_providers_own_way_of_naming_models_goes_through(shop: Any, model: str) -> None:
    recipe = await answered(shop, {"model": model})
    assert (recipe.release, recipe.model) == (None, model)


async def test_a_listed_route_may_look_like_a_reference(shop: Any) -> None:
    shop.routes.append(Route(("ft@v2024",), shop.targets))
    recipe = await answered(shop, {"model": "ft@v2024"})
    assert (recipe.release, recipe.model) == (None, "ft@v2024")
    assert (await not_resolved(shop, {"model": "ft@v2024", "variables": {"a": 1}})).kind.name == "unknown_prompt"
    assert (await not_resolved(shop, {"model": "ft@v2024", "prompt": {"id": "nobody"}})).kind.name in {
        "contradiction",
        "unknown_prompt",
    }


async def test_variables_without_a_prompt_are_refused(shop: Any) -> None:
    error = await not_resolved(shop, {"variables": {"a": 1}})
    assert (error.kind.name, error.param) == ("malformed", "variables")


async def test_who_names_the_model(shop: Any) -> None:
    shop.allow(default_model="gpt-4.1")
    assert (await answered(shop, {})).model == "gpt-4.1"
    assert (await answered(shop, {"model": "faq"})).model == "gpt-4.1"
    assert (await answered(shop, {"model": "billing/refund"})).model == "o3"
    assert (await answered(shop, {"model": "o3", "prompt": {"id": "billing/refund"}})).model == "o3"
    assert (await answered(shop, {"model": "gpt-4o", "prompt": {"id": "faq"}})).model == "gpt-4o"
    shop.allow()
    assert (await answered(shop, {})).model == "gpt-4o-mini"
    assert (await answered(shop, {"model": "faq"})).model == "gpt-4o-mini"
    error = await not_resolved(shop, {"model": "gpt-4o", "prompt": {"id": "billing/refund"}})
    assert (error.kind.name, error.param) == ("malformed", "model")


async def test_stored_parameters_lie_under_the_callers(shop: Any) -> None:
    fields = (await answered(shop, {"model": "billing/refund", "temperature": 0.9, "seed": 7})).fields
    assert {name: bytes(raw) for name, raw in fields.items()} == {"temperature": b"0.9", "seed": b"7"}
    fields = (await answered(shop, {"model": "billing/refund"})).fields
    assert {name: bytes(raw) for name, raw in fields.items()} == {"temperature": b"0.5"}


def test_unknown_fields_travel_as_they_are_and_ours_do_not(world: Any) -> None:
    body = b'{"model":"m","messages":[],"stream":true,"stream_options":{"include_usage":true},"future":{"x": [1,2]},"n":2,"user":"u"}'
    request = CHAT_DIALECT.read(world.inbound(body))
    assert bytes(request.fields["future"]) == b'{"x": [1,2]}'
    assert set(request.fields) == {"future", "n", "user", "stream_options"}
    assert (request.stream, request.include_usage, request.choices, request.user) == (True, True, 2, "u")


def test_messages_keep_their_bytes(world: Any) -> None:
    raw = b'{"role": "user",  "content": [{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"x"}},{"type":"text","text":"b"}]}'
    request = CHAT_DIALECT.read(world.inbound(b'{"messages":[' + raw + b',{"role":"assistant","tool_calls":[]}]}'))
    assert request.messages[0].raw == raw
    assert [message.text for message in request.messages] == ["a\nb", ""]


def test_labels_and_what_keeps_an_assignment_stable(world: Any) -> None:
    request = CHAT_DIALECT.read(world.inbound({"user": "u" * 300}, x_session_id=" s ", x_tags=" a ,, b,"))
    assert (request.user, request.session, request.tags, request.unit) == ("u" * MAX_LABEL, "s", ("a", "b"), "u" * MAX_LABEL)
    assert CHAT_DIALECT.read(world.inbound({"user": "u"}, x_session_id="s", x_prompt_unit="p")).unit == "p"
    assert CHAT_DIALECT.read(world.inbound({}, x_session_id="s")).unit == "s"
    assert CHAT_DIALECT.read(world.inbound({}, x_session_id="  ")).session is None
    assert CHAT_DIALECT.read(world.inbound({}, x_tags="")).tags == ()
    assert len(CHAT_DIALECT.read(world.inbound({}, x_tags=",".join("abcdefghijklmnop"))).tags) == MAX_TAGS
    assert CHAT_DIALECT.read(world.inbound({}, x_session_id="çédille")).session == "çédille"


def test_names_that_callers_choose_are_remembered_within_bounds(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_REMEMBERED", 10)
    monkeypatch.setattr(module, "_candidates", {})
    for i in range(100):
        assert module.candidate(f"name-{i}") is not None
    assert len(module._candidates) <= 10
    assert module.candidate("not a name") is None


async def own_id(world: Any, slug: str) -> str:
    document = await world.catalog.release("app-1", Reference(slug))
    return "pmpt_" + document.prompt_id.replace("-", "")


async def test_a_prompt_by_its_own_id(shop: Any, say: Any) -> None:
    by_id = await own_id(shop, "faq")
    for body, text in (
        ({"prompt": {"id": by_id}}, "two"),
        ({"model": f"{by_id}@staging"}, "one"),
        ({"model": by_id}, "two"),
        ({"model": f"{by_id}:1"}, "one"),
    ):
        shop.script(say.completion())
        caller = await shop.call({**body, "messages": USER})
        assert caller.head["x-prompt"].startswith("faq")
        sent = msgspec.json.decode(shop.transport.requests[-1][1].body)
        assert (sent["messages"][0]["content"], sent["model"]) == (text, "gpt-4o-mini")
    await shop.fail("unknown_prompt", {"model": f"{by_id}:9", "messages": USER})


async def test_an_id_of_no_prompt_is_asked_for_once(shop: Any) -> None:
    nobody = {"prompt": {"id": "pmpt_" + "0" * 32}, "messages": USER}
    await shop.fail("unknown_prompt", nobody)
    before = shop.catalog.questions
    await shop.fail("unknown_prompt", nobody)
    assert shop.catalog.questions == before


async def test_a_slug_goes_before_an_id(shop: Any, say: Any) -> None:
    by_id = await own_id(shop, "faq")
    shop.publish(by_id, ("system", "By slug."))
    shop.script(say.completion())
    caller = await shop.call({"prompt": {"id": by_id}, "messages": USER})
    assert caller.head["x-prompt"] == f"{by_id}@production:1"


async def test_what_a_key_makes_of_a_release_is_kept_but_for_the_requests_fields(shop: Any) -> None:
    body = {"model": "billing/refund", "messages": USER}
    first = await answered(shop, {**body, "temperature": 0.1})
    assert await answered(shop, {**body, "temperature": 0.9}) != first
    again = await answered(shop, body)
    assert (again.release, again.model, again.guards) == (first.release, "o3", first.guards)
    assert {name: bytes(raw) for name, raw in again.fields.items()} == {"temperature": b"0.5"}
    assert len(first.release.recipes) == 1
    entry = await shop.releases.key(shop.key.digest)
    inbound = shop.inbound({"model": "faq", "messages": USER})
    request = CHAT_DIALECT.read(inbound)
    other = msgspec.structs.replace(entry.caller, default_model="another")
    assert (await resolve(request, other, shop.services)).model == "another"
    assert (await resolve(request, entry.caller, shop.services)).model != "another"


async def test_what_is_kept_of_a_release_is_bounded(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.pipeline.resolve._REMEMBERED", 2)
    kept: list[int] = []
    for model in ("gpt-1", "gpt-2", "gpt-3", "gpt-4"):
        recipe = await answered(shop, {"prompt": {"id": "faq"}, "model": model})
        assert recipe.model == model
        kept.append(len(recipe.release.recipes))
    assert kept == [0, 1, 2, 1]  # the first had to wait for its release
