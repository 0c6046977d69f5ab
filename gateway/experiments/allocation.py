"""Weights to buckets.

A unit falls into one of 10,000 buckets for ever; a variant owns as many of them as its weight says. When weights change, a variant
that shrinks gives buckets up and one that grows takes those, so no unit moves between two variants whose weights stayed, and as few
units move as the weights allow. That needs the allocation of before: it is stored with every split.
"""

import re
from collections.abc import Mapping, Sequence

from gateway.core.errors import MALFORMED, GatewayError
from gateway.core.references import ALIAS

BUCKETS = 10_000
"""One per basis point: a weight is a number of buckets, and nothing is ever rounded."""
MAX_VARIANTS = 10
"""Of one split: each is a compiled prompt in every worker, and more arms than this never gather enough answers to compare."""

Share = list[tuple[int, int]]
"""The buckets of one variant, as ascending half-open ranges."""

Weights = Sequence[tuple[str, int]]
"""Variants by name, in order, each with its weight in basis points."""

_NAME = re.compile(ALIAS)


def allocate(weights: Weights, before: Mapping[str, Share]) -> dict[str, Share]:
    """The buckets of every variant, given those of the split that this one follows (none: ``{}``).

    Raises ``malformed`` for names and weights that are no split (:func:`check`).
    """
    check(weights)
    owned = {name: _numbers(before.get(name, []))[:weight] for name, weight in weights}
    taken = {bucket for numbers in owned.values() for bucket in numbers}
    free = iter([bucket for bucket in range(BUCKETS) if bucket not in taken])
    for name, weight in weights:
        numbers = owned[name]
        numbers += [next(free) for _ in range(weight - len(numbers))]
    return {name: _ranges(sorted(numbers)) for name, numbers in owned.items()}


def check(weights: Weights) -> None:
    """Raises ``malformed`` unless these are 2 to 10 variants with good and different names whose weights make up the whole.

    A weight of 0 is a variant that only a pin reaches.
    """
    if not 2 <= len(weights) <= MAX_VARIANTS:
        raise _wrong(f"a split has 2 to {MAX_VARIANTS} variants, not {len(weights)}")
    for name, weight in weights:
        if _NAME.fullmatch(name) is None:
            raise _wrong(f"{name[:80]!r} is not a variant name (lower-case letters, digits, '.', '_', '-')")
        if not 0 <= weight <= BUCKETS:
            raise _wrong(f"the weight of {name} is {weight}; weights are basis points, 0 to {BUCKETS}")
    if len({name for name, _ in weights}) != len(weights):
        raise _wrong("two have the same name")
    if (total := sum(weight for _, weight in weights)) != BUCKETS:
        raise _wrong(f"the weights add up to {total} basis points; a split has {BUCKETS} (100 %)")


def _wrong(detail: str) -> GatewayError:
    return GatewayError(MALFORMED, f"variants: {detail}", param="variants")


def _numbers(share: Share) -> list[int]:
    return [bucket for first, end in share for bucket in range(first, end)]


def _ranges(numbers: list[int]) -> Share:
    ranges: Share = []
    for number in numbers:
        if ranges and ranges[-1][1] == number:
            ranges[-1] = (ranges[-1][0], number + 1)
        else:
            ranges.append((number, number + 1))
    return ranges
