"""A stream that the limits can end: when they have nothing left for it, it gets the end of an answer that became too long.

What the caller then has is a well-formed answer with the finish reason ``length``; the provider's work is cancelled, and the row's
outcome says ``budget_exhausted``. The answer passes the limit by what one event brought at most.
"""

from msgspec import structs

from gateway.core.errors import BUDGET_EXHAUSTED, GatewayError
from gateway.core.events import Event
from gateway.core.journal import Journal
from gateway.core.limits import Allowance, LimitRule
from gateway.core.requests import ChatRequest
from gateway.core.upstream import CHAT
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
    """A :class:`~gateway.pipeline.received.Received` with an end of its own.

    ``spoken`` is the dialect that the provider was asked in, ``dialect`` the caller's.
    """

    __slots__ = (
        "_allowance",
        "_answer",
        "_characters",
        "_chat",
        "_closed",
        "_finished",
        "_journal",
        "_over",
        "_own",
        "_request",
    )

    def __init__(
        self, answer: Received, allowance: Allowance, request: ChatRequest, journal: Journal, *, spoken: str, dialect: str
    ) -> None:
        self._answer = answer
        self._allowance = allowance
        allowance.set_aside(journal.aside)
        self._chat = spoken == CHAT
        """Whether the events are in the chat form: others are passed on in the provider's own."""
        self._own = spoken == dialect
        self._request = request
        self._journal = journal
        self._characters = 0
        self._finished: set[int] = set()
        self._over = False
        self._closed = False

    @property
    def native(self) -> bool:
        """Whether the events are in the caller's own dialect already."""
        return self._own and self._answer.native

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
        if self._journal.target is None:
            return events  # nobody was asked: a kept answer costs nothing
        for index, event in enumerate(events):
            self._count(event)
            made = estimate(self._characters)
            if made > self._allowance.covered and len(self._finished) < self._request.choices:
                rule = await self._allowance.passed(made)
                if rule is not None:
                    return [*events[: index + 1], self._end(event, rule)]
        return events

    async def drain(self) -> None:
        """Read what follows the end."""
        if not self._over:
            await self._answer.drain()

    def close(self) -> None:
        """Let go of the provider's connection, once."""
        if not self._closed:
            self._closed = True
            self._answer.close()

    def _count(self, event: Event) -> None:
        if event.texts:
            self._characters += sum([len(text) for _, text in event.texts])
        elif event.finish is None and not event.usage_only:
            self._characters += SILENT
        if event.finish is not None and self._chat:
            choices = decode_chunk(event.data).choices
            self._finished.update(choice.index for choice in choices if choice.finish_reason is not None)

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
        if not self._chat:
            raise GatewayError(BUDGET_EXHAUSTED, f"Budget exhausted: {journal.error}.", target=rule.scope)
        journal.finish = LENGTH
        chunk: dict[str, object] = {name: raw for name, raw in decode_fields(last.data).items() if name in _KEPT}
        chunk["choices"] = [
            {"index": index, "delta": {}, "logprobs": None, "finish_reason": LENGTH}
            for index in range(self._request.choices)
            if index not in self._finished
        ]
        return Event(encode(chunk), finish=LENGTH)
