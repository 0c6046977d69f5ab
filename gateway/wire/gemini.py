"""Gemini's JSON, as far as the gateway acts on it. Source: Google's reference of ``models.generateContent`` (v1beta)."""

from typing import Any

import msgspec
from msgspec import Struct

from gateway.core.events import Usage
from gateway.wire.chat_out import plausible


# --- requests -------------------------------------------------------------------------------------------------------
class Blob(Struct, rename="camel"):
    """``inlineData``: base64 of a media type."""

    mime_type: str
    data: str


class FunctionCall(Struct, omit_defaults=True):
    """``functionCall``; only newer models give it an id."""

    name: str
    args: dict[str, Any] = {}
    id: str | None = None


class FunctionResponse(Struct, omit_defaults=True):
    """``functionResponse``: what a tool answered."""

    name: str
    response: dict[str, Any]
    id: str | None = None


class Part(Struct, rename="camel", omit_defaults=True):
    """A part of a content; one of its fields is given."""

    text: str | None = None
    thought: bool = False
    inline_data: Blob | None = None
    function_call: FunctionCall | None = None
    function_response: FunctionResponse | None = None
    thought_signature: str | None = None
    """Opaque; Gemini 3 refuses a function call that comes back without it."""


class Content(Struct, omit_defaults=True):
    """A turn of ``user`` or ``model``, or the system instruction (no role)."""

    parts: list[Part] = []
    role: str | None = None


# --- answers --------------------------------------------------------------------------------------------------------
class Candidate(Struct, rename="camel"):
    """``candidates[]``."""

    content: Content | None = None
    finish_reason: str | None = None
    index: int = 0
    finish_message: str = ""


class PromptFeedback(Struct, rename="camel"):
    """``promptFeedback``: why there is no candidate."""

    block_reason: str | None = None


class UsageMetadata(Struct, rename="camel"):
    """``usageMetadata``; absent counts are 0. The prompt's count includes cached tokens, the candidates' not the thoughts."""

    prompt_token_count: int = 0
    candidates_token_count: int = 0
    cached_content_token_count: int = 0
    thoughts_token_count: int = 0
    tool_use_prompt_token_count: int = 0


class Answer(Struct, rename="camel"):
    """A whole answer, or one event of a stream."""

    candidates: list[Candidate] = []
    prompt_feedback: PromptFeedback | None = None
    usage_metadata: UsageMetadata | None = None
    model_version: str = ""
    response_id: str = ""
    error: "Status | None" = None


class Detail(Struct, rename="camel"):
    """One of ``error.details[]``: those with a reason and with a delay are read (``google.rpc.ErrorInfo``, ``RetryInfo``)."""

    reason: str = ""
    retry_delay: str = ""


class Status(Struct):
    """``error`` (``google.rpc.Status``)."""

    message: str = ""
    status: str = ""
    details: list[Detail] = []


class ErrorBody(Struct):
    """A refusal."""

    error: Status


decode_answer = msgspec.json.Decoder(Answer).decode
decode_error = msgspec.json.Decoder(ErrorBody).decode
encode = msgspec.json.Encoder().encode


def read_usage(counts: UsageMetadata | None) -> Usage | None:
    """Usage as billed: thoughts are output, a tool's results are input."""
    if counts is None:
        return None
    return plausible(
        Usage(
            counts.prompt_token_count + counts.tool_use_prompt_token_count,
            counts.candidates_token_count + counts.thoughts_token_count,
            counts.cached_content_token_count,
            counts.thoughts_token_count,
        )
    )
