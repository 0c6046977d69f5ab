"""Fuzzing what callers send: the body and the prompt headers of each door, up to the bytes a provider would get."""

import re
from typing import Any

import msgspec
from msgspec import Raw

from gateway.core.dialect import Dialect
from gateway.core.errors import GatewayError
from gateway.core.requests import ChatRequest, Inbound
from gateway.core.upstream import Translator, UpstreamCall
from gateway.dialects.chat import CHAT_DIALECT
from gateway.dialects.completions import COMPLETIONS_DIALECT
from gateway.dialects.forwarded import read_forwarded
from gateway.dialects.messages.dialect import MESSAGES_DIALECT
from gateway.dialects.responses.dialect import RESPONSES_DIALECT
from gateway.pipeline.receive import KNOWN_HEADERS, check_any
from gateway.providers.anthropic.translator import AnthropicTranslator
from gateway.providers.openai import OpenAITranslator
from gateway.wire import openai as wire
from tests.unit.providers.golden import TRANSLATORS
from tests.unit.providers.golden import target as upstream

DIALECTS: dict[str, Dialect] = {
    "chat": CHAT_DIALECT,
    "messages": MESSAGES_DIALECT,
    "responses": RESPONSES_DIALECT,
    "completions": COMPLETIONS_DIALECT,
}
FORWARDED = ("embeddings", "moderations", "audio")
"""Doors whose bodies are passed on: JSON, or a form."""
DOORS = (*DIALECTS, *FORWARDED)
PROVIDERS: dict[str, Translator] = {
    **TRANSLATORS,
    "openai": OpenAITranslator(has_responses=True),
    "anthropic": AnthropicTranslator(lambda: 7),
}
REFUSED = frozenset({"malformed", "contradiction", "unsupported", "unknown_model", "too_large"})
"""What is the caller's own fault. Anything else about a body alone would blame the wrong side."""
_LINE = re.compile(rb"([a-z-]+): ([^\r\n]*)")


def inbound_of(door: str, data: bytes) -> Inbound:
    """Lines of known headers, an empty line, the body; or the body alone."""
    head, mark, body = data.partition(b"\n\n")
    lines = [_LINE.fullmatch(line) for line in head.split(b"\n")] if mark else []
    if not lines or not all(lines):
        return Inbound(door, {}, data, "0199f6a2-0000-7000-8000-000000000001", "r", 0, 0.0, 9.0)
    headers = {line[1]: line[2] for line in lines if line is not None and line[1] in KNOWN_HEADERS}
    return Inbound(door, headers, body, "0199f6a2-0000-7000-8000-000000000001", "r", 0, 0.0, 9.0)


def target(door: str, data: bytes) -> None:
    """A body is read, or refused as the caller's own fault, in words that are JSON of its dialect."""
    inbound = inbound_of(door, data)
    dialect = DIALECTS.get(door, CHAT_DIALECT)
    try:
        check_any(inbound)
        if door in FORWARDED:
            body = read_forwarded(inbound)
            body.asking("another-model")
            return
        request = dialect.read(inbound)
    except GatewayError as error:
        assert error.kind.name in REFUSED, (error.kind.name, error.detail)
        assert isinstance(msgspec.json.decode(dialect.problem(error, "r")), dict)
        return
    is_text = is_json(inbound.body)
    for message in request.messages:
        assert not is_text or isinstance(msgspec.json.decode(message.raw), dict)
    for name, provider in PROVIDERS.items():
        ask(name, provider, request, door, is_text=is_text)


def is_json(data: bytes) -> bool:
    """Whether all of it can be decoded. What nobody acts on passes as it came, so what is no text is none at the provider's either."""
    try:
        msgspec.json.decode(data)
    except wire.DECODE_ERRORS:
        return False
    return True


def ask(name: str, provider: Translator, request: ChatRequest, door: str, *, is_text: bool) -> None:
    """What a provider would be sent is JSON, whoever the provider is."""
    native = door if door in provider.speaks and door != "chat" else "chat"
    call = UpstreamCall(
        request.model or "m", request.messages, request.stream, request.fields, native, request.native, {}, request.headers
    )
    try:
        made = provider.request(upstream(name), call)
    except GatewayError as error:
        assert error.kind.name in REFUSED, (name, error.kind.name, error.detail)
        return
    assert not is_text or isinstance(msgspec.json.decode(made.body), dict)
    assert made.path.isascii()
    assert "\n" not in made.path


def slices(data: bytes) -> None:
    """A body taken apart without being decoded says the same put together again: what passes through is not changed."""
    try:
        fields: dict[str, Raw] = wire.decode_fields(data)
    except wire.DECODE_ERRORS:
        return
    if not is_json(data):
        return
    whole: dict[str, Any] = msgspec.json.decode(data)
    assert {name: msgspec.json.decode(raw) for name, raw in fields.items()} == whole
    assert msgspec.json.decode(wire.encode(fields)) == whole
    replaced = msgspec.json.decode(wire.encode({**fields, "model": "another"}))
    assert replaced == {**whole, "model": "another"}


TOOL = {
    "type": "function",
    "function": {"name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "string"}}}},
}
BODIES: dict[str, list[dict[str, Any]]] = {
    "chat": [
        {"model": "faq-bot@staging", "messages": [{"role": "user", "content": "hi"}], "stream": True, "n": 2, "user": "u"},
        {
            "model": "m",
            "prompt": {"id": "faq", "version": 7, "variables": {"a": 1}},
            "messages": [
                {"role": "system", "content": "s"},
                {"role": "user", "content": [{"type": "text", "text": "t"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}]},
                {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
                {"role": "tool", "tool_call_id": "c", "content": "42"},
            ],
            "tools": [TOOL],
            "tool_choice": "auto",
            "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}},
            "stream_options": {"include_usage": True},
            "max_completion_tokens": 9,
            "stop": ["a"],
            "reasoning_effort": "low",
        },
    ],
    "messages": [
        {"model": "claude", "max_tokens": 9, "system": "s", "messages": [{"role": "user", "content": "hi"}], "stream": True},
        {
            "model": "claude",
            "max_tokens": 9,
            "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}],
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "t"}, {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}]},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "42"}]}]},
            ],
            "tools": [{"name": "f", "input_schema": {"type": "object"}}],
            "tool_choice": {"type": "tool", "name": "f"},
            "thinking": {"type": "enabled", "budget_tokens": 1024},
            "metadata": {"user_id": "u"},
            "stop_sequences": ["x"],
        },
    ],
    "responses": [
        {"model": "m", "input": "hi", "stream": True, "instructions": "be kind", "store": True},
        {
            "model": "m",
            "previous_response_id": "resp_1",
            "prompt": {"id": "faq", "variables": {"a": "b"}},
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "t"}, {"type": "input_image", "image_url": "data:image/png;base64,aGk="}]},
                {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c", "output": "42"},
                {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "s"}]},
            ],
            "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}],
            "text": {"format": {"type": "json_schema", "name": "x", "schema": {"type": "object"}}},
            "reasoning": {"effort": "low"},
            "max_output_tokens": 9,
        },
    ],
    "completions": [
        {"model": "m", "prompt": "Once", "max_tokens": 5, "stream": True, "echo": False, "stop": "x"},
        {"model": "m", "prompt": ["a", "b"], "n": 2, "suffix": "s", "logprobs": 2},
        {"model": "m", "prompt": [[1, 2], [3]], "best_of": 2},
    ],
    "embeddings": [{"model": "m", "input": "a"}, {"model": "m", "input": ["a", [1, 2]], "dimensions": 3, "user": "u"}],
    "moderations": [{"model": "m", "input": [{"type": "text", "text": "a"}]}],
}  # fmt: skip
HEADS = [
    b"x-prompt: faq@staging\nx-prompt-version: 7\nx-tags: a,b\nx-session-id: s\nx-prompt-unit: u\n\n",
    b"content-type: application/json\nidempotency-key: k\nanthropic-version: 2023-06-01\n\n",
]
FORM = (
    b"content-type: multipart/form-data; boundary=b\n\n"
    b'--b\r\ncontent-disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n'
    b'--b\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\ncontent-type: audio/wav\r\n\r\nRIFF\r\n--b--\r\n'
)


def seeds(door: str) -> list[bytes]:
    """Complete requests with every part that is acted on, and the same without headers."""
    if door == "audio":
        return [FORM]
    bodies = [msgspec.json.encode(body) for body in BODIES[door]]
    return [*bodies, *(head + body for head in HEADS for body in bodies)]
