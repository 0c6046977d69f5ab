"""Gemini's JSON, as far as the gateway acts on it. Source: Google's reference of ``models.generateContent`` (v1beta)."""

from typing import Any

import msgspec
from msgspec import Raw, Struct

from gateway.wire.openai import ABSENT

VENDOR = "google"
"""Under this name Google's OpenAI endpoint keeps what callers must give back (``tool_calls[].extra_content``)."""


# --- requests -------------------------------------------------------------------------------------------------------
class Blob(Struct, rename="camel"):
    """``inlineData``: base64 of a media type."""

    mime_type: str
    data: str


class FunctionCall(Struct, omit_defaults=True):
    """``functionCall``; only newer models give it an id."""

    name: str
    args: dict[str, Any] | None = {}
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


class Answer(Struct, rename="camel"):
    """A whole answer, or one event of a stream."""

    candidates: list[Candidate] = []
    prompt_feedback: PromptFeedback | None = None
    usage_metadata: Raw = ABSENT
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
