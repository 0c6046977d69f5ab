"""Every vendor's usage becomes the same terms, and the cost that was computed by hand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from gateway.core.events import Usage
from gateway.pricing.table import load_prices, price
from gateway.wire import openai
from gateway.wire.objects import usage_of
from gateway.wire.usage import anthropic_usage, bedrock_usage, cohere_usage, gemini_usage, responses_usage, tier_of

ROOT = Path(__file__).parents[3]
GOLDEN = sorted((ROOT / "tests" / "golden").glob("*/usage*.json"))
TABLE = load_prices((ROOT / "config" / "prices.toml").read_bytes())
Reader = Callable[..., Usage | None]


def chat(raw: Raw, tier: str | None = None) -> Usage | None:
    return openai.read_usage(raw, Raw(msgspec.json.encode(tier)) if tier else openai.ABSENT)


def forwarded(raw: bytes) -> Usage | None:
    return usage_of(b'{"usage":%b}' % bytes(raw))


READERS: dict[str, Reader] = {
    "chat": chat,
    "responses": responses_usage,
    "anthropic": anthropic_usage,
    "gemini": gemini_usage,
    "cohere": cohere_usage,
    "bedrock": bedrock_usage,
    "forwarded": forwarded,
}


@pytest.mark.parametrize("file", GOLDEN, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_published_usage_is_read_and_priced_as_by_hand(file: Path) -> None:
    golden: dict[str, Any] = msgspec.json.decode(file.read_bytes())
    raw = Raw(msgspec.json.encode(golden["usage"]))
    read = READERS[golden["reader"]]
    tier = golden.get("service_tier")
    usage = read(raw, tier) if tier else read(raw)
    assert usage == Usage(**golden["counts"])
    assert price(TABLE, golden["provider"], golden["model"], usage) == (golden["cost_nano"], "exact")


def test_there_is_a_golden_for_every_vendor_with_prices() -> None:
    assert {file.parent.name for file in GOLDEN} == {provider for provider, _ in TABLE.exact} | set(TABLE.prefixes) - {"echo"}


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
@pytest.mark.parametrize("text", [b"null", b"[]", b'"x"', b"{", b'{"a":' * 5000, b"\xff"])
def test_what_is_no_usage_is_none(reader: Reader, text: bytes) -> None:
    assert reader(Raw(text)) is None


@pytest.mark.parametrize(
    ("reader", "text"),
    [
        (chat, b'{"prompt_tokens":-1,"completion_tokens":2}'),
        (chat, b'{"prompt_tokens":1,"completion_tokens":"2"}'),
        (chat, b'{"prompt_tokens":5,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":6}}'),
        (chat, b'{"prompt_tokens":5,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":3,"cache_write_tokens":3}}'),
        (
            chat,
            b'{"prompt_tokens":5,"completion_tokens":2,"completion_tokens_details":{"reasoning_tokens":2,"audio_tokens":1}}',
        ),
        (chat, b'{"prompt_tokens":9007199254740992,"completion_tokens":2}'),
        (responses_usage, b'{"input_tokens":1,"output_tokens":1,"input_tokens_details":{"image_tokens":2}}'),
        (anthropic_usage, b'{"input_tokens":-5,"output_tokens":2,"cache_read_input_tokens":3}'),
        (anthropic_usage, b'{"input_tokens":1,"output_tokens":2,"cache_creation":{"ephemeral_1h_input_tokens":-1}}'),
        (gemini_usage, b'{"promptTokenCount":1,"cachedContentTokenCount":2}'),
        (cohere_usage, b'{"billed_units":{"input_tokens":-1}}'),
        (cohere_usage, b'{"tokens":{"input_tokens":1}}'),
        (bedrock_usage, b'{"inputTokens":1,"cacheWriteInputTokens":1,"cacheDetails":[{"ttl":"1h","inputTokens":2}]}'),
    ],
)
def test_counts_that_cannot_be_true_are_no_usage(reader: Reader, text: bytes) -> None:
    assert reader(Raw(text)) is None


def test_nulls_and_absent_counts_are_zero() -> None:
    nothing = b'{"input_tokens":null,"output_tokens":null,"cache_read_input_tokens":null,"cache_creation":null}'
    assert anthropic_usage(Raw(nothing)) == Usage(0, 0)
    assert gemini_usage(Raw(b'{"promptTokenCount":3,"promptTokensDetails":null}')) == Usage(3, 0)
    details = b'{"prompt_tokens":3,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":null}}'
    assert chat(Raw(details)) == Usage(3, 1)


@pytest.mark.parametrize(
    ("text", "usage"),
    [
        # DeepSeek
        (
            b'{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13,"prompt_cache_hit_tokens":6,"prompt_cache_miss_tokens":3}',
            Usage(9, 4, 6),
        ),
        # Moonshot
        (b'{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13,"cached_tokens":6}', Usage(9, 4, 6)),
        # xAI, whose completion has no thoughts in it
        (
            (
                b'{"prompt_tokens":9,"completion_tokens":4,"total_tokens":33,"prompt_tokens_details":{"cached_tokens":5},'
                b'"completion_tokens_details":{"reasoning_tokens":20}}'
            ),
            Usage(9, 24, 5, 20),
        ),
        # OpenAI, whose completion has
        (
            b'{"prompt_tokens":9,"completion_tokens":24,"total_tokens":33,"completion_tokens_details":{"reasoning_tokens":20}}',
            Usage(9, 24, 0, 20),
        ),
    ],
)
def test_copies_of_openais_api_count_in_their_own_way(text: bytes, usage: Usage) -> None:
    assert chat(Raw(text)) == usage


def test_writes_without_a_split_live_five_minutes() -> None:
    text = b'{"input_tokens":1,"cache_creation_input_tokens":10,"cache_creation":{"ephemeral_1h_input_tokens":4}}'
    assert anthropic_usage(Raw(text)) == Usage(11, 0, cache_write=6, cache_write_1h=4)


def test_results_of_tools_are_input_too() -> None:
    assert gemini_usage(Raw(b'{"promptTokenCount":3,"toolUsePromptTokenCount":4,"candidatesTokenCount":1}')) == Usage(7, 1)


@pytest.mark.parametrize(
    ("name", "tier"),
    [
        ("default", None),
        ("standard", None),
        ("auto", None),
        (None, None),
        ("flex", "flex"),
        ("scale", "scale"),
        ("x" * 33, None),
        ("a b", None),
        ("é", None),
    ],
)
def test_only_other_tiers_than_the_standard_one_have_a_name(name: str | None, tier: str | None) -> None:
    assert tier_of(name) == tier


@pytest.mark.parametrize("raw", [b"5", b"{", b"null", b'"default"', b'"auto"'])
def test_a_tier_that_is_no_name_is_the_standard_one(raw: bytes) -> None:
    usage = openai.read_usage(Raw(b'{"prompt_tokens":3,"completion_tokens":1}'), Raw(raw))
    assert usage == Usage(3, 1)
