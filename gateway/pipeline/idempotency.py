"""``idempotency-key``: a retry gets the answer of the call that it repeats, whether that has ended or still runs, here or elsewhere.

Around the sentence, not in it: what is kept is what the caller was sent, so every door has it. A key is claimed in the store by a
lease that is renewed while the call runs; then the answer takes the claim's place. Whoever finds a claim waits and tries to claim
again, so that a dead owner's key goes to the next who waits. Only complete 200s are kept; after anything else the key is free.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import msgspec
from msgspec import Struct

from gateway.core.dialect import Speech
from gateway.core.errors import CLIENT_GONE, CONFLICT, DEADLINE, DRAINING, INTERNAL, MALFORMED, GatewayError
from gateway.core.journal import Journal
from gateway.core.ledger import Bill
from gateway.core.requests import Inbound
from gateway.core.sameness import once_name, received_digest
from gateway.pipeline.admit import admit
from gateway.pipeline.authenticate import authenticate
from gateway.pipeline.claims import LONGEST_PAUSE_S, claimed, renewed
from gateway.pipeline.fetch import BRIEF
from gateway.pipeline.marked import Marked
from gateway.pipeline.record import record
from gateway.pipeline.reply import Reply
from gateway.pipeline.services import Services
from gateway.pipeline.tape import Sent, Tape, play
from gateway.wire.multipart import MultipartError, parts

HEADER = b"idempotency-key"
MAX_KEY = 255
"""Characters; Stripe's bound."""
UNAVAILABLE = b"x-idempotency: unavailable\r\n"
"""Response header line where the store cannot be asked: the call was made without looking, and is not kept."""

Work = Callable[[Reply], Awaitable[None]]
"""The call itself, told where to answer. Raises ``GatewayError`` for whoever speaks the dialect."""


class Once(Struct, array_like=True, frozen=True):
    """What lies at a key: the request, whose call it is, and the answer once it is complete."""

    fingerprint: str
    call_id: str
    request_id: str
    sent: Sent | None = None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Once).decode


async def once(inbound: Inbound, services: Services, reply: Reply, dialect: Speech, work: Work, path: str = "") -> None:
    """Answer a call that has the header: by ``work``, or by what another call with the same key was answered.

    ``path`` is what a call asks for besides its body, where a door has several paths.

    Raises what ``authenticate`` and ``work`` raise; ``malformed`` for a bad key, ``conflict`` for another request under the same
    key, ``deadline`` when the call that it repeats goes on for longer; then a row is written, as for every authenticated call.
    """
    journal = Journal(inbound)
    name, mine, application_id = "", Once("", "", ""), ""
    try:
        caller = await authenticate(inbound, services, journal)
        application_id = caller.application_id
        key = _key_of(inbound)
        mine = Once(await _fingerprint(inbound, path), inbound.call_id, inbound.request_id)
        # A restricted key may not be given the answers of others: what they were allowed, it may not be.
        owner = application_id if caller.grant is None else caller.key_id
        name = once_name(owner, inbound.door, key)
        found = await _claim(application_id, name, mine, services, inbound.deadline)
        if isinstance(found, Once):
            await _replay(found, journal, services, reply, dialect)
            return
    except GatewayError as error:
        journal.outcome, journal.error, journal.status = error.kind.name, error.detail, error.status
        record(journal, services)
        raise
    except asyncio.CancelledError:
        if name:
            # The claim may have been granted while we were told to stop.
            services.memory.spawn(_free(application_id, name, mine, services))
        kind = CLIENT_GONE if reply.gone else DRAINING
        journal.outcome, journal.status = kind.name, kind.status
        record(journal, services)
        if reply.gone:
            raise
        raise GatewayError(DRAINING, "the gateway is shutting down", retry_after=1) from None
    except Exception as bug:
        journal.outcome, journal.error, journal.status = INTERNAL.name, "internal error", INTERNAL.status
        record(journal, services)
        raise GatewayError(INTERNAL, "internal error", cause=repr(bug)) from bug
    if found:
        await _outliving(_make(application_id, name, mine, services, reply, work), services, reply)
    else:
        await work(Marked(reply, UNAVAILABLE))


def _key_of(inbound: Inbound) -> bytes:
    key = inbound.headers[HEADER].strip()
    if not 0 < len(key) <= MAX_KEY or not key.isascii() or not key.decode("ascii").isprintable():
        raise GatewayError(MALFORMED, f"idempotency-key: 1 to {MAX_KEY} printable ASCII characters", param="idempotency-key")
    return key


async def _fingerprint(inbound: Inbound, path: str) -> str:
    if len(inbound.body) > BRIEF:
        return await asyncio.to_thread(_said, inbound, path)
    return _said(inbound, path)


def _said(inbound: Inbound, path: str) -> str:
    pieces = [inbound.body]
    content_type = inbound.headers.get(b"content-type", b"")
    if content_type[:10].lower() == b"multipart/":
        # A client that repeats a form marks its parts anew, at random.
        with contextlib.suppress(MultipartError):
            pieces = parts(content_type.decode("latin-1"), inbound.body)
    return received_digest(inbound.headers, [path.encode(), *pieces] if path else pieces)


async def _free(application_id: str, name: str, mine: Once, services: Services) -> None:
    await services.memory.store.swap(application_id, name, _encode(mine), None)


async def _claim(application_id: str, name: str, mine: Once, services: Services, deadline: float) -> Once | bool:
    """True: the key is ours. False: nobody can say. Otherwise the answer of the call that this one repeats."""

    async def look(found: bytes | None) -> Once | None:
        there = _read(found)
        if there is not None and there.fingerprint != mine.fingerprint:
            raise GatewayError(
                CONFLICT,
                "idempotency-key: it was used for another request; use a new key for each operation",
                param="idempotency-key",
            )
        return there if there is not None and there.sent is not None else None

    try:
        return await claimed(services.memory, application_id, name, _encode(mine), look, lambda: deadline - services.clock())
    except TimeoutError:
        raise GatewayError(
            DEADLINE, "the call that this one repeats (idempotency-key) is still running", retry_after=LONGEST_PAUSE_S
        ) from None


def _read(found: bytes | None) -> Once | None:
    """What lies there; None for something of another version of the gateway, which is waited out like a running call."""
    try:
        return _decode(found or b"")
    except msgspec.MsgspecError:
        return None


async def _replay(kept: Once, journal: Journal, services: Services, reply: Reply, dialect: Speech) -> None:
    assert kept.sent is not None
    assert journal.caller is not None
    inbound = journal.inbound
    journal.request = request = dialect.read(inbound)
    permit = await admit(journal.caller, request, None, journal, services)
    journal.usage_source, journal.bill, journal.status = "replayed", Bill(0, "exact", None), kept.sent.status
    services.memory.replayed += 1
    record(journal, services)
    if services.synced is not None:
        await services.synced()
    head = f"{dialect.problem_head(inbound.request_id)}{permit.head()}idempotent-replayed: true\r\n"
    await play(kept.sent, f"{head}x-original-request-id: {kept.request_id}\r\n".encode("latin-1"), reply)


async def _make(application_id: str, name: str, mine: Once, services: Services, reply: Reply, work: Work) -> None:
    """Make the call with the key held; at the end its answer lies there, or nothing."""
    memory, claim = services.memory, _encode(mine)

    async def keep(sent: Sent) -> None:
        nonlocal kept
        answered = _encode(Once(mine.fingerprint, mine.call_id, mine.request_id, sent))
        swap = await memory.store.swap(application_id, name, claim, answered, memory.keep_seconds)
        kept = swap is not None and swap.done

    kept = False
    try:
        async with renewed(memory, application_id, name, claim):
            await work(Tape(reply, memory.max_bytes, keep))
    finally:
        if not kept:
            await memory.store.swap(application_id, name, claim, None)


async def _outliving(made: Awaitable[None], services: Services, reply: Reply) -> None:
    """Await ``made``; if the caller leaves, let it go on for the retry's sake, as long as there is room for such work."""
    task = services.memory.spawn(_awaited(made))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        if not task.done() and reply.gone and services.memory.outlive(task):
            raise
        task.cancel()
        await asyncio.wait((task,))
        if not task.cancelled() and (failure := task.exception()) is not None:
            raise failure from None
        raise


async def _awaited(made: Awaitable[None]) -> None:
    await made
