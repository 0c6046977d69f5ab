"""The pure parts of the registry's writes."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import MALFORMED, GatewayError
from gateway.core.ids import uuid7
from gateway.storage.postgres.writing import GENESIS, before, by_name, clamp, is_id, link

FIELD = st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text() | st.lists(st.text(), max_size=3)


@given(st.lists(FIELD, max_size=5), st.lists(FIELD, max_size=5))
def test_entries_that_differ_have_hashes_that_differ(one: list[object], two: list[object]) -> None:
    same = repr(one) == repr(two)
    assert (link(GENESIS, *one) == link(GENESIS, *two)) == same
    assert link(GENESIS, *one) != link(link(GENESIS), *one)


def test_the_order_of_details_does_not_matter() -> None:
    assert link(GENESIS, {"a": 1, "b": 2}) == link(GENESIS, {"b": 2, "a": 1})


def test_ids_are_told_from_names() -> None:
    new = uuid7(int(time.time() * 1000), 5)
    assert is_id(new)
    for name in ["faq", "", new.upper(), new.replace("-", ""), new + "0", new[:-1] + "g"]:
        assert not is_id(name), name
        assert by_name(name) == (name, None)
    assert str(by_name(new)[1]) == new


def test_page_sizes_stay_within_bounds() -> None:
    assert [clamp(n) for n in (-5, 0, 1, 50, 1000, 10**9)] == [1, 1, 1, 50, 1000, 1000]


def test_positions_are_numbers() -> None:
    assert before("17") == 17
    assert before(None) > 10**9
    for bad in ["", "x", "-1", "1e3", "9" * 20, "٣"]:
        with pytest.raises(GatewayError) as caught:
            before(bad)
        assert (caught.value.kind, caught.value.param) == (MALFORMED, "after")
