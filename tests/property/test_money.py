"""Costs are exact, never negative, never less for more, and no token is billed twice: for any table and any counts."""

from fractions import Fraction
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.core.events import Usage
from gateway.pricing.rates import MILLION, Price
from gateway.pricing.table import LARGEST_COST, load_prices, price

SHIPPED = load_prices((Path(__file__).parents[2] / "config" / "prices.toml").read_bytes())
MODELS = sorted(SHIPPED.exact)

amounts = st.builds("{}.{:0>9}".format, st.integers(0, 999_999), st.integers(0, 999_999_999))
counts = st.integers(0, 10**18)
real = st.integers(0, 10**7)
wild = st.integers(-(2**70), 2**70)
rates = st.builds(Price, *[st.integers(0, 10**12)] * 15)

PARTS = (
    "text",
    "cached",
    "kept",
    "hour",
    "audio",
    "heard",
    "image",
    "prose",
    "thought",
    "spoken",
    "drawn",
    "images",
    "requests",
    "heard_ms",
    "aloud",
)
"""Disjoint: every token, picture, request, millisecond and character in exactly one."""


@st.composite
def parts(draw: st.DrawFn) -> dict[str, int]:
    return {name: draw(real) for name in PARTS}


def usage_of(part: dict[str, int]) -> Usage:
    return Usage(
        sum([part[name] for name in ("text", "cached", "kept", "hour", "audio", "heard", "image")]),
        sum([part[name] for name in ("prose", "thought", "spoken", "drawn")]),
        part["cached"] + part["heard"],
        part["thought"],
        part["kept"],
        part["hour"],
        part["audio"] + part["heard"],
        part["heard"],
        part["spoken"],
        part["image"],
        part["drawn"],
        part["images"],
        part["requests"],
        audio_ms=part["heard_ms"],
        characters=part["aloud"],
    )


def by_hand(part: dict[str, int], rate: Price) -> int:
    return (
        part["text"] * rate.input
        + part["cached"] * rate.cached_input
        + part["kept"] * rate.cache_write
        + part["hour"] * rate.cache_write_1h
        + part["audio"] * rate.audio_input
        + part["heard"] * rate.audio_cached
        + part["image"] * rate.image_input
        + part["prose"] * rate.output
        + part["thought"] * rate.reasoning
        + part["spoken"] * rate.audio_output
        + part["drawn"] * rate.image_output
        + part["images"] * rate.image
        + part["requests"] * rate.request
        + part["heard_ms"] * rate.audio_ms
        + part["aloud"] * rate.character
    )


@given(amounts, amounts, amounts, counts, counts, st.data())
def test_a_cost_is_the_rational_sum_rounded_half_up(
    fresh: str, cached: str, output: str, read: int, written: int, data: st.DataObject
):
    from_cache = data.draw(st.integers(0, read))
    table = load_prices(
        f'version = "v"\n[[price]]\nprovider = "p"\nmodels = ["m"]\ninput = "{fresh}"\ncached_input = "{cached}"\noutput = "{output}"\n'.encode()
    )
    usd = (Fraction(fresh) * (read - from_cache) + Fraction(cached) * from_cache + Fraction(output) * written) / 10**6
    rounded = (usd * 10**9 + Fraction(1, 2)).__floor__()
    cost = price(table, "p", "m", Usage(read, written, cached=from_cache))
    assert cost == ((rounded, "exact") if rounded <= LARGEST_COST else (None, "unpriced"))


@given(parts(), rates)
def test_every_part_is_billed_once_at_its_own_rate(part: dict[str, int], rate: Price):
    assert rate.amount(usage_of(part)) == by_hand(part, rate)


@given(
    parts(), st.sampled_from(PARTS), st.integers(0, 10**6), st.sampled_from(MODELS), st.sampled_from([None, "batch", "flex"])
)
def test_more_of_anything_never_costs_less(
    part: dict[str, int], name: str, more: int, model: tuple[str, str], tier: str | None
):
    rate = SHIPPED.exact[model]
    priced = {"images": rate.image or rate.pictures, "heard_ms": rate.audio_ms, "aloud": rate.character}
    unpriced = [piece for piece, amount in priced.items() if not amount]
    part |= dict.fromkeys(unpriced, 0)
    more = 0 if name in unpriced else more
    small, _ = price(SHIPPED, *model, replace(usage_of(part), tier=tier))
    large, _ = price(SHIPPED, *model, replace(usage_of(part | {name: part[name] + more}), tier=tier))
    assert small is not None
    assert large is not None
    assert 0 <= small <= large


@given(parts(), parts(), rates)
def test_two_calls_cost_what_one_of_both_would_but_for_the_rounding(one: dict[str, int], other: dict[str, int], rate: Price):
    both = {name: one[name] + other[name] for name in PARTS}
    assert rate.amount(usage_of(one)) + rate.amount(usage_of(other)) == rate.amount(usage_of(both))


@given(st.lists(wild, min_size=13, max_size=13), rates)
def test_no_counts_make_a_cost_negative_or_bill_more_tokens_than_there_are(numbers: list[int], rate: Price):
    usage = Usage(*numbers)
    amount = rate.amount(usage)
    dearest_input = max(
        rate.input,
        rate.cached_input,
        rate.cache_write,
        rate.cache_write_1h,
        rate.audio_input,
        rate.audio_cached,
        rate.image_input,
    )
    dearest_output = max(rate.output, rate.reasoning, rate.audio_output, rate.image_output)
    extras = max(usage.images, 0) * rate.image + max(usage.requests, 0) * rate.request
    assert 0 <= amount <= max(usage.input, 0) * dearest_input + max(usage.output, 0) * dearest_output + extras


@given(real, real, st.sampled_from(MODELS))
def test_cached_tokens_never_cost_more_than_fresh_ones_nor_are_added_to_them(read: int, made: int, model: tuple[str, str]):
    rate = SHIPPED.find(*model)
    assert rate is not None
    fresh, cached = rate.amount(Usage(read, made)), rate.amount(Usage(read, made, cached=read))
    assert cached <= fresh
    if not rate.above:
        assert cached == read * rate.cached_input + made * rate.output + rate.request


@given(wild, wild, st.sampled_from(MODELS))
def test_a_cost_always_fits_the_ledgers_column(read: int, made: int, model: tuple[str, str]):
    cost, status = price(SHIPPED, *model, Usage(read, made))
    assert (cost is None) == (status == "unpriced")
    assert cost is None or 0 <= cost <= LARGEST_COST


def test_the_shipped_table_never_makes_a_longer_call_cheaper():
    for model in MODELS:
        rate = SHIPPED.find(*model)
        assert rate is not None
        for bound, dearer in rate.above:
            assert rate.amount(Usage(bound, 0)) <= rate.amount(Usage(bound + 1, 0))
            assert all(getattr(rate, name) <= getattr(dearer, name) for name in Price.__struct_fields__[:13])
        assert rate.amount(Usage(MILLION, 0)) >= 0
