"""Lists of files and batches: the account's list at the provider, of which each application is shown its own."""

from urllib.parse import parse_qsl, urlencode

from msgspec import Raw, Struct

from gateway.core.errors import MALFORMED, UPSTREAM_INVALID, GatewayError
from gateway.core.forward import BATCHES
from gateway.core.requests import Caller
from gateway.core.upstream import Target
from gateway.pipeline.forwarding.answering import Relay
from gateway.pipeline.forwarding.asking import Asking, exchange_with
from gateway.pipeline.forwarding.placing import owners
from gateway.pipeline.permits import Permit
from gateway.pipeline.record import intent_of
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


async def list_owned(asking: Asking, target: Target, caller: Caller, permit: Permit, relay: Relay) -> None:
    """Read through the account's list until the page asked for is full. Raises ``malformed`` and what the provider raises."""
    journal, services = relay.journal, relay.services
    pairs = parse_qsl(asking.inbound.query, keep_blank_values=True)
    limit = _limit(dict(pairs).get("limit"), asking.errand.door)
    kept = [(name, value) for name, value in pairs if name not in {"limit", "after"}]
    cursor = [(name, value) for name, value in pairs if name == "after"]
    book = owners(services)
    shown: list[tuple[str, Raw]] = []
    has_more = await book.has_any(caller.application_id, target.provider)
    if has_more:
        journal.attempts, journal.target = 1, target
        intent = intent_of(journal, 1)
        services.ledger.intend(intent)
        journal.intent = intent
        for _ in range(MAX_PAGES):
            call = asking.to(target, urlencode([*kept, ("limit", max(limit, LEAST_PAGE)), *cursor]))
            relay.exchange = await exchange_with(target, call, journal, services)
            objects, has_more = _page(await relay.exchange.read(services.max_answer_bytes), target)
            relay.close()
            owned = await book.owned(caller.application_id, target.provider, [made.id for made, _ in objects])
            mine = [(made, raw) for made, raw in objects if made.id in owned]
            results = [i for made, _ in mine for i in made.ids if i != made.id]
            if results:
                await book.claim(caller.application_id, target.provider, results)
            shown.extend((made.id, raw) for made, raw in mine)
            if len(shown) >= limit or not has_more:
                break
            cursor = [("after", objects[-1][0].id)]
    found = shown[:limit]
    ends = (found[0][0], found[-1][0]) if found else (None, None)
    body = _Found([raw for _, raw in found], *ends, has_more or len(shown) > limit)
    await relay.whole(b"content-type: application/json\r\n", encode(body), permit)


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
