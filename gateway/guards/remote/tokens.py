"""``tokens``: how many tokens may go in, or come out.

Counting is dear, so it is done elsewhere (in a thread), and only near the limit: a token has one byte at least, so a text of no more
bytes than tokens are allowed needs no counting.
"""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta, Struct

from gateway.guards.remote.asking import NOTHING_FOUND, Matter, Opinion, TokenQuestion
from gateway.guards.rules import Remote

_FOUND, _ESTIMATED = Opinion(("too_many_tokens",)), Opinion(("too_many_tokens_estimated",))


class TokensOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """What a validator of type ``tokens`` may be told."""

    max_tokens: Annotated[int, Meta(ge=1, le=100_000_000)]
    """Of all messages together; of an answer, of each choice."""
    model: Annotated[str, Meta(max_length=256)] = ""
    """Whose tokens are counted, by its name; empty, and for models of other vendors: those of OpenAI's newest table."""


class TokensGuard(Remote, frozen=True):
    """The question how many there are, and the limit."""

    options: TokensOptions

    @property
    def first(self) -> bool:
        """A conversation that is too long is not sent."""
        return True

    @property
    def judges_calls(self) -> bool:
        """Arguments of tools are no part of what is said."""
        return False

    @property
    def meters(self) -> bool:
        """It can tell before an answer is complete."""
        return True

    def question(self, matter: Matter) -> TokenQuestion | None:
        """All texts; None where they cannot be too many."""
        texts = matter.texts if matter.stage == "pre" else matter.spoken
        sizes = [utf8_bytes(text) for text in texts]
        most = sum(sizes) if matter.stage == "pre" else max(sizes, default=0)
        return TokenQuestion(self.options.model, texts) if most > self.options.max_tokens else None

    def judged(self, counts: Sequence[tuple[int, bool]], matter: Matter) -> Opinion:
        """What the tokens of each text mean; each as their number, and whether that is exact."""
        numbers = [number for number, _ in counts]
        most = sum(numbers) if matter.stage == "pre" else max(numbers, default=0)
        if most <= self.options.max_tokens:
            return NOTHING_FOUND
        return _FOUND if all(exact for _, exact in counts) else _ESTIMATED


def utf8_bytes(text: str) -> int:
    """How many a text has. A lone surrogate counts as the replacement that it is counted as."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
