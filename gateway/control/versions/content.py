"""Whether a content can be served, judged before it is stored and again before it is published."""

import asyncio

import msgspec

from gateway.control.services import ControlServices
from gateway.core.documents import Guardrails, VersionContent
from gateway.guards.plan import compile_guards
from gateway.guards.remote.endpoints import check_endpoints
from gateway.prompts.compiler import compile_prompt

_DEFAULT = VersionContent(messages=[])
"""The very defaults: what encoding leaves out is told by identity, so that an equal one would be spelled out, and hash apart."""


async def checked(services: ControlServices, content: VersionContent) -> VersionContent:
    """The content as it is to be stored, after compiling everything that serving will compile.

    Raises ``malformed`` naming the field (``messages[1].content``).
    """
    # Calls are served by the same loop: guards of many forms or a language model take a while to compile.
    await asyncio.to_thread(compile_prompt, content)
    await check_guardrails(services, content.guardrails)
    cache = _DEFAULT.cache if content.cache == _DEFAULT.cache else content.cache
    return msgspec.structs.replace(content, guardrails=_quietest(content.guardrails), cache=cache)


async def check_guardrails(services: ControlServices, guardrails: Guardrails) -> None:
    """Raises ``malformed`` for what would not compile, or names what is not configured here."""
    await asyncio.to_thread(compile_guards, guardrails)
    check_endpoints(guardrails, services.guard_endpoints)


def _quietest(asked: Guardrails) -> Guardrails:
    """Stages that say nothing as the default ones: contents that mean the same have the same hash."""
    default = _DEFAULT.guardrails
    pre = default.pre_validation if asked.pre_validation == default.pre_validation else asked.pre_validation
    post = default.post_validation if asked.post_validation == default.post_validation else asked.post_validation
    return default if asked == default else Guardrails(pre, post, asked.max_reasks)
