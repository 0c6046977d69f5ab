"""Two workers and one store: what one finds broken, the other leaves alone."""

import secrets
from collections.abc import Mapping

from gateway.core.credentials import INSTALLATION
from gateway.core.documents import KeyDocument
from gateway.core.errors import UPSTREAM_ERROR, GatewayError
from gateway.core.upstream import Target
from gateway.pipeline.accounts import Accounts
from gateway.pipeline.outages import OutageNews
from gateway.pipeline.rounds import MOST_OF_ONE
from gateway.routing.breaker import BreakerRules
from gateway.routing.failures import judge
from gateway.routing.health import Health, Rules
from gateway.routing.table import Route, RouteTable
from gateway.settings import Provider, Settings
from gateway.storage.memory.outages import MemoryOutages
from gateway.storage.vault import Vault

FAILED = judge(GatewayError(UPSTREAM_ERROR, "no"))


VAULT = Vault([bytes(32)], secrets.token_bytes)
SETTINGS = Settings(providers={"a": Provider("openai", "http://a", "k")})


class Worker:
    def __init__(self, outages: MemoryOutages, clock: "Clock", own: MemoryOutages | None = None) -> None:
        rules = Rules(breaker=BreakerRules(failures=1, probes=1, wait=2.0))
        self.routes = RouteTable([Route(("*",), (Target("a", "", "http://a", "k"),))], rules)
        self.accounts = Accounts(SETTINGS, self.routes, VAULT.open)
        self.news = OutageNews(self.accounts, outages, own or MemoryOutages(clock), clock)

    @property
    def health(self) -> Health:
        return self.routes.plan("m").stops[0].health

    def meets(self, application: str, *, key: str = "own") -> RouteTable:
        """A caller of this application, which has a key of its own, or ``key`` "" for none."""
        sealed = [VAULT.seal("1", application, "a", key)] if key else []
        table = self.accounts.table_of(KeyDocument("k", application, application, "p", generation=1, credentials=sealed))
        return table or self.routes


def open_all(table: RouteTable, now: float, *models: str) -> None:
    for model in models:
        table.plan(model).stops[0].health.failed(FAILED, now)


def is_closed(table: RouteTable, model: str = "m") -> bool:
    return table.plan(model).stops[0].health.breaker.is_closed


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def two() -> tuple[Worker, Worker, MemoryOutages, Clock]:
    clock = Clock()
    outages = MemoryOutages(clock)
    one, other = Worker(outages, clock), Worker(outages, clock)
    assert one.health is not other.health
    return one, other, outages, clock


async def test_what_one_worker_finds_broken_the_other_leaves_alone_until_it_may_probe() -> None:
    one, other, _, clock = two()
    one.health.failed(FAILED, clock.now)
    await one.news.round()
    await other.news.round()
    breaker = other.health.breaker
    assert (breaker.state(clock.now), breaker.heard, breaker.reopens_in(clock.now)) == ("open", True, 2.0)
    clock.now += 2
    assert other.health.enter(clock.now)
    other.health.succeeded(0.1, clock.now)
    await other.news.round()
    assert breaker.is_closed


async def test_a_word_is_told_once_and_not_passed_on() -> None:
    one, other, outages, clock = two()
    one.health.failed(FAILED, clock.now)
    await one.news.round()
    await other.news.round()
    clock.now += 2.1
    await one.news.round()
    await other.news.round()
    assert await outages.exchange({}) == {}


async def test_a_failed_probe_is_no_news() -> None:
    one, _, outages, clock = two()
    one.health.failed(FAILED, clock.now)
    await one.news.round()
    clock.now += 2.5
    assert one.health.enter(clock.now)
    one.health.failed(FAILED, clock.now)
    await one.news.round()
    assert await outages.exchange({}) == {}


async def test_what_could_not_be_told_is_told_later_if_it_still_holds() -> None:
    one, other, outages, clock = two()
    outages.available = False
    one.health.failed(FAILED, clock.now)
    await one.news.round()
    outages.available = True
    clock.now += 0.5
    await one.news.round()
    await other.news.round()
    assert other.health.breaker.reopens_in(clock.now) == 1.5


async def test_targets_that_this_worker_has_not_met_are_ignored() -> None:
    one, _, outages, _ = two()
    await outages.exchange({"z/unknown": 9.0})
    await one.news.round()
    assert [(health.name, health.breaker.is_closed) for health in one.routes.health.values()] == [("a/m", True)]


async def test_word_of_an_applications_own_account_reaches_that_application_alone() -> None:
    clock = Clock()
    shared, own = MemoryOutages(clock), MemoryOutages(clock)
    one, other = Worker(shared, clock, own), Worker(shared, clock, own)
    table, beside, neighbour = other.meets("app-1"), one.meets("app-1"), other.meets("app-2")
    assert is_closed(table)
    assert is_closed(neighbour)
    open_all(beside, clock.now, "m")
    await one.news.round()
    await other.news.round()
    assert not is_closed(table)
    assert table.plan("m").stops[0].health.breaker.heard
    assert is_closed(neighbour)
    assert other.health.breaker.is_closed, "the installation's account is another"
    assert await shared.exchange({}) == {}
    assert set(await own.exchange({}) or ()) == {"app-1 a/m"}


async def test_word_of_the_installations_account_reaches_applications_without_one() -> None:
    clock = Clock()
    shared, own = MemoryOutages(clock), MemoryOutages(clock)
    one, other = Worker(shared, clock, own), Worker(shared, clock, own)
    none, some = other.meets("app-1", key=""), other.meets("app-2")
    assert (is_closed(none), is_closed(some)) == (True, True)
    open_all(one.routes, clock.now, "m")
    await one.news.round()
    await other.news.round()
    assert (is_closed(none), is_closed(some)) == (False, True)


async def test_what_this_worker_does_not_hold_is_passed_over() -> None:
    clock = Clock()
    own = MemoryOutages(clock)
    worker = Worker(MemoryOutages(clock), clock, own)
    table = worker.meets("app-1")
    assert is_closed(table)
    await own.exchange({"app-9 a/m": 3.0, "app-1 a/never": 3.0, "app-1 zz/m": 3.0, "nothing": 3.0, f"{INSTALLATION} a/m": 3.0})
    await worker.news.round()
    assert is_closed(table)
    assert worker.health.breaker.is_closed


async def test_one_application_takes_no_more_room_than_its_part() -> None:
    clock = Clock()
    own = MemoryOutages(clock)
    worker = Worker(MemoryOutages(clock), clock, own)
    open_all(worker.meets("app-1"), clock.now, *[f"m{i}" for i in range(3 * MOST_OF_ONE)])
    open_all(worker.meets("app-2"), clock.now, "m")
    for _ in range(3):
        await worker.news.round()
    told = list(await own.exchange({}) or ())
    assert len([name for name in told if name.startswith("app-1 ")]) == MOST_OF_ONE
    assert "app-2 a/m" in told


async def test_every_opening_is_told_however_short_the_one_before() -> None:
    one, _, outages, clock = two()
    for _ in range(2):
        one.health.failed(FAILED, clock.now)
        await one.news.round()
        clock.now += 2.1
        assert one.health.enter(clock.now)
        one.health.succeeded(0.1, clock.now)
        assert await outages.exchange({}) == {}
    one.health.failed(FAILED, clock.now)
    await one.news.round()
    assert set(await outages.exchange({}) or ()) == {"a/m"}


async def test_what_was_heard_of_is_told_by_whoever_then_meets_it_too() -> None:
    one, other, outages, clock = two()
    one.health.failed(FAILED, clock.now)
    await one.news.round()
    await other.news.round()
    clock.now += 2.5
    assert await outages.exchange({}) == {}
    for told in ({"a/m"}, set()):
        assert other.health.enter(clock.now)
        other.health.failed(FAILED, clock.now)
        await other.news.round()
        assert set(await outages.exchange({}) or ()) == told
        clock.now += 4.5


async def test_what_opens_again_while_the_store_is_told_is_told_too() -> None:
    clock = Clock()

    class Slow(MemoryOutages):
        meanwhile = True

        async def exchange(self, opened: Mapping[str, float]) -> dict[str, float] | None:
            heard = await super().exchange(opened)
            if opened and self.meanwhile:
                self.meanwhile = False
                clock.now += 2.1
                assert worker.health.enter(clock.now)
                worker.health.succeeded(0.1, clock.now)
                open_all(worker.routes, clock.now, "m")
            return heard

    outages = Slow(clock)
    worker = Worker(outages, clock)
    open_all(worker.routes, clock.now, "m")
    await worker.news.round()
    assert await outages.exchange({}) == {}
    await worker.news.round()
    assert set(await outages.exchange({}) or ()) == {"a/m"}
