"""Units become variants: known answers that must never change, and shares that do not cover the whole are refused."""

import pytest

from gateway.core.errors import MALFORMED, GatewayError
from gateway.experiments.allocation import BUCKETS, Share
from gateway.experiments.assignment import Assignment

KNOWN = [22, 3701, 6372, 8017, 6995]
"""BLAKE2b of these units, worked out once."""
HALVES: list[Share] = [[(0, 5_000)], [(5_000, BUCKETS)]]


def test_the_hash_never_changes() -> None:
    """A program of another version must assign everybody as this one does: a change here moves users between variants."""
    split = Assignment("0199aaaa-0000-7000-8000-000000000001", HALVES)
    assert [split.bucket(unit) for unit in ("user-1", "user-2", "Zoë", "", "x" * 256)] == KNOWN


def test_a_unit_belongs_to_the_owner_of_its_bucket() -> None:
    split = Assignment("salt", [[(0, 1_000), (9_000, BUCKETS)], [], [(1_000, 9_000)]])
    seen = {split.arm(f"user-{i}") for i in range(200)}
    assert seen == {0, 2}, "a share of nothing is never assigned"
    for i in range(200):
        inside = 1_000 <= split.bucket(f"user-{i}") < 9_000
        assert split.arm(f"user-{i}") == (2 if inside else 0)


@pytest.mark.parametrize(
    "shares",
    [
        [],
        [[(0, 5_000)], [(5_001, BUCKETS)]],
        [[(0, 5_000)], [(4_999, BUCKETS)]],
        [[(0, 5_000)], [(5_000, BUCKETS + 1)]],
        [[(1, 5_000)], [(5_000, BUCKETS)]],
        [[(0, BUCKETS)], [(0, BUCKETS)]],
    ],
)
def test_every_bucket_has_one_owner(shares: list[Share]) -> None:
    with pytest.raises(GatewayError) as caught:
        Assignment("salt", shares)
    assert (caught.value.kind, caught.value.param) == (MALFORMED, "variants")


def test_a_salt_too_long_to_be_a_key_is_refused() -> None:
    with pytest.raises(GatewayError) as caught:
        Assignment("s" * 65, HALVES)
    assert caught.value.param == "salt"


def test_a_hundred_thousand_ids_give_the_weights() -> None:
    """Threat T25: whoever rotates ids gets the weights. Chi-square with 9 degrees of freedom; 27.9 is p = 0.001."""
    shares: list[Share] = [[(i * 1_000, (i + 1) * 1_000)] for i in range(10)]
    split = Assignment("salt", shares)
    seen = [0] * 10
    for i in range(100_000):
        seen[split.arm(f"id-{i}")] += 1
    assert sum((n - 10_000) ** 2 / 10_000 for n in seen) < 27.9
