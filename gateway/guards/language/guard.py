"""The guard ``language``: passages in a language that is not allowed.

A short text is one passage, a longer one is cut into passages, and each is judged by itself: a page in another language is found in a
document that is mostly in an allowed one. Where a passage says too little (a name, a number, a line of code) or the model is not sure,
nothing is found. Languages that are written nearly alike are not told apart.
"""

import re
from typing import Annotated

from msgspec import Meta, Struct

from gateway.core.errors import MALFORMED, GatewayError
from gateway.guards.language.model import chances, languages
from gateway.guards.whole import WholeText

PASSAGE = 600
"""Characters judged at once: a paragraph, of which the model is sure."""
MAX_PASSAGES = 8
"""Of one text: 0.7 ms of work. Of a text that has more, these are taken at even distances from its beginning to its end."""

_LIKELY = 0.33
"""Chance of the likeliest language below which a passage is in none: code and keys pressed at random come to a quarter."""

_ALIKE = (
    frozenset({"da", "nn", "no"}),
    frozenset({"bs", "hr", "sh", "sr"}),
    frozenset({"id", "min", "ms"}),
    frozenset({"wuu", "yue", "zh"}),
    frozenset({"ast", "es", "gl"}),
    frozenset({"gl", "pt"}),
    frozenset({"als", "bar", "de", "lb", "nds"}),
    frozenset({"eml", "it", "lmo", "nap", "pms", "scn", "vec"}),
    frozenset({"af", "li", "nl", "vls"}),
    frozenset({"arz", "ar"}),
    frozenset({"fa", "mzn"}),
    frozenset({"az", "azb", "tr"}),
    frozenset({"en", "sco"}),
)
"""Languages that the model confuses in short texts, and who allows one does not mind: the standard languages of each group can be
read by who reads another, or the others are its dialects."""

_RUN = re.compile(r"[!-~]+")
_NO_WORD = re.compile(r"[0-9@_<>{}\[\]\\/=|#$%^&*~`+]")
"""What words have not, and addresses, code and numbers have."""
_LETTER = re.compile(r"[^\W\d_]")
_IDEOGRAPH = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
"""Kana, Chinese characters and Hangul: one says as much as three letters."""

Code = Annotated[str, Meta(pattern="^[a-z]{2,3}$")]


class LanguageOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """What ``language`` may be told."""

    allowed: Annotated[list[Code], Meta(min_length=1, max_length=200)]
    """Languages by their codes (``en``, ``de``, ``pt``)."""
    confidence: Annotated[float, Meta(gt=0, le=1)] = 0.85
    """How sure the model must be that a passage is in none of the allowed languages."""
    min_letters: Annotated[int, Meta(ge=1, le=PASSAGE)] = 20
    """Passages with fewer are not judged; ideographs, kana and Hangul count as three."""


class LanguageGuard(WholeText):
    """Asks the model about each passage."""

    __slots__ = ("_confidence", "_min_letters", "_passing")

    def __init__(self, options: LanguageOptions) -> None:
        allowed = frozenset(options.allowed)
        self._passing = allowed.union(*[alike for alike in _ALIKE if alike & allowed])
        self._confidence = options.confidence
        self._min_letters = options.min_letters

    def judge(self, text: str) -> str | None:
        """``language_not_allowed`` with the code of the first one found (``language_not_allowed: fr``)."""
        for passage in _passages(text):
            words = _RUN.sub(_only_words, passage)
            if len(_LETTER.findall(words)) + 2 * len(_IDEOGRAPH.findall(words)) < self._min_letters:
                continue
            found = chances(words)
            language, chance = found[0] if found else ("", 0.0)
            if language in self._passing or chance < _LIKELY:
                continue
            if 1 - sum([one for code, one in found if code in self._passing]) >= self._confidence:
                return f"language_not_allowed: {language}"
        return None


def _passages(text: str) -> list[str]:
    if len(text) <= PASSAGE * MAX_PASSAGES:
        return [text[start : start + PASSAGE] for start in range(0, len(text), PASSAGE)]
    last = len(text) - PASSAGE
    return [text[start : start + PASSAGE] for start in [i * last // (MAX_PASSAGES - 1) for i in range(MAX_PASSAGES)]]


def _only_words(run: re.Match[str]) -> str:
    return " " if _NO_WORD.search(run[0]) else run[0]


def make_language(options: LanguageOptions, param: str) -> LanguageGuard:
    """The guard. Loads the model, so that no call waits for it. Raises ``malformed`` for a code that the model does not know."""
    known = languages()
    for i, code in enumerate(options.allowed):
        if code not in known:
            place = f"{param}.options.allowed[{i}]"
            raise GatewayError(MALFORMED, f"{place}: {code!r} is no language that can be told", param=place)
    return LanguageGuard(options)
