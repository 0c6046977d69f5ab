"""journal -> one ledger row, metrics. Runs exactly once per call, whatever its end, and never raises."""

from msgspec import structs

from gateway.core.errors import CLIENT_GONE, GatewayError
from gateway.core.events import Usage
from gateway.core.journal import UNBILLED, Bill, Journal
from gateway.core.ledger import HEDGE_LOST, Intent, LedgerRow, State
from gateway.core.limits import Spent
from gateway.core.notes import rows
from gateway.core.upstream import Target
from gateway.limits.tokens import estimate
from gateway.pipeline.services import Services
from gateway.pricing.table import price
from gateway.wire.openai import read_tier


def record(journal: Journal, services: Services) -> None:
    """Write the call down. Called before the last byte is released (promise N2) and again from the last ``finally``."""
    if journal.recorded:
        return
    journal.recorded = True
    if journal.usage is None and journal.intended and journal.generated:
        # The caller left or the stream was cut before usage came: bill what was made, marked as an estimate.
        journal.usage = estimated_usage(journal, estimate(journal.input_chars), estimate(journal.generated))
        journal.usage_source = "estimated"
    settle(journal, services)
    if journal.holding is not None:
        journal.holding.settle(spent(journal))
    if journal.caller is not None:
        services.ledger.append(row_of(journal, services))
    services.observer.observe(journal, services.clock())


def estimated_usage(journal: Journal, read: int, made: int) -> Usage:
    """Our own counts, in the service tier that the caller asked for: the answer did not come far enough to say another."""
    asked = journal.request.fields.get("service_tier") if journal.request is not None else None
    return Usage(read, made, tier=None if asked is None else read_tier(asked))


def settle(journal: Journal, services: Services) -> int | None:
    """Turn usage into money, once: the cost in nano-dollars, or None when it has no price."""
    usage, target = journal.usage, journal.target
    if usage is not None and target is not None and journal.bill is UNBILLED:
        estimated = journal.usage_source == "estimated"
        cost, status = price(services.prices, target.provider, target.model, usage, estimated=estimated)
        journal.bill = Bill(cost, status, services.prices.version)
    return journal.bill.cost_nano


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


def row_of(journal: Journal, services: Services, error: GatewayError | None = None) -> LedgerRow:
    """The row as things stand; ``error`` makes it the row of a failed attempt that another attempt follows."""
    inbound, caller, request, prompt, target = journal.inbound, journal.caller, journal.request, journal.prompt, journal.target
    # Without a target nobody was asked: what a recalled answer had used is on the row of the call that made it.
    usage = None if error is not None or target is None else journal.usage
    bill = UNBILLED if error is not None else journal.bill
    started = inbound.started
    return LedgerRow(
        inbound.call_id,
        (journal.attempt or journal.attempts) if journal.intended else 0,
        State.FINAL,
        caller.application_id if caller else None,
        caller.key_id if caller else None,
        inbound.request_id,
        inbound.door,
        prompt.prompt_id if prompt else None,
        prompt.slug if prompt else None,
        prompt.version if prompt else None,
        prompt.alias if prompt else None,
        prompt.variant if prompt else None,
        prompt.content_hash if prompt else None,
        prompt.generation if prompt else None,
        request.stream if request else False,
        request.model if request else None,
        target.provider if target else None,
        target.model if target else None,
        error.kind.name if error else journal.outcome,
        error.status if error else journal.status,
        _storable(journal.finish),
        usage.input if usage else None,
        usage.cached if usage else None,
        usage.output if usage else None,
        usage.reasoning if usage else None,
        None if error is not None else journal.usage_source,
        bill.cost_nano,
        bill.status,
        bill.price_version,
        int((services.clock() - started) * 1e6),
        None if journal.first_byte is None else int((journal.first_byte - started) * 1e6),
        int(journal.upstream * 1e6) if journal.intended else None,
        journal.attempts,
        request.user if request else None,
        request.session if request else None,
        list(request.tags) if request else [],
        journal.guard,
        _storable(error.detail if error else journal.error),
        usage.cache_write if usage else None,
        usage.cache_write_1h if usage else None,
        usage.audio_input if usage else None,
        usage.audio_cached if usage else None,
        usage.audio_output if usage else None,
        usage.image_input if usage else None,
        usage.image_output if usage else None,
        usage.images if usage else None,
        usage.requests if usage else None,
        usage.tier if usage else None,
        rows(journal.notes[journal.booked_notes :]),
        journal.route,
        journal.shadowed,
    )


def lost_row(journal: Journal, services: Services, attempt: int, target: Target) -> LedgerRow:
    """The row of a hedge that lost: cancelled by us, so it cost its input at least, and nobody counted what it made.

    The limits are told of it too.
    """
    usage = Usage(estimate(journal.input_chars), 0)
    cost, status = price(services.prices, target.provider, target.model, usage, estimated=True)
    set_aside(journal, usage, cost)
    return structs.replace(
        row_of(journal, services, GatewayError(CLIENT_GONE, "another attempt answered first")),
        attempt=attempt,
        provider=target.provider,
        model=target.model,
        outcome=HEDGE_LOST,
        input_tokens=usage.input,
        output_tokens=0,
        usage_source="estimated",
        cost_nano=cost,
        cost_status=status,
        price_version=services.prices.version,
        first_byte_us=None,
    )


def _storable(text: str | None) -> str | None:
    """A provider's words as Postgres can hold them: it refuses NUL, and a row must not be lost to one."""
    return text.replace("\0", "\ufffd") if text is not None and "\0" in text else text


def intent_of(journal: Journal) -> Intent:
    """What must be on disk before the first byte goes upstream (promise N1)."""
    inbound, caller, request, prompt, target = journal.inbound, journal.caller, journal.request, journal.prompt, journal.target
    assert caller is not None
    assert request is not None
    assert target is not None
    return Intent(
        inbound.call_id,
        journal.attempt or journal.attempts,
        caller.application_id,
        caller.key_id,
        inbound.request_id,
        inbound.door,
        prompt.prompt_id if prompt else None,
        prompt.slug if prompt else None,
        prompt.version if prompt else None,
        prompt.alias if prompt else None,
        prompt.variant if prompt else None,
        prompt.content_hash if prompt else None,
        prompt.generation if prompt else None,
        request.stream,
        request.model,
        target.provider,
        target.model,
        estimate(journal.input_chars),
        request.user,
        request.session,
        list(request.tags),
        journal.route,
        journal.shadowed,
    )
