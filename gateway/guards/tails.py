"""How much of a stream's end must be held back: exactly the longest suffix that could still become a prohibited term."""

import re

from gateway.guards.fold import is_word
from gateway.guards.terms import TermSet

_WORD = re.compile(r"\w+")


class Tails:
    """The question, prepared for one list of terms: a set of everything that may yet become one of them."""

    __slots__ = ("_anywhere", "_bare", "_last_pairs", "_last_words", "_prefixes", "_reach", "_words_only")

    def __init__(self, terms: TermSet) -> None:
        # Proper prefixes, and whole terms that end in a word character: only the next character shows their right edge.
        whole = terms.whole_words
        self._prefixes = frozenset(
            term[:end] for term in terms.folded for end in range(1, len(term) + (whole and is_word(term[-1])))
        )
        self._reach = max(map(len, self._prefixes), default=0)
        self._words_only = all(is_word(char) for prefix in self._prefixes for char in prefix)
        # First characters of the terms that may start inside a word.
        self._bare = sorted({term[0] for term in terms.folded if not (whole and is_word(term[0]))})
        self._anywhere = not whole
        # Two quick answers of "no" for the common case; a "yes" is only a reason to look closely.
        self._last_words = frozenset(_WORD.findall(prefix)[-1] for prefix in self._prefixes if is_word(prefix[-1]))
        self._last_pairs = frozenset(prefix[-2:] for prefix in self._prefixes if not is_word(prefix[-1]))

    def hold(self, folded: str, before: str) -> int:
        """How many folded characters at the end of ``folded`` must wait; ``before`` is the character left of it, or empty."""
        if self._anywhere:
            return self._search(folded, before)
        last = folded.rpartition(" ")[2]
        if last.isalnum():
            if last not in self._last_words:
                return 0
            if self._words_only and len(last) < len(folded):
                return len(last)
        elif not last and folded[-2:] not in self._last_pairs and " " not in self._last_pairs:
            return 0
        return self._search(folded, before)

    def _search(self, folded: str, before: str) -> int:
        cut = max(len(folded) - self._reach, 0)
        tail = folded[cut:]
        left = folded[cut - 1] if cut else before
        prefixes = self._prefixes
        best = 0
        for match in () if self._anywhere else _WORD.finditer(tail):
            start = match.start()
            if (start or not left or not is_word(left)) and tail[start:] in prefixes:
                best = len(tail) - start
                break
        for char in self._bare:
            start = tail.find(char)
            while 0 <= start < len(tail) - best:
                if tail[start:] in prefixes:
                    best = len(tail) - start
                    break
                start = tail.find(char, start + 1)
        return best
