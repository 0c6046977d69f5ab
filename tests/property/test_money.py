"""Costs are exact: they agree with rational arithmetic for any table and any counts."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.events import Usage
from gateway.pricing.table import load_prices, price

amounts = st.builds("{}.{:0>9}".format, st.integers(0, 999_999), st.integers(0, 999_999_999))
counts = st.integers(0, 10**18)


@given(amounts, amounts, amounts, counts, counts, st.data())
def test_a_cost_is_the_rational_sum_rounded_half_up(
    fresh: str, cached: str, output: str, read: int, written: int, data: st.DataObject
):
    from_cache = data.draw(st.integers(0, read))
    table = load_prices(
        f'version = "v"\n[[price]]\nprovider = "p"\nmodels = ["m"]\ninput = "{fresh}"\ncached_input = "{cached}"\noutput = "{output}"\n'.encode()
    )
    usd = (Fraction(fresh) * (read - from_cache) + Fraction(cached) * from_cache + Fraction(output) * written) / 10**6
    nano = usd * 10**9
    cost, status = price(table, "p", "m", Usage(read, written, cached=from_cache))
    assert status == "exact"
    assert cost == (nano + Fraction(1, 2)).__floor__()


@given(counts, counts, counts, counts)
def test_more_tokens_never_cost_less(read: int, written: int, more_read: int, more_written: int):
    table = load_prices(b'version = "v"\n[[price]]\nprovider = "p"\nmodels = ["m"]\ninput = "0.15"\noutput = "0.6"\n')
    small, _ = price(table, "p", "m", Usage(read, written))
    large, _ = price(table, "p", "m", Usage(read + more_read, written + more_written))
    assert small is not None
    assert large is not None
    assert 0 <= small <= large
