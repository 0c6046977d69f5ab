"""Kept answers, shared by all workers: one sealed string per place, gone by itself when its time is over.

    pg:{application_id}:answer:{name}    sealed bytes, or a stream (Redis' own kind) of them whose ids are their numbers

The seal covers the key, and the key begins with the tenant: an entry that was moved, forged or cut is nothing.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from gateway.core.ports import PIECES, Swap
from gateway.storage.redis.link import Link
from gateway.storage.redis.script import Script
from gateway.storage.redis.seal import seal, unseal

SWAP_TIMEOUT_S = 0.25
"""Whoever claims or keeps an answer has said that a repetition costs more than a wait; a megabyte takes some milliseconds."""
_APPEND = Script("append.lua")
_SWAP = (Path(__file__).parent / "swap.lua").read_text(encoding="utf-8")


class RedisAnswers:
    """The :class:`gateway.core.ports.AnswerStore` of Redis. Its link should be its own: large values must delay no lease."""

    def __init__(self, link: Link, secret: bytes) -> None:
        self._link = link
        self._secret = secret
        self.rejected = 0
        """Entries that were there but false."""

    async def get(self, application_id: str, name: str) -> bytes | None:
        """What lies there. Bounded by the link's own few milliseconds: a slow store is skipped, not waited for."""
        place = _place(application_id, name)

        async def work(client: Redis) -> Any:
            return await client.execute_command("GET", place)

        value = await self._link.ask(work)
        return None if value is None else self._open(place, value)

    async def swap(
        self, application_id: str, name: str, old: bytes | None, new: bytes | None, seconds: float = 0.0
    ) -> Swap | None:
        """Put ``new`` in the place of ``old``. What was tampered with gives way to whoever expected nothing."""
        place = _place(application_id, name)
        expected, wanted = self._sealed(place, old), self._sealed(place, new)
        answer = await self._swap(place, expected, wanted, seconds)
        if not isinstance(answer, bytes):
            return answer
        found = self._open(place, answer)
        if found is None and old is None:
            answer = await self._swap(place, answer, wanted, seconds)
            if not isinstance(answer, bytes):
                return answer
            found = self._open(place, answer)
        return Swap(done=False, found=found)

    async def put(self, application_id: str, name: str, value: bytes, seconds: float) -> None:
        """Keep a value, whatever lay there."""
        place = _place(application_id, name)
        sealed = seal(self._secret, place, value)

        async def work(client: Redis) -> object:
            return await client.execute_command("SET", place, sealed, "PX", int(seconds * 1000))

        await self._link.ask(work, SWAP_TIMEOUT_S)

    async def append(self, application_id: str, name: str, number: int, value: bytes, seconds: float, *, oldest: int) -> bool:
        """Put one more piece into a row of numbered ones."""
        place = _place(application_id, name)
        sealed = seal(self._secret, f"{place}:{number}", value)

        async def work(client: Redis) -> bool:
            await _APPEND.run(client, [place], number, oldest, int(seconds * 1000), sealed)
            return True

        return await self._link.ask(work, SWAP_TIMEOUT_S) is True

    async def after(self, application_id: str, name: str, number: int) -> list[tuple[int, bytes]]:
        """Pieces of a row above a number; what was tampered with is missing."""
        place = _place(application_id, name)

        async def work(client: Redis) -> Any:
            return await client.execute_command("XRANGE", place, f"({number}", "+", "COUNT", PIECES)

        found: list[tuple[int, bytes]] = []
        for place_in_row, fields in await self._link.ask(work, SWAP_TIMEOUT_S) or ():
            its = int(place_in_row.partition(b"-")[0])
            value = unseal(self._secret, f"{place}:{its}", fields.get(b"piece", b""))
            if value is None:
                self.rejected += 1
            else:
                found.append((its, value))
        return found

    async def _swap(self, place: str, expected: bytes, wanted: bytes, seconds: float) -> Swap | bytes | None:
        async def work(client: Redis) -> tuple[Any]:
            return (await client.execute_command("EVAL", _SWAP, 1, place, expected, wanted, int(seconds * 1000)),)

        answer = await self._link.ask(work, SWAP_TIMEOUT_S)
        if answer is None:
            return None
        (found,) = answer
        if isinstance(found, bytes):
            return found
        return Swap(done=found == 1, found=None)

    def _sealed(self, place: str, value: bytes | None) -> bytes:
        return b"" if value is None else seal(self._secret, place, value)

    def _open(self, place: str, value: bytes) -> bytes | None:
        payload = unseal(self._secret, place, value)
        if payload is None:
            self.rejected += 1
        return payload


def _place(application_id: str, name: str) -> str:
    return f"pg:{application_id}:answer:{name}"
