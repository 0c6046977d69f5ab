"""Case-insensitive text: Unicode case folding that remembers where each folded character came from.

Folding is ``str.casefold``: per character, without context, so folding chunk by chunk equals folding the whole. It may grow a
text (``ß`` becomes ``ss``), hence the positions. NFKC normalisation (full-width letters, ligatures, combining marks) is not
done yet: it needs context across chunks.
"""


def is_word(char: str) -> bool:
    """Whether a character is part of a word: letters and digits of any script, and the underscore."""
    return char.isalnum() or char == "_"


def fold(text: str) -> str:
    """The case-folded text."""
    return text.casefold()


def origins(text: str, folded: str) -> list[int] | None:
    """For each folded character the index of its original, and the total at the end; None when they are the same.

    Folding never shrinks a character, so equal lengths mean that every character stayed one character.
    """
    if len(folded) == len(text):
        return None
    out: list[int] = []
    for i, char in enumerate(text):
        out.extend([i] * len(char.casefold()))
    out.append(len(text))
    return out
