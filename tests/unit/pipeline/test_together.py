"""Names that are looked up together: nobody is refused, and the one who is asked is asked seldom."""

import asyncio
from collections.abc import Mapping

import pytest

from gateway.core.errors import STORE_UNAVAILABLE, GatewayError
from gateway.pipeline.together import MOST, PAUSE_S, Together


class Book:
    """Knows the names that begin with ``good``; ``hold`` makes it wait."""

    def __init__(self) -> None:
        self.questions: list[list[str]] = []
        self.pauses: list[float] = []
        self.hold = asyncio.Event()
        self.hold.set()
        self.running = 0
        self.fault: BaseException | None = None

    async def ask(self, names: list[str]) -> Mapping[str, str | GatewayError]:
        self.questions.append(names)
        self.running += 1
        assert self.running == 1, "one question at a time"
        await self.hold.wait()
        self.running -= 1
        if self.fault is not None:
            raise self.fault
        return {name: name.upper() for name in names if name.startswith("good")}

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(0)


async def test_a_lone_name_is_asked_for_at_once() -> None:
    book = Book()
    together = Together(book.ask, book.sleep)
    assert await together.find("good") == "GOOD"
    assert await together.find("bad") is None
    assert book.questions == [["good"], ["bad"]]


async def test_a_flood_costs_few_questions_and_a_pause_after_each() -> None:
    book = Book()
    together = Together(book.ask, book.sleep)
    flood = [asyncio.ensure_future(together.find(f"bad-{number}")) for number in range(1000)]
    good = asyncio.ensure_future(together.find("good"))
    assert await asyncio.gather(*flood) == [None] * 1000
    assert await good == "GOOD"
    assert [len(names) for names in book.questions] == [MOST] * (1001 // MOST) + [1001 % MOST]
    assert set(book.pauses) == {PAUSE_S}
    assert len(book.pauses) >= len(book.questions) - 1


async def test_good_names_make_nobody_wait() -> None:
    book = Book()
    together = Together(book.ask, book.sleep)
    await asyncio.gather(*[together.find(f"good-{number}") for number in range(1000)])
    assert book.pauses == []


async def test_what_comes_while_a_question_is_asked_is_in_the_next() -> None:
    book = Book()
    together = Together(book.ask, book.sleep)
    book.hold.clear()
    first = asyncio.ensure_future(together.find("good-1"))
    await asyncio.sleep(0)
    others = [asyncio.ensure_future(together.find(f"good-{number}")) for number in (2, 3)]
    await asyncio.sleep(0)
    book.hold.set()
    assert await asyncio.gather(first, *others) == ["GOOD-1", "GOOD-2", "GOOD-3"]
    assert book.questions == [["good-1"], ["good-2", "good-3"]]


async def test_a_failure_is_told_to_all_who_asked_and_ends_with_them() -> None:
    book = Book()
    together = Together(book.ask, book.sleep)
    book.fault = GatewayError(STORE_UNAVAILABLE, "away")
    ends = await asyncio.gather(together.find("good-1"), together.find("good-2"), return_exceptions=True)
    assert [type(end) for end in ends] == [GatewayError, GatewayError]
    book.fault = None
    assert await together.find("good-1") == "GOOD-1"


async def test_a_failure_of_some_is_theirs_alone() -> None:
    async def ask(names: list[str]) -> Mapping[str, str | GatewayError]:
        return {name: name if name == "cached" else GatewayError(STORE_UNAVAILABLE, "away") for name in names}

    together = Together(ask)
    ends = await asyncio.gather(together.find("cached"), together.find("other"), return_exceptions=True)
    assert ends[0] == "cached"
    assert isinstance(ends[1], GatewayError)


async def test_who_gives_up_is_not_missed() -> None:
    book = Book()
    together = Together(book.ask, book.sleep)
    book.hold.clear()
    leaver = asyncio.ensure_future(together.find("good-1"))
    stayer = asyncio.ensure_future(together.find("good-2"))
    await asyncio.sleep(0)
    leaver.cancel()
    book.hold.set()
    assert await stayer == "GOOD-2"


async def test_a_bug_leaves_nobody_waiting() -> None:
    book = Book()
    together = Together(book.ask, book.sleep)
    book.fault = ZeroDivisionError()
    with pytest.raises(asyncio.CancelledError):
        await together.find("good")
    with pytest.raises(ZeroDivisionError):
        assert together._asking is not None
        await together._asking
