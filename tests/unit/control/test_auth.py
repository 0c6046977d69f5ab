"""The door of the admin API."""

from types import SimpleNamespace
from typing import Any

import pytest

from gateway.control.auth import actor, admin_guard
from gateway.core.errors import UNAUTHENTICATED, GatewayError


def enter(token: str, header: str | None) -> None:
    connection: Any = SimpleNamespace(headers={} if header is None else {"authorization": header})
    handler: Any = None
    admin_guard(token)(connection, handler)


@pytest.mark.parametrize("header", ["Bearer secret", "bearer secret", "Bearer  secret "])
def test_the_token_opens(header: str):
    enter("secret", header)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "secret",
        "Bearer",
        "Bearer ",
        "Bearer secre",
        "Bearer secrets",
        "Basic secret",
        "Bearer sécret",
        "Token secret",
    ],
)
def test_anything_else_does_not(header: str | None):
    with pytest.raises(GatewayError) as caught:
        enter("secret", header)
    assert caught.value.kind is UNAUTHENTICATED
    assert "secret" not in caught.value.detail


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer "])
def test_an_empty_token_opens_for_nobody(header: str | None):
    with pytest.raises(GatewayError):
        enter("", header)


def test_the_actor_is_a_remark_on_the_shared_token():
    assert actor(None) == "admin"
    assert actor("ann@example.org") == "admin:ann@example.org"


@pytest.mark.parametrize("name", ["", "a b", "a\n", "<script>", "x" * 65])
def test_a_strange_actor_is_refused(name: str):
    with pytest.raises(GatewayError) as caught:
        actor(name)
    assert caught.value.param == "x-actor"
