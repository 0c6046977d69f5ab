"""Notes of guards as text: one form for the response header ``x-guardrails`` and the ledger column ``verdicts``.

A structured field (RFC 9651): a list of tokens with parameters. Never a word of judged text::

    pre:pii;action=mask;found="email*2 phone", post:judge;action=block;observe;found="violation"
"""

import re
from collections.abc import Iterable, Sequence

from gateway.core.verdicts import Note

MAX_SHOWN = 16
"""Of the notes in one header, and of the kinds in one note: about 2 KB at most, where proxies take 8. What is left out is ``more``."""
_NAME = re.compile(r"[^A-Za-z0-9_.-]")
_KIND = re.compile(r"[^A-Za-z0-9_./-]")
_LONGEST = 64
"""Characters of a name or kind."""


def written(note: Note) -> str:
    """One note. Names are plain ASCII: what is not becomes ``_``."""
    text = f"{note.stage}:{_NAME.sub('_', note.guard[:_LONGEST])};action={note.action}"
    if note.mode == "observe":
        text += ";observe"
    if note.kinds:
        shown = list(note.kinds.items())[:MAX_SHOWN]
        kinds = [_KIND.sub("_", kind[:_LONGEST]) + (f"*{count}" if count > 1 else "") for kind, count in shown]
        if len(note.kinds) > MAX_SHOWN:
            kinds.append("more")
        text += f';found="{" ".join(kinds)}"'
    return text


def header(notes: Sequence[Note]) -> str:
    """The response header line; empty when there is nothing to say."""
    if not notes:
        return ""
    texts = [written(note) for note in notes[:MAX_SHOWN]]
    if len(notes) > MAX_SHOWN:
        texts.append("more")
    return f"x-guardrails: {', '.join(texts)}\r\n"


def rows(notes: Iterable[Note]) -> list[str]:
    """For the ledger: all of them."""
    return [written(note) for note in notes]
