"""The price table: strict to load, exact to apply, silent about nothing."""

from pathlib import Path

import pytest

from gateway.core.events import Usage
from gateway.pricing.table import PriceTable, load_prices, price

ROOT = Path(__file__).parents[3]


def table_of(*entries: str) -> bytes:
    return ('version = "t1"\n' + "".join("[[price]]\n" + entry for entry in entries)).encode()


PLAIN = 'provider = "p"\nmodels = ["m", "m-2*"]\ninput = "2.50"\ncached_input = "1.25"\noutput = "10"\n'


def rates(table: PriceTable, model: str) -> tuple[int, int, int] | None:
    found = table.find("p", model)
    return found and (found.input, found.cached_input, found.output)


def test_amounts_are_nano_dollars_per_million_tokens():
    table = load_prices(table_of(PLAIN))
    assert table.version == "t1"
    assert rates(table, "m") == (2_500_000_000, 1_250_000_000, 10_000_000_000)


def test_a_call_is_billed_by_kind_of_token_and_cached_tokens_once():
    table = load_prices(table_of(PLAIN))
    # 800 fresh at 2.50, 200 cached at 1.25, 500 out at 10 USD per million.
    assert price(table, "p", "m", Usage(1000, 500, cached=200)) == (2_000_000 + 250_000 + 5_000_000, "exact")
    assert price(table, "p", "m", Usage(1000, 500, cached=200, reasoning=400)) == (7_250_000, "exact")


def test_without_a_cached_price_cached_input_costs_what_other_input_does():
    table = load_prices(table_of('provider = "p"\nmodels = ["m"]\ninput = "1"\noutput = "0"\n'))
    assert price(table, "p", "m", Usage(10, 0, cached=10)) == (10_000, "exact")


def test_a_cost_is_rounded_once_and_half_up():
    # 0.0005 USD per million tokens is half a nano-dollar per token.
    table = load_prices(table_of('provider = "p"\nmodels = ["m"]\ninput = "0.0005"\noutput = "0.0005"\n'))
    assert price(table, "p", "m", Usage(1, 0)) == (1, "exact")
    assert price(table, "p", "m", Usage(1, 1)) == (1, "exact")
    assert price(table, "p", "m", Usage(3, 0)) == (2, "exact")


def test_unknown_prices_are_none_and_say_so():
    table = load_prices(table_of(PLAIN))
    assert price(table, "p", "other", Usage(1, 1)) == (None, "unpriced")
    assert price(table, "q", "m", Usage(1, 1)) == (None, "unpriced")


def test_without_usage_there_is_neither_cost_nor_status():
    assert price(load_prices(table_of(PLAIN)), "p", "m", None) == (None, None)


def test_our_own_counts_are_marked():
    assert price(load_prices(table_of(PLAIN)), "p", "m", Usage(1_000_000, 0), estimated=True) == (2_500_000_000, "estimated")


@pytest.mark.parametrize(("usage", "cost"), [(Usage(-5, -5, cached=-5), 0), (Usage(10, 0, cached=99), 12_500)])
def test_senseless_counts_never_bill_more_or_less_than_nothing(usage: Usage, cost: int):
    assert price(load_prices(table_of(PLAIN)), "p", "m", usage) == (cost, "exact")


def test_the_longest_pattern_counts_and_a_full_name_before_any():
    other = 'provider = "p"\nmodels = ["m-20-mini*", "m-2"]\ninput = "9"\noutput = "9"\n'
    table = load_prices(table_of(PLAIN, other))
    nine = (9 * 10**9, 9 * 10**9, 9 * 10**9)
    assert rates(table, "m-20-mini-x") == nine
    assert rates(table, "m-2") == nine
    assert table.find("p", "m-20") == table.find("p", "m")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (PLAIN.replace('"2.50"', '"-1"'), "input = '-1'"),
        (PLAIN.replace('"2.50"', '"1e3"'), "input = '1e3'"),
        (PLAIN.replace('"2.50"', "2.5"), "Expected `str`"),
        (PLAIN.replace('"10"', '"0.0000000001"'), "output"),
        (PLAIN.replace("cached_input", "cache_input"), "cache_input"),
        (PLAIN.replace('["m", "m-2*"]', "[]"), "no models"),
        (PLAIN.replace('"m-2*"', '"m"'), "'m' is listed twice"),
        (PLAIN.replace('"m-2*"', '"m*2"'), "only a last '*'"),
        (PLAIN.replace('"m-2*"', '""'), "no model name"),
        ("input = ", "price table"),
    ],
)
def test_a_broken_table_is_refused_by_name(entry: str, message: str):
    with pytest.raises(ValueError, match=message.replace("*", r"\*")):
        load_prices(table_of(entry))


def test_the_shipped_table_loads_and_knows_the_echo_provider_and_common_models():
    table = load_prices((ROOT / "config" / "prices.toml").read_bytes())
    assert price(table, "echo", "echo", Usage(10**6, 10**6)) == (0, "exact")
    assert price(table, "openai", "gpt-4o-mini", Usage(10**6, 10**6)) == (750_000_000, "exact")
    for provider, model in [
        ("openai", "gpt-4o-2024-08-06"),
        ("openai", "gpt-4.1-mini"),
        ("openai", "o3"),
        ("openai", "gpt-5"),
        ("anthropic", "claude-sonnet-4-20250514"),
        ("gemini", "gemini-2.5-flash"),
        ("mistral", "mistral-small-latest"),
    ]:
        assert table.find(provider, model) is not None, model
    # A dated snapshot must not be priced as another product that shares its beginning.
    audio = table.find("openai", "gpt-4o-audio-preview-2024-12-17")
    assert audio is not None
    assert audio.audio_input == 40 * 10**9
    assert table.find("openai", "gpt-4o-realtime-preview") is None
