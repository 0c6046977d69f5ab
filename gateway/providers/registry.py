"""Provider kinds by the name that ``config/providers.toml`` uses. Adding a family is adding one file and one line here."""

from gateway.core.forward import Forwarder
from gateway.core.upstream import Translator
from gateway.providers.embeddings_cohere import CohereForwarder
from gateway.providers.embeddings_gemini import GeminiForwarder
from gateway.providers.forwarding import ONLY_EMBEDDINGS, OpenAIForwarder
from gateway.providers.openai import OpenAITranslator


def translators(max_event_bytes: int) -> dict[str, Translator]:
    """A translator per kind; ``max_event_bytes`` bounds one event of a stream.

    ``echo`` speaks the OpenAI dialect; what differs is its transport.
    """
    openai = OpenAITranslator(max_event_bytes)
    return {"openai": openai, "echo": openai}


def forwarders() -> dict[str, Forwarder]:
    """A forwarder per kind that takes forwarded calls; other kinds have none."""
    likely = dict.fromkeys(("echo", "mistral", "ollama", "llamacpp", "vllm", "tgi"), ONLY_EMBEDDINGS)
    return {"openai": OpenAIForwarder(), **likely, "cohere": CohereForwarder(), "gemini": GeminiForwarder()}
