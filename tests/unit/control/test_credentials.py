"""What the admin API says about credentials before any store is asked."""

import secrets
from typing import Any, cast

import httpx
import pytest
from litestar import Litestar

from gateway.control.credentials.schemas import NewCredential, NewSecret, hint_of
from gateway.control.openapi import ContentSchema
from gateway.control.problems import HANDLERS
from gateway.control.routes import PATH, control_router
from gateway.control.services import ControlServices
from gateway.settings import Provider
from gateway.storage.vault import Vault

SECRET = "sk-canary-0123456789"
NOWHERE = cast("Any", None)


def services(*keys: bytes) -> ControlServices:
    return ControlServices(
        registry=NOWHERE,
        calls=NOWHERE,
        prices=NOWHERE,
        money=NOWHERE,
        cache=NOWHERE,
        counters=NOWHERE,
        probes=(),
        random_bytes=secrets.token_bytes,
        clock=NOWHERE,
        monotonic=NOWHERE,
        vault=Vault(keys, secrets.token_bytes),
        providers={"openai": Provider("openai")},
        targets=NOWHERE,
    )


async def refused(method: str, path: str, body: object) -> httpx.Response:
    app = Litestar(
        [control_router(services(), "t")], exception_handlers=HANDLERS, plugins=[ContentSchema()], logging_config=None
    )
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://gateway", headers={"authorization": "Bearer t"}
    ) as client:
        return await client.request(method, f"{PATH}{path}", json=body)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/credentials", {"provider": "openai", "secret": SECRET}),
        ("PUT", "/credentials/0190a0a0-0000-7000-8000-000000000000", {"secret": SECRET}),
        ("POST", "/credentials/rotate-key", None),
    ],
)
async def test_without_a_key_the_api_says_what_is_missing(method: str, path: str, body: object) -> None:
    answer = await refused(method, path, body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (501, "not_configured")
    assert "PROMPTGATE_SECURITY_CREDENTIALS_KEY" in error["message"]
    assert SECRET not in answer.text


def test_a_hint_is_no_large_part_of_the_secret() -> None:
    assert hint_of(SECRET) == "6789"
    assert hint_of("fifteen-of-them") == ""


def test_what_was_sent_is_not_shown_where_it_is_printed() -> None:
    for sent in (NewCredential("openai", SECRET), NewSecret(SECRET)):
        assert SECRET not in f"{sent} {sent!r}"
