"""What every AnswerStore does: the memory twin, Redis and Redis Cluster pass the same assertions."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from gateway.core.ports import AnswerStore, Swap
from gateway.storage.memory.answers import MAX_ENTRIES, MemoryAnswers
from gateway.storage.redis.answers import RedisAnswers
from gateway.storage.redis.link import Link

DONE = Swap(done=True, found=None)
LONG = 100.0


@pytest.fixture
async def answers(server: str | None) -> AsyncIterator[AnswerStore]:
    if server is None:
        yield MemoryAnswers(time.monotonic)
        return
    link = Link(server, time.monotonic, timeout_s=2)
    yield RedisAnswers(link, b"secret")
    await link.close()


@pytest.fixture
def app() -> str:
    return secrets.token_hex(8)


async def test_what_was_put_is_got_by_its_application_only(answers: AnswerStore, app: str) -> None:
    assert await answers.get(app, "n") is None
    await answers.put(app, "n", b"\x00answer", LONG)
    assert await answers.get(app, "n") == b"\x00answer"
    assert await answers.get(app + "x", "n") is None
    assert await answers.get(app, "m") is None
    await answers.put(app, "n", b"newer", LONG)
    assert await answers.get(app, "n") == b"newer"


async def test_a_claim_is_renewed_fulfilled_and_released_by_its_owner_only(answers: AnswerStore, app: str) -> None:
    assert await answers.swap(app, "n", None, b"mine", LONG) == DONE
    assert await answers.swap(app, "n", None, b"yours", LONG) == Swap(done=False, found=b"mine")
    assert await answers.swap(app, "n", b"yours", None) == Swap(done=False, found=b"mine")
    assert await answers.swap(app, "n", b"mine", b"mine", LONG) == DONE
    assert await answers.swap(app, "n", b"mine", b"answer", LONG) == DONE
    assert await answers.swap(app, "n", None, b"yours", LONG) == Swap(done=False, found=b"answer")
    assert await answers.swap(app, "n", b"answer", None) == DONE
    assert await answers.swap(app, "n", b"answer", None) == Swap(done=False, found=None)
    assert await answers.get(app, "n") is None


async def test_what_is_kept_ends_by_itself(answers: AnswerStore, app: str) -> None:
    await answers.put(app, "n", b"brief", 0.02)
    assert await answers.swap(app, "m", None, b"brief", 0.02) == DONE
    await asyncio.sleep(0.05)
    assert await answers.get(app, "n") is None
    assert await answers.swap(app, "m", None, b"next", LONG) == DONE


async def test_of_racing_claims_one_is_granted(answers: AnswerStore, app: str) -> None:
    got = await asyncio.gather(*(answers.swap(app, "n", None, b"%d" % i, LONG) for i in range(40)))
    assert sum(swap is not None and swap.done for swap in got) == 1
    winner = next(i for i, swap in enumerate(got) if swap is not None and swap.done)
    assert {swap.found for swap in got if swap is not None and not swap.done} == {b"%d" % winner}


async def test_an_application_cannot_swap_what_lies_in_another(answers: AnswerStore, app: str) -> None:
    await answers.put(app, "n", b"mine", LONG)
    assert await answers.swap(app + "x", "n", b"mine", b"yours", LONG) == Swap(done=False, found=None)
    assert await answers.swap(app + "x", "n", None, b"theirs", LONG) == DONE
    assert await answers.get(app, "n") == b"mine"


@pytest.mark.parametrize("rubbish", [b"", b"short", b"x" * 500, "moved", "list"])
async def test_what_was_tampered_with_is_nothing(redis_url: str, app: str, rubbish: bytes | str) -> None:
    link = Link(redis_url, time.monotonic, timeout_s=2)
    answers = RedisAnswers(link, b"secret")
    key = f"pg:{app}:answer:n"
    async with Redis.from_url(redis_url) as client:
        if rubbish == "moved":
            await answers.put(app, "m", b"another answer", LONG)
            await client.copy(f"pg:{app}:answer:m", key)
        elif rubbish == "list":
            await client.lpush(key, b"x")
        else:
            await client.set(key, rubbish)
    if rubbish != "list":
        assert await answers.get(app, "n") is None
        assert answers.rejected == 1
    assert await answers.swap(app, "n", None, b"mine", LONG) == DONE
    assert await answers.get(app, "n") == b"mine"
    await link.close()


async def test_a_store_that_is_away_says_so(app: str) -> None:
    link = Link("redis://127.0.0.1:1/0", time.monotonic)
    for answers in (RedisAnswers(link, b"secret"), MemoryAnswers(time.monotonic)):
        if isinstance(answers, MemoryAnswers):
            answers.available = False
        assert await answers.get(app, "n") is None
        assert await answers.swap(app, "n", None, b"mine", LONG) is None
        await answers.put(app, "n", b"mine", LONG)
        assert await answers.get(app, "n") is None
    await link.close()


async def test_memory_is_bounded() -> None:
    answers = MemoryAnswers(lambda: 0.0)
    for i in range(MAX_ENTRIES + 5):
        await answers.put("app", str(i), b"x", LONG)
    assert await answers.get("app", "4") is None
    assert await answers.get("app", "5") == b"x"
