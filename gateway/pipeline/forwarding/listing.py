"""Lists of files and batches: the account's list at the provider, of which each application is shown its own."""

from urllib.parse import parse_qsl, urlencode

from msgspec import Raw, Struct

from gateway.core.errors import MALFORMED, UPSTREAM_INVALID, GatewayError
from gateway.core.forward import BATCHES
from gateway.core.requests import Caller
from gateway.core.upstream import Target
from gateway.pipeline.forwarding.answering import Relay
from gateway.pipeline.forwarding.asking import Answered, Asking, Work, ask, forwarder_of, send
from gateway.pipeline.forwarding.placing import owners
from gateway.pipeline.permits import Permit
from gateway.routing.table import Plan
from gateway.wire.objects import UpstreamObject, decode_object, decode_page
from gateway.wire.openai import DECODE_ERRORS, encode

MAX_PAGES = 50
"""Pages of the account's list that one call reads through; each brings at least :data:`LEAST_PAGE` objects, whoever owns them."""
LEAST_PAGE = 100
"""Objects asked for at a time, also for callers who want fewer: most may be other applications'. The vendor's largest page of
batches."""
_LIMITS = {BATCHES: (20, 100)}
_FILE_LIMITS = (10_000, 10_000)
"""Default and largest ``limit``: the vendor's own."""


class _Found(Struct):
    data: list[Raw]
    first_id: str | None
    last_id: str | None
    has_more: bool
    object: str = "list"


async def list_owned(asking: Asking, plan: Plan, caller: Caller, permit: Permit, relay: Relay) -> None:
    """Read through the account's list until the page asked for is full. Raises ``malformed`` and what the provider raises."""
    services, target = relay.services, plan.stops[0].target
    pairs = parse_qsl(asking.inbound.query, keep_blank_values=True)
    limit = _limit(dict(pairs).get("limit"), asking.errand.door)
    body = encode(_Found([], None, None, has_more=False))
    if await owners(services).has_any(caller.application_id, target.provider):
        relay.answered = await ask(asking, plan, _reading(asking, caller, pairs, limit))
        assert relay.answered.body is not None
        body = relay.answered.body
    await relay.whole(b"content-type: application/json\r\n", body, permit)


def _reading(asking: Asking, caller: Caller, pairs: list[tuple[str, str]], limit: int) -> Work:
    """The work of one attempt: as many of the account's pages as it takes, one after the other."""
    services, book = asking.services, owners(asking.services)
    kept = [(name, value) for name, value in pairs if name not in {"limit", "after"}]

    async def work(target: Target) -> Answered:
        forwarder = forwarder_of(services.providers[target.provider])
        cursor = [(name, value) for name, value in pairs if name == "after"]
        shown: list[tuple[str, Raw]] = []
        for page in range(1, MAX_PAGES + 1):
            query = urlencode([*kept, ("limit", max(limit, LEAST_PAGE)), *cursor])
            exchange = await send(target, forwarder.request(target, asking.to(target, query)), asking.journal, services)
            try:
                objects, has_more = _page(await exchange.read(services.max_answer_bytes), target)
                owned = await book.owned(caller.application_id, target.provider, [made.id for made, _ in objects])
                mine = [(made, raw) for made, raw in objects if made.id in owned]
                results = [i for made, _ in mine for i in made.ids if i != made.id]
                if results:
                    await book.claim(caller.application_id, target.provider, results)
            except BaseException:
                exchange.close()
                raise
            shown.extend((made.id, raw) for made, raw in mine)
            if len(shown) >= limit or not has_more or page == MAX_PAGES:
                found = shown[:limit]
                ends = (found[0][0], found[-1][0]) if found else (None, None)
                whole = _Found([raw for _, raw in found], *ends, has_more or len(shown) > limit)
                return Answered(target, exchange, encode(whole))
            exchange.close()
            cursor = [("after", objects[-1][0].id)]
        raise AssertionError("the last page ends it")

    return work


def _limit(text: str | None, door: str) -> int:
    default, largest = _LIMITS.get(door, _FILE_LIMITS)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 9 and 1 <= int(text) <= largest):
        raise GatewayError(MALFORMED, f"limit: a whole number from 1 to {largest}", param="limit")
    return int(text)


def _page(body: bytes, target: Target) -> tuple[list[tuple[UpstreamObject, Raw]], bool]:
    """The objects of a page, and whether more follow."""
    try:
        page = decode_page(body)
        objects = [(decode_object(raw), raw) for raw in page.data]
    except DECODE_ERRORS as error:
        raise GatewayError(
            UPSTREAM_INVALID,
            f"{target.provider} answered with no list of objects",
            cause=f"{error}: {body[:200]!r}",
            target=target.provider,
        ) from None
    return objects, page.has_more and bool(objects)
