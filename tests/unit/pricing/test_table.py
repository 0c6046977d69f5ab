"""The price table: strict to load, exact to apply, silent about nothing."""

from pathlib import Path

import pytest

from gateway.core.events import Usage
from gateway.pricing.table import PriceTable, load_prices, price, price_of_input

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
        (PLAIN + 'date = "2026-13-01"\n', "date = '2026-13-01'"),
        (PLAIN + 'batch = "half"\n', "batch = 'half'"),
        (PLAIN + 'batch = { input = "1", output = "1" }\n', r"batch: cached_input is missing"),
        (PLAIN + 'above = [{ tokens = 9, input = "1", output = "1" }]\n', "above 9: cached_input is missing"),
        (PLAIN.replace('cached_input = "1.25"\n', 'above = [{ tokens = 0, input = "3", output = "3" }]\n'), "does not ascend"),
        (PLAIN + 'scale = "2"\n', "scale"),
        (PLAIN + '[[alias]]\nprovider = "q"\nprefixes = [""]\nof = "r"\n', "'r' has no prices"),
        (PLAIN + '[[alias]]\nprovider = "q"\nprefixes = ["", ""]\nof = "p"\n', "prefix '' is listed twice"),
        (PLAIN + '[[alias]]\nprovider = "q"\nprefixes = [""]\nof = "p"\nfactor = "-1"\n', "factor = '-1'"),
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


RICH = """provider = "p"
models = ["m"]
input = "1"
cached_input = "0.1"
output = "4"
above = [
    { tokens = 100, input = "2", cached_input = "0.2", output = "6" },
    { tokens = 1000, input = "3", cached_input = "0.3", output = "9" },
]
batch = "0.5"
priority = { input = "10", cached_input = "1", output = "40", above = [{ tokens = 100, input = "20", cached_input = "2", output = "60" }] }
"""


@pytest.mark.parametrize(
    ("tokens", "tier", "cost", "status"),
    [
        (100, None, 100 * 1000, "exact"),
        (101, None, 101 * 2000, "exact"),
        (1001, None, 1001 * 3000, "exact"),
        (101, "batch", 101 * 1000, "exact"),
        (100, "priority", 100 * 10_000, "exact"),
        (1001, "priority", 1001 * 20_000, "exact"),
        (100, "flex", 100 * 1000, "estimated"),
        (100, "scale", 100 * 1000, "estimated"),
    ],
)
def test_length_and_service_tier_choose_the_prices(tokens: int, tier: str | None, cost: int, status: str):
    assert price(load_prices(table_of(RICH)), "p", "m", Usage(tokens, 0, tier=tier)) == (cost, status)


def test_length_counts_cached_input_too_and_the_whole_call_costs_more():
    table = load_prices(table_of(RICH))
    assert price(table, "p", "m", Usage(101, 10, cached=100)) == (1 * 2000 + 100 * 200 + 10 * 6000, "exact")


def test_absent_prices_are_those_of_the_next_more_general_kind():
    text = 'provider = "p"\nmodels = ["m"]\ninput = "1"\noutput = "2"\n'
    parts = Usage(70, 40, 10, 10, 10, 10, 20, 10, 10, 10, 10)
    assert price(load_prices(table_of(text)), "p", "m", parts) == (70_000 + 80_000, "exact")
    plain = load_prices(table_of(text + 'cache_write = "3"\n')).find("p", "m")
    assert plain is not None
    assert (plain.cache_write_1h, plain.flat) == (3 * 10**9, False)
    heard = load_prices(table_of(text + 'audio_input = "5"\n')).find("p", "m")
    assert heard is not None
    assert heard.audio_cached == 5 * 10**9
    heard = load_prices(table_of(text + 'audio_input = "5"\ncached_input = "0.5"\n')).find("p", "m")
    assert heard is not None
    assert heard.audio_cached == 5 * 10**8


def test_fees_are_by_the_piece():
    text = 'provider = "p"\nmodels = ["m"]\ninput = "0"\noutput = "0"\nper_image = "0.04"\nper_request = "0.002"\n'
    table = load_prices(table_of(text + 'batch = { input = "0", output = "0" }\n'))
    assert price(table, "p", "m", Usage(0, 0)) == (2_000_000, "exact")
    assert price(table, "p", "m", Usage(0, 0, images=3, requests=2)) == (124_000_000, "exact")
    assert price(table, "p", "m", Usage(0, 0, images=-3, requests=-2)) == (0, "exact")
    assert price(table, "p", "m", Usage(0, 0, tier="batch")) == (2_000_000, "exact")


ALIASES = """
[[alias]]
provider = "cloud"
prefixes = ["eu.", "us."]
of = "p"
factor = "1.1"
[[alias]]
provider = "cloud"
prefixes = ["us.old-"]
of = "p"
as = "m-2-"
"""


def test_an_alias_takes_the_prices_of_another_provider():
    table = load_prices(
        table_of(PLAIN, 'provider = "cloud"\nmodels = ["us.m"]\ninput = "7"\noutput = "7"\n') + ALIASES.encode()
    )
    found = table.find("cloud", "eu.m")
    assert found is not None
    assert (found.input, found.cached_input, found.output) == (2_750_000_000, 1_375_000_000, 11_000_000_000)
    assert table.find("cloud", "us.old-x") == table.find("p", "m-2-x")
    listed = table.find("cloud", "us.m")
    assert listed is not None
    assert listed.input == 7 * 10**9
    assert table.find("cloud", "eu.other") is None
    assert table.find("cloud", "m") is None


def test_what_was_found_is_remembered_but_not_without_end():
    table = load_prices(table_of(PLAIN))
    assert table.find("p", "m-2-x") is table.find("p", "m-2-x")
    for number in range(10_000):
        table.find("p", f"made-up-{number}")
    table.find("p", "m-2" + "x" * 10**6)
    assert len(table._found) <= 4096
    assert all(len(model) <= 128 for _, model in table._found)
    assert table.find("p", "m-2-x") == table.find("p", "m")


def test_a_cost_that_the_ledger_cannot_hold_is_none():
    table = load_prices(table_of('provider = "p"\nmodels = ["m"]\ninput = "999999"\noutput = "0"\n'))
    assert price(table, "p", "m", Usage(2**63, 0)) == (None, "unpriced")
    assert price(table, "p", "m", Usage(9_223_381, 0)) == (9_223_371_776_619_000, "exact")


def test_every_shipped_price_says_where_and_when_it_was_read():
    table = load_prices((ROOT / "config" / "prices.toml").read_bytes())
    assert {source.provider for source in table.sources} >= {"openai", "anthropic", "gemini", "mistral", "cohere", "bedrock"}
    assert all(source.source and source.date for source in table.sources)
    assert all(source.source.startswith("https://") for source in table.sources if source.source and source.provider != "echo")
    for provider, model, same in [
        ("azure", "gpt-4o", ("openai", "gpt-4o")),
        ("vertex", "claude-opus-4-5@20251101", ("anthropic", "claude-opus-4-5")),
        ("bedrock", "global.anthropic.claude-sonnet-4-6", ("anthropic", "claude-sonnet-4-6")),
        ("bedrock", "us.anthropic.claude-3-5-haiku-20241022-v1:0", ("anthropic", "claude-3-5-haiku-20241022")),
        ("bedrock", "eu.amazon.nova-pro-v1:0", ("bedrock", "amazon.nova-pro-v1:0")),
    ]:
        assert table.find(provider, model) is not None
        assert table.find(provider, model) == table.find(*same), model


PIECES = (
    'provider = "p"\nmodels = ["dall"]\ninput = "0"\noutput = "0"\nbatch = { input = "0", output = "0", per_request = "0.5" }\n'
    'pictures = [{ size = "s", quality = "low", price = "0.1" }, { size = "s", quality = "hd", price = "0.2" },'
    ' { size = "l", price = "0.3" }]\n'
)


@pytest.mark.parametrize(
    ("picture", "cost"),
    [
        (None, 200),
        ("- -", 200),
        ("s -", 200),
        ("- low", 200),
        ("- hd", 400),
        ("s hd", 400),
        ("l -", 600),
        ("l hd", 600),
        ("l whatever", 600),
        ("s whatever", None),
        ("xl -", None),
        ("? ?", None),
    ],
)
def test_pictures_cost_what_their_size_and_quality_do(picture: str | None, cost: int | None):
    table = load_prices(table_of(PIECES))
    usage = Usage(0, 0, images=2, picture=picture)
    expected = (None, "unpriced") if cost is None else (cost * 10**6, "exact")
    assert price(table, "p", "dall", usage) == expected
    assert price(table, "p", "dall", Usage(0, 0, picture=picture)) == (0, "exact"), "none was made"


def test_a_call_of_which_only_the_input_is_known_costs_at_least_that():
    talk = 'provider = "p"\nmodels = ["talk"]\ninput = "0"\noutput = "0"\nper_million_characters = "15"\n'
    free = 'provider = "p"\nmodels = ["free"]\ninput = "0"\noutput = "0"\n'
    table = load_prices(table_of(PLAIN, PIECES, talk, free))
    assert price_of_input(table, "p", "m", 1000) == 2_500_000
    assert price_of_input(table, "p", "free", 1000) == 0
    assert [price_of_input(table, "p", model, 1000) for model in ("dall", "talk", "unheard of")] == [None, None, None]


def test_a_listed_quality_goes_before_any_quality():
    pictures = 'pictures = [{ size = "s", price = "0.1" }, { size = "s", quality = "hd", price = "0.2" }]\n'
    table = load_prices(table_of(f'provider = "p"\nmodels = ["m"]\ninput = "0"\noutput = "0"\n{pictures}'))
    costs = [price(table, "p", "m", Usage(0, 0, images=1, picture=picture)) for picture in ("s hd", "s low", "s -")]
    assert costs == [(200_000_000, "exact"), (100_000_000, "exact"), (100_000_000, "exact")]


def test_a_service_tier_has_the_pictures_of_its_entry():
    table = load_prices(table_of(PIECES))
    assert price(table, "p", "dall", Usage(0, 0, images=1, tier="batch")) == (600_000_000, "exact")


def test_a_factor_is_one_for_pictures_and_characters_too():
    aliased = table_of(PIECES, 'provider = "p"\nmodels = ["talk"]\ninput = "0"\noutput = "0"\nper_million_characters = "15"\n')
    table = load_prices(aliased + b'[[alias]]\nprovider = "q"\nprefixes = [""]\nof = "p"\nfactor = "1.1"\n')
    assert price(table, "q", "dall", Usage(0, 0, images=1)) == (110_000_000, "exact")
    assert price(table, "q", "talk", Usage(0, 0, characters=1000)) == (16_500_000, "exact")
    assert price(table, "p", "talk", Usage(0, 0, characters=1)) == (15_000, "exact")


@pytest.mark.parametrize("pieces", [{"images": 1}, {"audio_ms": 1}, {"characters": 1}])
def test_a_price_for_tokens_is_none_for_pieces(pieces: dict[str, int]):
    table = load_prices(table_of(PLAIN, 'provider = "p"\nmodels = ["free"]\ninput = "0"\noutput = "0"\n'))
    assert price(table, "p", "m", Usage(0, 0, **pieces)) == (None, "unpriced")
    assert price(table, "p", "m", Usage(1, 0, **pieces)) == (None, "unpriced")
    assert price(table, "p", "free", Usage(5, 5, **pieces)) == (0, "exact"), "what costs nothing costs nothing"


@pytest.mark.parametrize(
    ("pictures", "words"),
    [
        (
            'pictures = [{ size = "s", price = "1" }, { size = "s", price = "2" }]',
            "pictures: size = 's', quality = None is listed twice",
        ),
        ('pictures = [{ size = "", price = "1" }]', "or empty"),
        ('pictures = [{ size = "s", price = "1,5" }]', "pictures.price = '1,5' is not an amount in USD"),
        ('per_image = "1"\npictures = [{ size = "s", price = "1" }]', "give per_image or pictures, not both"),
        ('pictures = [{ size = "s" }]', "price"),
        ('pictures = [{ size = "s", price = "1", detail = "x" }]', "detail"),
        ('per_million_characters = "-1"', "per_million_characters = '-1' is not an amount"),
    ],
)
def test_prices_of_pieces_that_are_wrong_are_named(pictures: str, words: str):
    with pytest.raises(ValueError, match="price") as caught:
        load_prices(table_of(f'provider = "p"\nmodels = ["m"]\ninput = "0"\noutput = "0"\n{pictures}\n'))
    assert words in str(caught.value)
