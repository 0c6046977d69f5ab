"""``moderation``: the moderations endpoint of a provider (OpenAI's API, and the servers that have the same).

Form: https://platform.openai.com/docs/api-reference/moderations
"""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from gateway.guards.remote.asking import MODEL_MS, AnswerError, Matter, ModerationQuestion, Opinion, label
from gateway.guards.rules import Remote


class ModerationOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """What a validator of type ``moderation`` may be told."""

    provider: Annotated[str, Meta(min_length=1, max_length=64)] = "openai"
    """A provider of the configuration."""
    model: str = ""
    """The moderation model; empty: the provider's default."""
    categories: list[str] = []
    """Which count (``violence``, ``self-harm/intent``); empty: all."""
    threshold: Annotated[float, Meta(ge=0, le=1)] | None = None
    """The score from which a category counts; None: what the provider itself flags."""


class _Result(Struct):
    categories: dict[str, bool] = {}
    category_scores: dict[str, float] = {}


class _Said(Struct):
    results: list[_Result]


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Said).decode


class ModerationGuard(Remote, frozen=True):
    """The question, and which categories are reached."""

    options: ModerationOptions

    @property
    def patience_ms(self) -> int:
        """A model's."""
        return MODEL_MS

    def question(self, matter: Matter) -> ModerationQuestion | None:
        """All texts that are not empty, in one call."""
        texts = [text for text in matter.texts if text.strip()]
        if not texts:
            return None
        body = {"input": texts, "model": self.options.model} if self.options.model else {"input": texts}
        return ModerationQuestion(self.options.provider, self.options.model, _encode(body))

    def read(self, body: bytes, matter: Matter) -> Opinion:
        """The categories of all texts together, each once."""
        del matter
        try:
            results = _decode(body).results
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise AnswerError("its answer is not one of a moderations endpoint") from None
        if not results:
            raise AnswerError("its answer has no results")
        threshold, wanted = self.options.threshold, frozenset(self.options.categories)
        reached: dict[str, None] = {}
        for result in results:
            if threshold is None:
                names = [name for name, flagged in result.categories.items() if flagged]
            else:
                names = [name for name, score in result.category_scores.items() if score >= threshold]
            reached |= dict.fromkeys(names)
        return Opinion(tuple([label(name) for name in reached if not wanted or name in wanted]))
