"""What only Redis can show of the counters' scripts: their calendar against Python's, and their keys."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import redis
import redis.asyncio

from gateway.core.limits import Ask
from gateway.limits.windows import end_of, number_of
from gateway.storage.redis.limits import RedisLimits
from gateway.storage.redis.link import Link

CALENDAR = (Path(__file__).parents[2] / "gateway" / "storage" / "redis" / "calendar.lua").read_text()
ASK = """
local answer = {}
for i = 2, #ARGV do
    local number = number_of(ARGV[1], tonumber(ARGV[i]))
    answer[#answer + 1] = string.format('%.0f', number)
    answer[#answer + 1] = string.format('%.0f', end_of(ARGV[1], number))
end
return answer
"""


def test_months_in_lua_are_those_of_the_calendar(clean_redis: str) -> None:
    moments = [datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC) + timedelta(days=i * 13, hours=i % 24) for i in range(4000)]
    stamps = [int(moment.timestamp()) * 1000 + 999 for moment in moments]
    with redis.Redis.from_url(clean_redis) as client:
        for window in ("second", "minute", "hour", "day", "month", "none"):
            answer = [int(text) for text in client.eval(CALENDAR + ASK, 0, window, *stamps)]  # type: ignore[union-attr]
            numbers = [number_of(window, stamp) for stamp in stamps]
            assert answer[::2] == numbers
            assert answer[1::2] == [end_of(window, number) for number in numbers]


async def test_keys_lie_in_the_slot_of_their_application_and_expire(clean_redis: str) -> None:
    link = Link(clean_redis, lambda: 0.0, timeout_s=5)
    client = redis.asyncio.Redis.from_url(clean_redis)
    try:
        store = RedisLimits(link, lambda: 0.0)
        assert await store.turn("app", "worker", 30)
        assert await store.seed("app", [], "more")
        assert await store.charge("app", "call", 0, [])
        short = {b"pg:limit:{app}:known:claim", b"pg:limit:{app}:known:charged:call"}
        assert {key for key in await client.keys() if 0 < await client.ttl(key) <= 86_400} == short
        assert await store.seed("app", [], "first")
        assert await store.reserve("app", "call", 30, [Ask("a", "minute", 5, 1), Ask("b", "none", 5, 1), Ask("c", "day", 5, 1)])
        keys = [key.decode() for key in await client.keys()]
        assert len(keys) == 6 + 1 + 1
        for key in keys:
            assert key.startswith("pg:limit:{app}:")
            assert 0 < await client.ttl(key) <= (92 * 86_400 if key.endswith(":known") else 86_400 + 60)
    finally:
        await client.aclose()
        await link.close()
