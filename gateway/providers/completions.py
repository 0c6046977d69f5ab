"""Providers that have OpenAI's legacy ``/completions`` themselves: vLLM, llama.cpp, OpenAI's instruct models.

It is another way to speak with them, put around the translator of their kind.
"""

from collections.abc import Mapping

from msgspec import Raw

from gateway.core.conversation import Conversation
from gateway.core.errors import MALFORMED, UPSTREAM_INCOMPLETE, UPSTREAM_INVALID, GatewayError
from gateway.core.events import Event
from gateway.core.upstream import HttpRequest, StreamDecoder, Target, Translator, UpstreamCall
from gateway.providers.forwarding import bearer
from gateway.providers.openai import stream_error, with_usage
from gateway.wire import completions as wire
from gateway.wire import openai as chat
from gateway.wire.sse import SseParser

COMPLETIONS = "completions"
"""The dialect's name."""

_TRUE = Raw(b"true")
_RENAMED = {"max_completion_tokens": "max_tokens", "top_logprobs": "logprobs"}
_CHAT_ONLY = frozenset(
    (
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "functions",
        "function_call",
        "response_format",
        "modalities",
        "audio",
        "reasoning_effort",
        "web_search_options",
    )
)
"""Stored parameters that a text cannot be asked for with."""


class CompletionsTranslator:
    """``Translator`` that adds the dialect ``completions`` to another one's."""

    def __init__(self, inner: Translator, max_event_bytes: int) -> None:
        self._inner = inner
        self._max_event_bytes = max_event_bytes
        self.speaks = inner.speaks | {COMPLETIONS}
        self.stream_type = inner.stream_type

    def request(self, target: Target, call: UpstreamCall) -> HttpRequest:
        """The caller's fields as they are, stored ones beneath them, prompt and model ours. Raises ``malformed``."""
        if call.dialect != COMPLETIONS:
            return self._inner.request(target, call)
        body = {
            **_stored(call.stored),
            **call.native,
            "model": Raw(chat.encode(call.model)),
            "prompt": _prompt(call.conversation),
        }
        if call.stream:
            body["stream"] = _TRUE
            body["stream_options"] = with_usage(body.get("stream_options"))
        return HttpRequest("/completions", ((b"content-type", b"application/json"), *bearer(target)), chat.encode(body))

    def answer(self, body: bytes, dialect: str, model: str = "") -> Event:
        """The whole answer, its bytes untouched. Raises ``upstream_invalid``."""
        if dialect != COMPLETIONS:
            return self._inner.answer(body, dialect, model)
        try:
            answer = wire.decode_answer(body)
        except chat.DECODE_ERRORS as error:
            raise GatewayError(
                UPSTREAM_INVALID, "the provider's answer is not a text completion", cause=f"{error}: {body[:200]!r}"
            ) from None
        finish = answer.choices[0].finish_reason if answer.choices else None
        return Event(body, tuple([(c.index, c.text) for c in answer.choices]), finish, chat.read_usage(answer.usage))

    def decoder(self, dialect: str, model: str = "") -> StreamDecoder:
        """A reader for one stream."""
        return TextDecoder(self._max_event_bytes) if dialect == COMPLETIONS else self._inner.decoder(dialect, model)

    def failure(self, target: Target, status: int, headers: Mapping[bytes, bytes], body: bytes) -> GatewayError:
        """As the inner one judges."""
        return self._inner.failure(target, status, headers, body)


class TextDecoder:
    """``StreamDecoder``: SSE bytes to events. The stream is complete only once ``[DONE]`` was read."""

    __slots__ = ("_feed", "done", "failure")

    def __init__(self, max_event_bytes: int) -> None:
        self._feed = SseParser(max_event_bytes).feed
        self.done = False
        self.failure: GatewayError | None = None

    def feed(self, data: bytes) -> list[Event]:
        """Events that ``data`` completes; whatever follows ``[DONE]`` or a failure is ignored."""
        events: list[Event] = []
        if self.done or self.failure is not None:
            return events
        try:
            for payload in self._feed(data):
                if payload == chat.DONE:
                    self.done = True
                    break
                events.append(_event(payload))
        except GatewayError as error:
            self.failure = error
        return events

    def end(self) -> None:
        """Raises ``upstream_incomplete`` when the connection ended before ``[DONE]``."""
        if not self.done:
            raise GatewayError(UPSTREAM_INCOMPLETE, "the provider's stream ended before it was complete")


def _event(payload: bytes) -> Event:
    try:
        chunk = wire.decode_chunk(payload)
    except chat.DECODE_ERRORS as error:
        raise GatewayError(
            UPSTREAM_INVALID, "the provider sent a broken stream event", cause=f"{error}: {payload[:200]!r}"
        ) from None
    if chat.is_given(chunk.error):
        raise stream_error(chunk.error)
    choices = chunk.choices
    finish = next((c.finish_reason for c in choices if c.finish_reason), None)
    usage = chunk.usage
    texts = tuple([(c.index, c.text) for c in choices if c.text])
    return Event(payload, texts, finish, chat.read_usage(usage), not choices and chat.is_given(usage))


def _stored(fields: Mapping[str, Raw]) -> dict[str, Raw]:
    """Stored parameters in the names of the legacy API. Raises ``malformed`` naming one that has no form there."""
    stored: dict[str, Raw] = {}
    for name, value in fields.items():
        if name in _CHAT_ONLY:
            raise GatewayError(MALFORMED, f"{name}: stored with the prompt, and /v1/completions has no form for it", param=name)
        if name != "logprobs":
            stored[_RENAMED.get(name, name)] = value
    if bytes(fields.get("logprobs", b"")) == b"true":
        stored.setdefault("logprobs", Raw(b"0"))
    return stored


def _prompt(conversation: Conversation) -> Raw:
    """The caller's prompt as it came; beside stored messages, all texts with an empty line between them."""
    if len(conversation) == 1 and conversation[0].native is not None:
        return Raw(conversation[0].native)
    for message in conversation:
        if message.native is not None and not message.native.startswith(b'"'):
            raise GatewayError(MALFORMED, "prompt: beside a stored prompt, give one text", param="prompt")
    return Raw(chat.encode("\n\n".join([message.text for message in conversation if message.text])))
