"""journal -> one ledger row, metrics. Runs exactly once per call, whatever its end, and never raises."""

from msgspec.structs import astuple, replace

from gateway.core.errors import CLIENT_GONE, GatewayError
from gateway.core.events import Usage
from gateway.core.journal import Journal
from gateway.core.ledger import HEDGE_LOST, UNBILLED, Bill, Ending, Intent
from gateway.core.limits import Spent
from gateway.core.notes import rows
from gateway.limits.tokens import estimate
from gateway.pipeline.abreast import Steps
from gateway.pipeline.services import Services
from gateway.pricing.table import price
from gateway.wire.openai import read_tier

_NO_VERDICTS: list[str] = []


def record(journal: Journal, services: Services) -> None:
    """Write the call down. Called before the last byte is released (promise N2) and again from the last ``finally``."""
    for _ in recording(journal, services):
        pass


def recording(journal: Journal, services: Services) -> Steps:
    """As :func:`record`, step by step."""
    if journal.recorded:
        return
    journal.recorded = True
    now = services.clock()
    if journal.usage is None and journal.intent is not None and journal.generated:
        # The caller left or the stream was cut before usage came: bill what was made, marked as an estimate.
        journal.usage = estimated_usage(journal, estimate(journal.input_chars), estimate(journal.generated))
        journal.usage_source = "estimated"
    settle(journal, services)
    if journal.holding is not None:
        journal.holding.settle(spent(journal))
    if journal.caller is not None:
        ending = ending_of(journal, now)
        yield
        services.ledger.append(intent_at_end(journal), ending)
    yield
    services.observer.observe(journal, now)
    yield


def estimated_usage(journal: Journal, read: int, made: int) -> Usage:
    """Our own counts, in the service tier that the caller asked for: the answer did not come far enough to say another."""
    asked = journal.request.fields.get("service_tier") if journal.request is not None else None
    return Usage(read, made, tier=None if asked is None else read_tier(asked))


def settle(journal: Journal, services: Services) -> int | None:
    """Turn usage into money, once: the cost in nano-dollars, or None when it has no price."""
    bill, usage, target = journal.bill, journal.usage, journal.target
    if bill is UNBILLED and usage is not None and target is not None:
        prices = services.prices
        cost, status = price(prices, target.provider, target.model, usage, estimated=journal.usage_source == "estimated")
        journal.bill = bill = Bill(cost, status, prices.version)
    return bill.cost_nano


def spent(journal: Journal) -> Spent:
    """What the call used, all its attempts together. Where nobody was asked, as for a recalled answer, that is nothing."""
    aside, usage = journal.aside, journal.usage
    if usage is None or journal.target is None:
        return aside
    return Spent(
        aside.input_tokens + usage.input,
        aside.output_tokens + usage.output,
        aside.cost_nano + (journal.bill.cost_nano or 0),
    )


def set_aside(journal: Journal, usage: Usage, cost_nano: int | None) -> None:
    """Note what an attempt used whose row is written already: the caller is told the sum, and the limits get it at the end."""
    was = journal.aside
    journal.aside = Spent(was.input_tokens + usage.input, was.output_tokens + usage.output, was.cost_nano + (cost_nano or 0))


def cost_so_far(journal: Journal, services: Services) -> int | None:
    """What the call has cost, with all that is set aside; None when the attempt that answers has no price."""
    cost = settle(journal, services)
    return None if cost is None else cost + journal.aside.cost_nano


def ending_of(journal: Journal, now: float) -> Ending:
    """The call's end as things stand; ``now`` is monotonic seconds."""
    started, first_byte, finish, notes = journal.inbound.started, journal.first_byte, journal.finish, journal.notes
    # Without a target nobody was asked: what a recalled answer had used is on the row of the call that made it.
    usage = journal.usage if journal.target is not None else None
    return Ending(
        journal.outcome,
        journal.status,
        finish if finish is None or "\0" not in finish else _storable(finish),
        journal.usage_source,
        int((now - started) * 1e6),
        None if first_byte is None else int((first_byte - started) * 1e6),
        None if journal.intent is None else int(journal.upstream * 1e6),
        journal.attempts,
        journal.guard,
        None if journal.error is None else _storable(journal.error),
        rows(notes[journal.booked_notes :]) if notes else _NO_VERDICTS,
        None if usage is None else astuple(usage),
        journal.bill,
    )


def _storable(text: str) -> str:
    """A provider's words as Postgres can hold them: it refuses NUL, and a row must not be lost to one."""
    return text.replace("\0", "\ufffd")


def book_failure(journal: Journal, services: Services, error: GatewayError) -> None:
    """Write the row of a failed attempt that another attempt follows, or that ran beside another."""
    ending = replace(
        ending_of(journal, services.clock()),
        outcome=error.kind.name,
        status=error.status,
        usage_source=None,
        error=_storable(error.detail),
        counts=None,
        bill=UNBILLED,
    )
    services.ledger.append(intent_at_end(journal), ending)


def book_refusal(journal: Journal, services: Services, refusal: GatewayError) -> None:
    """Write the row of an attempt whose answer a guard refused: it is paid for all the same."""
    settle(journal, services)
    ending = ending_of(journal, services.clock())
    services.ledger.append(
        intent_at_end(journal),
        replace(ending, outcome=refusal.kind.name, status=refusal.status, error=_storable(refusal.detail)),
    )


def book_loser(journal: Journal, services: Services) -> None:
    """Write the row of a hedge that lost: cancelled by us, so it cost its input at least, and nobody counted what it made.

    The limits are told of it too.
    """
    target = journal.target
    assert target is not None
    usage = Usage(estimate(journal.input_chars), 0)
    cost, status = price(services.prices, target.provider, target.model, usage, estimated=True)
    set_aside(journal, usage, cost)
    ending = replace(
        ending_of(journal, services.clock()),
        outcome=HEDGE_LOST,
        status=CLIENT_GONE.status,
        usage_source="estimated",
        first_byte_us=None,
        error="another attempt answered first",
        counts=astuple(usage),
        bill=Bill(cost, status, services.prices.version),
    )
    services.ledger.append(intent_at_end(journal), ending)


def intend(journal: Journal, attempt: int, services: Services) -> None:
    """Promise N1, kept before the first byte of an attempt goes upstream. Raises ``ledger_full``."""
    intent = intent_of(journal, attempt)
    services.ledger.intend(intent)
    journal.intent = intent


def intent_of(journal: Journal, attempt: int) -> Intent:
    """What must be on disk before the first byte of an attempt goes upstream (promise N1); attempt 0: none is made."""
    inbound, caller, request, prompt, target = journal.inbound, journal.caller, journal.request, journal.prompt, journal.target
    assert caller is not None
    if request is None:
        stream, requested, user, session, tags = False, None, None, None, ()
    else:
        stream, requested, user, session, tags = request.stream, request.model, request.user, request.session, request.tags
    return Intent(
        inbound.call_id,
        attempt,
        caller.application_id,
        caller.key_id,
        inbound.request_id,
        inbound.door,
        stream,
        requested,
        None if target is None else target.provider,
        None if target is None else target.model,
        user,
        session,
        tags,
        None if prompt is None else prompt.served,
        estimate(journal.input_chars),
        journal.route,
        journal.shadowed,
        None if target is None else target.credential,
        None if inbound.trace is None else inbound.trace.name,
    )


def intent_at_end(journal: Journal) -> Intent:
    """The intent of the attempt that the journal is about: the last one made but for hedges, where two are under way."""
    intent = journal.intent
    if intent is None:
        return intent_of(journal, 0)
    attempt = journal.attempt or journal.attempts
    return intent if intent.attempt == attempt else intent_of(journal, attempt)
