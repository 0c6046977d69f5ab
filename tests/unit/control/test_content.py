"""What is stored of a content: equal meanings have equal hashes, and a cache is part of what is meant."""

from typing import Any

import msgspec
import pytest

from gateway.control.versions.content import checked
from gateway.core.documents import MAX_CACHE_SECONDS, VersionContent, canonical


def content(**fields: Any) -> VersionContent:
    return msgspec.convert({"messages": [{"type": "message", "role": "user", "content": "x"}], **fields}, VersionContent)


def test_a_cache_that_says_nothing_does_not_change_the_hash():
    plain = canonical(checked(content()))
    assert b"cache" not in plain
    for silent in ({}, {"ttl_seconds": 0}, {"coalesce": False}):
        assert canonical(checked(content(cache=silent))) == plain


def test_a_cache_is_content():
    hashes = {
        canonical(checked(content(cache=cache)))
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
