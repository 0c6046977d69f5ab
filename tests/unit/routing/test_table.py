import pytest

from gateway.core.errors import GatewayError
from gateway.core.upstream import Target
from gateway.routing.table import Route, RouteTable

OPENAI = Target("openai", "", "https://api.openai.com/v1", "k")
FIXED = Target("local", "llama-3", "http://127.0.0.1:1/v1", "")


def test_the_first_match_wins_and_an_empty_model_keeps_the_asked_one() -> None:
    table = RouteTable([Route(("fast",), (FIXED,)), Route(("gpt-*", "o?"), (OPENAI,)), Route(("*",), (FIXED, OPENAI))])
    assert table.plan("fast") == (FIXED,)
    assert [t.model for t in table.plan("gpt-4o")] == ["gpt-4o"]
    assert [t.model for t in table.plan("anything\nelse")] == ["llama-3", "anything\nelse"]
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
