"""``presidio``: the analyzer of Microsoft Presidio, run beside the gateway, finds personal data in prose (names, places).

Form of its HTTP API: https://microsoft.github.io/presidio/api-docs/api-docs.html (``POST /analyze``).
"""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from gateway.guards.remote.asking import AnswerError, HttpQuestion, Matter, Opinion, label
from gateway.guards.remote.spans import MAX_SPANS, Place, apart, checked, divided
from gateway.guards.rules import Remote

_BETWEEN = "\n\n"
"""Joins texts for one question: a paragraph's end, so that no name is read across two messages."""


class PresidioOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """What a validator of type ``presidio`` may be told."""

    endpoint: Annotated[str, Meta(min_length=1, max_length=64)]
    """The name of an endpoint of the configuration, whose URL is the analyzer's root."""
    language: Annotated[str, Meta(pattern="^[a-z]{2}$")] = "en"
    entities: list[str] = []
    """Which to look for (``PERSON``, ``LOCATION``); empty: all that the analyzer knows."""
    threshold: Annotated[float, Meta(ge=0, le=1)] | None = None
    """The score from which a finding counts; None: 0.5."""


_LIKELY = 0.5
"""Presidio's patterns without a checksum or context score below this; names by a language model score 0.85."""


class _Sent(Struct, omit_defaults=True):
    text: str
    language: str
    score_threshold: float
    entities: list[str] = []


class _Found(Struct):
    entity_type: str
    start: int
    end: int
    score: float


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[_Found]).decode


class PresidioGuard(Remote, frozen=True):
    """The question to an analyzer, and which kinds of things it found."""

    options: PresidioOptions

    @property
    def threshold(self) -> float:
        """The score from which a finding counts."""
        return _LIKELY if self.options.threshold is None else self.options.threshold

    @property
    def places(self) -> bool:
        """It says where."""
        return True

    def question(self, matter: Matter) -> HttpQuestion | None:
        """All texts as one."""
        text = _BETWEEN.join(matter.texts)
        if not text.strip():
            return None
        options = self.options
        body = _encode(_Sent(text, options.language, self.threshold, options.entities))
        return HttpQuestion(options.endpoint, "/analyze", body, signed=False)

    def read(self, body: bytes, matter: Matter) -> Opinion:
        """A list of ``{entity_type, start, end, score}``. Recognisers find one thing in several ways, so places may overlap."""
        try:
            said = _decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise AnswerError("its answer is not a list of findings") from None
        if len(said) > MAX_SPANS:
            raise AnswerError(f"it has more than {MAX_SPANS} findings")
        found = [Place(0, one.start, one.end, one.entity_type) for one in said if one.score >= self.threshold]
        spans = checked(apart(divided(found, matter.texts, len(_BETWEEN))), matter.texts)
        return Opinion(tuple([label(one.label) for one in found]), spans=spans)
