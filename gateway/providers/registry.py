"""Provider kinds by the name that ``config/providers.toml`` uses. Adding a family is adding one file and one line here."""

from collections.abc import Callable

from gateway.core.upstream import Translator
from gateway.providers.anthropic.translator import AnthropicTranslator
from gateway.providers.openai import OpenAITranslator


def translators(max_event_bytes: int, now: Callable[[], int]) -> dict[str, Translator]:
    """A translator per kind; ``max_event_bytes`` bounds one event of a stream, ``now`` tells the seconds since the epoch.

    ``echo`` speaks the OpenAI dialect; what differs is its transport.
    """
    openai = OpenAITranslator(max_event_bytes)
    return {"openai": openai, "echo": openai, "anthropic": AnthropicTranslator(now, max_event_bytes)}
