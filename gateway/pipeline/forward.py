"""The sentence with fewer verbs, for calls that pass through: no prompt answers them, and no guard reads them.

receive > authenticate > admit > route > call > respond > record
"""

import asyncio

from gateway.core.errors import CLIENT_GONE, DRAINING, INTERNAL, GatewayError
from gateway.core.journal import Journal
from gateway.core.requests import Inbound
from gateway.dialects.forwarded import read_forwarded
from gateway.pipeline.admit import admit_forwarded
from gateway.pipeline.authenticate import authenticate
from gateway.pipeline.forwarding.answering import Relay, respond
from gateway.pipeline.forwarding.asking import Asking, ask, relaying
from gateway.pipeline.forwarding.listing import list_owned
from gateway.pipeline.forwarding.placing import Errand, place
from gateway.pipeline.receive import check_any
from gateway.pipeline.record import record
from gateway.pipeline.reply import Reply
from gateway.pipeline.services import Services


async def forward(inbound: Inbound, errand: Errand, services: Services, reply: Reply) -> GatewayError | None:
    """Pass one call on. Raises ``GatewayError`` for the edge to say; the row is written by then.

    Returned is the failure of an answer that cannot say its own (a file, a sound): the caller has to see its connection cut.
    """
    journal = Journal(inbound)
    clock, lap = services.clock, journal.laps.append
    relay = Relay(journal, reply, services)
    try:
        lap(clock())
        caller = await authenticate(inbound, services, journal)
        lap(clock())
        check_any(inbound)
        body = read_forwarded(inbound)
        journal.request = body.request
        journal.input_chars = body.weight
        permit = await admit_forwarded(caller, body.request, body.pieces, journal, services)
        plan = await place(errand, caller, body, journal, services)
        lap(clock())
        asking = Asking(errand, body, inbound, journal, services)
        if errand.lists:
            await list_owned(asking, plan, caller, permit, relay)
        else:
            await respond(asking, await ask(asking, plan, relaying(asking)), caller, permit, relay)
    except GatewayError as error:
        _failed(journal, reply, error)
        if relay.mute:
            return error
        raise
    except asyncio.CancelledError:
        if reply.gone:
            _failed(journal, reply, GatewayError(CLIENT_GONE, "the caller left"))
            raise
        error = GatewayError(DRAINING, "the gateway is shutting down", retry_after=1)
        _failed(journal, reply, error)
        if relay.mute:
            return error
        raise error from None
    except Exception as bug:
        error = GatewayError(INTERNAL, "internal error", cause=repr(bug))
        _failed(journal, reply, error)
        if relay.mute:
            return error
        raise error from bug
    finally:
        relay.close()
        record(journal, services)
    return None


def _failed(journal: Journal, reply: Reply, error: GatewayError) -> None:
    journal.outcome = error.kind.name
    journal.error = error.detail
    if not reply.started:
        journal.status = error.status
