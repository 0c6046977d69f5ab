"""OpenAI's Chat Completions API as a client format: the common dialect, so that most bytes pass as they are."""

from msgspec import Raw

from gateway.core.conversation import Message
from gateway.core.errors import MALFORMED, UPSTREAM_INVALID, GatewayError
from gateway.core.events import Event, Usage
from gateway.core.requests import ChatRequest, Inbound
from gateway.core.upstream import CHAT
from gateway.dialects.naming import MAX_LABEL, check_names, named
from gateway.wire import openai as wire

MAX_CHOICES = 8
"""``n``: every number that multiplies cost is bounded (threat T12)."""

_NULL_USAGE = b',"usage":null'
"""What providers add to every chunk once usage is asked for; as a JSON text it cannot occur inside a string."""
_NANO = 1_000_000_000
_DONE = b"data: [DONE]\n\n"


class ChatDialect:
    """``Dialect`` of ``POST /v1/chat/completions``."""

    name = CHAT

    def read(self, inbound: Inbound) -> ChatRequest:
        """Decode a chat body and its prompt headers. Raises ``malformed`` naming the field, ``contradiction``."""
        data = inbound.body
        try:
            body = wire.decode_chat_body(data)
            fields = wire.decode_fields(data)
        except wire.DECODE_ERRORS as error:
            raise malformed(error) from None
        # What is acted on goes, one by one: as a loop it takes half as long again.
        raw = fields.pop("messages", wire.ABSENT)
        fields.pop("model", None)
        fields.pop("prompt", None)
        fields.pop("stream", None)
        fields.pop("variables", None)
        messages = _messages(body.messages, raw) if body.messages else ()
        check_names(body.model, body.user)
        choices = body.n
        if choices is None:
            choices = 1
        elif not 1 <= choices <= MAX_CHOICES:
            raise GatewayError(MALFORMED, f"n: must be between 1 and {MAX_CHOICES}", param="n")
        user = body.user[:MAX_LABEL] if body.user else None
        given, reference, variables = named(body.model, body.prompt, body.variables, inbound.headers)
        return ChatRequest(
            model=body.model,
            reference=reference,
            variables=variables,
            messages=messages,
            stream=bool(body.stream),
            include_usage=body.stream_options is not None and body.stream_options.include_usage,
            choices=choices,
            unit=given.unit or user or given.session,
            user=user,
            session=given.session,
            tags=given.tags,
            fields=fields,
        )

    def whole(self, event: Event, request: ChatRequest, inbound: Inbound, *, native: bool) -> bytes:
        """The provider's bytes."""
        del request, inbound, native
        return event.data

    def framer(self, request: ChatRequest, inbound: Inbound, *, native: bool) -> "ChatFramer":
        """Chunks as they are, with usage only for who asked."""
        del inbound, native
        return ChatFramer(include_usage=request.include_usage)

    def problem(self, error: GatewayError, request_id: str) -> bytes:
        """OpenAI's error object."""
        del request_id
        kind = error.kind
        return wire.encode(
            {"error": {"message": error.detail, "type": kind.openai_type, "param": error.param, "code": kind.code}}
        )

    def problem_frames(self, error: GatewayError) -> bytes:
        """The error as the last event, and no ``[DONE]``."""
        return b"data: " + self.problem(error, "") + b"\n\n"

    def problem_head(self, request_id: str) -> str:
        """The request's id."""
        return f"x-request-id: {request_id}\r\n"


class ChatFramer:
    """``Framer`` of one chat stream: each chunk one SSE event; a usage chunk and ``[DONE]`` at the end."""

    __slots__ = ("_include_usage", "_last")

    def __init__(self, *, include_usage: bool) -> None:
        self._include_usage = include_usage
        self._last: Event | None = None

    def frames(self, events: list[Event]) -> bytes:
        """All but the closing usage chunk, which :meth:`end` makes."""
        last = self._last = events[-1]
        if last.usage_only:
            events = events[:-1]
            if not events:
                return b""
        data = b"data: " + b"\n\ndata: ".join([event.data for event in events]) + b"\n\n"
        return data if self._include_usage else data.replace(_NULL_USAGE, b"")

    def end(self, usage: Usage | None, cost: int | None) -> bytes:
        """The usage chunk, if it was asked for, and the end."""
        if not self._include_usage or usage is None or self._last is None:
            return _DONE
        return b"data: " + _usage_chunk(self._last, usage, cost) + b"\n\n" + _DONE

    def failure(self, error: GatewayError) -> bytes:
        """The error as the last event."""
        return CHAT_DIALECT.problem_frames(error)


def _usage_chunk(last: Event, usage: Usage, cost: int | None) -> bytes:
    """The provider's closing chunk with our cost in its usage; made from its last chunk where it sent none."""
    counts: dict[str, object] = {}
    try:
        chunk: dict[str, object] = dict(wire.decode_fields(last.data))
        given = chunk.get("usage")
        if last.usage_only and isinstance(given, Raw) and usage is last.usage:
            counts |= wire.decode_fields(given)
    except wire.DECODE_ERRORS as error:  # names that nobody acted on may be no text at all
        raise GatewayError(UPSTREAM_INVALID, "the provider sent a broken stream event", cause=str(error)) from None
    if not counts:
        counts = {"prompt_tokens": usage.input, "completion_tokens": usage.output, "total_tokens": usage.input + usage.output}
    if cost is not None:
        counts["cost_usd"] = cost / _NANO
    chunk["choices"] = []
    chunk["usage"] = counts
    return wire.encode(chunk)


def _messages(read: list[wire.InputMessage], raw: Raw) -> tuple[Message, ...]:
    """The messages in ``raw``, a JSON array, each kept byte for byte; ``read`` is what was decoded of it."""
    # Of a single one, nearly every call's, the array's brackets are taken off, which spares going through its text once more.
    if len(read) == 1:
        message = read[0]
        return (Message(message.role, wire.message_text(message), bytes(raw)[1:-1].strip()),)
    raws = map(bytes, wire.decode_items(raw))
    return tuple([Message(message.role, wire.message_text(message), raw) for message, raw in zip(read, raws, strict=True)])


def malformed(error: Exception, prefix: str = "") -> GatewayError:
    """What is wrong with a JSON body, from msgspec's words: the field's path becomes ``param``."""
    text = str(error)
    if isinstance(error, RecursionError):
        return GatewayError(MALFORMED, "the body is nested too deeply", param=prefix or None)
    what, found, path = text.rpartition(" - at `$")
    param = prefix + path.rstrip("`") if found else prefix
    param = param.removeprefix(".")
    if not param:
        return GatewayError(MALFORMED, f"the body is not a valid JSON object: {text}")
    return GatewayError(MALFORMED, f"{param}: {what if found else text}", param=param)


CHAT_DIALECT = ChatDialect()
