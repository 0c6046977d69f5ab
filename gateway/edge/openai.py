"""The generating doors: a dialect, the sentence, and the failure in the same dialect."""

from collections.abc import Callable, Coroutine
from typing import Any

from msgspec import Struct

from gateway.core.dialect import Dialect
from gateway.core.errors import GatewayError
from gateway.core.requests import Inbound
from gateway.core.trace import Trace
from gateway.dialects.chat import CHAT_DIALECT
from gateway.dialects.completions import COMPLETIONS_DIALECT
from gateway.dialects.messages.dialect import MESSAGES_DIALECT
from gateway.dialects.responses.dialect import RESPONSES_DIALECT
from gateway.edge.problems import refuse
from gateway.pipeline.abreast import Steps
from gateway.pipeline.express import ExpressReply, depart
from gateway.pipeline.idempotency import HEADER, once
from gateway.pipeline.marked import Marked
from gateway.pipeline.reply import Reply
from gateway.pipeline.serve import serve
from gateway.pipeline.services import Services

Door = Callable[[Inbound, Services, Reply], Coroutine[Any, Any, None]]


def traceable(reply: Reply, trace: Trace) -> Reply:
    """A way back that says in which trace the call's spans are found, if it has any."""
    return Marked(reply, trace.head) if trace.recorded else reply


def speaking(dialect: Dialect) -> Door:
    """The door where callers speak ``dialect``: answers one call, whatever happens."""

    async def door(inbound: Inbound, services: Services, reply: Reply) -> None:
        if inbound.trace is not None:
            reply = traceable(reply, inbound.trace)
        if HEADER in inbound.headers:
            work = once(inbound, services, reply, dialect, lambda to: serve(inbound, services, to, dialect))
        else:
            work = serve(inbound, services, reply, dialect)
        await telling(dialect, work, inbound, reply)

    return door


async def telling(dialect: Dialect, work: Coroutine[Any, Any, None], inbound: Inbound, reply: Reply) -> None:
    """Do the work of a call, and tell its caller of a failure."""
    try:
        await work
    except GatewayError as error:
        await refuse(error, inbound, reply, dialect)


chat = speaking(CHAT_DIALECT)
completions = speaking(COMPLETIONS_DIALECT)
messages = speaking(MESSAGES_DIALECT)
responses = speaking(RESPONSES_DIALECT)


class HotRoute(Struct, frozen=True):
    """A path that the front door hands straight to the pipeline."""

    door: str
    """The door's name, for metrics and the ledger."""
    handler: Door
    dialect: Dialect
    """How refusals are said that never reach the handler."""
    quick: Callable[[Inbound, Services, ExpressReply, Dialect], Steps] | None = None
    """Answers without a task what it can, and leaves to the handler what it cannot; None: everything is the handler's."""

    def told(self, rest: Coroutine[Any, Any, None], inbound: Inbound, reply: Reply) -> Coroutine[Any, Any, None]:
        """The rest of a call that had departed; its caller is told of a failure."""
        return telling(self.dialect, rest, inbound, reply)


HOT_ROUTES = {
    b"/v1/chat/completions": HotRoute(CHAT_DIALECT.name, chat, CHAT_DIALECT, depart),
    b"/v1/completions": HotRoute(COMPLETIONS_DIALECT.name, completions, COMPLETIONS_DIALECT, depart),
    b"/v1/messages": HotRoute(MESSAGES_DIALECT.name, messages, MESSAGES_DIALECT, depart),
    b"/v1/responses": HotRoute(RESPONSES_DIALECT.name, responses, RESPONSES_DIALECT, depart),
}
"""By raw request path; all of them are POST."""
