"""Other readings of a plain text: those that a model, or a person, sees through although a pattern does not.

Each is a whole text again, made by one pass, and only where a cheap sign of its trick stands in the text.
"""

from gateway.guards.normal import PIECE, translated

_SEPARATORS = {code: " " for code in range(128) if not (chr(code).isalnum() or chr(code) in ".!?@")}
_ASCII_SEPARATORS = bytes(32 if code in _SEPARATORS else code for code in range(256))


class _Separators(dict[int, str]):
    """What :meth:`str.translate` asks: a blank for all that is neither letter nor digit, sentence ends and ``@`` kept."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        return char if char.isalnum() or char in ".!?@" else "." if char in "\u3002\u061f\u0964" else " "


_ALL_SEPARATORS = _Separators(_SEPARATORS)


def words(plain: str) -> str:
    """One blank for whatever stands between words; what ends a sentence stays."""
    spaced = plain.encode().translate(_ASCII_SEPARATORS).decode() if plain.isascii() else translated(plain, _ALL_SEPARATORS)
    if len(spaced) <= PIECE:
        return " ".join(spaced.split())
    pieces: list[str] = []
    start = 0
    while start < len(spaced):
        # Never within a word.
        end = spaced.find(" ", start + PIECE)
        end = len(spaced) if end < 0 else end
        piece = " ".join(spaced[start:end].split())
        if piece:
            pieces.append(piece)
        start = end
    return " ".join(pieces)


_NO_LETTERS = bytes(code for code in range(128) if not chr(code).isalnum())


def squeezed(plain: str) -> str:
    """Letters and digits alone."""
    if plain.isascii():
        return plain.encode().translate(None, _NO_LETTERS).decode()
    return "".join(filter(str.isalnum, plain))


_LEET = str.maketrans("0345780@$+", "oeastbo" + "ast")
_ONES = (str.maketrans("1!|", "iii"), str.maketrans("1!|", "lll"))


def unleet(plain: str) -> list[str]:
    """Digits and signs read as the letters that they look like; two readings where a 1 may be an i or an l."""
    letters = translated(plain, _LEET)
    readings = [translated(letters, ones) for ones in _ONES]
    return readings if readings[0] != readings[1] else readings[:1]


_ROT13 = str.maketrans("abcdefghijklmnopqrstuvwxyz", "nopqrstuvwxyzabcdefghijklm")


def rotated(text: str) -> str:
    """In ROT13, of lower-case letters."""
    return translated(text, _ROT13)


def backwards(plain: str) -> str:
    """From its end."""
    return plain[::-1]
