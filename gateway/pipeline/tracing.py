"""An attempt as its span sees it: when it began, when it answered, how it failed. Only calls with a trace come this way."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from gateway.core.errors import GatewayError
from gateway.core.trace import Trace
from gateway.core.upstream import Target

T = TypeVar("T")


async def traced(trace: Trace, number: int, target: Target, asking: Awaitable[T], clock: Callable[[], float]) -> T:
    """Await ``asking``, and note in ``trace`` what becomes of it. ``clock`` gives monotonic seconds."""
    attempt = trace.begin(number, target, clock())
    try:
        answer = await asking
    except GatewayError as error:
        attempt.ended, attempt.error, attempt.status = clock(), error.kind.name, error.answered
        raise
    except BaseException:
        attempt.ended = clock()
        raise
    attempt.answered = clock()
    return answer
