"""``POST /v1/explain``: body and headers of a chat call, answered with what would become of it."""

from msgspec import structs

from gateway.core.errors import GatewayError
from gateway.core.requests import Inbound
from gateway.dialects.chat import CHAT_DIALECT
from gateway.edge.problems import refuse
from gateway.pipeline.admit import admit_alone
from gateway.pipeline.authenticate import authenticate
from gateway.pipeline.explain import PER_MINUTE, encode, explain
from gateway.pipeline.receive import check
from gateway.pipeline.reply import Reply
from gateway.pipeline.services import Services


async def door(inbound: Inbound, services: Services, reply: Reply) -> None:
    """Explain one call. What cannot be read is refused as the call would be; everything later is told in its place."""
    try:
        caller = await authenticate(inbound, services)
        own = structs.replace(caller, key_id=f"explain:{caller.key_id}", requests_per_minute=PER_MINUTE)
        permit = await admit_alone(own, services)
        check(inbound)
        explanation = await explain(inbound, CHAT_DIALECT.read(inbound), caller, services)
        head = f"content-type: application/json\r\nx-request-id: {inbound.request_id}\r\n{permit.head()}"
        await reply.whole(200, head.encode(), encode(explanation))
    except GatewayError as error:
        await refuse(error, inbound, reply)
