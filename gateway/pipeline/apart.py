"""Long texts are judged in threads, so that the loop goes on meanwhile: what other calls wait for is a switch of threads, 5 ms.

RE2 and Hyperscan let the loop's thread run while they search, and guards that are Python cut a long text into pieces, for a thread
is not switched within a call of Python's own (a search of ``re``, a translation of a string). Short texts are judged where they
are: a thread takes 0.1 ms.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from gateway.core.journal import Journal

T = TypeVar("T")

_THREADS = 2
"""Of a worker: texts that are judged at one time. They share one interpreter, so with more of them the loop only waits longer."""


class Apart:
    """Threads for what would hold the loop too long; none before there is something to do."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="guards")

    async def do(self, work: Callable[[], T]) -> T:
        """The outcome of some work. Who is cancelled waits until nothing is changed by it any more."""
        job = self._pool.submit(work)
        try:
            return await asyncio.wrap_future(job)
        except asyncio.CancelledError:
            if not job.done():
                await asyncio.wait((asyncio.wrap_future(job),))
            raise


def is_long(journal: Journal, long: int) -> bool:
    """Whether a request is to be judged in a thread: what its caller sent, or what became of it. ``long``: as its guards say."""
    return len(journal.inbound.body) > long or journal.input_chars > long
