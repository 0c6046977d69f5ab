"""Answers in the OpenAI chat form, written by the gateway for providers that answer in another.

Source: the published OpenAPI document of the Chat Completions API; ``reasoning_content`` is what most servers of reasoning models
call thoughts that may be shown; ``thinking_blocks`` are the same in the form in which they can be given back.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from gateway.core.events import Event, Usage

_encode = msgspec.json.Encoder().encode


class OutImageUrl(Struct):
    """``image_url`` of a picture that was made."""

    url: str


class OutImage(Struct, omit_defaults=True, tag_field="type", tag="image_url"):
    """``images[]``, as OpenRouter and LiteLLM tell of pictures in answers; ``index`` only in streams."""

    image_url: OutImageUrl
    index: int | None = None


class OutFunction(Struct, omit_defaults=True):
    """``tool_calls[].function``; in a stream a name comes once and arguments in pieces."""

    name: str | None = None
    arguments: str | None = None


class OutToolCall(Struct, omit_defaults=True):
    """``tool_calls[]``; ``index`` only in streams."""

    function: OutFunction
    id: str | None = None
    type: str | None = None
    index: int | None = None
    extra_content: dict[str, Any] | None = None


class Delta(Struct, omit_defaults=True):
    """What a message gains: all of it in a whole answer."""

    role: str | None = None
    content: str | None = None
    reasoning_content: str | None = None
    refusal: str | None = None
    tool_calls: list[OutToolCall] | None = None
    thinking_blocks: Sequence[Mapping[str, str | int]] | None = None
    """Thoughts whole and signed, in Anthropic's form, for the caller to give back; in streams with their ``index``."""
    extra_content: dict[str, Any] | None = None
    """What belongs to the text and must come back with it, by vendor."""
    images: list[OutImage] | None = None


class _Choice(Struct):
    index: int
    delta: Delta
    finish_reason: str | None = None
    logprobs: None = None


class _Message(Struct, omit_defaults=True):
    role: str
    content: str | None
    refusal: str | None
    reasoning_content: str | None = None
    tool_calls: list[OutToolCall] | None = None
    thinking_blocks: Sequence[Mapping[str, str | int]] | None = None
    extra_content: dict[str, Any] | None = None
    images: list[OutImage] | None = None


class _WholeChoice(Struct):
    index: int
    message: _Message
    finish_reason: str | None
    logprobs: None = None


class Choice(Struct):
    """One choice of a whole answer."""

    index: int
    message: Delta
    finish: str | None


class Writer:
    """Writes the events of one answer. ``created`` is seconds since the epoch; an empty ``model`` means the answer names none."""

    __slots__ = ("_started", "created", "id", "model")

    def __init__(self, answer_id: str, created: int, model: str) -> None:
        self.id = answer_id
        self.created = created
        self.model = model
        self._started: set[int] = set()

    def whole(self, choices: Sequence[Choice], usage: Usage | None) -> Event:
        """A whole answer."""
        out: list[_WholeChoice] = []
        for choice in choices:
            said = choice.message
            message = _Message(
                "assistant",
                said.content,
                said.refusal,
                said.reasoning_content,
                said.tool_calls,
                said.thinking_blocks,
                said.extra_content,
                said.images,
            )
            out.append(_WholeChoice(choice.index, message, choice.finish))
        texts = tuple([(c.index, c.message.content or c.message.refusal or "") for c in choices])
        body = self._body("chat.completion", out)
        if usage is not None:
            body["usage"] = usage_form(usage)
        return Event(_encode(body), texts, choices[0].finish if choices else None, usage)

    def chunk(self, delta: Delta, finish: str | None = None, index: int = 0) -> Event:
        """One step of a stream; the first of a choice says whose message it is."""
        if index not in self._started:
            self._started.add(index)
            delta.role = "assistant"
        text = delta.content or delta.refusal
        data = _encode(self._body("chat.completion.chunk", [_Choice(index, delta, finish)]))
        return Event(data, ((index, text),) if text else (), finish)

    def usage(self, usage: Usage) -> Event:
        """The closing chunk of a stream."""
        body = self._body("chat.completion.chunk", [])
        body["usage"] = usage_form(usage)
        return Event(_encode(body), (), None, usage, usage_only=True)

    def _body(self, kind: str, choices: Sequence[object]) -> dict[str, object]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model, "choices": choices}


def usage_form(usage: Usage) -> dict[str, object]:
    """Usage in OpenAI's form; what few answers have is told only where there is some."""
    written = usage.cache_write + usage.cache_write_1h
    read = {"cache_write_tokens": written, "audio_tokens": usage.audio_input, "image_tokens": usage.image_input}
    made = {"audio_tokens": usage.audio_output, "image_tokens": usage.image_output}
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cached, **_some(read)},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning, **_some(made)},
    }


def _some(counts: dict[str, int]) -> dict[str, int]:
    return {name: count for name, count in counts.items() if count}
