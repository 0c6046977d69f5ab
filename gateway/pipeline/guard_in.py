"""Conversation -> Conversation: what may go to a provider."""

from gateway.core.conversation import Conversation
from gateway.core.errors import BLOCKED, GatewayError
from gateway.core.journal import Journal
from gateway.core.verdicts import ALLOW, Block
from gateway.pipeline.resolve import Recipe


def guard_in(recipe: Recipe, conversation: Conversation, journal: Journal) -> Conversation:
    """Judge every message, the caller's and the stored ones. Raises ``blocked`` naming the guard."""
    release = recipe.release
    if release is None or release.guards.pre is None:
        return conversation
    verdict = release.guards.pre.check(conversation)
    if verdict is not ALLOW:
        assert isinstance(verdict, Block)
        raise blocked("pre", verdict, journal)
    return conversation


def blocked(stage: str, verdict: Block, journal: Journal) -> GatewayError:
    """The error of a block, noted in the journal; ``param`` names the guard as ``stage:guard``."""
    journal.guard = f"{stage}:{verdict.guard}"
    where = "request" if stage == "pre" else "answer"
    return GatewayError(
        BLOCKED, f"The {where} was blocked by the guardrail {verdict.guard!r}: {verdict.detail}.", param=journal.guard
    )
