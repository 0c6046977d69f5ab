"""The tokens of a beginning that is settled are a beginning of the tokens of the whole, and a limit of tokens does not depend on cuts."""

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.documents import PostValidation, Validator
from gateway.core.events import Event
from gateway.guards.catalogue import make
from gateway.guards.compiling import rules_of
from gateway.guards.remote.tokens import TokensGuard
from gateway.guards.rules import RemoteRule
from gateway.guards.shipped import CATALOGUE
from gateway.limits.tokens import Measure, count, settled
from gateway.pipeline.consulting.metered import Metered

WORDS = [
    "hel",
    "lo",
    " ",
    "  ",
    "\n",
    ".",
    ",",
    "'s",
    "12",
    "345",
    "世界",
    "，",
    "。",
    "é",
    "\u0301",
    "😀",
    "/",
    "\t",
    "Don't",
    "\r\n",
    "\u00a0",
]
TEXTS = st.lists(st.sampled_from(WORDS), max_size=30).map("".join)
MODELS = st.sampled_from(["gpt-4o", "gpt-4"])


@settings(max_examples=100)
@given(TEXTS, TEXTS, MODELS)
def test_what_is_settled_stays(text: str, more: str, model: str):
    end = settled(text)
    assert 0 <= end <= len(text)
    assert count(model, text[:end]) + count(model, text[end:] + more) == count(model, text + more)


class Pieces:
    """An answer that comes in pieces."""

    def __init__(self, pieces: list[str]) -> None:
        self.pieces = pieces

    async def next(self) -> list[Event]:
        return [Event(b"", ((0, self.pieces.pop(0)),))] if self.pieces else []


class Counted:
    """Counts, and how often it was asked to."""

    def __init__(self) -> None:
        self.asked = 0

    async def count(self, model: str, texts: list[str]) -> list[int]:
        self.asked += 1
        return [count(model, text) for text in texts]

    async def measure(self, model: str, texts: list[str]) -> list[Measure]:
        return [Measure(tokens, exact=True) for tokens in await self.count(model, texts)]


class TooManyError(Exception):
    pass


async def too_many(rule: RemoteRule, text: str) -> None:
    raise TooManyError


def metered(pieces: list[str], limit: int, counter: Counted) -> Metered:
    rails = PostValidation(validators=[Validator("tokens", options={"max_tokens": limit, "model": "gpt-4o"})])
    (rule,) = rules_of(rails, "post", CATALOGUE).remote
    assert isinstance(rule.remote, TokensGuard)
    return Metered(Pieces(pieces), [(rule, rule.remote)], counter, too_many)  # type: ignore[arg-type]


async def shown(answer: Metered) -> str | None:
    """The whole answer; None where it was ended."""
    out = ""
    try:
        while events := await answer.next():
            out += "".join([text for event in events for _, text in event.texts])
    except TooManyError:
        return None
    return out


@settings(max_examples=100)
@given(TEXTS, st.lists(st.integers(0, 100), max_size=12), st.integers(1, 20))
def test_any_cut_gives_the_verdict_of_the_whole(text: str, cuts: list[int], limit: int):
    places = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    pieces = [text[a:b] for a, b in pairwise(places)]
    seen = asyncio.run(shown(metered(pieces, limit, Counted())))
    assert seen == (None if count("gpt-4o", text) > limit else text)


@pytest.mark.parametrize("piece", ["word ", "世界，", "x", "12345 "])
def test_a_long_stream_is_counted_a_few_dozen_times(piece: str):
    pieces, counter = [piece] * 4_000, Counted()
    limit = count("gpt-4o", piece * 4_000)
    assert asyncio.run(shown(metered(list(pieces), limit, counter))) == piece * 4_000
    assert counter.asked <= 60
    assert asyncio.run(shown(metered(list(pieces), limit - 1, Counted()))) is None


def test_a_stream_ends_at_the_first_word_too_many():
    left = ["one ", "two ", "three ", "four ", "five ", "six "]
    assert asyncio.run(shown(metered(left, 3, Counted()))) is None
    assert left == ["five ", "six "]


@pytest.mark.parametrize(("options", "place"), [({}, "g.options"), ({"max_tokens": 0}, "g.options.max_tokens")])
def test_errors_name_the_option(options: dict[str, Any], place: str):
    with pytest.raises(Exception, match="max_tokens") as caught:
        make(CATALOGUE["tokens"], options, "g")
    assert caught.value.param == place
