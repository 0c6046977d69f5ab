"""Streams for Anthropic clients: chat chunks to the events of the Messages API, or the provider's own events as they are.

The order is the vendor's: ``message_start``, then per block ``content_block_start``, deltas, ``content_block_stop``, at the end
``message_delta`` with reason and usage, and ``message_stop``. Blocks do not overlap.
"""

import re
from collections import deque

import msgspec
from msgspec import Raw, Struct

from gateway.core.errors import UPSTREAM_INVALID, GatewayError
from gateway.core.events import Event, Usage
from gateway.dialects.messages.problems import problem
from gateway.dialects.messages.thoughts import (
    call_signature,
    signed_thoughts,
    text_signature,
    thinking,
    whole_thoughts,
    written,
)
from gateway.wire import chat
from gateway.wire.anthropic import STOP_REASONS
from gateway.wire.openai import DECODE_ERRORS, decode_fields, encode

_NANO = 1_000_000_000
_TYPE = re.compile(rb'\s*\{\s*"type"\s*:\s*"(\w+)"', re.ASCII)
"""Where the vendor puts an event's type: first."""


def frame(name: bytes, data: bytes) -> bytes:
    """One server-sent event; line ends inside JSON are white space, but must not end the field."""
    if b"\n" in data:
        data = data.replace(b"\n", b"\ndata: ")
    return b"event: %b\ndata: %b\n\n" % (name, data)


def tool_id(message_id: str, number: int) -> str:
    """The id of a tool call to which its provider has given none; clients need one to answer it."""
    return f"toolu_{message_id.removeprefix('msg_')}{number:02}"


def usage_json(usage: Usage) -> dict[str, object]:
    """``usage`` in Anthropic's terms, where cached input is not part of ``input_tokens``; thoughts are told where there are some."""
    written = usage.cache_write + usage.cache_write_1h
    counts: dict[str, object] = {
        "input_tokens": usage.input - usage.cached - written,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": usage.cached,
        "output_tokens": usage.output,
    }
    if usage.reasoning:
        counts["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    return counts


class NativeFramer:
    """``Framer`` of an answer that is in this dialect already: every event byte for byte, ``message_stop`` held for :meth:`end`."""

    __slots__ = ("_stop",)

    def __init__(self) -> None:
        self._stop = b'{"type":"message_stop"}'

    def frames(self, events: list[Event]) -> bytes:
        """The events with their names."""
        frames: list[bytes] = []
        for event in events:
            name = _name_of(event.data)
            if name == b"message_stop":
                self._stop = event.data
            else:
                frames.append(frame(name, event.data))
        return b"".join(frames)

    def end(self, usage: Usage | None, cost: int | None) -> bytes:
        """The provider's own end; its usage has been sent."""
        del usage, cost
        return frame(b"message_stop", self._stop)

    def failure(self, error: GatewayError) -> bytes:
        """An ``error`` event."""
        return frame(b"error", problem(error, None))


class _Call(Struct, eq=False):
    """A tool call as far as it has come."""

    id: str
    name: str
    signature: str | None
    arguments: list[str] = []

    @property
    def complete(self) -> bool:
        """Whether the arguments are a JSON text: then only white space could follow."""
        try:
            decode_fields("".join(self.arguments).encode())
        except DECODE_ERRORS:
            return False
        return True


class ChatFramer:
    """``Framer`` of an answer in the chat form. Holds which block is open."""

    __slots__ = (
        "_begun",
        "_calls",
        "_finish",
        "_id",
        "_index",
        "_model",
        "_open",
        "_refused",
        "_speaking",
        "_started",
        "_thought",
        "_waiting",
    )

    def __init__(self, message_id: str, model: str) -> None:
        self._id = message_id
        self._model = model
        self._started = False
        self._index = -1
        """Of the last block begun."""
        self._open: str | None = None
        """Its type while it is open."""
        self._calls: dict[int, _Call] = {}
        """Tool calls by their index in the chat form."""
        self._begun = 0
        """How many there have been."""
        self._waiting: deque[_Call] = deque()
        """Those that have no block yet."""
        self._speaking: _Call | None = None
        """The one whose block is open."""
        self._finish: str | None = None
        self._refused = False
        self._thought: list[str] = []
        """The text of the open ``thinking`` block."""

    def frames(self, events: list[Event]) -> bytes:
        """What these chunks add. Raises ``upstream_invalid`` for chunks that cannot be said in legal order."""
        frames: list[bytes] = []
        for event in events:
            if event.usage_only:
                continue
            try:
                chunk = chat.decode_chunk(event.data)
            except DECODE_ERRORS as error:
                raise GatewayError(UPSTREAM_INVALID, "the provider sent a broken stream event", cause=str(error)) from None
            if not self._started:
                self._start(chunk.model or self._model, frames)
            for choice in chunk.choices:
                if choice.index == 0:
                    self._add(choice, frames)
        return b"".join(frames)

    def end(self, usage: Usage | None, cost: int | None) -> bytes:
        """The open block's end, the reason, the usage with our cost, and the end."""
        frames: list[bytes] = []
        if not self._started:
            self._start(self._model, frames)
        while self._waiting:
            self._next_call(frames)
        self._close(frames)
        counts: dict[str, object] = {"output_tokens": 0} if usage is None else usage_json(usage)
        if cost is not None:
            counts["cost_usd"] = cost / _NANO
        reason = "refusal" if self._refused else STOP_REASONS.get(self._finish or "")
        delta = {"stop_reason": reason, "stop_sequence": None}
        frames += (
            _event({"type": "message_delta", "delta": delta, "usage": counts}),
            _event({"type": "message_stop"}),
        )
        return b"".join(frames)

    def failure(self, error: GatewayError) -> bytes:
        """An ``error`` event, after which nothing follows."""
        return frame(b"error", problem(error, None))

    def _start(self, model: str, frames: list[bytes]) -> None:
        self._started = True
        message: dict[str, object] = {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 0, "output_tokens": 0},
        }
        frames.append(_event({"type": "message_start", "message": message}))

    def _add(self, choice: chat.ChunkChoice, frames: list[bytes]) -> None:
        delta = choice.delta
        if delta is not None:
            self._think(delta, frames)
            text = delta.content or delta.refusal
            if text:
                while self._waiting:
                    self._next_call(frames)
                self._refused = self._refused or bool(delta.refusal)
                self._ensure("text", {"type": "text", "text": ""}, frames)
                self._grow({"type": "text_delta", "text": text}, frames)
            self._sign(text_signature(delta.extra_content), frames)
            for place, call in enumerate(delta.tool_calls or ()):
                self._add_call(call, place if call.index is None else call.index, frames)
        if choice.finish_reason is not None:
            self._finish = choice.finish_reason
            while self._waiting:
                self._next_call(frames)

    def _think(self, delta: chat.ChunkDelta, frames: list[bytes]) -> None:
        """Thoughts come in pieces, and signed when they are whole; where a whole answer is streamed, all at once."""
        thought, blocks = chat.thoughts_of(delta), signed_thoughts(delta)
        if thought and whole_thoughts(thought, blocks):
            for block in blocks:
                self._close(frames)
                if block.thinking:
                    self._muse(block.thinking, frames)
                self._signed(block, frames)
            return
        if thought:
            self._muse(thought, frames)
        for block in blocks:
            self._signed(block, frames)

    def _muse(self, thought: str, frames: list[bytes]) -> None:
        if self._open != "thinking":
            self._thought = []
            self._ensure("thinking", thinking(""), frames)
        self._thought.append(thought)
        self._grow({"type": "thinking_delta", "thinking": thought}, frames)

    def _signed(self, block: chat.ThinkingBlock, frames: list[bytes]) -> None:
        """The end of a block of thoughts. Where its text is not what was shown, a signature would be of something else."""
        if block.type == "redacted_thinking":
            self._close(frames)
            self._ensure(block.type, written(block), frames)
            self._close(frames)
        elif block.thinking in ("", "".join(self._thought) if self._open == "thinking" else ""):
            self._sign(block.signature, frames)

    def _sign(self, signature: str | None, frames: list[bytes]) -> None:
        """Sign the open thoughts, or keep a signature in a block of its own."""
        if signature is not None:
            self._ensure("thinking", thinking(""), frames)
            self._grow({"type": "signature_delta", "signature": signature}, frames)
            self._close(frames)

    def _add_call(self, part: chat.DeltaCall, index: int, frames: list[bytes]) -> None:
        """Parallel calls may come interleaved, blocks may not: a call waits while the one before it is incomplete.

        Another id is another call: Google's OpenAI endpoint gives all calls the same index.
        """
        function = part.function or chat.FunctionCall()
        call = self._calls.get(index)
        if call is None or (part.id and function.name and part.id != call.id):
            if not function.name:
                raise GatewayError(UPSTREAM_INVALID, "the provider began a tool call without a name")
            call_id = part.id or tool_id(self._id, self._begun)
            self._begun += 1
            call = self._calls[index] = _Call(call_id, function.name, call_signature(part.extra_content))
            self._waiting.append(call)
        piece = function.arguments or ""
        if call is self._speaking:
            call.arguments.append(piece)
            if piece:
                self._grow({"type": "input_json_delta", "partial_json": piece}, frames)
        elif call in self._waiting:
            call.arguments.append(piece)
        elif piece.strip():
            raise GatewayError(UPSTREAM_INVALID, "the provider went back to an earlier tool call")
        while self._waiting and (self._speaking is None or self._speaking.complete):
            self._next_call(frames)

    def _next_call(self, frames: list[bytes]) -> None:
        call = self._waiting.popleft()
        self._sign(call.signature, frames)
        self._close(frames)
        self._ensure("tool_use", {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}, frames)
        self._speaking = call
        arguments = "".join(call.arguments)
        if arguments:
            self._grow({"type": "input_json_delta", "partial_json": arguments}, frames)

    def _ensure(self, kind: str, block: dict[str, object], frames: list[bytes]) -> None:
        """Have a block of this kind open: the one that is, or a new one."""
        if self._open == kind:
            return
        self._close(frames)
        self._open = kind
        self._index += 1
        frames.append(_event({"type": "content_block_start", "index": self._index, "content_block": block}))

    def _grow(self, delta: dict[str, object], frames: list[bytes]) -> None:
        frames.append(_event({"type": "content_block_delta", "index": self._index, "delta": delta}))

    def _close(self, frames: list[bytes]) -> None:
        self._speaking = None
        if self._open is not None:
            self._open = None
            frames.append(_event({"type": "content_block_stop", "index": self._index}))


def _event(payload: dict[str, object]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (str(payload["type"]).encode(), encode(payload))


class _Typed(Struct):
    """An event, of which nothing but its kind is read: what else is in it was not judged, and may not even be UTF-8."""

    type: Raw


_decode_typed = msgspec.json.Decoder(_Typed).decode


def _name_of(data: bytes) -> bytes:
    match = _TYPE.match(data)
    return match[1] if match is not None else bytes(_decode_typed(data).type).strip(b'"')
