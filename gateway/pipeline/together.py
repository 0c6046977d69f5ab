"""Questions of one kind, asked together: what keeps a flood of keys that nobody has made away from the stores.

A key that no worker has seen can be judged by a store alone, and a good one must not be refused because bad ones came before it: so
nothing is refused here, and nothing dropped. At most one question is on its way per worker, for all that wait; after one with names
that were not found the next waits a moment. However many keys are guessed, a store has to answer :data:`MOST` names at a time and a
hundred times a second per worker, on one connection, and a good key waits for the names before it: a hundredth of a second for each
:data:`MOST` of them. While every name is found nothing waits at all.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from itertools import islice
from typing import Generic, TypeVar

from gateway.core.errors import GatewayError

T = TypeVar("T")

MOST = 128
"""Names per question: some hundred microseconds of a store's time, well within Redis' few milliseconds."""
PAUSE_S = 0.01
"""After a question with unknown names. Both bounds let 12,800 guesses a second through, about what one worker can refuse."""

Ask = Callable[[list[str]], Awaitable[Mapping[str, T | GatewayError]]]


class Together(Generic[T]):
    """``ask`` tells of each name what was found, or why nobody can say; what it leaves out does not exist."""

    def __init__(self, ask: Ask[T], sleep: Callable[[float], Awaitable[object]] = asyncio.sleep) -> None:
        self._ask = ask
        self._sleep = sleep
        self._waiting: dict[str, asyncio.Future[T | None]] = {}
        self._asking: asyncio.Task[None] | None = None

    async def find(self, name: str) -> T | None:
        """What a name stands for; None: nothing. Raises what ``ask`` tells or raises. One at a time may ask for a name."""
        answer = self._waiting[name] = asyncio.get_running_loop().create_future()
        if self._asking is None or self._asking.done():
            self._asking = asyncio.ensure_future(self._run())
        return await answer

    async def _run(self) -> None:
        while self._waiting:
            names = list(islice(self._waiting, MOST))
            answers = {name: self._waiting.pop(name) for name in names}
            found: Mapping[str, T | GatewayError]
            try:
                found = await self._ask(names)
            except GatewayError as error:
                found = dict.fromkeys(names, error)
            except BaseException:
                for answer in answers.values():
                    answer.cancel()
                raise
            for name, answer in answers.items():
                value = found.get(name)
                if answer.done():
                    continue
                if isinstance(value, GatewayError):
                    answer.set_exception(value)
                else:
                    answer.set_result(value)
            if len(found) < len(names):
                await self._sleep(PAUSE_S)
