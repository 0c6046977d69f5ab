"""``topic``: is the text about something that is not wanted, or not about what is? By likeness to example sentences.

Method: cosine of sentence embeddings against the nearest example (Reimers and Gurevych 2019, "Sentence-BERT", section 3.1).
"""

import math
import operator
from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta, Struct

from gateway.core.errors import MALFORMED, GatewayError
from gateway.guards.remote.asking import MODEL_MS, AnswerError, EmbeddingQuestion, Matter, Opinion, Vectors
from gateway.guards.rules import Remote

_ALIKE = 0.75
"""Of unit vectors: sentences that say the same thing in other words are above it with common models; measure with your own examples."""
_MAX_TEXTS = 4
"""Of one question, the last ones: a long conversation is about what its end is about."""
MAX_EXAMPLES = 32
"""Of each list. All comparisons of a question are then 0.4 million products with usual vectors: 20 ms of a thread."""

Sentence = Annotated[str, Meta(min_length=1, max_length=2000)]


class TopicOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """What a validator of type ``topic`` may be told."""

    model: Annotated[str, Meta(min_length=1, max_length=256)]
    """An embeddings model of the gateway."""
    denied: Annotated[list[Sentence], Meta(max_length=MAX_EXAMPLES)] = []
    """Examples of what is not wanted: a text as like one of them as ``threshold`` is a finding ``denied_topic``."""
    allowed: Annotated[list[Sentence], Meta(max_length=MAX_EXAMPLES)] = []
    """Examples of what is: a text that is like none of them is a finding ``off_topic``."""
    threshold: Annotated[float, Meta(ge=-1, le=1)] | None = None
    """The cosine from which a text is like an example; None: 0.75."""


def topic_guard(options: TopicOptions, param: str) -> "TopicGuard":
    """Raises ``malformed`` where there is nothing to compare with."""
    if not options.denied and not options.allowed:
        raise GatewayError(MALFORMED, f"{param}.options: give examples in denied or allowed", param=f"{param}.options")
    return TopicGuard(options)


class TopicGuard(Remote, frozen=True):
    """The question to an embeddings model, and what is like what."""

    options: TopicOptions

    @property
    def judges_calls(self) -> bool:
        """Arguments of tools are no sentences."""
        return False

    @property
    def patience_ms(self) -> int:
        """A model's."""
        return MODEL_MS

    def question(self, matter: Matter) -> EmbeddingQuestion | None:
        """What the caller said (going in), or the answer."""
        wanted = {"user", "assistant"} if matter.stage == "post" else {"user"}
        texts = [text for role, text in zip(matter.roles, matter.texts, strict=True) if role in wanted and text.strip()]
        if not texts:
            return None
        return EmbeddingQuestion(self.options.model, tuple(texts[-_MAX_TEXTS:]), (*self.options.denied, *self.options.allowed))

    def compare(self, texts: Vectors, examples: Vectors) -> Opinion:
        """A finding for each text that is like something denied, or unlike all that is allowed."""
        options = self.options
        if len(examples) != len(options.denied) + len(options.allowed) or not texts:
            raise AnswerError("there are not as many vectors as texts")
        threshold = _ALIKE if options.threshold is None else options.threshold
        denied, allowed = examples[: len(options.denied)], examples[len(options.denied) :]
        found: list[str] = []
        for text in texts:
            if any(cosine(text, example) >= threshold for example in denied):
                found.append("denied_topic")
            elif allowed and all(cosine(text, example) < threshold for example in allowed):
                found.append("off_topic")
        return Opinion(tuple(found))


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    """Of two vectors of one length, from -1 to 1; 0 where one of them has no length. Raises :class:`AnswerError`."""
    if len(one) != len(other) or not one:
        raise AnswerError("the vectors have different lengths")
    lengths = math.hypot(*one) * math.hypot(*other)
    if not math.isfinite(lengths):
        raise AnswerError("a vector is too long to be one")
    return sum(map(operator.mul, one, other)) / lengths if lengths else 0.0
