"""Names to connections: the memory of look-ups and the race between addresses."""

import asyncio
import socket
from typing import Any

import pytest

from gateway.transport import dial
from gateway.transport.dial import Dialer

FOUR, SIX = socket.AF_INET, socket.AF_INET6


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def answers(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[int, str]) -> list[str]:
    """Make every look-up find these (family, address); returns the growing list of names asked for."""
    asked: list[str] = []

    async def getaddrinfo(host: str, port: None, **_: Any) -> list[Any]:
        asked.append(host)
        await asyncio.sleep(0)
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [(family, socket.SOCK_STREAM, 6, "", (address, 0)) for family, address in addresses]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    return asked


async def connect(address: str) -> str:
    return f"to {address}"


async def refuse(address: str) -> str:
    raise ConnectionRefusedError(f"{address} refused")


async def test_one_lookup_for_many_and_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    asked = answers(monkeypatch, (FOUR, "10.0.0.1"))
    dialer = Dialer(clock)
    assert await asyncio.gather(*(dialer.dial("acme", connect) for _ in range(5))) == ["to 10.0.0.1"] * 5
    assert asked == ["acme"]
    clock.now += dial.TTL_SECONDS
    await dialer.dial("acme", connect)
    assert asked == ["acme", "acme"]


async def test_a_lookup_that_failed_is_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answers(monkeypatch)
    dialer = Dialer(Clock())
    for _ in range(2):
        with pytest.raises(OSError, match="unknown"):
            await dialer.dial("acme", connect)
    assert len(asked) == 2


async def test_a_caller_who_leaves_does_not_take_the_lookup_with_him(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answers(monkeypatch, (FOUR, "10.0.0.1"))
    dialer = Dialer(Clock())
    first, second = (asyncio.ensure_future(dialer.dial("acme", connect)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == "to 10.0.0.1"
    assert asked == ["acme"]


async def test_addresses_that_refuse_are_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answers(monkeypatch, (FOUR, "10.0.0.1"), (FOUR, "10.0.0.2"))
    dialer = Dialer(Clock())
    for _ in range(2):
        with pytest.raises(OSError, match=r"10\.0\.0\.1 refused; 10\.0\.0\.2 refused"):
            await dialer.dial("acme", refuse)
    assert len(asked) == 2


async def test_an_address_that_refuses_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, (FOUR, "10.0.0.1"), (FOUR, "10.0.0.2"))

    async def picky(address: str) -> str:
        return await (refuse if address == "10.0.0.1" else connect)(address)

    assert await Dialer(Clock()).dial("acme", picky) == "to 10.0.0.2"


async def test_an_address_that_is_silent_is_overtaken_and_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dial, "ATTEMPT_DELAY_SECONDS", 0.01)
    answers(monkeypatch, (SIX, "2001:db8::1"), (FOUR, "10.0.0.1"))
    left: list[str] = []

    async def silent(address: str) -> str:
        if ":" not in address:
            return address
        try:
            return await asyncio.get_running_loop().create_future()
        finally:
            left.append(address)

    assert await asyncio.wait_for(Dialer(Clock()).dial("acme", silent), 1) == "10.0.0.1"
    assert left == ["2001:db8::1"]


async def test_families_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    async def attempt(address: str) -> str:
        tried.append(address)
        raise OSError

    answers(monkeypatch, *((SIX, f"2001:db8::{i}") for i in range(3)), (FOUR, "10.0.0.1"), (FOUR, "10.0.0.2"))
    with pytest.raises(OSError):
        await Dialer(Clock()).dial("acme", attempt)
    assert tried == ["2001:db8::0", "10.0.0.1", "2001:db8::1", "10.0.0.2", "2001:db8::2"]
