"""Token counts from shipped tables, without a network."""

import socket
import subprocess
import sys

import pytest

from gateway.limits import tokens
from gateway.limits.tokens import Measure, count, encoding_name, estimate, measure


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch):
    def refuse(*_args: object, **_kwargs: object):
        raise AssertionError("a token count opened a socket")

    monkeypatch.setattr(socket, "socket", refuse)


@pytest.mark.parametrize(
    ("model", "text", "expected"),
    [
        # Counts published with the tiktoken project's own tests and examples.
        ("gpt-4", "hello world", 2),
        ("gpt-4", "tiktoken is great!", 6),
        ("gpt-4o", "tiktoken is great!", 6),
        ("gpt-4", "antidisestablishmentarianism", 6),
        ("gpt-4", "2 + 2 = 4", 7),
        ("gpt-4", "お誕生日おめでとう", 9),
        ("gpt-4o", "お誕生日おめでとう", 8),
        ("gpt-4o", "", 0),
    ],
)
def test_known_texts_have_their_known_counts(model: str, text: str, expected: int):
    assert count(model, text) == expected


def test_texts_that_look_like_special_tokens_are_just_texts():
    assert count("gpt-4o", "<|endoftext|>") > 1


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("gpt-4o-mini", "o200k_base"),
        ("gpt-4.1", "o200k_base"),
        ("gpt-4-turbo", "cl100k_base"),
        ("gpt-3.5-turbo", "cl100k_base"),
        ("openai/gpt-4-0613", "cl100k_base"),
        ("gpt-oss-120b", "o200k_base"),
        ("text-davinci-003", "cl100k_base"),
        ("claude-sonnet-4-0", "o200k_base"),
        ("", "o200k_base"),
    ],
)
def test_every_model_has_a_table(model: str, name: str):
    assert encoding_name(model) == name


@pytest.mark.parametrize(
    "unit", ["sentence number 17 says little, ", "\u4e16\u754c\uff0c", "line of text\n and more", "a,b\nc,d\r\n\n1,2\n"]
)
@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4"])
def test_a_long_text_is_counted_exactly_in_slices(model: str, unit: str, monkeypatch: pytest.MonkeyPatch):
    text = unit * 300
    at_once = measure(model, text)
    for size in (40, 97, 1000):
        monkeypatch.setattr(tokens, "SLICE", size)
        assert measure(model, text) == at_once == Measure(count(model, text), exact=True)


def test_a_word_without_an_end_is_estimated_and_says_so(monkeypatch: pytest.MonkeyPatch):
    exact = count("gpt-4o", "ab" * 500)
    monkeypatch.setattr(tokens, "SLICE", 100)
    measured = measure("gpt-4o", "ab" * 500)
    assert (measured.tokens, measured.exact) == (pytest.approx(exact, abs=10), False)
    assert measure("gpt-4o", "a b " * 500).exact
    assert measure("gpt-4o", "x" * 100).exact


def test_a_damaged_table_is_noticed(monkeypatch: pytest.MonkeyPatch):
    tokens._encoding.cache_clear()
    monkeypatch.setitem(tokens._TABLES, "cl100k_base", tokens._Table("x", "0" * 64))
    with pytest.raises(ValueError, match="damaged"):
        count("gpt-4", "x")
    tokens._encoding.cache_clear()


def test_importing_loads_no_table():
    code = "import gateway.limits.tokens as t; assert t._encoding.cache_info().currsize == 0"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_quick_estimate_is_a_fourth_rounded_up():
    assert [estimate(n) for n in (0, 1, 4, 5, 400)] == [0, 1, 1, 2, 100]
