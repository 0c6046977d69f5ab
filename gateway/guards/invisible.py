"""Characters that nobody sees and a model reads: smuggled instructions, texts that are read in another order than they are shown.

References: Unicode Technical Standard 39 (security mechanisms); Boucher and Anderson, "Trojan Source: Invisible Vulnerabilities", 2021
(bidirectional overrides); Rehberger, "ASCII Smuggler", 2024 (tag characters); Butler, "Smuggling arbitrary data through an emoji", 2025
(variation selectors).

What scripts and emoji need is let pass: joiners within scripts that join (RFC 5892, appendix A), joiners and selectors of emoji
(UTS 51), marks of direction beside a script that is written from the right, the three flags that are written in tags, one variation
selector after a character that may have one, a byte order mark at the very beginning.

Each character is judged by itself and at most seven neighbours, so it does not matter how a text was cut.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import re
from collections.abc import Callable

import re2
from msgspec import Struct

from gateway.core.errors import MALFORMED, GatewayError
from gateway.guards.catalogue import GuardType
from gateway.guards.detector import Finding

_RUN = 64
"""Characters of one finding: a longer row of them is several, so that a stream has to hold back little."""

_NEIGHBOURS = 7
"""Characters left of one that it is judged by: a flag and its six tags; a word's end in a script that is written from the right."""

_ZERO_WIDTH = r"\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u2060-\u2064\u3164\ufeff\uffa0"
_BIDI = r"\u202a-\u202e\u2066-\u206f"
_TAG = r"\U000e0000-\U000e007f"
_SELECTOR = r"\ufe00-\ufe0f\U000e0100-\U000e01ef"
_PRIVATE = r"\ue000-\uf8ff\U000f0000-\U000ffffd\U00100000-\U0010fffd"
_CONTROL = r"\x00-\x08\x0b\x0e-\x1f\x7f-\x84\x86-\x9f\ufff9-\ufffb"
"""Tab, line feed, form feed, carriage return and next line are white space."""

KINDS: tuple[str, ...] = ("zero_width", "bidi", "tag", "variation_selector", "private_use", "control")
_FOUND = re.compile(
    f"(?P<zero_width>[{_ZERO_WIDTH}])|(?P<bidi>[{_BIDI}]{{1,64}})|(?P<tag>[{_TAG}])|(?P<variation_selector>[{_SELECTOR}])"
    f"|(?P<private_use>[{_PRIVATE}]{{1,64}})|(?P<control>[{_CONTROL}]{{1,64}})"
)
_POSSIBLE = re2.compile(
    "[" + re.sub(r"\\[uUx]([0-9a-f]+)", r"\\x{\1}", _ZERO_WIDTH + _BIDI + _TAG + _SELECTOR + _PRIVATE + _CONTROL) + "]"
)
_LAST = re.compile(f"[{_ZERO_WIDTH}{_BIDI}{_TAG}{_SELECTOR}{_PRIVATE}{_CONTROL}]*\\Z")

_EMOJI = re.compile(r"[\u00a9\u00ae\u203c-\u3299\ufe0f\U0001f000-\U0001faff]")
"""What an emoji's joiner stands between: pictographs, their selector, skin tones, arrows, keycaps."""

_JOINING = re.compile(
    r"[\u0600-\u08ff\u0900-\u109f\u1700-\u17ff\u1800-\u18af\u1900-\u1cff\ua800-\uabff\ufb50-\ufdff\ufe70-\ufefc\U00010a00-\U00010aff"
    r"\U00011000-\U00011fff]"
)
"""Scripts in which letters join: Arabic to Myanmar (Syriac, N'Ko, the scripts of India), Khmer, Mongolian, and their extensions."""

_FROM_RIGHT = re.compile(r"[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff]")
"""Hebrew, Arabic and other scripts that are written from the right."""

_IDEOGRAPH = re.compile(r"[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_SELECTED = re.compile(
    r"[#*0-9\u00a9\u00ae\u1000-\u109f\u1800-\u18af\u2010-\u33ff\u3400-\u9fff\ua840-\ua87f\uf900-\ufaff\U00010000-\U0003ffff]"
)
"""What has variation sequences (StandardizedVariants.txt, emoji-variation-sequences.txt), by block."""

_BLACK_FLAG = "\U0001f3f4"
_FLAGS = tuple("".join(chr(0xE0000 + ord(char)) for char in code) + "\U000e007f" for code in ("gbeng", "gbsct", "gbwls"))
"""England, Scotland, Wales: the only tag sequences that are recommended for interchange (UTS 51, ED-14a)."""


class InvisibleOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """Options of ``invisible``."""

    kinds: list[str] = []
    """Kinds to find; empty: all of them."""


class InvisibleDetector:
    """Finds characters of these kinds; neighbours of one kind are one finding of at most 64 characters."""

    __slots__ = ("_kinds", "before", "longest")

    def __init__(self, kinds: frozenset[str]) -> None:
        self._kinds = kinds
        self.before = _NEIGHBOURS
        self.longest: int | None = _RUN + _NEIGHBOURS + 1

    def find(self, text: str) -> list[Finding]:
        """Every finding."""
        return self.find_from(text, 0)

    def find_from(self, text: str, start: int) -> list[Finding]:
        """Every finding that begins at ``start`` or later."""
        if _POSSIBLE.search(text) is None:
            return []
        out: list[Finding] = []
        for match in _FOUND.finditer(text, start):
            kind = match.lastgroup or ""
            begin, end = match.span()
            needed = _NEEDED.get(kind)
            if kind not in self._kinds or (needed is not None and needed(text, begin)):
                continue
            last = out[-1] if out else None
            if last is not None and last.end == begin and last.what == kind and end - last.start <= _RUN:
                out[-1] = Finding(last.start, end, kind)
            else:
                out.append(Finding(begin, end, kind))
        return out

    def hold(self, text: str) -> int:
        """Characters at the end of a text that may be, or become, part of a finding."""
        return self.hold_from(text, 0)

    def hold_from(self, text: str, start: int) -> int:
        """Characters at the end of a text that may be, or become, part of a finding that begins at ``start`` or later."""
        assert self.longest is not None
        if not text or _POSSIBLE.search(text[-1]) is None:
            return 0
        end = _LAST.search(text, max(start, len(text) - self.longest))
        assert end is not None  # the empty end always matches
        return len(text) - end.start()


def _joiner_needed(text: str, i: int) -> bool:
    """Zero width: whether the writing at this place has it."""
    char, left, right = text[i], text[i - 1 : i], text[i + 1 : i + 2]
    if char == "\u200d" and _EMOJI.match(left) and _EMOJI.match(right):
        return True
    if char in "\u200c\u200d":
        return _JOINING.match(left) is not None and (char == "\u200c" or _JOINING.match(right) is not None)
    if char in "\u200e\u200f\u061c":
        return _FROM_RIGHT.match(right) is not None or _FROM_RIGHT.search(text, max(0, i - _NEIGHBOURS), i) is not None
    if char == "\u180e":
        return "\u1800" <= left <= "\u18af"
    return char == "\ufeff" and i == 0


def _in_flag(text: str, i: int) -> bool:
    """Tags: whether it is part of one of the three flags."""
    first = i
    while first > max(0, i - _NEIGHBOURS + 1) and "\U000e0000" <= text[first - 1] <= "\U000e007f":
        first -= 1
    return text[first - 1 : first] == _BLACK_FLAG and i < first + 6 and text.startswith(_FLAGS, first)


def _selects(text: str, i: int) -> bool:
    """Variation selectors: whether the character before may have one. A second one selects nothing."""
    pattern = _SELECTED if text[i] <= "\ufe0f" else _IDEOGRAPH
    return pattern.match(text[i - 1 : i]) is not None


_NEEDED: dict[str, Callable[[str, int], bool]] = {"zero_width": _joiner_needed, "tag": _in_flag, "variation_selector": _selects}


def _make(options: InvisibleOptions, param: str) -> InvisibleDetector:
    for i, kind in enumerate(options.kinds):
        if kind not in KINDS:
            at = f"{param}.options.kinds[{i}]"
            raise GatewayError(MALFORMED, f"{at}: {kind[:40]!r} is no kind; there are {', '.join(KINDS)}", param=at)
    return InvisibleDetector(frozenset(options.kinds or KINDS))


INVISIBLE = GuardType(
    "invisible",
    InvisibleOptions,
    _make,
    "Finds characters that nobody sees: of zero width, overrides of direction, tags, smuggled variation selectors, controls.",
    "UTS 39, https://www.unicode.org/reports/tr39/; Trojan Source, https://trojansource.codes",
)
