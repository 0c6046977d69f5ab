"""A kept response as the stream of events that it would have come in: one delta per text, numbered from 0.

The events and their order are those of OpenAI's published streaming events. Only the finished response is kept, not how its stream
was cut, so the numbers count the events of this stream; they are the same each time it is made.
"""

from collections.abc import Iterator, Mapping

import msgspec
from msgspec import Raw, Struct

from gateway.dialects.responses.objects import frame
from gateway.wire import openai as chat

_BEGINNING: Mapping[str, object] = {
    "status": "in_progress",
    "completed_at": None,
    "error": None,
    "incomplete_details": None,
    "output": [],
    "usage": None,
}
"""What a response does not know of itself when it begins."""
_ENDS = frozenset({"completed", "incomplete", "failed"})
_OPENING: Mapping[str, Mapping[str, object]] = {
    "message": {"content": []},
    "reasoning": {"summary": []},
    "function_call": {"arguments": ""},
    "custom_tool_call": {"input": ""},
}
"""What an item of these types is without, when it is announced; all others come whole."""
_ARGUMENTS = {
    "function_call": ("response.function_call_arguments", "arguments"),
    "custom_tool_call": ("response.custom_tool_call_input", "input"),
}

Step = tuple[str, Mapping[str, object]]
"""(type, fields) of an event, still without its sequence number."""


class _Body(Struct):
    status: str = "completed"
    output: list[Raw] = []


class _Item(Struct):
    type: str = "message"
    id: str = ""
    status: str | None = None
    name: str | None = None
    content: list[Raw] | None = None
    summary: list[Raw] | None = None
    arguments: str | None = None
    input: str | None = None


class _Part(Struct):
    type: str
    text: str | None = None
    refusal: str | None = None
    annotations: list[Raw] = []
    logprobs: list[Raw] = []


_decode_body = msgspec.json.Decoder(_Body).decode
_decode_item = msgspec.json.Decoder(_Item).decode
_decode_part = msgspec.json.Decoder(_Part).decode


def replayed(body: bytes) -> list[bytes]:
    """The frames of a kept response object, in order; the index of each is its sequence number."""
    return [
        frame(kind, {"type": kind, "sequence_number": number, **fields}) for number, (kind, fields) in enumerate(_steps(body))
    ]


def _steps(body: bytes) -> Iterator[Step]:
    read, fields = _decode_body(body), chat.decode_fields(body)
    begun = {"response": {**fields, **_BEGINNING}}
    yield "response.created", begun
    yield "response.in_progress", begun
    for index, raw in enumerate(read.output):
        yield from _item(index, raw)
    yield f"response.{read.status if read.status in _ENDS else 'completed'}", {"response": fields}


def _item(index: int, raw: Raw) -> Iterator[Step]:
    try:
        item = _decode_item(raw)
        fields: dict[str, object] = dict(chat.decode_fields(raw))
        inner = list(_inner(item, index))
    except chat.DECODE_ERRORS:
        # Something of the provider's own: it comes whole.
        yield "response.output_item.added", {"output_index": index, "item": raw}
        yield "response.output_item.done", {"output_index": index, "item": raw}
        return
    opened = {**fields, **_OPENING.get(item.type, {})}
    if item.type == "reasoning":
        opened.pop("content", None)
    if item.status is not None:
        opened["status"] = "in_progress"
    yield "response.output_item.added", {"output_index": index, "item": opened}
    yield from inner
    yield "response.output_item.done", {"output_index": index, "item": raw}


def _inner(item: _Item, index: int) -> Iterator[Step]:
    """What comes between an item's announcement and its end."""
    at: dict[str, object] = {"item_id": item.id, "output_index": index}
    for number, raw in enumerate(item.summary or ()):
        part, where = _decode_part(raw), {**at, "summary_index": number}
        text = part.text or ""
        yield "response.reasoning_summary_part.added", {**where, "part": {"type": part.type, "text": ""}}
        yield from _spoken("response.reasoning_summary_text", text, where)
        yield "response.reasoning_summary_part.done", {**where, "part": raw}
    for number, raw in enumerate(item.content or ()):
        yield from _part(raw, {**at, "content_index": number})
    if item.type in _ARGUMENTS:
        kind, field = _ARGUMENTS[item.type]
        said = (item.arguments if field == "arguments" else item.input) or ""
        if said:
            yield f"{kind}.delta", {**at, "delta": said}
        more = {"name": item.name} if field == "arguments" else {}
        yield f"{kind}.done", {**at, field: said, **more}


def _part(raw: Raw, where: dict[str, object]) -> Iterator[Step]:
    part = _decode_part(raw)
    begun: object = raw
    if part.type == "output_text":
        begun = {"type": part.type, "text": "", "annotations": [], "logprobs": []}
    elif part.type == "reasoning_text":
        begun = {"type": part.type, "text": ""}
    elif part.type == "refusal":
        begun = {"type": part.type, "refusal": ""}
    yield "response.content_part.added", {**where, "part": begun}
    if part.type == "output_text":
        yield from _spoken("response.output_text", part.text or "", where, logprobs=part.logprobs)
        for number, annotation in enumerate(part.annotations):
            yield (
                "response.output_text.annotation.added",
                {**where, "annotation_index": number, "annotation": annotation},
            )
    elif part.type == "reasoning_text":
        yield from _spoken("response.reasoning_text", part.text or "", where)
    elif part.type == "refusal":
        yield from _spoken("response.refusal", part.refusal or "", where, field="refusal")
    yield "response.content_part.done", {**where, "part": raw}


def _spoken(kind: str, text: str, where: Mapping[str, object], field: str = "text", **more: object) -> Iterator[Step]:
    if text:
        yield f"{kind}.delta", {**where, "delta": text, **more}
    yield f"{kind}.done", {**where, field: text, **more}
