"""A stream whose tokens are limited: it ends as soon as there are too many, and nothing of it waits for that.

Tokens of a beginning are counted exactly, off the loop, and only where it matters: ``n`` more bytes are ``n`` more tokens at most, so
after a count there is none before the bytes since then could reach the limit. Each count brings that nearer by about three quarters of
what was left, so a whole stream has a few dozen of them. Only what more text cannot change is counted, so the verdict does not
depend on how the stream was cut.
"""

from collections.abc import Awaitable, Callable, Sequence

from msgspec import Struct

from gateway.core.events import Event
from gateway.guards.remote.tokens import TokensGuard, utf8_bytes
from gateway.guards.rules import RemoteRule
from gateway.limits.tokens import settled
from gateway.pipeline.received import Received
from gateway.pipeline.services import TokenCounter

Judge = Callable[[RemoteRule, str], Awaitable[None]]
"""What follows where a rule finds too many tokens in a text. Raises ``blocked`` where it blocks."""


class _Choice(Struct):
    """One text on its way past one rule."""

    pieces: list[str] = []
    size: int = 0
    """UTF-8 bytes so far."""
    enough: int = 0
    """Bytes up to which there cannot be too many tokens."""
    counted: int = 0
    """Characters from the beginning that were counted last."""


class Metered(Received):
    """A :class:`~gateway.pipeline.received.Received` whose tokens are counted on their way."""

    def __init__(
        self, answer: Received, rules: Sequence[tuple[RemoteRule, TokensGuard]], tokens: TokenCounter, judge: Judge
    ) -> None:
        self._answer = answer
        self._rules = list(rules)
        self._tokens = tokens
        self._judge = judge
        self._choices: dict[tuple[int, int], _Choice] = {}
        """By choice, and place of the rule."""

    @property
    def native(self) -> bool:
        """As the answer says."""
        return self._answer.native

    @property
    def texts(self) -> list[str]:
        """As the answer says."""
        return self._answer.texts

    def whole(self) -> Event:
        """As the answer says: only streams are metered."""
        return self._answer.whole()

    async def next(self) -> list[Event]:
        """The next events, once it is sure of them. Raises ``blocked`` and what the answer raises."""
        events = await self._answer.next()
        for event in events:
            for index, text in event.texts:
                await self._add(index, text)
        if not events:
            for place, (rule, guard) in enumerate(self._rules):
                for (_, of), choice in sorted(self._choices.items()):
                    if of == place and choice.size > choice.enough:
                        await self._weigh(rule, guard, choice, complete=True)
            self._choices.clear()
        return events

    async def drain(self) -> None:
        """Read what follows the end."""
        await self._answer.drain()

    def close(self) -> None:
        """Let go of where it comes from."""
        self._answer.close()

    async def _add(self, index: int, text: str) -> None:
        size = utf8_bytes(text)
        for place, (rule, guard) in enumerate(self._rules):
            choice = self._choices.get((index, place))
            if choice is None:
                choice = self._choices[index, place] = _Choice([], enough=guard.options.max_tokens)
            choice.pieces.append(text)
            choice.size += size
            if choice.size > choice.enough:
                await self._weigh(rule, guard, choice, complete=False)

    async def _weigh(self, rule: RemoteRule, guard: TokensGuard, choice: _Choice, *, complete: bool) -> None:
        text = "".join(choice.pieces)
        choice.pieces = [text]
        end = len(text) if complete else settled(text)
        if end == choice.counted:
            return  # one long word: nothing is known that was not known before
        choice.counted, sure = end, text[:end]
        (count,) = await self._tokens.count(guard.options.model, [sure])
        left = guard.options.max_tokens - count
        choice.enough = utf8_bytes(sure) + left
        if left < 0:
            await self._judge(rule, sure)
            choice.enough = _NEVER


_NEVER = 1 << 62
"""Bytes that no answer has: a rule that only watches has said what it had to say."""
