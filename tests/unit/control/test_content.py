"""What is stored of a content: equal meanings have equal hashes, and a cache is part of what is meant."""

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from gateway.control.versions.content import checked
from gateway.core.documents import MAX_CACHE_SECONDS, VersionContent, canonical
from gateway.core.errors import GatewayError


def content(**fields: Any) -> VersionContent:
    return msgspec.convert({"messages": [{"type": "message", "role": "user", "content": "x"}], **fields}, VersionContent)


async def stored(**fields: Any) -> bytes:
    services = SimpleNamespace(guard_endpoints=frozenset({"rules"}))
    return canonical(await checked(services, content(**fields)))  # type: ignore[arg-type]


async def test_a_cache_that_says_nothing_does_not_change_the_hash():
    plain = await stored()
    assert b"cache" not in plain
    for silent in ({}, {"ttl_seconds": 0}, {"coalesce": False}):
        assert await stored(cache=silent) == plain


async def test_a_content_names_endpoints_that_are_configured():
    def asking(endpoint: str) -> dict[str, Any]:
        return {"pre_validation": {"validators": [{"type": "http", "options": {"endpoint": endpoint}}]}}

    assert await stored(guardrails=asking("rules"))
    with pytest.raises(GatewayError, match="no guard endpoint is called 'rule'"):
        await stored(guardrails=asking("rule"))


async def test_a_cache_is_content():
    hashes = {
        await stored(cache=cache)
        for cache in ({}, {"coalesce": True}, {"ttl_seconds": 1}, {"ttl_seconds": 2}, {"ttl_seconds": 1, "coalesce": True})
    }
    assert len(hashes) == 5


@pytest.mark.parametrize(
    "cache",
    [{"ttl_seconds": -1}, {"ttl_seconds": MAX_CACHE_SECONDS + 1}, {"ttl_seconds": 1.5}, {"coalesce": "yes"}, {"ttl": 1}],
)
def test_a_bad_cache_is_refused_naming_the_field(cache: dict[str, Any]):
    with pytest.raises(msgspec.ValidationError, match="cache"):
        content(cache=cache)
