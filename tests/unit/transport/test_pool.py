"""Slots: who gets them, in which order, and that none is ever lost."""

import asyncio

import pytest

from gateway.transport.pool import Pool


class Fake:
    def __init__(self) -> None:
        self.idle_since = 0.0
        self.dismissed = False

    def dismiss(self) -> None:
        self.dismissed = True


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def test_a_slot_is_free_until_the_maximum(clock: Clock) -> None:
    pool: Pool[Fake] = Pool(2, 10, clock)
    assert pool.take() is None
    assert await pool.claim(1) is None
    assert await pool.claim(1) is None
    assert (pool.size, pool.in_use) == (2, 2)
    with pytest.raises(TimeoutError):
        await pool.claim(0.01)
    assert (pool.size, pool.waiting) == (2, 0)


async def test_last_in_first_out(clock: Clock) -> None:
    pool: Pool[Fake] = Pool(2, 10, clock)
    a, b = Fake(), Fake()
    await pool.claim(1)
    await pool.claim(1)
    pool.give(a)
    pool.give(b)
    assert pool.in_use == 0
    assert pool.take() is b
    assert pool.take() is a
    assert (pool.take(), pool.in_use, pool.reused) == (None, 2, 2)
    pool.close()


async def test_waiters_in_their_order_with_and_without_a_connection(clock: Clock) -> None:
    pool: Pool[Fake] = Pool(1, 10, clock)
    await pool.claim(1)
    got: list[tuple[int, Fake | None]] = []

    async def wait(number: int) -> None:
        got.append((number, await pool.claim(1)))

    tasks = []
    for number in range(3):
        tasks.append(asyncio.ensure_future(wait(number)))
        await asyncio.sleep(0)
    assert pool.waiting == 3
    connection = Fake()
    pool.give(connection)
    # The one who came first has it; nobody can take it in passing.
    assert pool.take() is None
    await asyncio.sleep(0)
    pool.vacate()
    await asyncio.sleep(0)
    pool.give(connection)
    await asyncio.gather(*tasks)
    assert got == [(0, connection), (1, None), (2, connection)]
    assert (pool.size, pool.in_use) == (1, 1)


async def test_a_cancelled_waiter_is_passed_over(clock: Clock) -> None:
    pool: Pool[Fake] = Pool(1, 10, clock)
    await pool.claim(1)
    first, second = asyncio.ensure_future(pool.claim(1)), asyncio.ensure_future(pool.claim(1))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert pool.waiting == 1
    connection = Fake()
    pool.give(connection)
    assert await second is connection


@pytest.mark.parametrize("with_connection", [True, False])
async def test_what_was_handed_to_one_who_is_cancelled_in_the_same_turn_goes_on(clock: Clock, *, with_connection: bool) -> None:
    pool: Pool[Fake] = Pool(1, 10, clock)
    await pool.claim(1)
    first, second = asyncio.ensure_future(pool.claim(1)), asyncio.ensure_future(pool.claim(1))
    await asyncio.sleep(0)
    connection = Fake()
    pool.give(connection) if with_connection else pool.vacate()
    first.cancel()
    assert await second is (connection if with_connection else None)
    assert first.cancelled()
    assert (pool.size, pool.waiting) == (1, 0)


async def test_a_slot_nobody_waits_for_is_freed(clock: Clock) -> None:
    pool: Pool[Fake] = Pool(1, 10, clock)
    await pool.claim(1)
    pool.vacate()
    assert pool.size == 0


async def test_only_an_idle_connection_is_forgotten(clock: Clock) -> None:
    pool: Pool[Fake] = Pool(2, 10, clock)
    connection = Fake()
    await pool.claim(1)
    pool.forget(connection)
    assert pool.size == 1
    pool.give(connection)
    pool.forget(connection)
    assert (pool.size, pool.take()) == (0, None)
    pool.close()


async def test_the_old_are_reaped_and_the_young_kept(clock: Clock) -> None:
    pool: Pool[Fake] = Pool(2, 10, clock)
    old, young = Fake(), Fake()
    await pool.claim(1)
    await pool.claim(1)
    pool.give(old)
    clock.now += 6
    pool.give(young)
    clock.now += 4
    pool.reap()
    assert (old.dismissed, young.dismissed, pool.size) == (True, False, 1)
    clock.now += 6
    pool.reap()
    assert (young.dismissed, pool.size) == (True, 0)


async def test_close_dismisses_what_is_idle_and_what_comes_back(clock: Clock) -> None:
    pool: Pool[Fake] = Pool(2, 10, clock)
    idle = Fake()
    await pool.claim(1)
    await pool.claim(1)
    pool.give(idle)
    pool.close()
    assert (idle.dismissed, pool.size, pool.in_use) == (True, 1, 1)
    late = Fake()
    pool.give(late)
    assert (late.dismissed, pool.size) == (True, 0)
