"""The plain form of a text."""

import pytest

from gateway.guards.normal import _REMEMBERED, _TABLE, plain, plain_pattern


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("Hello\tWorld\r\n", "hello\tworld\r\n"),
        ("a\0b\x7f", "ab"),
        ("Stra\u00dfe", "strasse"),
        ("\u00e9 e\u0301", "e e"),
        ("\uff29\uff47nore", "ignore"),
        ("\u0456gn\u043er\u0435", "ignore"),
        ("\U0001f150\U0001f170\U0001f1e6", "aaa"),
        ("i\u200bg\u2060n\u00adore\ufeff", "ignore"),
        ("\u202eevil\u202c", "evil"),
        ("\u2800\u3164\u115f", ""),
        ("\ufb01ne", "fine"),
        ("\u0130stanbul \u0131", "istanbul i"),
        ("\u6307\u4ee4", "\u6307\u4ee4"),
        ("\U000e0041", ""),
        ("\ue000\ufdd0", ""),
    ],
)
def test_each_kind_of_disguise_is_taken_off(text: str, expected: str):
    assert plain(text) == expected


def test_patterns_keep_their_syntax():
    assert plain_pattern("\\b\u00e9t\u00e9\\W[\u0410-\u042f]") == "\\bete\\W[a-\u044f]"


def test_the_memory_for_characters_is_bounded():
    text = "".join(chr(code) for code in range(0x3400, 0x3400 + _REMEMBERED + 5_000))
    assert plain(text) == plain(plain(text))
    assert len(_TABLE) <= _REMEMBERED
