"""Two workers and one store: what one finds broken, the other leaves alone."""

from gateway.core.errors import UPSTREAM_ERROR, GatewayError
from gateway.core.upstream import Target
from gateway.pipeline.outages import OutageNews
from gateway.routing.breaker import BreakerRules
from gateway.routing.failures import judge
from gateway.routing.health import Health, Rules
from gateway.routing.table import Route, RouteTable
from gateway.storage.memory.outages import MemoryOutages

FAILED = judge(GatewayError(UPSTREAM_ERROR, "no"))


class Worker:
    def __init__(self, outages: MemoryOutages, clock: "Clock") -> None:
        rules = Rules(breaker=BreakerRules(failures=1, probes=1, wait=2.0))
        self.routes = RouteTable([Route(("*",), (Target("a", "", "http://a", "k"),))], rules)
        self.news = OutageNews(self.routes, outages, clock)

    @property
    def health(self) -> Health:
        return self.routes.plan("m").stops[0].health


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
