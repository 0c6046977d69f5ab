"""Token counts where the provider gives none. The home of tiktoken; its tables ship with the package, nothing is downloaded.

Counting costs 28 us per 1,000 characters and loading a table 0.3 s: call :func:`count` in a thread, after the answer has gone out.
On the path there is :func:`estimate`.
"""

import base64
import hashlib
import lzma
import re
from functools import cache
from importlib.resources import files

import tiktoken
from msgspec import Struct
from tiktoken.model import encoding_name_for_model

SLICE = 100_000
"""Characters counted at once, 3 ms; a word of so many, which no text of people has, costs up to 20 ms, and a longer one much more."""

_CHARACTERS_PER_TOKEN = 4
"""English prose has 4.2 characters per o200k token, so this errs on the side of too many."""


class _Table(Struct, frozen=True):
    pattern: str
    sha256: str
    """Of the uncompressed table, as tiktoken itself verifies it."""


_TABLES = {
    "cl100k_base": _Table(
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
        "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
    ),
    "o200k_base": _Table(
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
        r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
        r"|\p{N}{1,3}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n/]*"
        r"|\s*[\r\n]+"
        r"|\s+(?!\S)"
        r"|\s+",
        "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    ),
}


def estimate(characters: int) -> int:
    """Tokens in a text of so many characters, roughly; never 0 for a text."""
    return -(-characters // _CHARACTERS_PER_TOKEN)


def encoding_name(model: str) -> str:
    """The table for a model's name; ``o200k_base``, the newest, for models that tiktoken does not know (every other vendor's)."""
    try:
        name = encoding_name_for_model(model.rpartition("/")[2])
    except KeyError:
        return "o200k_base"
    # Special tokens aside, o200k_harmony is o200k_base; models older than cl100k_base are gone.
    return name if name in _TABLES else "o200k_base" if name == "o200k_harmony" else "cl100k_base"


class Measure(Struct, frozen=True, gc=False):
    """The tokens of a text."""

    tokens: int
    exact: bool
    """Not where a word is longer than :data:`SLICE`: it is counted in pieces, whose tokens need not be those of the whole."""


def count(model: str, text: str) -> int:
    """As :func:`measure`, the number alone."""
    return measure(model, text).tokens


def measure(model: str, text: str) -> Measure:
    """Tokens of ``text`` for ``model``. Blocks; run it in a thread.

    A long text is counted in slices that end where :func:`settled` says that what follows changes nothing, so the sum is exact. The
    work is bounded: 28 us per 1,000 characters of usual text.
    """
    encode = _encoding(encoding_name(model)).encode_ordinary
    tokens, start, exact = 0, 0, True
    while len(text) - start > SLICE:
        piece = text[start : start + SLICE]
        end = settled(piece)
        if not end:
            end, exact = SLICE, False
        tokens += len(encode(piece[:end]))
        start += end
    return Measure(tokens + len(encode(text[start:] if start else text)), exact)


_PAUSES = "\uff0c\u3002\u3001\uff01\uff1f\uff1b\uff1a"
"""Marks of Chinese and Japanese, where words are written without blanks."""
_WORD = re.compile(r"(?s).*(?:\S(?= )|[\r\n](?=[^\W_]))")
"""Up to the last blank behind a character that is none, or letter or digit that begins a line. Greedy, so one way back from the end."""


def settled(text: str) -> int:
    """How many characters of a text from its beginning have the tokens that they have, whatever follows the text.

    Tables cut a text into words before they look for tokens, and none of their patterns has a blank behind a character that is none,
    a letter or a digit behind a line's end, nor a mark of these behind a letter. So the tokens of a beginning that ends there are a
    beginning of the tokens of the whole.
    """
    word = _WORD.match(text)
    mark = max(map(text.rfind, _PAUSES))
    if mark > 0 and not text[mark - 1].isalpha():
        mark = 0
    return max(0 if word is None else word.end(), mark, 0)


@cache
def _encoding(name: str) -> tiktoken.Encoding:
    table = _TABLES[name]
    packed = (files("gateway.limits") / "data" / f"{name}.tiktoken.xz").read_bytes()
    data = lzma.decompress(packed)
    if hashlib.sha256(data).hexdigest() != table.sha256:
        raise ValueError(f"the table {name} of this installation is damaged")
    ranks = {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in data.splitlines())}
    # Without special tokens: text is text, whatever it looks like.
    return tiktoken.Encoding(name, pat_str=table.pattern, mergeable_ranks=ranks, special_tokens={})
