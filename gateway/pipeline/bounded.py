"""A stream that the limits can end: when they have nothing left for it, it gets the end of an answer that became too long.

What the caller then has is a well-formed answer with the finish reason ``length``; the provider's work is cancelled, and the row's
outcome says ``budget_exhausted``. The answer passes the limit by what one read of the stream brought at most.
"""

from msgspec import structs

from gateway.core.errors import BUDGET_EXHAUSTED, GatewayError
from gateway.core.events import Event
from gateway.core.journal import Journal
from gateway.core.limits import Allowance, LimitRule
from gateway.core.requests import ChatRequest
from gateway.limits.tokens import estimate
from gateway.pipeline.received import Received
from gateway.wire.openai import decode_chunk, decode_fields, encode

LENGTH = "length"
"""The finish reason of an answer that reached a bound (OpenAI's Chat Completions API)."""
SILENT = 4
"""Characters counted for an event without text (a piece of a tool call, a thought): a token, of which providers send one at a time."""
_KEPT = ("id", "object", "created", "model", "system_fingerprint")
"""What all chunks of a stream repeat."""


class Bounded:
    """A :class:`~gateway.pipeline.received.Received` with an end of its own."""

    __slots__ = ("_allowance", "_answer", "_characters", "_closed", "_finished", "_journal", "_over", "_request")

    def __init__(self, answer: Received, allowance: Allowance, request: ChatRequest, journal: Journal) -> None:
        self._answer = answer
        self._allowance = allowance
        self._request = request
        self._journal = journal
        self._characters = 0
        self._finished: set[int] = set()
        self._over = False
        self._closed = False

    @property
    def native(self) -> bool:
        """Whether the events are in the caller's own dialect already."""
        return self._answer.native

    @property
    def texts(self) -> list[str]:
        """Generated text so far."""
        return self._answer.texts

    def whole(self) -> Event:
        """An answer that was not streamed cannot be ended early."""
        return self._answer.whole()

    async def next(self) -> list[Event]:
        """The next events; with the last of them an end, where the limits have no more. Raises the provider's failures.

        Raises ``budget_exhausted`` for a stream in a dialect other than chat, whose end only its provider can write.
        """
        if self._over:
            return []
        events = await self._answer.next()
        for event in events:
            self._characters += sum([len(text) for _, text in event.texts]) or SILENT
            if event.finish is not None and not self.native:
                self._finished.update(c.index for c in decode_chunk(event.data).choices if c.finish_reason is not None)
        # Without a target nobody was asked: a kept answer costs nothing.
        if not events or self._journal.target is None or self._is_complete(events):
            return events
        rule = await self._allowance.passed(estimate(self._characters))
        return events if rule is None else [*events, self._end(events[-1], rule)]

    async def drain(self) -> None:
        """Read what follows the end."""
        if not self._over:
            await self._answer.drain()

    def close(self) -> None:
        """Let go of the provider's connection, once."""
        if not self._closed:
            self._closed = True
            self._answer.close()

    def _is_complete(self, events: list[Event]) -> bool:
        return events[-1].usage_only or len(self._finished) >= self._request.choices

    def _end(self, last: Event, rule: LimitRule) -> Event:
        journal = self._journal
        journal.outcome = BUDGET_EXHAUSTED.name
        journal.error = f"the limit {rule.name!r} had nothing left for this answer"
        self._over = True
        self.close()
        made = estimate(self._characters)
        if journal.usage is not None:
            # Some providers tell their count of the input, and a first one of the output, when they begin.
            journal.usage = structs.replace(journal.usage, output=max(made, journal.usage.output))
            journal.usage_source = "estimated"
        if self.native:
            raise GatewayError(BUDGET_EXHAUSTED, f"Budget exhausted: {journal.error}.", target=rule.scope, param=None)
        journal.finish = LENGTH
        chunk: dict[str, object] = {name: raw for name, raw in decode_fields(last.data).items() if name in _KEPT}
        chunk["choices"] = [
            {"index": index, "delta": {}, "logprobs": None, "finish_reason": LENGTH}
            for index in range(self._request.choices)
            if index not in self._finished
        ]
        return Event(encode(chunk), finish=LENGTH)
