"""Hearing of changes the moment they are announced. A lost message costs a second, not correctness: readers poll as well."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import asyncio
import itertools
from collections.abc import Callable

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from gateway.core.documents import Change
from gateway.storage.redis.address import servers
from gateway.storage.redis.cache import CHANGES, CHANNEL
from gateway.storage.redis.clients import options
from gateway.storage.redis.seal import unseal

CONNECT_TIMEOUT_S = 2.0
"""No call waits for this; it may take a slow network's time."""
QUIET_S = 5.0
"""Without a message for this long the connection is asked for a sign of life; after as long again it is given up."""
FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 5.0
"""Between attempts to reconnect: the first is quick for a mere restart, the longest spares a Redis in trouble."""


class News:
    """The subscription of one worker. ``rejected`` counts messages that nobody with the secret had sent.

    In a cluster every node passes on what was published at any of them, so it listens to one, and to the next when that is gone.
    """

    def __init__(self, url: str, secret: bytes) -> None:
        self._servers = itertools.cycle(servers(url))
        self._secret = secret
        self.rejected = 0
        self.connected = asyncio.Event()
        """Set while the subscription stands."""

    async def subscribe(self, on_changes: Callable[[list[Change]], None]) -> None:
        """Call ``on_changes`` for every announcement, for ever; cancel to end. Reconnects by itself."""
        wait = FIRST_WAIT_S
        while True:
            try:
                await self._listen(on_changes)
            except (RedisError, OSError, TimeoutError):
                wait = FIRST_WAIT_S if self.connected.is_set() else min(wait * 2, LONGEST_WAIT_S)
            finally:
                self.connected.clear()
            await asyncio.sleep(wait)

    async def _listen(self, on_changes: Callable[[list[Change]], None]) -> None:
        client = Redis.from_url(next(self._servers), **options(CONNECT_TIMEOUT_S))
        async with client, client.pubsub() as pubsub:
            await pubsub.subscribe(CHANNEL)
            asked = False
            while True:
                message = await pubsub.get_message(timeout=QUIET_S)
                if message is None:
                    if asked:
                        raise TimeoutError
                    await pubsub.ping()
                    asked = True
                    continue
                asked = False
                self.connected.set()
                data = message["data"]
                if message["type"] == "message" and isinstance(data, bytes):
                    self._read(data, on_changes)

    def _read(self, data: bytes, on_changes: Callable[[list[Change]], None]) -> None:
        payload = unseal(self._secret, CHANNEL, data)
        try:
            changes = CHANGES.decode(payload or b"")
        except msgspec.MsgspecError:
            self.rejected += 1
            return
        on_changes(changes)
