"""Markdown code blocks around a whole answer: models write them although they were asked for the bare value."""

import re

_BLOCK = re.compile(r"\s*+```[ \t]*+(\w*+)[ \t]*+\r?\n(.*)\r?\n[ \t]*```\s*", re.DOTALL)
"""A fenced code block (CommonMark 4.5) with an info string of one word, and nothing around it."""


def unfenced(text: str, language: str) -> str:
    """What stands in a code block of this language, or of none, that is the whole text; else the text as it is."""
    block = _BLOCK.fullmatch(text)
    return block[2] if block is not None and block[1].lower() in {"", language} else text
