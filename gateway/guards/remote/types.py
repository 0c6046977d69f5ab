"""The guards of the catalogue that ask others."""

from gateway.guards.catalogue import GuardType
from gateway.guards.remote.http import HttpGuard, HttpOptions
from gateway.guards.remote.judge import JudgeGuard, JudgeOptions
from gateway.guards.remote.moderation import ModerationGuard, ModerationOptions
from gateway.guards.remote.presidio import PresidioGuard, PresidioOptions
from gateway.guards.remote.tokens import TokensGuard, TokensOptions
from gateway.guards.remote.topic import TopicOptions, topic_guard

REMOTE = (
    GuardType(
        name="http",
        options=HttpOptions,
        make=lambda options, _: HttpGuard(options),
        summary="Asks a service of one's own, which allows, blocks or rewrites.",
        reference="docs/guardrails.md#your-own-service",
        rank=2,
    ),
    GuardType(
        name="presidio",
        options=PresidioOptions,
        make=lambda options, _: PresidioGuard(options),
        summary="Finds personal data in prose (names, places) with a Presidio analyzer beside the gateway.",
        reference="https://microsoft.github.io/presidio/api-docs/api-docs.html",
        rank=2,
    ),
    GuardType(
        name="tokens",
        options=TokensOptions,
        make=lambda options, _: TokensGuard(options),
        summary="More tokens than may go in, or come out.",
        reference="https://github.com/openai/tiktoken",
    ),
    GuardType(
        name="moderation",
        options=ModerationOptions,
        make=lambda options, _: ModerationGuard(options),
        summary="Asks the moderations endpoint of a provider for harmful categories.",
        reference="https://platform.openai.com/docs/api-reference/moderations",
        rank=2,
    ),
    GuardType(
        name="topic",
        options=TopicOptions,
        make=topic_guard,
        summary="Compares the text with example sentences, by embeddings.",
        reference="https://arxiv.org/abs/1908.10084",
        rank=2,
    ),
    GuardType(
        name="judge",
        options=JudgeOptions,
        make=lambda options, _: JudgeGuard(options),
        summary="Has a model score the text by a rule in words.",
        reference="https://arxiv.org/abs/2306.05685",
        rank=2,
    ),
)
