"""What workers tell each other of targets and keys that fail: one script, about twice a second, never on a call's way."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from gateway.storage.redis.link import Link
from gateway.storage.redis.seal import seal, unseal

KEPT = 1024
"""Targets told of at one time; as many as a worker keeps a state of."""
_SCRIPT = (Path(__file__).parent / "outages.lua").read_text(encoding="utf-8")
INSTALLATION_OUTAGES = "pg:outages"
"""The Redis key of what is told of the installation's targets."""
OWN_OUTAGES = "pg:outages:own"
"""And of targets that applications ask with keys of their own: apart, so that none of them crowds out the others."""

INSTALLATION_KEYS = "pg:outages:keys"
"""Of what is told of the installation's keys at providers."""
OWN_KEYS = "pg:outages:keys:own"


class RedisOutages:
    """The :class:`gateway.core.ports.Outages` of Redis. Names are sealed: a neighbour cannot close a target for us."""

    def __init__(self, link: Link, secret: bytes, key: str = INSTALLATION_OUTAGES) -> None:
        self._link = link
        self._secret = secret
        self._key = key

    async def exchange(self, opened: Mapping[str, float]) -> dict[str, float] | None:
        """Tell and hear; see the port."""
        told = [word for name, seconds in opened.items() for word in (self._seal(name), int(seconds * 1000))]

        async def work(client: Redis) -> Any:
            return await client.execute_command("EVAL", _SCRIPT, 1, self._key, KEPT, *told)

        answer = await self._link.ask(work)
        if answer is None:
            return None
        heard: dict[str, float] = {}
        for member, ms in zip(answer[::2], answer[1::2], strict=True):
            name = unseal(self._secret, self._key, member)
            if name is not None:
                heard[name.decode()] = ms / 1000
        return heard

    def _seal(self, name: str) -> bytes:
        return seal(self._secret, self._key, name.encode())
