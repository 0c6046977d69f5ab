"""The JSON of OpenAI's legacy completions API, as far as the gateway acts on it. Source: the published OpenAPI document."""

from typing import Any

import msgspec
from msgspec import Raw, Struct

from gateway.wire.openai import ABSENT, StreamOptions

OBJECT = "text_completion"
"""What answers and chunks of streams are called."""


# --- requests -------------------------------------------------------------------------------------------------------
class CompletionsBody(Struct):
    """The envelope of a completions request. ``prompt`` is the text itself, not the name of a stored prompt."""

    model: str = ""
    prompt: Raw = ABSENT
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: int | None = None
    best_of: int | None = None
    echo: bool | None = None
    logprobs: int | None = None
    suffix: str | None = None
    user: str | None = None
    variables: dict[str, Any] | None = None


decode_body = msgspec.json.Decoder(CompletionsBody).decode
decode_prompt = msgspec.json.Decoder(str | list[str | int | list[int]]).decode


# --- answers --------------------------------------------------------------------------------------------------------
class TextChoice(Struct, gc=False):
    """``choices[]`` of an answer or a chunk."""

    text: str = ""
    index: int = 0
    finish_reason: str | None = None


class TextAnswer(Struct):
    """A whole answer."""

    choices: list[TextChoice]
    usage: Raw = ABSENT


class TextChunk(Struct):
    """One payload of a stream."""

    choices: list[TextChoice] = []
    usage: Raw = ABSENT
    error: Raw = ABSENT


decode_answer = msgspec.json.Decoder(TextAnswer).decode
decode_chunk = msgspec.json.Decoder(TextChunk).decode


# --- chat answers, as far as they can be said as completions ----------------------------------------------------------
class TopToken(Struct, gc=False):
    """An alternative at one place."""

    token: str
    logprob: float


class TokenChoice(Struct, gc=False):
    """A token, how likely it was, and what else was."""

    token: str
    logprob: float
    top_logprobs: list[TopToken] | None = None


class ChatLogprobs(Struct, gc=False):
    """``choices[].logprobs``."""

    content: list[TokenChoice] | None = None


class ChatSaid(Struct, frozen=True, gc=False):
    """A message or a delta."""

    content: str | None = None
    refusal: str | None = None
    tool_calls: list[Raw] | None = None
    function_call: Raw = ABSENT


class ChatChoice(Struct, gc=False):
    """``choices[]`` of an answer (``message``) or of a chunk (``delta``)."""

    index: int = 0
    message: ChatSaid = ChatSaid()
    delta: ChatSaid = ChatSaid()
    finish_reason: str | None = None
    logprobs: ChatLogprobs | None = None


class ChatAnswer(Struct):
    """An answer or a chunk."""

    id: str = ""
    created: int = 0
    model: str = ""
    system_fingerprint: str | None = None
    choices: list[ChatChoice] = []
    usage: Raw = ABSENT


decode_chat = msgspec.json.Decoder(ChatAnswer).decode
