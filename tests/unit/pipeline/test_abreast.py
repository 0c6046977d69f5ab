"""Calls of one turn go side by side, in groups, and one that breaks holds nobody up."""

import asyncio
from typing import Any

from gateway.pipeline.abreast import ABREAST, Abreast, Steps


def walk(log: list[tuple[str, int]], name: str, steps: int) -> Steps:
    for step in range(steps):
        log.append((name, step))
        yield
    log.append((name, steps))


async def test_the_first_step_of_all_comes_before_the_second_of_any() -> None:
    log: list[tuple[str, int]] = []
    abreast = Abreast()
    for name, steps in (("a", 2), ("b", 1), ("c", 2)):
        abreast.join(walk(log, name, steps))
    assert log == []
    await asyncio.sleep(0)
    assert log == [("a", 0), ("b", 0), ("c", 0), ("a", 1), ("b", 1), ("c", 1), ("a", 2), ("c", 2)]


async def test_beyond_a_group_the_next_one_begins_when_the_first_has_ended() -> None:
    log: list[tuple[str, int]] = []
    abreast = Abreast()
    for number in range(ABREAST + 2):
        abreast.join(walk(log, str(number), 1))
    await asyncio.sleep(0)
    assert len(log) == 2 * (ABREAST + 2)
    assert log.index((str(ABREAST - 1), 1)) < log.index((str(ABREAST), 0)) < log.index((str(ABREAST), 1))


async def test_a_step_that_breaks_is_reported_and_its_companions_go_on() -> None:
    log: list[tuple[str, int]] = []
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))

    def broken() -> Steps:
        yield
        raise ValueError("bug")

    abreast = Abreast()
    abreast.join(walk(log, "a", 2))
    abreast.join(broken())
    abreast.join(walk(log, "b", 2))
    await asyncio.sleep(0)
    assert sorted(log) == [(name, step) for name in "ab" for step in range(3)]
    assert [str(context["exception"]) for context in told] == ["bug"]


async def test_who_joins_meanwhile_goes_in_the_next_turn() -> None:
    log: list[tuple[str, int]] = []
    abreast = Abreast()

    def bringing() -> Steps:
        abreast.join(walk(log, "late", 0))
        yield
        log.append(("early", 0))

    abreast.join(bringing())
    await asyncio.sleep(0)
    assert log == [("early", 0)]
    await asyncio.sleep(0)
    assert log == [("early", 0), ("late", 0)]


async def test_who_is_alone_goes_at_once() -> None:
    log: list[tuple[str, int]] = []
    abreast = Abreast()
    abreast.join(walk(log, "waiting", 0))
    abreast.join(walk(log, "alone", 1), alone=True)
    assert log == [("alone", 0), ("alone", 1)]
    await asyncio.sleep(0)
    assert log == [("alone", 0), ("alone", 1), ("waiting", 0)]
