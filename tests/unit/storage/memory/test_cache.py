"""What the memory cache does beside the contract: being away."""

from gateway.core.documents import Change, KeyDocument
from gateway.storage.memory.cache import MemoryCache


async def test_away_it_neither_gives_nor_keeps_nor_tells() -> None:
    cache = MemoryCache()
    document = KeyDocument("k", "app", "shop", "pub")
    await cache.put_key("aa", document)
    cache.available = False
    assert await cache.get_keys(["aa"]) == {}
    await cache.put_key("bb", document)
    await cache.announce([Change(5, "key", "app", "aa")])
    cache.available = True
    assert (await cache.get_keys(["aa"])).get("aa") == document
    assert await cache.get_keys(["bb"]) == {}
