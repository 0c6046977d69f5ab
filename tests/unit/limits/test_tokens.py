"""Token counts from shipped tables, without a network."""

import socket
import subprocess
import sys

import pytest

from gateway.limits import tokens
from gateway.limits.tokens import MAX_EXACT, count, encoding_name, estimate


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


def test_long_texts_are_estimated_from_samples_within_a_few_percent():
    words = " ".join(f"sentence number {i} says little of weight" for i in range(20_000))
    assert len(words) > 5 * MAX_EXACT
    exact = sum(count("gpt-4o", words[i : i + MAX_EXACT]) for i in range(0, len(words), MAX_EXACT))
    assert count("gpt-4o", words) == pytest.approx(exact, rel=0.03)


def test_samples_reach_from_the_beginning_to_the_end():
    # Half prose, half of a text with twice the tokens: an estimate from either half alone would be far off.
    prose = "the quick brown fox jumps over the lazy dog " * 4000
    dense = "é1ü2ß3 " * 25_000
    exact = (
        count("gpt-4o", prose[:MAX_EXACT]) * len(prose) / MAX_EXACT
        + count("gpt-4o", dense[:MAX_EXACT]) * len(dense) / MAX_EXACT
    )
    assert count("gpt-4o", prose + dense) == pytest.approx(exact, rel=0.05)


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
