"""Foreign text on a terminal, and the forms of numbers."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admin_cli import screen


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("Grüße 你好 🎉", "Grüße 你好 🎉"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("\x9b31m", "\\x9b31m"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("bell\x07 null\x00 del\x7f", "bell\\x07 null\\x00 del\\x7f"),
        ("two\u2028lines", "two\\u2028lines"),
    ],
)
def test_what_could_act_on_a_terminal_is_spelled_out(text: str, shown: str):
    assert screen.inert(text) == shown


@given(st.text())
def test_nothing_active_is_left(text: str):
    assert not {unicodedata.category(c) for c in screen.inert(text)} & {"Cc", "Cf", "Cs", "Zl", "Zp"}


def test_some_characters_can_be_kept():
    assert screen.inert("a\n\tb\x1b", keep="\n\t") == "a\n\tb\\x1b"


def test_a_table_shows_markup_and_escapes_as_text(capsys: pytest.CaptureFixture[str]):
    screen.table(("NAME", "N"), [("[bold]x[/bold]\x1b[2J", 3), ("y", None)])
    out = capsys.readouterr().out
    assert "[bold]x[/bold]\\x1b[2J" in out
    assert "None" not in out
    assert "\x1b" not in out


def test_unknown_money_is_not_zero():
    assert screen.money(None) is None
    assert screen.money(0) == "$0.000000"
    assert screen.money(1_234_567) == "$0.001235"


def test_times():
    assert screen.milliseconds(1234) == "1.2 ms"
    assert screen.milliseconds(None) is None
    assert screen.when("2026-01-02T03:04:05.678Z") == "2026-01-02 03:04:05"
    assert screen.when(None) is None
