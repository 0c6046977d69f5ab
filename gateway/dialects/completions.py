"""OpenAI's legacy completions API as a client format: a text instead of messages, texts instead of answers.

A provider that has the endpoint gets the call as it is. For all others the text becomes one user message; what chat has no form for
(token lists, several prompts, ``suffix``, ``best_of`` above ``n``, ``echo`` beside ``logprobs``) is refused then, by name.
"""

from msgspec import Raw

from gateway.core.conversation import Message
from gateway.core.errors import MALFORMED, GatewayError
from gateway.core.events import Event, Usage
from gateway.core.requests import ChatRequest, Inbound
from gateway.dialects.chat import CHAT_DIALECT, MAX_CHOICES, ChatFramer, malformed
from gateway.dialects.completions_answers import ChunkWriter, whole_of
from gateway.dialects.naming import MAX_LABEL, check_names, named
from gateway.wire import completions as wire
from gateway.wire import openai as chat

COMPLETIONS = "completions"
"""The dialect's and the door's name."""
MAX_PROMPTS = 32
"""Prompts in one call: every number that multiplies cost is bounded (threat T12). With ``n`` at its most it makes 256 texts."""
MAX_LOGPROBS = 20
"""The vendor's bound is 5; compatible servers go to chat's 20."""

_ACTED_ON = ("model", "prompt", "stream", "variables")
_NOT_CHAT = ("echo", "suffix", "best_of", "logprobs")
_TRUE = Raw(b"true")


class CompletionsDialect:
    """``Dialect`` of ``POST /v1/completions``."""

    name = COMPLETIONS

    def read(self, inbound: Inbound) -> ChatRequest:
        """Decode a body and its prompt headers. Raises ``malformed`` naming the field, ``contradiction``."""
        try:
            body = wire.decode_body(inbound.body)
            native = chat.decode_fields(inbound.body)
        except chat.DECODE_ERRORS as error:
            raise malformed(error) from None
        for name in _ACTED_ON:
            native.pop(name, None)
        check_names(body.model, body.user)
        message, count, plain = _read_prompt(body.prompt)
        choices = _bounded("n", body.n, 1, MAX_CHOICES) or 1
        best_of = _bounded("best_of", body.best_of, choices, MAX_CHOICES) or choices
        logprobs = _bounded("logprobs", body.logprobs, 0, MAX_LOGPROBS)
        user = body.user[:MAX_LABEL] if body.user else None
        given, reference, variables = named(body.model, None, body.variables, inbound.headers)
        reasons = {
            "prompt": not plain,
            "suffix": bool(body.suffix),
            "best_of": best_of > choices,
            "echo": bool(body.echo) and logprobs is not None,
        }
        return ChatRequest(
            model=body.model,
            reference=reference,
            variables=variables,
            messages=() if message is None else (message,),
            stream=bool(body.stream),
            include_usage=body.stream_options is not None and body.stream_options.include_usage,
            choices=choices * count,
            unit=given.unit or user or given.session,
            user=user,
            session=given.session,
            tags=given.tags,
            fields=_chat_fields(native, logprobs),
            native=native,
            untranslatable=next((name for name, is_so in reasons.items() if is_so), None),
        )

    def whole(self, event: Event, request: ChatRequest, inbound: Inbound, *, native: bool) -> bytes:
        """The provider's bytes, or its chat answer as texts."""
        del inbound
        return event.data if native else whole_of(event.data, _echoed(request))

    def framer(self, request: ChatRequest, inbound: Inbound, *, native: bool) -> "ChatFramer | CompletionsFramer":
        """Native chunks are framed as chat's are."""
        del inbound
        if native:
            return ChatFramer(include_usage=request.include_usage)
        return CompletionsFramer(_echoed(request), include_usage=request.include_usage)

    def problem(self, error: GatewayError, request_id: str) -> bytes:
        """As in chat."""
        return CHAT_DIALECT.problem(error, request_id)

    def problem_frames(self, error: GatewayError) -> bytes:
        """As in chat."""
        return CHAT_DIALECT.problem_frames(error)

    def problem_head(self, request_id: str) -> str:
        """As in chat."""
        return CHAT_DIALECT.problem_head(request_id)


class CompletionsFramer:
    """``Framer`` of one stream that comes as chat chunks."""

    __slots__ = ("_chat", "_writer")

    def __init__(self, echoed: str, *, include_usage: bool) -> None:
        self._writer = ChunkWriter(echoed)
        self._chat = ChatFramer(include_usage=include_usage)

    def frames(self, events: list[Event]) -> bytes:
        """Each chunk as a chunk of text. Raises ``upstream_invalid`` for what is no text."""
        write = self._writer.write
        return self._chat.frames([Event(write(e.data), e.texts, e.finish, e.usage, e.usage_only) for e in events])

    def end(self, usage: Usage | None, cost: int | None) -> bytes:
        """As in chat."""
        return self._chat.end(usage, cost)

    def failure(self, error: GatewayError) -> bytes:
        """As in chat."""
        return self._chat.failure(error)


def _read_prompt(raw: Raw) -> tuple[Message | None, int, bool]:
    """The prompt as a message (None: none was given), how many prompts it holds, and whether chat has a form for it."""
    if not chat.is_given(raw):
        return None, 1, True
    try:
        prompt: str | list[str | int | list[int]] = wire.decode_prompt(raw)
    except chat.DECODE_ERRORS as error:
        raise malformed(error, "prompt") from None
    if isinstance(prompt, str):
        return _message(prompt, raw), 1, True
    texts = [item for item in prompt if isinstance(item, str)]
    if texts and len(texts) == len(prompt):
        _check_count(len(texts))
        return _message("\n".join(texts), raw), len(texts), len(texts) == 1
    lists = [item for item in prompt if isinstance(item, list)]
    if not prompt or (texts or (lists and len(lists) != len(prompt))):
        raise GatewayError(
            MALFORMED, "prompt: a text, texts, tokens or lists of tokens, not empty and not mixed", param="prompt"
        )
    _check_count(len(lists))
    return _message("", raw), len(lists) or 1, False


def _check_count(prompts: int) -> None:
    if prompts > MAX_PROMPTS:
        raise GatewayError(MALFORMED, f"prompt: {prompts} prompts; at most {MAX_PROMPTS} in one call", param="prompt")


def _message(text: str, raw: Raw) -> Message:
    return Message("user", text, chat.encode(chat.OutMessage("user", text)), bytes(raw))


def _bounded(name: str, value: int | None, least: int, most: int) -> int | None:
    if value is not None and not least <= value <= most:
        raise GatewayError(MALFORMED, f"{name}: must be between {least} and {most}", param=name)
    return value


def _chat_fields(native: dict[str, Raw], logprobs: int | None) -> dict[str, Raw]:
    """The fields in chat's form: most are called the same."""
    fields = {name: value for name, value in native.items() if name not in _NOT_CHAT}
    if logprobs is not None:
        fields["logprobs"] = _TRUE
        if logprobs:
            fields["top_logprobs"] = Raw(b"%d" % logprobs)
    return fields


def _echoed(request: ChatRequest) -> str:
    """What goes before each text: the caller's own prompt if it asked for that."""
    echo = request.native.get("echo")
    return request.messages[0].text if request.messages and echo is not None and bytes(echo) == b"true" else ""


COMPLETIONS_DIALECT = CompletionsDialect()
