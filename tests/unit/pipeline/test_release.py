"""An alias that is split: who gets which variant, pins, what is recorded and answered, and documents that are no split."""

from collections import Counter
from typing import Any

import pytest
from msgspec import structs

from gateway.core.documents import Split, VariantSpec
from gateway.core.errors import MALFORMED, GatewayError
from gateway.core.references import Reference
from gateway.pipeline.release import compile_release
from gateway.pipeline.releases import Releases, decode_snapshot, encode_snapshot

FAQ = Reference("faq")


@pytest.fixture
def shop(world: Any, say: Any) -> Any:
    """``faq`` split among three: version 1; version 2 with another model and its own guards; one that only a pin reaches."""
    world.publish("faq", ("system", "one"), params={"temperature": 0}, model="gpt-4o")
    world.publish("faq", ("system", "two"), alias="staging")
    own = VariantSpec("own", 2, 5_000, model="o3", params={"seed": 7}, guardrails=say.guardrails(pre=["forbidden"]))
    world.releases.apply(
        world.catalog.split("app-1", "faq", [VariantSpec("control", 1, 5_000), own, VariantSpec("dark", 2, 0)], salt="salt")
    )
    return world


async def served(world: Any, say: Any, **headers: str) -> Any:
    world.script(say.completion())
    return await world.call({"model": "faq", **headers.pop("body", {})}, **headers)  # type: ignore[arg-type]


async def test_each_unit_gets_one_variant_and_all_get_their_share(shop: Any, say: Any) -> None:
    given: dict[str, str] = {}
    for i in range(200):
        given[f"u{i}"] = (await served(shop, say, x_prompt_unit=f"u{i}")).head["x-prompt-variant"]
    assert Counter(given.values()).keys() == {"control", "own"}
    assert 70 < Counter(given.values())["own"] < 130
    for unit in list(given)[:20]:
        assert (await served(shop, say, x_prompt_unit=unit)).head["x-prompt-variant"] == given[unit]
    assert [row.variant for row in shop.ledger.rows[:200]] == list(given.values())


async def test_a_variant_answers_with_its_version_model_params_and_guards(shop: Any, say: Any) -> None:
    control = await served(shop, say, x_prompt_variant="control")
    assert (control.head["x-prompt"], control.head["x-model"]) == ("faq@production:1", "gpt-4o")
    own = await served(shop, say, x_prompt_variant="own")
    assert (own.head["x-prompt"], own.head["x-prompt-variant"], own.head["x-model"]) == ("faq@production:2", "own", "o3")
    bodies = [request.body for _, request in shop.transport.requests]
    assert b'"seed"' not in bodies[0]
    assert b'"seed":7' in bodies[1]
    assert own.head["x-prompt-digest"] != control.head["x-prompt-digest"]
    asked = {"model": "faq", "messages": [{"role": "user", "content": "forbidden"}]}
    error = await shop.fail("blocked", asked, x_prompt_variant="own")
    assert error.param == "pre:prohibited_terms"
    await served(shop, say, body={"messages": asked["messages"]}, x_prompt_variant="control")  # type: ignore[arg-type]
    row = shop.ledger.rows[1]
    assert (row.prompt, row.alias, row.version, row.variant, row.model) == ("faq", "production", 2, "own", "o3")
    assert row.content_hash == own.head["x-prompt-digest"]
    assert [intent.prompt.variant for intent in shop.ledger.intents] == ["control", "own", "control"]


async def test_a_variant_without_weight_is_reached_by_its_pin_only(shop: Any, say: Any) -> None:
    assert (await served(shop, say, x_prompt_variant="dark")).head["x-prompt-variant"] == "dark"


async def test_the_unit_is_the_header_then_the_user_then_the_session_then_the_key(shop: Any, say: Any) -> None:
    release = await shop.releases.release("app-1", FAQ)
    split = release.split

    def of(unit: str) -> str:
        return split.choose(unit, None).facts.variant

    units = {of(f"u{i}"): f"u{i}" for i in range(20)}
    one, other = units["control"], units["own"]
    body = {"user": other}
    answer = await served(shop, say, body=body, x_prompt_unit=one, x_session_id=other)  # type: ignore[arg-type]
    assert answer.head["x-prompt-variant"] == "control"
    answer = await served(shop, say, body={"user": one}, x_session_id=other)  # type: ignore[arg-type]
    assert answer.head["x-prompt-variant"] == "control"
    assert (await served(shop, say, x_session_id=other)).head["x-prompt-variant"] == "own"
    assert (await served(shop, say)).head["x-prompt-variant"] == of("key-1")


@pytest.mark.parametrize(
    ("body", "headers", "kind", "told"),
    [
        ({"model": "faq"}, {"x_prompt_variant": "nobody"}, "malformed", "faq@production has no variant 'nobody'; it has control, own, dark"),
        ({"model": "faq@staging"}, {"x_prompt_variant": "own"}, "malformed", "faq@staging:2 is not split into variants"),
        ({"model": "faq@latest"}, {"x_prompt_variant": "own"}, "malformed", "faq@latest:2 is not split into variants"),
        ({"model": "faq:2"}, {"x_prompt_variant": "own"}, "contradiction", "x-prompt-variant (own) pins a variant of an alias, but faq:2"),
        ({"model": "faq"}, {"x_prompt_variant": "own", "x_prompt_version": "2"}, "contradiction", "but faq:2 is a version"),
        ({"model": "faq"}, {"x_prompt_variant": "own", "x_prompt_alias": "staging"}, "malformed", "faq@staging:2 is not split"),
        ({}, {"x_prompt_variant": "own"}, "malformed", "given, but no prompt is named"),
        ({"model": "gpt 4"}, {"x_prompt_variant": "own"}, "malformed", "given, but no prompt is named"),
        ({"model": "gpt-4o-mini"}, {"x_prompt_variant": "own"}, "unknown_prompt", "no published prompt answers to gpt-4o-mini"),
    ],
)  # fmt: skip
async def test_a_pin_that_leads_nowhere_says_why(
    shop: Any, body: dict[str, object], headers: dict[str, str], kind: str, told: str
) -> None:
    error = await shop.fail(kind, body, **headers)
    assert told in error.detail
    assert error.param == ("x-prompt-variant" if kind != "unknown_prompt" else "prompt")
    assert shop.transport.requests == []


async def test_a_pin_goes_with_every_way_of_naming_the_alias(shop: Any, say: Any) -> None:
    for body, headers in (
        ({"model": "faq@production"}, {}),
        ({"prompt": {"id": "faq"}}, {}),
        ({"model": "gpt-4o"}, {"x_prompt": "faq"}),
        ({"model": "faq"}, {"x_prompt_alias": "production"}),
    ):
        shop.script(say.completion())
        answer = await shop.call(body, x_prompt_variant="control", **headers)
        assert answer.head["x-prompt-variant"] == "control"


async def test_an_alias_that_is_not_split_names_no_variant(shop: Any, say: Any) -> None:
    shop.script(say.completion())
    answer = await shop.call({"model": "faq@staging"}, x_prompt_unit="u1")
    assert "x-prompt-variant" not in answer.head
    assert shop.row.variant is None


async def test_a_version_in_the_place_of_a_split_takes_effect_at_once(shop: Any, say: Any) -> None:
    await served(shop, say)
    shop.releases.apply(shop.catalog.publish("app-1", "faq", 2))
    answer = await served(shop, say)
    assert (answer.head["x-prompt"], answer.head.get("x-prompt-variant")) == ("faq@production:2", None)


async def test_a_split_survives_in_the_snapshot(shop: Any) -> None:
    release = await shop.releases.release("app-1", FAQ)
    fresh = Releases(shop.catalog, shop.cache, shop.clock)
    fresh.restore(decode_snapshot(encode_snapshot(shop.releases.snapshot())))
    shop.catalog.available = shop.cache.available = False
    restored = await fresh.release("app-1", FAQ)
    for i in range(50):
        assert restored.split.choose(f"u{i}", None).facts.variant == release.split.choose(f"u{i}", None).facts.variant


async def test_a_split_with_one_bad_part_is_refused_whole(shop: Any) -> None:
    document = (await shop.releases.release("app-1", FAQ)).document
    good = document.split
    empty = structs.replace(good.variants[1].content, messages=[])
    for variants in (
        [good.variants[0], structs.replace(good.variants[1], content=empty)],
        [good.variants[0], structs.replace(good.variants[1], buckets=[(5_000, 9_999)])],
    ):
        with pytest.raises(GatewayError) as caught:
            compile_release(structs.replace(document, split=Split(good.id, good.salt, variants)))
        assert caught.value.kind is MALFORMED
