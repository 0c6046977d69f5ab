"""Which tricks a text may hide something with: one pass for all, so that a plain text pays for none of them."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from enum import IntEnum, auto

import re2

from gateway.guards.injection.views import backwards, rotated


class Sign(IntEnum):
    """A trick, by its number among :data:`_PATTERNS`."""

    SPREAD = 0
    LEET = auto()
    ROTATED = auto()
    REVERSED = auto()
    BASE64 = auto()
    HEX = auto()
    BINARY = auto()
    DECIMAL = auto()
    PERCENT = auto()
    ENTITIES = auto()
    ESCAPES = auto()
    TAGS = auto()


_STEMS = ("ignor", "disregard", "instruction", "previous", "system", "prompt", "reveal", "forget", "jailbreak", "password")
"""Words of which nearly every attack has one, and that mean nothing when rotated or reversed."""

_PATTERNS: dict[Sign, str] = {
    Sign.SPREAD: (
        r"(?i:\b[a-z0-9@$!|][^a-z0-9]{1,4}[a-z0-9@$!|][^a-z0-9]{1,4}[a-z0-9@$!|][^a-z0-9]{1,4}[a-z0-9@$!|][^a-z0-9]{1,4}[a-z0-9@$]\b)"
        r"|(?i:[a-z]{1,4}[-._*~|/+^]{1,2}[a-z]{1,4}[-._*~|/+^]{1,2}[a-z]{1,4}[-._*~|/+^]{1,2}[a-z])"
        r"|(?i:[a-z][\"'] {0,3}\+ {0,3}[\"'][a-z])"
    ),
    Sign.LEET: r"(?i:[a-z][0134578@$!|+][a-z]|\b[013457][a-z]{3}|@ll\b|\ba11\b|[a-z]{2}[01345][0134578]+[a-z])",
    Sign.ROTATED: "(?i:" + "|".join(map(rotated, _STEMS)) + ")",
    Sign.REVERSED: "(?i:" + "|".join(map(backwards, _STEMS)) + ")",
    Sign.BASE64: r"[A-Za-z0-9+/_-]{16}",
    Sign.HEX: r"(?:(?:\\x|0x|%u00)?[0-9A-Fa-f]{2}[ ,:]?){8}",
    Sign.BINARY: r"(?:[01]{8}[ ,]?){6}",
    Sign.DECIMAL: r"(?:[1-9][0-9]{1,2}[ ,]{1,2}){7}[1-9]",
    Sign.PERCENT: r"(?:%[0-9A-Fa-f]{2}[^%]{0,20}){4}",
    Sign.ENTITIES: r"(?:&#x?[0-9A-Fa-f]{2,6};? ?){4}",
    Sign.ESCAPES: r"\\u\{?[0-9A-Fa-f]{4}",
    Sign.TAGS: r"[\x{E0020}-\x{E007E}]{4}",
}


def _compiled() -> "re2.Set":
    options = re2.Options()
    options.log_errors = False
    found = re2.Set.SearchSet(options)
    for sign in Sign:
        found.Add(_PATTERNS[sign])
    found.Compile()
    return found


_SIGNS = _compiled()


def signs(text: str) -> frozenset[Sign]:
    """The tricks of which a text has a sign."""
    return frozenset(map(Sign, _SIGNS.Match(text.encode(errors="replace")) or ()))
