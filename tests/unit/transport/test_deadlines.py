"""The wheel turns while somebody is busy, and only then."""

import asyncio

from gateway.transport.deadlines import Wheel


class Member:
    def __init__(self, turns: int = 0) -> None:
        self.turns = turns
        self.seen: list[float] = []

    def check(self, now: float) -> bool:
        self.seen.append(now)
        self.turns -= 1
        return self.turns > 0


async def test_it_comes_back_until_nobody_is_busy() -> None:
    wheel = Wheel(lambda: 7.0, tick=0.001)
    busy, idle = Member(3), Member(0)
    wheel.add(busy)
    wheel.add(idle)
    wheel.wind()
    wheel.wind()
    await asyncio.sleep(0.05)
    assert busy.seen == [7.0] * 3
    assert idle.seen == [7.0] * 3
    wheel.wind()
    await asyncio.sleep(0.02)
    assert len(busy.seen) == 4


async def test_the_removed_are_left_alone() -> None:
    wheel = Wheel(lambda: 7.0)
    member = Member(5)
    wheel.add(member)
    wheel.remove(member)
    wheel.remove(member)
    wheel.turn()
    assert member.seen == []


async def test_stop_is_the_end_of_time() -> None:
    wheel = Wheel(lambda: 7.0, tick=0.001)
    member = Member(5)
    wheel.add(member)
    wheel.wind()
    wheel.stop()
    await asyncio.sleep(0.01)
    assert member.seen == [float("inf")]
