"""What the provider tests share: golden cases, and the bytes of each provider's stream."""

import struct
import zlib
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Raw

from gateway.core.conversation import Message
from gateway.core.upstream import Target, Translator, UpstreamCall
from gateway.providers.azure import AzureTranslator
from gateway.providers.bedrock import BedrockTranslator
from gateway.providers.cohere import CohereTranslator
from gateway.providers.gemini import GeminiTranslator
from gateway.providers.mistral import MistralTranslator
from gateway.providers.openai import OpenAITranslator
from gateway.providers.quirks import QUIRKS
from gateway.providers.sigv4 import Credentials
from gateway.wire import openai as wire

FOLDER = Path(__file__).parents[2] / "golden"
NOW = 1_440_938_160
"""2015-08-30 12:36 UTC, the time of AWS's own examples."""
AWS = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")

TRANSLATORS: dict[str, Translator] = {
    "azure": AzureTranslator("2024-10-21"),
    "bedrock": BedrockTranslator("us-east-1", AWS, lambda: NOW, lambda: "chatcmpl-1"),
    "cohere": CohereTranslator(lambda: NOW),
    "gemini": GeminiTranslator(lambda: NOW),
    "mistral": MistralTranslator(),
    "ollama": OpenAITranslator(quirks=QUIRKS["ollama"]),
    "tgi": OpenAITranslator(quirks=QUIRKS["tgi"]),
}


def target(provider: str, key: str = "key-1") -> Target:
    return Target(provider, "model-1", f"https://{provider}.example.com/v1", "" if provider == "bedrock" else key)


def call(chat: dict[str, Any]) -> UpstreamCall:
    """A call of the common dialect, as the pipeline makes it of a chat request."""
    fields = {k: Raw(wire.encode(v)) for k, v in chat.items() if k not in {"model", "messages", "stream"}}
    messages = []
    for message in chat["messages"]:
        raw = wire.encode(message)
        messages.append(Message(message["role"], wire.message_text(wire.decode_message(raw)), raw))
    return UpstreamCall(chat["model"], tuple(messages), chat.get("stream", False), fields)


def frame(headers: dict[str, str], payload: bytes) -> bytes:
    """One message of Amazon's event stream, as its specification describes it."""
    head = b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
        for name, value in headers.items()
    )
    prelude = struct.pack(">II", 16 + len(head) + len(payload), len(head))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + head + payload
    return message + struct.pack(">I", zlib.crc32(message))


def stream_bytes(provider: str, events: list[Any]) -> bytes:
    """A stream as the provider sends it: SSE, or frames whose kind is the event's only key."""
    if provider != "bedrock":
        data = [event if isinstance(event, str) else wire.encode(event).decode() for event in events]
        return "".join([f"data: {text}\n\n" for text in data]).encode()
    frames = []
    for event in events:
        ((kind, payload),) = event.items()
        named = (
            {":exception-type": kind, ":message-type": "exception"}
            if kind.endswith("Exception")
            else {":event-type": kind, ":message-type": "event"}
        )
        frames.append(frame({**named, ":content-type": "application/json"}, wire.encode(payload)))
    return b"".join(frames)


def cases(kind: str) -> list[tuple[str, str, dict[str, Any]]]:
    """(provider, name, case) of every golden file of a kind."""
    found = []
    for file in sorted(FOLDER.glob(f"*/{kind}-*.json")):
        found.append((file.parent.name, file.stem, msgspec.json.decode(file.read_bytes())))
    return found
