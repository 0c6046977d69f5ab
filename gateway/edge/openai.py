"""The OpenAI dialect of the data plane."""

from gateway.core.errors import GatewayError
from gateway.core.requests import Inbound
from gateway.edge.problems import refuse
from gateway.pipeline.reply import Reply
from gateway.pipeline.serve import serve
from gateway.pipeline.services import Services

CHAT = "chat"
"""The door's name: ``POST /v1/chat/completions``."""


async def chat(inbound: Inbound, services: Services, reply: Reply) -> None:
    """Answer one chat call, whatever happens."""
    try:
        await serve(inbound, services, reply)
    except GatewayError as error:
        await refuse(error, inbound, reply)


HOT_ROUTES = {b"/v1/chat/completions": (CHAT, chat)}
"""Raw request paths that the front door hands straight to the pipeline: (door name, what answers)."""
