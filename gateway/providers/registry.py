"""Provider kinds by the name that ``config/providers.toml`` uses. Adding a family is adding one file and one line here."""

from collections.abc import Callable

from gateway.core.forward import Forwarder
from gateway.core.upstream import Translator
from gateway.providers.azure import AzureTranslator
from gateway.providers.bedrock import BedrockTranslator
from gateway.providers.cohere import CohereTranslator
from gateway.providers.forwarding import ECHO_FORWARDER, OpenAIForwarder
from gateway.providers.gemini import GeminiTranslator
from gateway.providers.mistral import MistralTranslator
from gateway.providers.openai import OpenAITranslator
from gateway.providers.quirks import QUIRKS
from gateway.providers.sigv4 import Credentials
from gateway.settings_providers import Provider, has_responses


def translators(max_event_bytes: int, now: Callable[[], int]) -> dict[str, Translator]:
    """A translator per kind that serves every account of it.

    ``max_event_bytes`` bounds one event of a stream, ``now`` tells the seconds since the epoch. ``echo`` speaks the OpenAI dialect;
    what differs is its transport.
    """
    openai = OpenAITranslator(max_event_bytes)
    return {
        "openai": openai,
        "echo": openai,
        **{kind: OpenAITranslator(max_event_bytes, QUIRKS[kind]) for kind in ("ollama", "llamacpp", "vllm", "tgi")},
        "mistral": MistralTranslator(max_event_bytes),
        "gemini": GeminiTranslator(now, max_event_bytes),
        "cohere": CohereTranslator(now, max_event_bytes),
    }


def own_translator(
    provider: Provider, max_event_bytes: int, now: Callable[[], int], new_id: Callable[[], str]
) -> Translator | None:
    """The translator of an account whose requests depend on more than address and key; None where the kind's own will do."""
    if provider.kind == "openai" and has_responses(provider):
        return OpenAITranslator(max_event_bytes, has_responses=True)
    if provider.kind == "azure":
        return AzureTranslator(provider.api_version, max_event_bytes)
    if provider.kind == "bedrock":
        credentials = Credentials(provider.access_key_id, provider.secret_access_key, provider.session_token)
        return BedrockTranslator(provider.region, credentials, now, new_id, max_event_bytes)
    return None


_OPENAI_SERVERS = ("openai", "mistral", "ollama", "llamacpp", "vllm", "tgi")
"""Kinds whose other paths (embeddings, audio, files) are OpenAI's, behind a bearer key."""


def forwarders() -> dict[str, Forwarder]:
    """A forwarder per kind that takes forwarded calls; other kinds have none."""
    openai = OpenAIForwarder()
    return {**dict.fromkeys(_OPENAI_SERVERS, openai), "echo": ECHO_FORWARDER}
