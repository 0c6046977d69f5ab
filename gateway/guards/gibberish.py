"""The guard ``gibberish``: texts that no language writes, and texts that say one thing over and over.

Two measures, both without a dictionary. *Unlikely letters*: the mean surprise, in bits, of each letter after the one before it, by a
table of pairs for Latin letters (a Markov chain of first order; Shannon, "A Mathematical Theory of Communication", 1948). *Repetition*:
how far DEFLATE (RFC 1951) shrinks the text, as Cilibrasi and Vitanyi use compression ("Clustering by Compression", 2005). Letters of
other scripts are judged by repetition only.
"""

import re
import zlib
from typing import Annotated

from msgspec import Meta, Struct

from gateway.guards.normal import plain
from gateway.guards.whole import WholeText

_FIRST = "^abcdefghijklmnopqrstuvwxyz"
_SECOND = "abcdefghijklmnopqrstuvwxyz$"
_BITS = (
    "344344554644444385345469769"
    "654477575653436593435589652"
    "268829882593863893663899584"
    "296939922756972995644999863"
    "289719892876753795674799763"
    "665566575753428692346696862"
    "389735791785982994654999793"
    "389729563775744993553899582"
    "299729993775772996844699592"
    "464436586544424694336598852"
    "198618894965763898563799974"
    "287929853844862894443799693"
    "278528672663663899544799683"
    "249829993887563498674999792"
    "395336363767854999435699582"
    "655466575654426493345569952"
    "296738863874972592654999894"
    "777776777776777777760767775"
    "276528673767563785444689662"
    "395938863845774598424799662"
    "298929952977763994544788682"
    "455547574645344593336688752"
    "189919992887953996685999484"
    "287628742876843785576888373"
    "355726772777674377724776572"
    "354647665644454495436669761"
    "267529772865533697654569463"
)
"""Rows by the letter before (``^``: the beginning of a word), columns by the letter (``$``: its end): surprise in whole bits, at
most 9. Counted in the message catalogues of free software in 25 languages of Latin script, each language with equal weight."""

_SURPRISE = {
    first + second: int(_BITS[i * len(_SECOND) + j]) for i, first in enumerate(_FIRST) for j, second in enumerate(_SECOND)
}

SAMPLE = 20_000
"""Characters that are looked at, from the beginning: enough for either measure, and 5 ms."""

_WORD = re.compile(r"[a-z]{2,}+")
_LEAST_LETTERS = 20
"""In words of two letters or more: a mean of fewer says nothing."""


class GibberishOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """What ``gibberish`` may be told."""

    max_surprise: Annotated[float, Meta(gt=0, le=9)] = 4.8
    """Bits per letter from which letters are unlikely. Prose has 3.1 to 3.7, a short text up to 4.3, random letters 5.3 and more."""
    max_repetition: Annotated[float, Meta(gt=1)] = 12.0
    """How many times smaller than itself a text may become; prose becomes 2 to 4 times smaller."""
    min_chars: Annotated[int, Meta(ge=1)] = 20
    """Shorter texts are not judged."""


def surprise(text: str) -> float | None:
    """Mean bits per letter of the Latin words of a text; None: too few to tell."""
    bits = letters = 0
    for word in _WORD.findall(plain(text[:SAMPLE])):
        bits += sum(map(_SURPRISE.__getitem__, map("".join, zip("^" + word, word + "$", strict=True))))
        letters += len(word) + 1
    return bits / letters if letters >= _LEAST_LETTERS else None


def repetition(text: str) -> float:
    """How many times smaller than itself a text becomes, the 11 bytes left aside that DEFLATE and its frame need for anything."""
    raw = text[:SAMPLE].encode(errors="replace")
    return len(raw) / max(len(zlib.compress(raw)) - 11, 1)


class GibberishGuard(WholeText):
    """Measures."""

    __slots__ = ("_options",)

    def __init__(self, options: GibberishOptions) -> None:
        self._options = options

    def judge(self, text: str) -> str | None:
        """``unlikely_letters`` or ``repetition``."""
        if len(text) < self._options.min_chars:
            return None
        if repetition(text) > self._options.max_repetition:
            return "repetition"
        bits = surprise(text)
        return "unlikely_letters" if bits is not None and bits > self._options.max_surprise else None


def make_gibberish(options: GibberishOptions, _param: str) -> GibberishGuard:
    """The guard."""
    return GibberishGuard(options)
