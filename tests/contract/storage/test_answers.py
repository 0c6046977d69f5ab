"""What every AnswerStore does: the memory twin, Redis and Redis Cluster pass the same assertions."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from gateway.core.ports import PIECES, AnswerStore, Swap
from gateway.storage.memory.answers import MAX_ENTRIES, MAX_ROWS, MemoryAnswers
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


async def test_a_row_grows_at_its_end_and_is_read_in_order(answers: AnswerStore, app: str) -> None:
    assert await answers.after(app, "n", 0) == []
    for number in (1, 2, 3):
        assert await answers.append(app, "n", number, b"%d" % number, LONG, oldest=1)
    assert await answers.append(app, "n", 2, b"again", LONG, oldest=1)
    assert await answers.after(app, "n", 0) == [(1, b"1"), (2, b"2"), (3, b"3")]
    assert await answers.after(app, "n", 2) == [(3, b"3")]
    assert await answers.after(app, "n", 3) == await answers.after(app, "m", 0) == await answers.after(app + "x", "n", 0) == []


async def test_of_a_row_the_oldest_pieces_go_and_few_are_read_at_once(answers: AnswerStore, app: str) -> None:
    for number in range(1, 2 * PIECES + 1):
        assert await answers.append(app, "n", number, b"x", LONG, oldest=max(1, number - PIECES))
    found = await answers.after(app, "n", 0)
    assert [number for number, _ in found] == list(range(PIECES, 2 * PIECES))


async def test_a_row_ends_by_itself_and_may_begin_anew(answers: AnswerStore, app: str) -> None:
    assert await answers.append(app, "n", 1, b"old", 0.02, oldest=1)
    await asyncio.sleep(0.05)
    assert await answers.after(app, "n", 0) == []
    assert await answers.append(app, "n", 2, b"new", LONG, oldest=1)
    assert await answers.after(app, "n", 0) == [(2, b"new")]


async def test_pieces_that_were_forged_or_moved_are_missing(redis_url: str, app: str) -> None:
    link = Link(redis_url, time.monotonic, timeout_s=2)
    answers = RedisAnswers(link, b"secret")
    key = f"pg:{app}:answer:n"
    await answers.append(app, "n", 1, b"mine", LONG, oldest=1)
    async with Redis.from_url(redis_url) as client:
        ((_, fields),) = await client.xrange(key)
        await client.xadd(key, {"piece": fields[b"piece"]}, id="2-0")
        await client.xadd(key, {"other": b"x"}, id="3-0")
        await client.xadd(key, {"piece": b"short"}, id="4-0")
    assert await answers.after(app, "n", 0) == [(1, b"mine")]
    assert answers.rejected == 3
    await link.close()


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
        assert not await answers.append(app, "n", 1, b"mine", LONG, oldest=1)
        assert await answers.after(app, "n", 0) == []
    await link.close()


async def test_memory_is_bounded() -> None:
    answers = MemoryAnswers(lambda: 0.0)
    for i in range(MAX_ENTRIES + 5):
        await answers.put("app", str(i), b"x", LONG)
    assert await answers.get("app", "4") is None
    assert await answers.get("app", "5") == b"x"
    for i in range(MAX_ROWS + 1):
        await answers.append("app", str(i), 1, b"x", LONG, oldest=1)
    assert (await answers.after("app", "0", 0), await answers.after("app", "1", 0)) == ([], [(1, b"x")])
