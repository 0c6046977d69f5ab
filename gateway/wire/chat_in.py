"""The messages and fields of a chat request in full, for providers that must be told them in another form.

Source: the published OpenAPI document of the Chat Completions API. Unlike :mod:`gateway.wire.openai`, which passes bytes on, this
module is strict: what is not named here cannot be translated, so it is an error that names it.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import Raw, Struct

from gateway.core.conversation import Conversation
from gateway.core.errors import MALFORMED, GatewayError
from gateway.wire.openai import ABSENT, DECODE_ERRORS

_T = TypeVar("_T")
_UNKNOWN = "Object contains unknown field `"
"""How msgspec begins what it says of a field that a struct does not name."""


# --- messages -------------------------------------------------------------------------------------------------------
class Function(Struct, forbid_unknown_fields=True):
    """``tool_calls[].function``: a name, and arguments as JSON text."""

    name: str
    arguments: str = ""


class ToolCall(Struct, forbid_unknown_fields=True):
    """One call of a tool, as an assistant's message tells it."""

    id: str
    function: Function
    type: Literal["function"] = "function"
    extra_content: dict[str, dict[str, Any]] | None = None
    """What a provider wants back with the call, by provider (Google's form for thought signatures)."""
    index: int | None = None
    """Left over where a caller has joined a stream."""


class ImageUrl(Struct, forbid_unknown_fields=True):
    """``image_url`` of a part."""

    url: str
    detail: str | None = None


class Image(Struct, forbid_unknown_fields=True):
    """An entry of ``images``: a picture in an earlier answer."""

    image_url: ImageUrl
    type: Literal["image_url"] = "image_url"
    index: int | None = None


class InputAudio(Struct, forbid_unknown_fields=True):
    """``input_audio`` of a part: base64 and its format (``wav``, ``mp3``)."""

    data: str
    format: str


class File(Struct, forbid_unknown_fields=True):
    """``file`` of a part."""

    file_data: str | None = None
    filename: str | None = None
    file_id: str | None = None


class Part(Struct, forbid_unknown_fields=True):
    """One content part of a message."""

    type: Literal["text", "image_url", "input_audio", "file", "refusal"]
    text: str = ""
    refusal: str = ""
    image_url: ImageUrl | None = None
    input_audio: InputAudio | None = None
    file: File | None = None
    cache_control: Raw = ABSENT
    """Anthropic's cache mark, which many clients put into parts for whatever provider. It changes no answer."""


class ThinkingBlock(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Thoughts of an earlier answer in Anthropic's form, as this gateway gave them."""

    type: Literal["thinking", "redacted_thinking"]
    thinking: str = ""
    signature: str | None = None
    """By which the vendor knows its own thoughts again; they must come back with it, unchanged."""
    data: str = ""
    """Base64 of thoughts that may not be shown."""
    index: int | None = None
    """Its place among the blocks, which is left over where a caller has joined a stream."""


class ChatMessage(Struct, forbid_unknown_fields=True):
    """A message with everything it may carry."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[Part] | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    """Thoughts of an earlier answer that the caller gives back."""
    reasoning: str | None = None
    """The same, as OpenRouter and newer vLLM call it."""
    thinking_blocks: list[ThinkingBlock] | None = None
    """The same, whole."""
    extra_content: dict[str, dict[str, Any]] | None = None
    """What a provider wants back with the text, as :attr:`ToolCall.extra_content`."""
    images: list[Image] | None = None
    """Pictures that an earlier answer came with."""
    audio: None = None
    function_call: None = None
    annotations: list[Any] | None = None
    """Only ever in answers; callers give whole answers back."""

    @property
    def parts(self) -> list[Part]:
        """The content as parts."""
        if isinstance(self.content, str):
            return [Part("text", self.content)] if self.content else []
        return self.content or []

    @property
    def thoughts(self) -> str:
        """The text of the thoughts that are given back."""
        return self.reasoning_content or self.reasoning or "".join([block.thinking for block in self.thinking_blocks or ()])


class SignedCall(Struct, omit_defaults=True):
    """What a provider wants back with one call."""

    id: str
    extra_content: dict[str, dict[str, Any]]


class Thoughts(Struct, omit_defaults=True):
    """:attr:`gateway.core.conversation.Message.thoughts`."""

    reasoning_content: str | None = None
    thinking_blocks: list[ThinkingBlock] | None = None
    extra_content: dict[str, dict[str, Any]] | None = None
    tool_calls: list[SignedCall] = []


_decode_message = msgspec.json.Decoder(ChatMessage).decode
decode_thoughts = msgspec.json.Decoder(Thoughts).decode


def read_conversation(conversation: Conversation, provider: str) -> list[ChatMessage]:
    """Every message in full. Raises ``malformed`` naming message and field that have no translation."""
    messages: list[ChatMessage] = []
    for index, message in enumerate(conversation):
        where = f"messages[{index}]"
        found = _decode(_decode_message, message.raw, where)
        if message.thoughts is not None:
            _give_back(found, message.thoughts)
        if found.name is not None and found.role != "tool":
            raise lacking(f"{where}.name", provider, "names of participants")
        if found.role == "tool" and found.tool_call_id is None:
            raise GatewayError(MALFORMED, f"{where}.tool_call_id: is missing", param=f"{where}.tool_call_id")
        messages.append(found)
    return messages


def _give_back(message: ChatMessage, raw: bytes) -> None:
    thoughts = decode_thoughts(raw)
    message.reasoning_content = thoughts.reasoning_content
    message.thinking_blocks = thoughts.thinking_blocks
    message.extra_content = thoughts.extra_content
    signed = {call.id: call.extra_content for call in thoughts.tool_calls}
    for call in message.tool_calls or ():
        call.extra_content = signed.get(call.id)


def text_of(message: ChatMessage, index: int, provider: str) -> str:
    """The text of a message that may have no other content. Raises ``malformed`` naming a part of another kind, or pictures."""
    if message.images:
        raise lacking(f"messages[{index}].images", provider, "pictures beside the content")
    for number, part in enumerate(message.parts):
        if part.type not in {"text", "refusal"}:
            raise lacking(f"messages[{index}].content[{number}]", provider, f"{part.type} in a {message.role} message")
    return "\n".join([part.text or part.refusal for part in message.parts])


def read_arguments(call: ToolCall, where: str) -> dict[str, Any]:
    """The arguments of a tool call as an object. Raises ``malformed`` when they are none."""
    if not call.function.arguments.strip():
        return {}
    return _decode(_decode_object, call.function.arguments.encode(), f"{where}.function.arguments")


class Data(Struct, frozen=True):
    """A ``data:`` URL, taken apart."""

    media_type: str
    base64: str


def read_data_url(url: str, where: str, provider: str) -> Data:
    """Media type and base64 data of a ``data:`` URL (RFC 2397). Raises ``malformed`` for any other URL."""
    head, comma, data = url.partition(",")
    kind = head.removeprefix("data:").removesuffix(";base64")
    if not comma or not head.startswith("data:") or not head.endswith(";base64") or "/" not in kind:
        raise GatewayError(
            MALFORMED, f"{where}: {provider} takes data only inline, as a data: URL with a media type and base64", param=where
        )
    return Data(kind.partition(";")[0].lower(), data)


# --- tools and formats ----------------------------------------------------------------------------------------------
class FunctionTool(Struct, forbid_unknown_fields=True):
    """``tools[].function``."""

    name: str
    description: str | None = None
    parameters: Raw = ABSENT
    strict: bool | None = None


class Tool(Struct, forbid_unknown_fields=True):
    """``tools[]``; only functions can be translated."""

    function: FunctionTool
    type: Literal["function"] = "function"
    cache_control: Raw = ABSENT
    """As :attr:`Part.cache_control`."""


class NamedFunction(Struct, forbid_unknown_fields=True):
    """``tool_choice.function``."""

    name: str


class NamedTool(Struct, forbid_unknown_fields=True):
    """``tool_choice`` that names a function."""

    function: NamedFunction
    type: Literal["function"] = "function"


class JsonSchema(Struct, forbid_unknown_fields=True):
    """``response_format.json_schema``."""

    name: str
    description: str | None = None
    schema: Raw = ABSENT
    strict: bool | None = None


class ResponseFormat(Struct, forbid_unknown_fields=True):
    """``response_format``."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


decode_tools = msgspec.json.Decoder(list[Tool] | None).decode
decode_tool_choice = msgspec.json.Decoder(Literal["none", "auto", "required"] | NamedTool | None).decode
decode_response_format = msgspec.json.Decoder(ResponseFormat | None).decode
decode_stop = msgspec.json.Decoder(str | list[str] | None).decode
decode_integer = msgspec.json.Decoder(int | None).decode
decode_text = msgspec.json.Decoder(str | None).decode
decode_labels = msgspec.json.Decoder(dict[str, str] | None).decode
_decode_object = msgspec.json.Decoder(dict[str, Any]).decode


def json_text(raw: Raw, where: str) -> str:
    """A value's JSON as text. Raises ``malformed`` when its bytes are no text."""
    try:
        return bytes(raw).decode()
    except UnicodeDecodeError:
        raise GatewayError(MALFORMED, f"{where}: not valid UTF-8", param=where) from None


class Fields:
    """The fields of one call, taken one by one; what is left at the end has no form at the provider."""

    def __init__(self, fields: Mapping[str, Raw]) -> None:
        self._left = dict(fields)

    def take(self, name: str, decode: Callable[[bytes], _T | None]) -> _T | None:
        """A field's value; None when it is absent or null. Raises ``malformed`` naming it when it is of the wrong kind."""
        raw = self._left.pop(name, None)
        return None if raw is None else _decode(decode, raw, name)

    def raw(self, name: str) -> Raw | None:
        """A field that goes to the provider as it is."""
        raw = self._left.pop(name, None)
        return None if raw is None or bytes(raw) == b"null" else raw

    def maximum(self) -> int | None:
        """``max_completion_tokens``, or ``max_tokens`` where only the older name is given."""
        old, new = self.take("max_tokens", decode_integer), self.take("max_completion_tokens", decode_integer)
        return old if new is None else new

    def stops(self) -> list[str] | None:
        """``stop`` as a list."""
        stop = self.take("stop", decode_stop)
        return [stop] if isinstance(stop, str) else stop or None

    def rest(self) -> dict[str, Raw]:
        """What nobody took."""
        return self._left


def lacking(param: str, provider: str, what: str) -> GatewayError:
    """``malformed`` for something that the provider has no form for."""
    return GatewayError(MALFORMED, f"{param}: {provider} has no form for {what}", param=param)


def _decode(decode: Callable[[bytes], _T], raw: bytes, where: str) -> _T:
    try:
        return decode(raw)
    except RecursionError:
        raise GatewayError(MALFORMED, f"{where}: nested too deeply", param=where) from None
    except DECODE_ERRORS as error:
        what, _, path = str(error).partition(" - at `$")
        place = where + path.rstrip("`")
        if what.startswith(_UNKNOWN):
            place, what = f"{place}.{what.removeprefix(_UNKNOWN).rstrip('`')}", "has no translation"
        raise GatewayError(MALFORMED, f"{place}: {what}", param=place) from None
