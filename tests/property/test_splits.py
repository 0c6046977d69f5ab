"""Splits over all weights and units: exact shares, proportions, stability while weights change, independence of salts."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from gateway.experiments.allocation import BUCKETS, MAX_VARIANTS, Share, allocate
from gateway.experiments.assignment import Assignment

NAMES = [f"v{i}" for i in range(MAX_VARIANTS)]
UNITS = [f"user-{i}" for i in range(4_000)]


@st.composite
def weightings(draw: st.DrawFn, arms: int | None = None) -> list[tuple[str, int]]:
    """Weights of some of the names that make up the whole."""
    count = arms or draw(st.integers(2, MAX_VARIANTS))
    cuts = sorted(draw(st.lists(st.integers(0, BUCKETS), min_size=count - 1, max_size=count - 1)))
    names = draw(st.permutations(NAMES)) if arms is None else NAMES
    return [(name, b - a) for name, a, b in zip(names, [0, *cuts], [*cuts, BUCKETS], strict=False)]


def owners(shares: dict[str, Share]) -> list[str]:
    """Who owns each bucket; fails where one is owned twice."""
    owner: list[str | None] = [None] * BUCKETS
    for name, share in shares.items():
        for first, end in share:
            assert owner[first:end] == [None] * (end - first)
            owner[first:end] = [name] * (end - first)
    assert None not in owner
    return owner  # type: ignore[return-value]


@given(st.lists(weightings(), min_size=1, max_size=5))
def test_however_often_weights_change_shares_are_exact_and_moves_are_fewest(history: list[list[tuple[str, int]]]) -> None:
    before: dict[str, Share] = {}
    for weights in history:
        after = allocate(weights, before)
        count = Counter(owners(after))
        assert {name: count[name] for name, _ in weights} == dict(weights)
        if before:
            old, new = owners(before), owners(after)
            moved = [(a, b) for a, b in zip(old, new, strict=True) if a != b]
            was = Counter(old)
            assert all(count[a] < was[a] and count[b] > was[b] for a, b in moved), "only from who shrinks to who grows"
            assert len(moved) == sum(max(0, count[name] - was[name]) for name in NAMES), "and no more than must"
        before = after


@given(st.lists(weightings(), min_size=1, max_size=4))
def test_the_same_weights_again_move_nobody(history: list[list[tuple[str, int]]]) -> None:
    before: dict[str, Share] = {}
    for weights in history:
        before = allocate(weights, before)
    again = allocate(history[-1], before)
    assert again == before
    assert allocate(history[-1][::-1], before) == again, "in whatever order they are named"


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=64), st.text(max_size=256))
def test_a_unit_is_always_where_it_was(salt: str, unit: str) -> None:
    unit = unit.encode("utf-8", "replace").decode()
    shares = list(allocate([("a", 3_333), ("b", 6_667)], {}).values())
    one, other = Assignment(salt, shares), Assignment(salt, shares)
    assert 0 <= one.bucket(unit) < BUCKETS
    assert one.arm(unit) == other.arm(unit) == (0 if one.bucket(unit) < 3_333 else 1)


@given(weightings(), st.uuids())
def test_proportions_are_those_of_the_weights(weights: list[tuple[str, int]], salt: object) -> None:
    split = Assignment(str(salt), list(allocate(weights, {}).values()))
    seen = Counter(split.arm(unit) for unit in UNITS)
    for index, (name, weight) in enumerate(weights):
        share = weight / BUCKETS
        # Six standard deviations: one run in ten million would miss by chance, and a wrong hash misses by far.
        assert abs(seen[index] / len(UNITS) - share) <= 6 * (share * (1 - share) / len(UNITS)) ** 0.5, name


@given(weightings(), weightings(), st.uuids())
def test_growing_moves_users_to_who_grows_only(old: list[tuple[str, int]], new: list[tuple[str, int]], salt: object) -> None:
    first = allocate(old, {})
    then = allocate(new, first)
    names, others = list(first), list(then)
    before, after = Assignment(str(salt), list(first.values())), Assignment(str(salt), list(then.values()))
    weight, weights = dict(old), dict(new)
    for unit in UNITS[:500]:
        a, b = names[before.arm(unit)], others[after.arm(unit)]
        assert a == b or (weights.get(a, 0) < weight[a] and weights[b] > weight.get(b, 0))


@given(st.uuids(), st.uuids())
def test_splits_with_different_salts_are_independent(one: object, other: object) -> None:
    halves = list(allocate([("a", 5_000), ("b", 5_000)], {}).values())
    a, b = Assignment(str(one), halves), Assignment(str(other), halves)
    together = sum(a.arm(unit) == b.arm(unit) for unit in UNITS) / len(UNITS)
    if one == other:
        assert together == 1
    else:
        assert abs(together - 0.5) <= 6 * 0.5 / len(UNITS) ** 0.5
