"""What the memory catalog does beside the contract: an injected clock and a count of questions."""

from gateway.core.documents import KeyDocument
from gateway.storage.memory.catalog import MemoryCatalog


async def test_keys_expire_by_the_given_clock() -> None:
    now = [100.0]
    catalog = MemoryCatalog(lambda: now[0])
    catalog.add_key("aa", KeyDocument("k", "app", "shop", "pub", expires_at_ms=100_500))
    assert (await catalog.keys(["aa"])).get("aa") is not None
    now[0] = 100.5
    assert (await catalog.keys(["aa"])).get("aa") is None
    assert catalog.questions == 2
