"""``Dialect`` of ``POST /v1/messages``. Source: the vendor's Messages API reference; ``prompt`` and ``variables`` are our extension."""

from typing import Any

import msgspec
from msgspec import Raw

from gateway.core.dialect import Framer
from gateway.core.errors import UPSTREAM_INVALID, GatewayError
from gateway.core.events import Event
from gateway.core.requests import ChatRequest, Inbound
from gateway.core.upstream import MESSAGES
from gateway.dialects.chat import malformed
from gateway.dialects.messages import fields, reading
from gateway.dialects.messages.framing import ChatFramer, NativeFramer, frame, tool_id, usage_json
from gateway.dialects.messages.problems import problem
from gateway.dialects.messages.thoughts import (
    call_signature,
    signed_thoughts,
    text_signature,
    thinking,
    whole_thoughts,
    written,
)
from gateway.dialects.naming import MAX_LABEL, PromptObject, check_names, named
from gateway.wire import anthropic as wire
from gateway.wire import chat
from gateway.wire.openai import DECODE_ERRORS, decode_fields, encode

_ACTED_ON = ("model", "messages", "system", "stream", "prompt", "variables")
_PASSED_HEADERS = (b"anthropic-version", b"anthropic-beta")
"""They say which API the body is written for, so they go where the body goes."""


class _Body(wire.MessagesBody):
    """The envelope with our extensions."""

    prompt: PromptObject | None = None
    variables: dict[str, Any] | None = None


_decode_body = msgspec.json.Decoder(_Body).decode


class MessagesDialect:
    """Anthropic's client format, whole and streamed."""

    name = MESSAGES

    def read(self, inbound: Inbound) -> ChatRequest:
        """Decode a body and its prompt headers. Raises ``malformed`` naming the field, ``contradiction``."""
        try:
            body = _decode_body(inbound.body)
            native = decode_fields(inbound.body)
        except DECODE_ERRORS as error:
            raise malformed(error) from None
        for name in _ACTED_ON:
            native.pop(name, None)
        user = body.metadata.user_id if body.metadata is not None else None
        check_names(body.model, user)
        read = reading.read(body.system, body.messages)
        made, unsaid = fields.to_chat(native)
        if user:
            made["user"] = Raw(encode(user))
            user = user[:MAX_LABEL]
        given, reference, variables = named(body.model, body.prompt, body.variables, inbound.headers)
        return ChatRequest(
            model=body.model,
            reference=reference,
            variables=variables,
            messages=tuple(read.messages),
            stream=bool(body.stream),
            include_usage=True,
            choices=1,
            unit=given.unit or user or given.session,
            user=user or None,
            session=given.session,
            tags=given.tags,
            fields=made,
            native=native,
            headers={name: inbound.headers[name] for name in _PASSED_HEADERS if name in inbound.headers},
            untranslatable=read.untranslatable or unsaid,
        )

    def whole(self, event: Event, request: ChatRequest, inbound: Inbound, *, native: bool) -> bytes:
        """The provider's message as it is, or a message made of a chat completion."""
        return event.data if native else encode(_message(event, request, inbound))

    def framer(self, request: ChatRequest, inbound: Inbound, *, native: bool) -> Framer:
        """For one streamed answer."""
        return NativeFramer() if native else ChatFramer(_id(inbound), request.model)

    def problem(self, error: GatewayError, request_id: str) -> bytes:
        """Anthropic's error object."""
        return problem(error, request_id)

    def problem_frames(self, error: GatewayError) -> bytes:
        """An ``error`` event."""
        return frame(b"error", problem(error, None))

    def problem_head(self, request_id: str) -> str:
        """The request's id, under the vendor's name for it too."""
        return f"x-request-id: {request_id}\r\nrequest-id: {request_id}\r\n"


def _id(inbound: Inbound) -> str:
    """The message's id is the call's, so an answer leads to its ledger row."""
    return f"msg_{inbound.call_id.replace('-', '')}"


def _message(event: Event, request: ChatRequest, inbound: Inbound) -> dict[str, object]:
    try:
        completion = chat.decode_completion(event.data)
    except DECODE_ERRORS as error:
        raise GatewayError(UPSTREAM_INVALID, "the provider's answer is not a chat completion", cause=str(error)) from None
    choice = next((c for c in completion.choices if c.index == 0), None)
    if choice is None:
        raise GatewayError(UPSTREAM_INVALID, "the provider's answer has no choice")
    message = choice.message
    content = _thoughts(message)
    text = message.content or message.refusal
    if text:
        content.append({"type": "text", "text": text})
    _sign(content, text_signature(message.extra_content))
    for number, call in enumerate(message.tool_calls or ()):
        _sign(content, call_signature(call.extra_content))
        content.append(_tool_use(call, call.id or tool_id(_id(inbound), number)))
    reason = "refusal" if message.refusal else wire.STOP_REASONS.get(choice.finish_reason or "")
    counts: dict[str, object] = {"input_tokens": 0, "output_tokens": 0} if event.usage is None else usage_json(event.usage)
    return {
        "id": _id(inbound),
        "type": "message",
        "role": "assistant",
        "model": completion.model or request.model,
        "content": content,
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": counts,
    }


def _thoughts(message: chat.AnswerMessage) -> list[dict[str, object]]:
    text, blocks = chat.thoughts_of(message), signed_thoughts(message)
    if whole_thoughts(text, blocks):
        return [written(block) for block in blocks]
    return [thinking(text), *[written(block) for block in blocks if block.type == "redacted_thinking"]]


def _sign(content: list[dict[str, object]], signature: str | None) -> None:
    """Keep a signature: in the thoughts that come right before what it signs, else in a block of its own."""
    if signature is None:
        return
    if not content or content[-1].get("signature") != "":
        content.append(thinking(""))
    content[-1]["signature"] = signature


def _tool_use(call: chat.ToolCall, call_id: str) -> dict[str, object]:
    function = call.function
    if function is None or not function.name:
        raise GatewayError(UPSTREAM_INVALID, "the provider's answer has a tool call without a name")
    try:
        # Some servers say "null" for a tool without arguments.
        given = (function.arguments or "").strip()
        arguments = {} if given in {"", "null"} else decode_fields(given.encode())
    except DECODE_ERRORS:
        raise GatewayError(UPSTREAM_INVALID, "the provider's tool call has arguments that are no JSON object") from None
    return {"type": "tool_use", "id": call_id, "name": function.name, "input": arguments}


MESSAGES_DIALECT = MessagesDialect()
