"""What would become of a call: the same decisions as the call's own, and none of its effects."""

from typing import Any

import msgspec
import pytest

from gateway.core.documents import AnswerCache
from gateway.core.errors import GatewayError
from gateway.core.limits import LimitRule
from gateway.edge import doors
from gateway.pipeline.explain import PER_MINUTE
from gateway.pipeline.serve import serve
from gateway.routing.table import Route, RouteTable
from tests.unit.pipeline.workers import settled


async def explained(world: Any, body: object, status: int = 200, **headers: str) -> Any:
    inbound = msgspec.structs.replace(world.inbound(body, **headers), door=doors.name_of("POST", "/v1/explain"))
    caller = world.caller()
    await doors.answer("POST", "/v1/explain", inbound, world.services, caller)
    assert caller.status == status, caller.body
    return caller.json


@pytest.fixture
def shop(world: Any, say: Any) -> Any:
    world.publish(
        "faq",
        ("system", "You are {{ tone }}."),
        ("user", "{{ q }}"),
        variables={"type": "object", "required": ["q"], "properties": {"tone": {"type": "string", "default": "kind"}}},
        model="gpt-4o-mini",
        params={"temperature": 0, "max_tokens": 100},
        overridable=["temperature"],
        guardrails=say.guardrails(pre=["bomb"], post=["secret"]),
    )
    return world


def ask(**fields: Any) -> dict[str, Any]:
    return {"model": "faq", "messages": [], "variables": {"q": "why so?"}, **fields}


async def test_the_whole_path_is_told_and_nothing_happens(shop: Any) -> None:
    told = await explained(shop, ask(temperature=0.5), x_session_id="s1", x_tags="a,b")
    assert told["answerable"] is True
    assert not {"error", "refused_by", "recall"} & told.keys()
    assert told["request"] == {
        "model": "faq",
        "prompt": "faq@production",
        "stream": False,
        "unit": "s1",
        "session": "s1",
        "tags": ["a", "b"],
    }
    resolved = told["resolve"]
    assert (resolved["prompt"], resolved["alias"], resolved["version"]) == ("faq@production:1", "production", 1)
    assert (resolved["model"], resolved["params"]) == ("gpt-4o-mini", {"temperature": 0.5, "max_tokens": 100})
    assert [m["content"] for m in told["render"]["messages"]] == ["You are kind.", "why so?"]
    assert told["render"]["input_tokens"] == 5
    assert told["guards"]["verdict"] == "allow"
    assert told["guards"]["guardrails"]["post_validation"]["prohibited_terms"] == ["secret"]
    (choice,) = told["route"]
    assert (choice["provider"], choice["model"]) == ("openai", "gpt-4o-mini")
    assert choice["input_cost_usd"] == pytest.approx(5 * 0.15e-6)
    assert choice["max_cost_usd"] == pytest.approx(5 * 0.15e-6 + 100 * 0.6e-6)
    assert told["limits"] == {"requests_per_minute": None, "remaining": None, "reset_seconds": None}
    assert shop.transport.requests == []
    assert shop.ledger.rows == []
    assert shop.ledger.steps == ["whole"]


async def test_what_it_tells_is_what_the_call_does(shop: Any, say: Any) -> None:
    told = await explained(shop, ask(temperature=0.5, top_p=1))
    shop.script(say.completion())
    await shop.call(ask(temperature=0.5, top_p=1))
    ((target, request),) = shop.transport.requests
    sent = msgspec.json.decode(request.body)
    assert sent == {"model": target.model, "messages": told["render"]["messages"], **told["resolve"]["params"]}
    assert told["route"][0]["provider"] == target.provider


@pytest.mark.parametrize(
    ("body", "verb", "kind", "param", "parts"),
    [
        (ask(model="faq:9"), "resolve", "unknown_prompt", "prompt", set()),
        (ask(max_tokens=5), "resolve", "malformed", "max_tokens", set()),
        (ask(variables={}), "render", "missing_variable", "q", {"resolve"}),
        (
            ask(variables={"q": "a bomb"}),
            "guard_in",
            "blocked",
            "pre:prohibited_terms",
            {"resolve", "render", "guards", "route"},
        ),
        (
            {"model": "nobody", "messages": [{"role": "user", "content": "x"}]},
            "route",
            "unknown_model",
            "model",
            {"resolve", "render"},
        ),
    ],
)
async def test_a_refusal_is_told_in_its_place_as_the_call_would_be_refused(
    shop: Any, body: Any, verb: str, kind: str, param: str, parts: set[str]
) -> None:
    routes = RouteTable([Route(("gpt-*",), shop.targets)])
    services = msgspec.structs.replace(shop.services, routes=routes)
    caller = shop.caller()
    await doors.answer("POST", "/v1/explain", shop.inbound(body), services, caller)
    told = caller.json
    assert (caller.status, told["answerable"], told["refused_by"], told["error"]["kind"]) == (200, False, verb, kind)
    assert told["error"]["param"] == param
    assert {"resolve", "render", "guards", "route"} & told.keys() == parts
    error = await fails(shop, services, body)
    assert (error.kind.name, error.detail, error.status) == (kind, told["error"]["message"], told["error"]["status"])


async def fails(shop: Any, services: Any, body: Any) -> Any:
    with pytest.raises(GatewayError) as caught:
        await serve(shop.inbound(body), services, shop.caller(), shop.dialect)
    return caught.value


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [(b"{", {}, 400), (ask(n=99), {}, 400), (ask(), {"x_prompt": "other"}, 200), (ask(), {"authorization": "Bearer x"}, 401)],
)
async def test_what_cannot_be_read_is_refused(shop: Any, body: Any, headers: dict[str, str], status: int) -> None:
    await explained(shop, body, status, **headers)


async def test_a_kept_answer_is_told(world: Any, say: Any) -> None:
    world.publish("kept", ("user", "{{ q }}"), cache=AnswerCache(ttl_seconds=60, coalesce=True))
    body = {"model": "kept", "messages": [], "variables": {"q": "x"}}
    assert (await explained(world, body))["recall"]["state"] == "miss"
    world.script(say.completion())
    await world.call(body)
    await settled(world.memory)
    told = (await explained(world, body))["recall"]
    assert (told["state"], told["cache"]) == ("hit", {"ttl_seconds": 60, "coalesce": True})
    assert len(told["name"]) == 64
    await world.answers.put("app-1", f"flight:{told['name']}", b"a call of another worker", 10)
    assert (await explained(world, body))["recall"]["state"] == "coalesced"


async def test_a_plain_model_has_neither_prompt_nor_guards(world: Any, say: Any) -> None:
    told = await explained(world, say.chat(model="unpriced-model"))
    assert not {"guards", "recall"} & told.keys()
    assert told["resolve"] == {"model": "unpriced-model", "params": {}}
    assert told["route"] == [{"provider": "openai", "model": "unpriced-model", "input_cost_usd": None, "max_cost_usd": None}]


async def test_limits_are_told_and_not_taken_but_explanations_have_their_own(shop: Any, say: Any) -> None:
    shop.allow(requests_per_minute=10)
    assert (await explained(shop, ask()))["limits"] == {"requests_per_minute": 10, "remaining": None, "reset_seconds": None}
    shop.script(say.completion())
    await shop.call(ask())
    for _ in range(PER_MINUTE - 1):
        assert (await explained(shop, ask()))["limits"]["remaining"] == 9
    refused = await explained(shop, ask(), status=429)
    assert refused["error"]["code"] == "rate_limit_exceeded"


def rule(name: str, metric: str, amount: int, window: str = "month", **fields: Any) -> LimitRule:
    return LimitRule(
        id=f"id-{name}", name=name, metric=metric, amount=amount, window=window, **{"scope": "application", **fields}
    )  # type: ignore[arg-type]


async def test_every_rule_is_told_with_its_standing_and_nothing_is_taken(shop: Any, say: Any) -> None:
    shop.allow(
        limits=[
            rule("calls", "requests", 5, scope="tag"),
            rule("words", "tokens", 1000, "day", scope="user", match="ann", hard=True),
            rule("money", "cost_nano", 10**9, shadow=True, scope="key"),
            rule("places", "concurrency", 2, "none"),
            rule("bundles", "requests", 100, "hour", mode="leased", scope="model"),
            rule("others", "requests", 0, scope="user", match="bob"),
        ]
    )
    asked = ask(user="ann")
    for _ in range(3):
        told = (await explained(shop, asked, x_tags="a,b"))["limits"]
    rules = {(each["name"], each["whose"]): each for each in told["rules"]}
    public_id = shop.key.public_id
    assert list(rules) == [
        ("calls", "a"), ("calls", "b"), ("words", "ann"), ("money", public_id), ("places", ""), ("bundles", "gpt-4o-mini"),
    ]  # fmt: skip
    assert all(each["used"] == 0 and each["remaining"] == each["limit"] and each["fits"] for each in rules.values())
    words = rules["words", "ann"]
    assert 0 < words.pop("reset_seconds") <= 86_400
    tokens = words.pop("needs")
    assert words == {
        "name": "words", "scope": "user", "whose": "ann", "metric": "tokens", "window": "day", "mode": "exact", "limit": 1000,
        "used": 0, "remaining": 1000, "fits": True, "hard": True,
    }  # fmt: skip
    assert tokens == 5 + 100
    assert rules["money", public_id]["shadow"] is True
    assert rules["money", public_id]["needs"] == 5 * 150 + 100 * 600
    assert rules["places", ""]["reset_seconds"] is None
    shop.script(say.completion())
    await shop.call(asked, x_tags="a,b")
    await shop.limits.after.close()
    after = {(e["name"], e["whose"]): e for e in (await explained(shop, asked, x_tags="a,b"))["limits"]["rules"]}
    assert [after["calls", tag]["used"] for tag in "ab"] == [1, 1]
    assert (after["places", ""]["used"], after["words", "ann"]["used"]) == (0, 12)
    # Ten are leased by this worker, of which nine are left for its calls.
    assert after["bundles", "gpt-4o-mini"]["remaining"] == 99
    assert after["bundles", "gpt-4o-mini"]["used"] > 1


async def test_a_limit_that_would_refuse_is_told_as_the_call_would_be_refused(shop: Any) -> None:
    shop.allow(limits=[rule("tight", "tokens", 50), rule("none", "requests", 0), rule("ghost", "requests", 0, shadow=True)])
    told = await explained(shop, ask(variables={"q": "a bomb"}))
    assert (told["answerable"], told["refused_by"]) == (False, "admit")
    assert [each["fits"] for each in told["limits"]["rules"]] == [True, False, False]
    error = await fails(shop, shop.services, ask())
    assert (error.kind.name, error.status) == (told["error"]["kind"], told["error"]["status"]) == ("rate_limited", 429)
    assert told["error"]["message"].partition(" It resets")[0] == error.detail.partition(" It resets")[0]
    # What comes after is told all the same.
    assert told["guards"]["verdict"] == "block"
    assert "route" in told


async def test_without_counters_the_rules_are_told_without_a_standing(shop: Any) -> None:
    shop.counters.available = False
    shop.allow(limits=[rule("open", "requests", 5)])
    told = await explained(shop, ask())
    assert told["answerable"] is True
    (open_rule,) = told["limits"]["rules"]
    assert [open_rule[field] for field in ("used", "remaining", "reset_seconds", "fits")] == [None] * 4
    shop.allow(limits=[rule("open", "requests", 5), rule("closed", "requests", 5, on_store_error="closed")])
    told = await explained(shop, ask())
    assert (told["refused_by"], told["error"]["kind"]) == ("admit", "store_unavailable")
    assert "'closed'" in told["error"]["message"]
