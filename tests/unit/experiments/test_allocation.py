"""Weights become buckets: exact shares, few moves, and weights that are no split are refused by name."""

import pytest

from gateway.core.errors import MALFORMED, GatewayError
from gateway.experiments.allocation import BUCKETS, allocate, check


def test_a_first_split_is_laid_out_in_order() -> None:
    assert allocate([("a", 2_500), ("b", 0), ("c", 7_500)], {}) == {"a": [(0, 2_500)], "b": [], "c": [(2_500, BUCKETS)]}


def test_only_what_a_shrinking_variant_gives_up_moves() -> None:
    before = allocate([("a", 3_000), ("b", 3_000), ("c", 4_000)], {})
    after = allocate([("a", 4_000), ("b", 3_000), ("c", 3_000)], before)
    assert after == {"a": [(0, 3_000), (9_000, BUCKETS)], "b": before["b"], "c": [(6_000, 9_000)]}


def test_a_variant_that_is_gone_leaves_its_buckets_to_a_new_one() -> None:
    before = allocate([("a", 5_000), ("b", 5_000)], {})
    assert allocate([("c", 5_000), ("a", 5_000)], before) == {"c": [(5_000, BUCKETS)], "a": [(0, 5_000)]}


@pytest.mark.parametrize(
    ("weights", "told"),
    [
        ([], "2 to 10 variants, not 0"),
        ([("a", 10_000)], "2 to 10 variants, not 1"),
        ([(f"v{i}", 1_000 if i < 10 else 0) for i in range(11)], "not 11"),
        ([("a", 5_000), ("b", 4_999)], "add up to 9999"),
        ([("a", 10_001), ("b", -1)], "the weight of a is 10001"),
        ([("a", 10_000), ("b", -1)], "the weight of b is -1"),
        ([("A", 5_000), ("b", 5_000)], "'A' is not a variant name"),
        ([("a", 5_000), ("b c", 5_000)], "'b c' is not a variant name"),
        ([("a", 5_000), ("a", 5_000)], "two have the same name"),
    ],
)
def test_what_is_no_split_is_refused(weights: list[tuple[str, int]], told: str) -> None:
    for judge in (check, lambda w: allocate(w, {})):
        with pytest.raises(GatewayError) as caught:
            judge(weights)
        assert (caught.value.kind, caught.value.param) == (MALFORMED, "variants")
        assert told in caught.value.detail
