"""Anthropic's JSON, as far as the gateway acts on it. Source: the vendor's Messages API reference and its official Python SDK's types.

Types name only the fields we read; everything else travels as raw bytes, so new parameters and blocks work on the day they appear.
"""

import msgspec
from msgspec import Raw, Struct, structs

from gateway.core.events import Usage
from gateway.wire.openai import ABSENT, DECODE_ERRORS, is_given
from gateway.wire.usage import AnthropicUsage, CacheCreation, sensible

VERSION = b"2023-06-01"
"""``anthropic-version`` where the caller gives none. Not the newest: ``2026-10-21`` refuses ``temperature``, ``top_p`` and ``top_k``,
which chat callers send and models up to 4.6 take; otherwise what we read and write is the same in both."""


# --- requests -------------------------------------------------------------------------------------------------------
class Metadata(Struct, gc=False):
    """``metadata``."""

    user_id: str | None = None


class MessagesBody(Struct):
    """The envelope of a request."""

    model: str = ""
    messages: list[Raw] = []
    system: Raw = ABSENT
    stream: bool | None = None
    metadata: Metadata | None = None


class Source(Struct, gc=False):
    """``source`` of an image or a document."""

    type: str
    media_type: str = ""
    data: str = ""
    url: str = ""
    file_id: str = ""


class InputBlock(Struct):
    """A content block of a request's message."""

    type: str
    text: str = ""
    source: Source | None = None
    title: str | None = None
    id: str = ""
    name: str = ""
    input: Raw = ABSENT
    tool_use_id: str = ""
    content: "str | list[InputBlock] | None" = None
    is_error: bool | None = None
    thinking: str = ""
    signature: str = ""
    data: str = ""


class RawContent(Struct):
    """A message whose content is a list, its blocks as they came."""

    content: list[Raw]


class InputMessage(Struct):
    """A message of a request."""

    role: str
    content: str | list[InputBlock]


class Tool(Struct):
    """An entry of ``tools``; without a ``type`` or with ``custom`` it is the caller's own."""

    name: str = ""
    type: str | None = None
    description: str | None = None
    input_schema: Raw = ABSENT
    strict: bool | None = None


class ToolChoice(Struct, gc=False):
    """``tool_choice``."""

    type: str
    name: str = ""
    disable_parallel_tool_use: bool = False


class Thinking(Struct, gc=False):
    """``thinking``."""

    type: str
    budget_tokens: int | None = None


class OutputFormat(Struct):
    """``output_config.format``."""

    type: str
    schema: Raw = ABSENT


class OutputConfig(Struct):
    """``output_config``."""

    effort: str | None = None
    format: OutputFormat | None = None


# --- answers --------------------------------------------------------------------------------------------------------
class OutputDetails(Struct, gc=False):
    """``usage.output_tokens_details``."""

    thinking_tokens: int | None = None


class Counts(Struct, gc=False):
    """``usage``. The input is three numbers that do not overlap; what a ``message_delta`` leaves out stands as it was."""

    input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens: int | None = None
    output_tokens_details: OutputDetails | None = None
    cache_creation: CacheCreation | None = None
    service_tier: str | None = None

    def updated(self, later: "Counts") -> "Counts":
        """These counts with those of a later event, which are totals and not increments."""
        return Counts(
            _given(later.input_tokens, self.input_tokens),
            _given(later.cache_creation_input_tokens, self.cache_creation_input_tokens),
            _given(later.cache_read_input_tokens, self.cache_read_input_tokens),
            _given(later.output_tokens, self.output_tokens),
            later.output_tokens_details or self.output_tokens_details,
            later.cache_creation or self.cache_creation,
            later.service_tier or self.service_tier,
        )

    def usage(self) -> Usage | None:
        """Usage as billed, cached tokens inside the input; None for nonsense (nothing, negative, absurd): then it is estimated."""
        if self.input_tokens is None or self.output_tokens is None:
            return None
        billed = AnthropicUsage(
            self.input_tokens,
            self.output_tokens,
            self.cache_creation_input_tokens,
            self.cache_read_input_tokens,
            self.cache_creation,
            self.service_tier,
        ).usage()
        thought = (self.output_tokens_details and self.output_tokens_details.thinking_tokens) or 0
        return None if billed is None else sensible(structs.replace(billed, reasoning=thought))


class AnswerBlock(Struct):
    """A content block of an answer, whole or as a stream begins it."""

    type: str
    text: str = ""
    thinking: str = ""
    signature: str = ""
    data: str = ""
    id: str = ""
    name: str = ""
    input: Raw = ABSENT


class Answer(Struct):
    """A whole answer."""

    content: list[AnswerBlock]
    id: str = ""
    model: str = ""
    stop_reason: str | None = None
    usage: Raw = ABSENT


class StartedMessage(Struct):
    """``message`` of ``message_start``."""

    id: str = ""
    model: str = ""
    usage: Raw = ABSENT


class Delta(Struct, gc=False):
    """``delta`` of ``content_block_delta`` and of ``message_delta``."""

    type: str = ""
    text: str = ""
    thinking: str = ""
    signature: str = ""
    partial_json: str = ""
    stop_reason: str | None = None


class StreamEvent(Struct):
    """One payload of a stream."""

    type: str
    index: int = 0
    message: StartedMessage | None = None
    content_block: AnswerBlock | None = None
    delta: Delta | None = None
    usage: Raw = ABSENT
    error: Raw = ABSENT


class WireError(Struct, gc=False):
    """``error`` of a refusal or of an ``error`` event."""

    type: str = ""
    message: str = ""


class ErrorBody(Struct):
    """A refusal."""

    error: WireError | None = None


class TokenCount(Struct, gc=False):
    """The answer of ``/messages/count_tokens``."""

    input_tokens: int


decode_message = msgspec.json.Decoder(InputMessage).decode
decode_content = msgspec.json.Decoder(RawContent).decode
decode_system = msgspec.json.Decoder(str | list[InputBlock]).decode
decode_raws = msgspec.json.Decoder(list[Raw]).decode
decode_text = msgspec.json.Decoder(str).decode
decode_tools = msgspec.json.Decoder(list[Tool] | None).decode
decode_tool_choice = msgspec.json.Decoder(ToolChoice | None).decode
decode_thinking = msgspec.json.Decoder(Thinking | None).decode
decode_output_config = msgspec.json.Decoder(OutputConfig | None).decode
decode_answer = msgspec.json.Decoder(Answer).decode
decode_event = msgspec.json.Decoder(StreamEvent).decode
decode_error_body = msgspec.json.Decoder(ErrorBody).decode
decode_error = msgspec.json.Decoder(WireError).decode
decode_token_count = msgspec.json.Decoder(TokenCount).decode
_decode_counts = msgspec.json.Decoder(Counts).decode


def read_counts(raw: Raw) -> Counts:
    """``usage`` of an answer or an event; empty where there is none or nonsense."""
    if not is_given(raw):
        return Counts()
    try:
        return _decode_counts(raw)
    except DECODE_ERRORS:
        return Counts()


def _given(later: int | None, before: int | None) -> int | None:
    return before if later is None else later


# --- words that both directions need ----------------------------------------------------------------------------------
FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
"""``stop_reason`` in the words of the chat form."""
STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
"""``finish_reason`` of the chat form in Anthropic's words. Which text stopped an answer is not told there, so ``stop_sequence`` is
never one of them."""


def finish_reason(stop_reason: str | None) -> str | None:
    """The chat form's word; a reason that we do not know is an ordinary end."""
    return None if stop_reason is None else FINISH_REASONS.get(stop_reason, "stop")
