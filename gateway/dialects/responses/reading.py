"""The body of ``POST /v1/responses`` -> ChatRequest."""

from typing import Any

from msgspec import Raw, Struct, ValidationError, structs
from msgspec import convert as convert_value

from gateway.core.errors import MALFORMED, GatewayError
from gateway.core.requests import ChatRequest, Inbound, Turn
from gateway.dialects.chat import malformed
from gateway.dialects.naming import MAX_LABEL, check_names, named
from gateway.dialects.responses.fields import translate
from gateway.dialects.responses.items import Conversion, convert, instructions_message, text_item
from gateway.wire import openai as chat
from gateway.wire import responses as wire

_ACTED_ON = (
    "model",
    "input",
    "instructions",
    "stream",
    "store",
    "background",
    "prompt",
    "variables",
    "previous_response_id",
    "conversation",
)
MAX_RESPONSE_ID = 128
"""Characters; ours have 37, OpenAI's about 60."""


def read(inbound: Inbound) -> ChatRequest:
    """Decode a body and its prompt headers. Raises ``malformed`` naming the field, ``contradiction``."""
    data = inbound.body
    try:
        body = wire.decode_body(data)
        native = chat.decode_fields(data)
    except wire.DECODE_ERRORS as error:
        raise malformed(error) from None
    _refuse(body)
    echo = {name: native[name] for name in ("instructions", "prompt") if name in native}
    for name in _ACTED_ON:
        native.pop(name, None)
    user = body.user or body.safety_identifier
    check_names(body.model or "", user)
    settings = translate(native)
    items = [text_item(body.input)] if isinstance(body.input, str) else (body.input or [])
    user = user[:MAX_LABEL] if user else None
    given, reference, variables = named(body.model or "", _prompt(body.prompt), body.variables, inbound.headers)
    conversion = convert(items)
    return ChatRequest(
        model=body.model or "",
        reference=reference,
        variables=variables,
        messages=_with_instructions(body.instructions, conversion),
        stream=bool(body.stream),
        include_usage=True,
        choices=1,
        unit=given.unit or user or given.session,
        user=user,
        session=given.session,
        tags=given.tags,
        fields=settings.fields,
        native=native,
        untranslatable=conversion.untranslatable or settings.untranslatable,
        turn=Turn(body.previous_response_id or None, body.store is not False, items, echo),
    )


def after(request: ChatRequest, earlier: list[Raw]) -> ChatRequest:
    """``request`` with the items of the turns before it, oldest first. Instructions are not carried over, as at OpenAI."""
    turn = request.turn
    assert turn is not None
    whole = convert([*earlier, *turn.items], "previous_response_id")
    own = len(convert(turn.items).messages)
    head = request.messages[: len(request.messages) - own]
    return structs.replace(
        request, messages=(*head, *whole.messages), untranslatable=request.untranslatable or whole.untranslatable
    )


def _with_instructions(text: str | None, conversion: Conversion) -> tuple[Any, ...]:
    return (instructions_message(text), *conversion.messages) if text else conversion.messages


def _refuse(body: wire.ResponsesBody) -> None:
    """What the gateway never does, whatever the provider."""
    if body.background:
        raise GatewayError(
            MALFORMED, "background: answers are given on the connection that asks; leave it out", param="background"
        )
    if chat.is_given(body.conversation):
        raise GatewayError(
            MALFORMED, "conversation: conversations are not kept; continue with previous_response_id", param="conversation"
        )
    previous = body.previous_response_id
    if previous and (len(previous) > MAX_RESPONSE_ID or not previous.isascii() or not previous.isprintable()):
        raise GatewayError(MALFORMED, "previous_response_id: not the id of a response", param="previous_response_id")


def _prompt(prompt: wire.PromptObject | None) -> chat.PromptObject | None:
    """The common form; values may be texts, ``input_text`` objects, or anything a variable contract allows."""
    if prompt is None:
        return None
    variables = {name: _variable(name, value) for name, value in (prompt.variables or {}).items()}
    return chat.PromptObject(prompt.id, prompt.version, variables or None)


class _InputPart(Struct):
    """A value in the form of a content part."""

    type: str
    text: str = ""


def _variable(name: str, value: Any) -> Any:
    try:
        part = convert_value(value, _InputPart)
    except ValidationError:
        return value
    if part.type == "input_text":
        return part.text
    if part.type in {"input_image", "input_file"}:
        raise GatewayError(
            MALFORMED,
            f"prompt.variables.{name}: templates are text; put the {part.type} part into input instead",
            param=f"prompt.variables.{name}",
        )
    return value
