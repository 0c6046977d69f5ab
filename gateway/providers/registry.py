"""Provider kinds by the name that ``config/providers.toml`` uses. Adding a family is adding one file and one line here."""

from gateway.core.upstream import Translator
from gateway.providers.openai import OpenAITranslator


def translators(max_event_bytes: int) -> dict[str, Translator]:
    """A translator per kind; ``max_event_bytes`` bounds one event of a stream.

    ``openai-responses`` is the same family at servers that have the Responses API.
    ``echo`` speaks the OpenAI dialect; what differs is its transport.
    """
    openai = OpenAITranslator(max_event_bytes)
    return {
        "openai": openai,
        "openai-responses": OpenAITranslator(max_event_bytes, has_responses=True),
        "echo": openai,
    }
