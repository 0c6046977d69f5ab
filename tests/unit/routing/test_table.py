import pytest
from msgspec import structs

from gateway.core.credentials import AccountKey
from gateway.core.errors import GatewayError
from gateway.core.upstream import Target, Timeouts
from gateway.routing.health import Rules
from gateway.routing.policy import Candidate, Condition, Policy
from gateway.routing.table import _WATCHED, MAX_ATTEMPTS, Route, RouteTable

OPENAI = Target("openai", "", "https://api.openai.com/v1", "k")
FIXED = Target("local", "llama-3", "http://127.0.0.1:1/v1", "")


def test_the_first_match_wins_and_an_empty_model_keeps_the_asked_one() -> None:
    table = RouteTable([Route(("fast",), (FIXED,)), Route(("gpt-*", "o?"), (OPENAI,)), Route(("*",), (FIXED, OPENAI))])
    assert table.plan("fast").targets == (FIXED,)
    assert [t.model for t in table.plan("gpt-4o").targets] == ["gpt-4o"]
    assert [t.model for t in table.plan("anything\nelse").targets] == ["llama-3", "anything\nelse"]
    assert table.plan("gpt-4o") is table.plan("gpt-4o")
    assert table.names == ["fast", "o?"]
    assert table.lists("fast")
    assert not table.lists("gpt-4o")


def test_only_the_star_is_special() -> None:
    table = RouteTable([Route(("a.c",), (FIXED,))])
    with pytest.raises(GatewayError) as caught:
        table.plan("abc")
    assert caught.value.kind.name == "unknown_model"
    assert caught.value.param == "model"


def test_the_memory_of_names_is_bounded() -> None:
    table = RouteTable([Route(("*",), (OPENAI,))])
    for i in range(10_000):
        table.plan(f"model-{i}")
    assert len(table._known) <= 4096


def test_a_plain_route_is_settled_once_and_shared_by_all_calls() -> None:
    table = RouteTable([Route(("*",), (FIXED, OPENAI))])
    plan = table.plan("m")
    assert plan.drawn(0, lambda: 0.5) is plan
    assert (plan.attempts, plan.groups, plan.when) == (2, (), None)


def test_a_plan_says_whether_its_answers_are_waited_for() -> None:
    hurried = structs.replace(FIXED, timeouts=Timeouts(first_token=1.0))
    hedged = Policy(hedge_after=0.5)
    table = RouteTable(
        [
            Route(("a",), (FIXED,)),
            Route(("b",), (FIXED, hurried)),
            Route(("c",), (FIXED, OPENAI), hedged),
            Route(("*",), (OPENAI,)),
        ]
    )
    assert [table.plan(name).patient for name in "abcd"] == [True, False, False, True]


def test_routes_to_the_same_target_share_what_is_known_of_it() -> None:
    table = RouteTable([Route(("a",), (FIXED,)), Route(("b",), (OPENAI, FIXED))])
    assert table.plan("a").stops[0].health is table.plan("b").stops[1].health
    assert table.plan("b").stops[0].health is not table.plan("b").stops[1].health
    assert table.plan("a").stops[0].account is table.accounts["local"]


def test_each_key_of_an_account_makes_a_target() -> None:
    table = RouteTable([Route(("*",), (Candidate(OPENAI, keys=("k2", "k", "k3")),))])
    (stop,) = table.plan("m").stops
    assert [target.api_key for target in stop.targets] == ["k", "k2", "k3"]
    assert stop.account.keys.size == 3
    (keyless,) = RouteTable([Route(("*",), (FIXED,))]).plan("m").stops
    assert [target.api_key for target in keyless.targets] == [""]


def test_a_call_that_meets_no_condition_goes_on_to_the_next_route() -> None:
    batch = Policy(when=Condition(tags=frozenset({"batch"})))
    table = RouteTable([Route(("m*",), (FIXED,), batch), Route(("x",), (FIXED,)), Route(("*",), (OPENAI,))])
    plan = table.plan("model")
    assert plan.when is not None
    assert plan.targets == (FIXED,)
    assert plan.otherwise is not None
    assert [target.provider for target in plan.otherwise.targets] == ["openai"]
    alone = RouteTable([Route(("m",), (FIXED,), batch)]).plan("m")
    assert alone.otherwise is None


def test_draws_are_made_for_each_call_and_only_where_there_is_a_choice() -> None:
    both = (Candidate(FIXED, weight=1), Candidate(OPENAI, weight=3))
    table = RouteTable([Route(("w",), both, Policy("weighted")), Route(("l",), both, Policy("least_latency"))])
    plan = table.plan("w")
    assert [stop.target.provider for stop in plan.drawn(0, lambda: 0.1).stops] == ["local", "openai"]
    assert [stop.target.provider for stop in plan.drawn(0, lambda: 0.9).stops] == ["openai", "local"]
    quick = table.plan("l")
    quick.stops[0].health.latency.saw(2.0, 0)
    quick.stops[1].health.latency.saw(1.0, 0)
    assert [stop.target.provider for stop in quick.drawn(0, lambda: 0.0).stops] == ["openai", "local"]
    assert RouteTable([Route(("w",), (FIXED,), Policy("weighted"))]).plan("w").groups == ()


def test_attempts_are_bounded() -> None:
    assert RouteTable([Route(("*",), (OPENAI,), Policy(attempts=3))]).plan("m").attempts == 3
    assert RouteTable([Route(("*",), (OPENAI,), Policy(attempts=100))]).plan("m").attempts == MAX_ATTEMPTS


def test_the_states_of_targets_are_bounded() -> None:
    table = RouteTable([Route(("*",), (OPENAI,))], Rules())
    for i in range(_WATCHED + 10):
        table.plan(f"model-{i}")
    assert len(table.health) == _WATCHED + 1
    assert table.plan("one-more").stops[0].health.name == "openai/*"


def test_patterns_with_many_stars_are_matched_in_linear_time() -> None:
    table = RouteTable([Route(("*a" * 60 + "b", "line*end"), (FIXED,))])
    with pytest.raises(GatewayError, match="no route serves"):
        table.plan("a" * 100_000)
    assert table.plan("line\n*end").targets == (FIXED,)


def test_a_call_to_an_account_itself_uses_its_keys_and_has_a_health_of_its_purpose() -> None:
    table = RouteTable([Route(("*",), (OPENAI,))])
    plan = table.direct(Candidate(OPENAI, keys=("k2",)), "/v1/files")
    assert [target.api_key for target in plan.stops[0].targets] == ["k", "k2"]
    assert plan.stops[0].health is not table.plan("m").stops[0].health
    assert plan.stops[0].account is table.plan("m").stops[0].account
    own = table.over([Route(("*",), (OPENAI,))], {"openai": (AccountKey("mine", "c1"),)})
    (target,) = own.direct(Candidate(OPENAI), "/v1/files").stops[0].targets
    assert (target.api_key, target.credential, "mine" in repr(AccountKey("mine"))) == ("mine", "c1", False)
    locked = table.over([Route(("*",), (OPENAI,))], {"openai": ()})
    for ask in (lambda: locked.direct(Candidate(OPENAI), "/v1/files"), lambda: locked.plan("m")):
        with pytest.raises(GatewayError, match="has no key that opens") as caught:
            ask()
        assert caught.value.kind.name == "not_configured"


def test_plans_that_were_made_keep_their_keys_when_others_take_their_place() -> None:
    table = RouteTable([Route(("*",), (OPENAI,))])
    before = table.plan("m")
    table.replace([Route(("*",), (OPENAI,))], {"openai": tuple(map(AccountKey, ("one", "two", "three")))})
    after = table.plan("m")
    assert [len(plan.stops[0].targets) for plan in (before, after)] == [1, 3]
    assert [plan.stops[0].account.keys.size for plan in (before, after)] == [1, 3], "an index of one ring fits its own targets"
    assert table.has_stored("openai")
    assert not table.has_stored("fixed")
