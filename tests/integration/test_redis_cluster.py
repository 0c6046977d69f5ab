"""A Redis Cluster while it changes: slots that move, masters that die. Callers get an answer or a miss, and never a wrong count."""

import asyncio
import secrets
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from redis.crc import key_slot

from gateway.core.documents import Change, KeyDocument
from gateway.core.limits import Ask
from gateway.storage.redis.address import is_cluster, server_at, servers
from gateway.storage.redis.cache import CHANNEL, GENERATION, RedisCache
from gateway.storage.redis.leases import RedisLeases
from gateway.storage.redis.limits import RedisLimits
from gateway.storage.redis.link import Link
from gateway.storage.redis.news import News
from gateway.storage.redis.seal import seal
from tests.conftest import PATIENCE, until
from tests.redis_cluster import RedisCluster

SECRET = b"s" * 32


@pytest.fixture
def own(server_folder: Path) -> Iterator[RedisCluster]:
    """A cluster to be broken."""
    cluster = RedisCluster(server_folder / f"cluster-{secrets.token_hex(4)}")
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
async def link(clean_cluster: str) -> AsyncIterator[Link]:
    link = Link(clean_cluster, time.monotonic, timeout_s=2)
    yield link
    await link.close()


@pytest.fixture
async def own_link(own: RedisCluster) -> AsyncIterator[Link]:
    link = Link(own.url, time.monotonic, timeout_s=2)
    yield link
    await link.close()


async def answered(ask: Callable[[], Awaitable[object]]) -> None:
    """Wait until a question has an answer."""
    async with asyncio.timeout(PATIENCE):
        while await ask() is None:
            await asyncio.sleep(0.02)


def test_a_url_of_a_cluster_is_a_list_of_servers() -> None:
    assert not is_cluster("redis://a:1/0")
    assert servers("redis://a:1/0") == ["redis://a:1/0"]
    assert servers("rediss+cluster://me:p%40w@a:1,b,[::1]:3?ssl_cert_reqs=none") == [
        "rediss://me:p%40w@a:1?ssl_cert_reqs=none",
        "rediss://me:p%40w@b?ssl_cert_reqs=none",
        "rediss://me:p%40w@[::1]:3?ssl_cert_reqs=none",
    ]
    assert server_at("rediss+cluster://me:p%40w@a:1,b?x=1", "::2", 7) == "rediss://me:p%40w@[::2]:7?x=1"
    assert server_at("redis+cluster://a:1,b", "c", 7) == "redis://c:7"


async def test_credentials_and_options_of_the_url_reach_every_node(cluster: RedisCluster) -> None:
    for port in cluster.nodes:
        cluster.tell(port, "ACL", "SETUSER", "me", "on", ">p@w", "~*", "&*", "+@all")
    url = cluster.url.replace("://", "://me:p%40w@") + "?health_check_interval=7"
    wrong = cluster.url.replace("://", "://me:wrong@")
    for address, version in ((url, True), (wrong, False)):
        link = Link(address, time.monotonic, timeout_s=5)
        await link.open()
        assert (await link.version(5) is not None) is version
        await link.close()


async def test_nobody_there_is_a_miss_and_silent() -> None:
    link = Link("redis+cluster://127.0.0.1:1,127.0.0.1:2", time.monotonic)
    await link.open()
    assert await link.version(1) is None
    assert link.failures == 1
    await link.close()


async def test_a_slot_that_moves_takes_its_counters_along(cluster: RedisCluster, link: Link) -> None:
    own = cluster
    limits, leases = RedisLimits(link, time.monotonic), RedisLeases(link, time.monotonic)
    asks = [Ask("a", "none", 5, 2), Ask("b", "minute", 5, 2)]
    assert (await limits.reserve("app", "one", 600, asks)) is not None
    assert (await leases.lease("key", 10, 4)) is not None
    slot, source = key_slot(b"{app}"), own.owner("{app}")
    target = next(port for port in own.nodes if port != source)
    own.tell(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", own.name(source))
    own.tell(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", own.name(target))
    keys = own.tell(source, "CLUSTER", "GETKEYSINSLOT", slot, 100)
    assert len(keys) == 5
    own.tell(source, "MIGRATE", "127.0.0.1", target, "", 0, 5000, "KEYS", *keys)
    # Halfway: the source asks callers to ask the target.
    halfway = await limits.reserve("app", "two", 600, asks)
    for port in (target, source):
        own.tell(port, "CLUSTER", "SETSLOT", slot, "NODE", own.name(target))
    after = await limits.reserve("app", "three", 600, asks)
    assert halfway is not None
    assert after is not None
    assert (halfway.granted, after.granted) == (True, False)
    assert [state.used for state in after.states] == [4, 4]
    assert own.tell(target, "CLUSTER", "COUNTKEYSINSLOT", slot) == 5
    assert link.failures == 0


async def test_a_replica_takes_over_for_a_master_that_died(own: RedisCluster, own_link: Link) -> None:
    limits = RedisLimits(own_link, time.monotonic)
    ask = [Ask("a", "none", 3, 1, firm=True)]
    master = own.owner("{app}")
    replica = own.add_replica(master)
    for _ in range(2):
        assert await limits.reserve("app", "x", 600, ask) is not None
    assert own.tell(master, "WAIT", 1, 5000) == 1  # the replica has heard of both
    own.kill(master)
    assert await limits.look("app", ask) is None
    own.tell(replica, "CLUSTER", "FAILOVER", "TAKEOVER")
    await answered(lambda: limits.look("app", ask))
    third, fourth = [await limits.reserve("app", "x", 600, ask) for _ in range(2)]
    assert third is not None
    assert fourth is not None
    assert (third.granted, fourth.granted) == (True, False)


async def test_news_are_heard_from_every_node_and_while_one_is_away(own: RedisCluster, own_link: Link) -> None:
    heard: asyncio.Queue[list[Change]] = asyncio.Queue()
    cache, news = RedisCache(own_link, SECRET), News(own.url, SECRET)
    listening = asyncio.ensure_future(news.subscribe(heard.put_nowait))
    try:
        async with asyncio.timeout(PATIENCE):
            await news.connected.wait()
        changes = [Change(number, "prompt", f"app{number}", "faq") for number in range(1, 9)]
        message = seal(SECRET, CHANNEL, b"[]")
        for port in own.nodes:
            own.tell(port, "PUBLISH", CHANNEL, message)
            assert await asyncio.wait_for(heard.get(), PATIENCE) == []
        await cache.announce(changes)
        assert await asyncio.wait_for(heard.get(), PATIENCE) == changes
        assert await cache.generation() == 8
        # The node that the worker listens to goes: it listens to another. The announcement is heard though one place cannot be
        # dropped, and the generation stays behind, so that it is repeated.
        gone = next(port for port in own.nodes if port != own.owner(GENERATION))
        lost = next(n for n in range(100) if own.owner(f"pg:lost{n}:release:faq") == gone)
        own.kill(gone)
        await until(lambda: news.connected.is_set())
        more = [Change(9, "prompt", f"lost{lost}", "faq")]

        async def announced() -> object:
            await cache.announce(more)
            return None if heard.empty() else heard.get_nowait()

        await answered(announced)
        assert await cache.generation() in {8, None}
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


async def test_many_keys_of_many_slots_are_read_together(cluster: RedisCluster, link: Link) -> None:
    cache = RedisCache(link, SECRET)
    documents = {f"{n:064x}": KeyDocument(f"k{n}", "app", "shop", f"pub{n}", 60, "gpt", 123, 1) for n in range(50)}
    for digest, document in documents.items():
        await cache.put_key(digest, document)
    assert await cache.get_keys([*documents, "f" * 64]) == documents
    assert all(cluster.tell(port, "DBSIZE") for port in cluster.nodes)


async def test_a_master_that_hangs_is_felt_on_its_own_slots_only(own: RedisCluster) -> None:
    link = Link(own.url, time.monotonic, timeout_s=0.2)
    keys = {own.owner(f"k{n}"): f"k{n}" for n in range(50)}
    assert set(keys) == set(own.nodes)
    hanging, *well = own.nodes

    async def ask(port: int) -> object:
        return await link.ask(lambda client: client.execute_command("EVAL", "return 1", 1, keys[port]), PATIENCE)

    assert [await ask(port) for port in own.nodes] == [1, 1, 1]
    own.nodes[hanging].send_signal(signal.SIGSTOP)
    try:
        assert await asyncio.gather(*(ask(hanging) for _ in range(4))) == [None] * 4
        assert [await ask(port) for _ in range(20) for port in well] == [1] * 40
        assert await ask(hanging) is None
    finally:
        own.nodes[hanging].send_signal(signal.SIGCONT)
    await answered(lambda: ask(hanging))
    await link.close()


async def test_only_what_is_asked_of_lost_nodes_is_lost(own: RedisCluster, own_link: Link) -> None:
    cache = RedisCache(own_link, SECRET)
    documents = {f"{n:064x}": KeyDocument(f"k{n}", "app", "shop", f"pub{n}", 60, "gpt", 123, 1) for n in range(20)}
    for digest, document in documents.items():
        await cache.put_key(digest, document)
    gone = next(iter(own.nodes))
    there = [digest for digest in documents if own.owner(f"pg:key:{digest}") != gone]
    own.kill(gone)
    assert await cache.get_keys(there) == {digest: documents[digest] for digest in there}
    assert await cache.get_keys(list(documents)) == {}, "a miss: the truth is asked"
    for port in list(own.nodes):
        own.kill(port)
    assert await own_link.version(PATIENCE) is None


async def test_nodes_that_send_in_a_circle_or_tell_nothing_are_a_miss() -> None:
    """A server that is no cluster, one that says that another has everything, and one whose map is empty."""

    async def serve(answers: dict[bytes, bytes]) -> tuple[asyncio.Server, str]:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while line := await reader.readline():
                parts = []
                for _ in range(int(line[1:])):
                    parts.append(await reader.readexactly(int((await reader.readline())[1:])))
                    await reader.readexactly(2)
                port = writer.get_extra_info("sockname")[1]
                writer.write(answers[parts[0]].replace(b"PORT", str(port).encode()))
            writer.close()

        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        return server, f"redis+cluster://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    mine = b"*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$0\r\n\r\n:PORT\r\n"
    for answers, told in (
        ({b"CLUSTER": b"-ERR This instance has cluster support disabled\r\n"}, "cluster support disabled"),
        ({b"CLUSTER": b"*0\r\n"}, "no node tells where the slots are"),
        ({b"CLUSTER": mine, b"GET": b"-MOVED 1 127.0.0.1:PORT\r\n"}, "in a circle"),
        ({b"CLUSTER": mine, b"GET": b"-CLUSTERDOWN Hash slot not served\r\n"}, "Hash slot not served"),
    ):
        server, url = await serve(answers)
        link = Link(url, time.monotonic)
        assert await link.ask(lambda client: client.execute_command("GET", "k"), PATIENCE) is None
        assert told in link.last_failure
        await link.close()
        server.close()
        await server.wait_closed()
