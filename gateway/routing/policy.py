"""In which order the targets of a route are tried. Pure: randomness is a callable that gives a number from 0 up to 1.

Precedence, highest first:

1. which route: the first in the file whose ``models`` and conditions fit;
2. ``placement``: ``local_only`` drops the others, ``prefer_local`` and ``prefer_cloud`` put one kind before the other;
3. ``tier``: 0 before 1 before 2;
4. within a tier, ``strategy``: the order of the file, a draw by weights, the quicker of two drawn at random, or the price;
5. what cannot be asked now (breaker open, no place, every key refused or resting) is passed over while another can.

All but 5 and the draws of 4 are settled when a model name is first seen.
"""

from collections.abc import Callable, Sequence
from typing import Literal, TypeVar

from msgspec import Struct

from gateway.core.upstream import Target

Strategy = Literal["ordered", "weighted", "least_latency", "cheapest"]
Placement = Literal["any", "local_only", "prefer_local", "prefer_cloud"]
Random = Callable[[], float]

T = TypeVar("T")


class Candidate(Struct, frozen=True):
    """A target as a route lists it."""

    target: Target
    keys: tuple[str, ...] = ()
    """More keys of the same account, besides the target's own."""
    weight: int = 1
    """Share of the draws; 0: only when nobody with a weight can."""
    tier: int = 0
    local: bool = False
    """Whether prompts stay on our own machines there."""


class Condition(Struct, frozen=True):
    """Which calls a route is for, besides the model. Everything that is given must hold."""

    tags: frozenset[str] = frozenset()
    """The call carries all of these (``x-tags``)."""
    min_tokens: int = 0
    max_tokens: int | None = None
    """Estimated input tokens, both included."""

    def holds(self, tags: Sequence[str], tokens: int) -> bool:
        """Whether a call with these tags and about so many input tokens is meant."""
        return self.tags.issubset(tags) and tokens >= self.min_tokens and (self.max_tokens is None or tokens <= self.max_tokens)


class Policy(Struct, frozen=True):
    """How a route treats its targets."""

    strategy: Strategy = "ordered"
    placement: Placement = "any"
    when: Condition | None = None
    attempts: int | None = None
    """How many at most; beyond the number of targets they start again at the first, after a pause. None: each target once."""
    hedge_after: float | Literal["p95"] | None = None
    """Seconds without a first token after which a second target is asked as well."""
    queue_seconds: float = 1.0
    """How long a call may wait for a place when all targets are full."""


PLAIN = Policy()


def arrange(
    candidates: Sequence[Candidate], policy: Policy, price: Callable[[Target], int | None]
) -> tuple[tuple[Candidate, ...], ...]:
    """The groups that are tried one after the other, each in the order of the file or by price. Empty ones are left out.

    ``price`` is any comparable cost of a target; what has none comes last.
    """
    if policy.placement == "local_only":
        candidates = [candidate for candidate in candidates if candidate.local]
    first = {"prefer_local": True, "prefer_cloud": False}.get(policy.placement)

    def group(candidate: Candidate) -> tuple[bool, int]:
        return first is not None and candidate.local is not first, candidate.tier

    groups: list[tuple[Candidate, ...]] = []
    for key in sorted({group(candidate) for candidate in candidates}):
        members = [candidate for candidate in candidates if group(candidate) == key]
        if policy.strategy == "cheapest":
            prices = [price(member.target) for member in members]
            by_price = sorted(zip(prices, range(len(members)), strict=True), key=lambda pair: (pair[0] is None, pair[0] or 0))
            members = [members[index] for _, index in by_price]
        groups.append(tuple(members))
    return tuple(groups)


def draw(members: Sequence[T], weight: Callable[[T], int], random: Random) -> list[T]:
    """All members, each drawn from those that are left by its weight; those without weight last, in their order."""
    left = [member for member in members if weight(member)]
    total = sum(map(weight, left))
    drawn: list[T] = []
    while left:
        point = random() * total
        index = 0
        while index < len(left) - 1 and point >= weight(left[index]):
            point -= weight(left[index])
            index += 1
        member = left.pop(index)
        total -= weight(member)
        drawn.append(member)
    return drawn + [member for member in members if not weight(member)]


def quickest(members: Sequence[T], cost: Callable[[T], float], random: Random) -> list[T]:
    """The cheaper of two members drawn at random comes first (Mitzenmacher 2001: no herd runs to the single best), then by cost."""
    if len(members) < 2:
        return list(members)
    one = int(random() * len(members))
    other = int(random() * (len(members) - 1))
    other += other >= one
    first = min(one, other, key=lambda index: cost(members[index]))
    rest = sorted((index for index in range(len(members)) if index != first), key=lambda index: cost(members[index]))
    return [members[first], *(members[index] for index in rest)]
