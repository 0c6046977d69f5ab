"""Whether a value is a secret or stands in the place of one: entropy, placeholders, and what the issuer built in."""

import base64
import binascii
import math
import re
from collections import Counter

import msgspec

_ENTROPY = 3.0
"""Bits per character. Random hex of 16 characters has 3.2 on the average, a word of ten letters 2.8 (detect-secrets: 3.0 for hex)."""

_RANDOM_ENTROPY = 3.6
"""Bits per character, for texts that only their randomness gives away: 40 random base64 characters have 4.7, prose 3.5."""

_PLACEHOLDER = re.compile(
    r"(?i)example|changeme|change_me|placeholder|your[_-]?|x{4}|\*{3}|\.{3}|dummy|redacted|sample|insert|todo|fixme|<|>|\$\{|\{\{|0123456|abcdef|123456789"
)
"""What documentation writes in the place of a secret (after the allow-lists of gitleaks and detect-secrets)."""

_PATH = re.compile(r"[A-Za-z_]\w*(?:[.:/-]+[A-Za-z_]\w*)+", re.ASCII)
"""A name in a program, a file's path, words with hyphens."""

_BASE64_RUN = re.compile(r"[A-Za-z0-9+/]{32}")
"""Half a line of a key; no prose has so many characters without a space."""


def entropy(text: str) -> float:
    """Shannon's, in bits per character, of the frequencies within the text; 0 for an empty one."""
    size = len(text)
    return -sum([count / size * math.log2(count / size) for count in Counter(text).values()])


def is_real(text: str) -> bool:
    """Not a placeholder: nothing that documentation writes in the place of a secret, and not a row of few characters."""
    return _PLACEHOLDER.search(text) is None and len(set(text)) >= 5


def is_random(text: str) -> bool:
    """Random enough that nobody chose it: for forms that have nothing else of their own."""
    return is_real(text) and entropy(text) >= _RANDOM_ENTROPY and any(char.isdigit() for char in text)


def is_assigned_secret(text: str) -> bool:
    """Whether what is assigned to ``token``, ``api_key`` and the like is a value, and not a name, a path or a placeholder."""
    if not is_real(text) or entropy(text) < _ENTROPY or _PATH.fullmatch(text) is not None:
        return False
    if any(char.isdigit() for char in text):
        return any(char.isalpha() for char in text)
    return entropy(text) >= _RANDOM_ENTROPY and text.lower() != text != text.upper()


def is_password(text: str) -> bool:
    """Whether what is assigned to ``password`` is one: two kinds of characters, no name, no placeholder. People's are not random."""
    if not is_real(text) or _PATH.fullmatch(text) is not None:
        return False
    text = text.rstrip(".,:;!?")  # the end of a sentence
    kinds = [
        "a" if char.islower() else "A" if char.isupper() else "0" if char.isdigit() else "!" for char in text if char.isascii()
    ]
    return len(set(kinds)) >= 2


def is_url_password(text: str) -> bool:
    """Whether the password of ``scheme://user:password@host`` is one: any that is no placeholder and not the word itself."""
    password = text.partition("://")[2].rpartition("@")[0].partition(":")[2]
    return password.lower() not in {"password", "pass", "passwd", "pwd", "secret", "user"} and (
        _PLACEHOLDER.search(password) is None and not password.startswith(("$", "%", "{"))
    )


def is_jwt(text: str) -> bool:
    """A JSON Web Token: its first part is a JSON object that names an algorithm (RFC 7515, 4.1.1)."""
    head = text.partition(".")[0]
    try:
        header = msgspec.json.decode(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        return False
    return isinstance(header, dict) and "alg" in header


def has_key(text: str) -> bool:
    """Whether the frame of a private key has a key in it: prose about keys has not."""
    return _BASE64_RUN.search(text) is not None
