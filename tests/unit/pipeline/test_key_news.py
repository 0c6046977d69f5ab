"""Two workers and one store: a key that one finds refused or at its limit, the other does not try."""

from gateway.core.upstream import Target
from gateway.pipeline.accounts import Accounts
from gateway.pipeline.key_news import KeyNews
from gateway.pipeline.rounds import MOST_OF_ONE
from gateway.routing.keys import FIRST_OUT, LONGEST_COOLING, KeyRing
from gateway.routing.policy import Candidate
from gateway.routing.table import Route, RouteTable
from gateway.storage.memory.outages import MemoryOutages
from tests.unit.pipeline.test_outages import SETTINGS, VAULT, Clock
from tests.unit.pipeline.test_outages import Worker as Listening


class Worker(Listening):
    """A worker whose installation has two keys at the provider ``a``; ``order`` is that of its configuration."""

    def __init__(self, shared: MemoryOutages, own: MemoryOutages, clock: Clock, *order: str) -> None:
        super().__init__(shared, clock, own)
        first, *more = order or ("one", "two")
        self.routes = RouteTable([Route(("*",), (Candidate(Target("a", "", "http://a", first), tuple(more)),))])
        self.accounts = Accounts(SETTINGS, self.routes, VAULT.open)
        self.keys = KeyNews(self.accounts, shared, own, lambda key: f"<{key}>", clock)

    def ring(self, table: RouteTable | None = None) -> KeyRing:
        return (table or self.routes).plan("m").stops[0].account.keys


def two(*order: str) -> tuple[Worker, Worker, MemoryOutages, MemoryOutages, Clock]:
    clock = Clock()
    shared, own = MemoryOutages(clock), MemoryOutages(clock)
    return Worker(shared, own, clock), Worker(shared, own, clock, *order), shared, own, clock


async def test_a_refused_key_is_left_alone_by_the_other_worker_whatever_its_number_there() -> None:
    one, other, shared, _, clock = two("two", "one")
    one.ring().refused(0, clock.now)
    await one.keys.round()
    await other.keys.round()
    assert set(await shared.exchange({}) or ()) == {"a refused <one>"}
    ring = other.ring()
    assert (ring.dead(clock.now), ring.resting(clock.now)) == (1, 0)
    assert [ring.pick(clock.now) for _ in range(3)] == [0, 0, 0]
    clock.now += FIRST_OUT
    assert {ring.pick(clock.now) for _ in range(2)} == {0, 1}


async def test_a_limited_key_rests_everywhere() -> None:
    one, other, _, _, clock = two()
    one.ring().limited(1, clock.now, 30.0)
    await one.keys.round()
    await other.keys.round()
    ring = other.ring()
    assert (ring.dead(clock.now), ring.resting(clock.now)) == (0, 1)
    assert {ring.pick(clock.now) for _ in range(4)} == {0}
    assert ring.is_good(clock.now)


async def test_a_word_is_told_once_and_not_passed_on() -> None:
    one, other, shared, _, clock = two()
    one.ring().refused(0, clock.now)
    await one.keys.round()
    await other.keys.round()
    assert not one.ring().untold
    assert not other.ring().untold
    clock.now += FIRST_OUT
    await one.keys.round()
    await other.keys.round()
    assert await shared.exchange({}) == {}


async def test_a_key_that_is_refused_after_the_word_is_out_for_longer() -> None:
    one, other, _, _, clock = two()
    one.ring().refused(0, clock.now)
    await one.keys.round()
    await other.keys.round()
    clock.now += FIRST_OUT
    other.ring().refused(0, clock.now)
    clock.now += FIRST_OUT
    assert other.ring().dead(clock.now) == 1


async def test_what_could_not_be_told_is_told_later_if_it_still_holds() -> None:
    one, other, shared, _, clock = two()
    shared.available = False
    one.ring().refused(0, clock.now)
    one.ring().limited(1, clock.now, 1.0)
    await one.keys.round()
    shared.available = True
    clock.now += 2.0
    await one.keys.round()
    await other.keys.round()
    assert other.ring().dead(clock.now) == 1
    assert other.ring().resting(clock.now) == 0
    assert other.ring().back_in(clock.now) == 0


async def test_a_key_that_was_accepted_meanwhile_is_not_told_of() -> None:
    one, _, shared, _, clock = two()
    one.ring().refused(0, clock.now)
    one.ring().accepted(0)
    await one.keys.round()
    assert await shared.exchange({}) == {}


async def test_word_of_an_applications_own_keys_reaches_that_application_alone() -> None:
    one, other, shared, own, clock = two()
    beside, table, neighbour = one.meets("app-1"), other.meets("app-1"), other.meets("app-2")
    one.ring(beside).refused(0, clock.now)
    other.ring(table), other.ring(neighbour)
    await one.keys.round()
    await other.keys.round()
    assert set(await own.exchange({}) or ()) == {"app-1 a refused <own>"}
    assert await shared.exchange({}) == {}
    assert [ring.dead(clock.now) for ring in (other.ring(table), other.ring(neighbour), other.ring())] == [1, 0, 0]


async def test_what_this_worker_does_not_hold_is_passed_over() -> None:
    one, _, shared, own, clock = two()
    one.meets("app-1")
    await shared.exchange({"a refused <three>": 9.0, "z refused <one>": 9.0})
    await own.exchange({"app-9 a refused <own>": 9.0})
    await one.keys.round()
    assert one.ring().dead(clock.now) == 0


async def test_one_application_takes_no_more_room_than_its_part() -> None:
    one, _, _, own, clock = two()
    table = one.meets("app-1")
    account = table.plan("m").stops[0].account
    account.keys = KeyRing(3 * MOST_OF_ONE)
    account.secrets = tuple(str(i) for i in range(3 * MOST_OF_ONE))
    for key in range(3 * MOST_OF_ONE):
        account.keys.refused(key, clock.now)
    await one.keys.round()
    assert len(await own.exchange({}) or ()) == MOST_OF_ONE
    await one.keys.round()
    assert len(await own.exchange({}) or ()) == 2 * MOST_OF_ONE


async def test_no_word_makes_a_key_rest_for_longer_than_its_own_worker_could() -> None:
    one, _, shared, _, clock = two()
    await shared.exchange({"a limited <one>": 9e9})
    await one.keys.round()
    clock.now += LONGEST_COOLING
    assert one.ring().resting(clock.now) == 0
