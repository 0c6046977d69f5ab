"""A stored call gets the price that the call itself would get today, and never loses one."""

from typing import Any

import pytest

from gateway.core.events import Usage
from gateway.core.ledger import LedgerRow
from gateway.pricing.rerate import Billed, rerated
from gateway.pricing.table import load_prices

TABLE = load_prices(
    b'version = "new"\n[[price]]\nprovider = "p"\nmodels = ["m"]\ninput = "2"\ncache_write = "3"\noutput = "2"\nper_request = "1"\n'
)


def billed(**changes: Any) -> Billed:
    values: dict[str, Any] = dict.fromkeys(Billed.__struct_fields__)
    values |= {"call_id": "c", "attempt": 1, "provider": "p", "model": "m", "input_tokens": 10, "output_tokens": 5}
    values |= {"usage_source": "upstream", "request_units": 0, "cost_nano": 1, "cost_status": "exact", "price_version": "old"}
    return Billed(**(values | changes))


def test_its_fields_are_columns_of_the_ledger():
    assert set(Billed.__struct_fields__) <= set(LedgerRow.__struct_fields__)


def test_every_count_of_the_row_is_used():
    counts = [100, 60, 20, 10, 11, 5, 25, 4, 21, 15, 12, 2, 3]
    names = Billed.__struct_fields__[4:17]
    assert billed(**dict(zip(names, counts, strict=True)), service_tier="flex").usage() == Usage(*counts, tier="flex")


def test_what_an_older_row_does_not_have_is_zero_and_a_call_is_one_request():
    assert billed(request_units=None).usage() == Usage(10, 5)
    assert billed(usage_source=None).usage() is None


@pytest.mark.parametrize(
    ("changes", "cost", "status"),
    [
        ({}, 30_000, "exact"),
        ({"cost_nano": None, "cost_status": "unpriced"}, 30_000, "exact"),
        ({"cost_nano": 30_000, "cost_status": "unpriced"}, 30_000, "exact"),
        ({"usage_source": "estimated"}, 30_000, "estimated"),
        ({"cache_write_tokens": 10}, 40_000, "exact"),
        ({"request_units": None}, 1_000_030_000, "exact"),
        ({"service_tier": "flex"}, 30_000, "estimated"),
    ],
)
def test_a_call_gets_todays_price(changes: dict[str, Any], cost: int, status: str):
    change = rerated(billed(**changes), TABLE)
    assert change is not None
    assert (change.cost_nano, change.status) == (cost, status)


@pytest.mark.parametrize(
    "changes",
    [
        {"cost_nano": 30_000},
        {"model": "gone"},
        {"provider": None},
        {"model": None},
        {"usage_source": None},
        {"input_tokens": 2**62, "cache_write_tokens": 2**62},
    ],
)
def test_what_is_right_or_cannot_be_priced_stays(changes: dict[str, Any]):
    assert rerated(billed(**changes), TABLE) is None
