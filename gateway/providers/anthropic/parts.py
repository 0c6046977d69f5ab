"""Chat messages -> ``system`` and ``messages``. Turns of one role that follow each other become one turn, as the API does itself."""

import re
from typing import cast

import msgspec
from msgspec import Raw

from gateway.core.conversation import Conversation
from gateway.providers.anthropic.refusals import unfit, unreadable
from gateway.wire import chat
from gateway.wire.openai import DECODE_ERRORS, is_given

Block = dict[str, object] | Raw
"""A content block on its way out: made by us, or the caller's own bytes."""

SYSTEM = frozenset({"system", "developer"})
_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+);base64,", re.ASCII)
_EMPTY = Raw(b"{}")
_decode_object = msgspec.json.Decoder(dict[str, Raw]).decode


def read(raw: bytes) -> chat.InputMessage:
    """A message in the chat form. Raises ``malformed``."""
    try:
        return chat.decode_message(raw)
    except DECODE_ERRORS as error:
        raise unreadable("messages", error) from None


def system_blocks(message: chat.InputMessage) -> list[Block]:
    """The text of a system or developer message. Raises ``malformed`` for anything else in it."""
    blocks = content_blocks(message)
    for block in blocks:
        if isinstance(block, dict) and block["type"] != "text":
            raise unfit("messages", f"a {message.role} message can hold text only")
    return blocks


def content_blocks(message: chat.InputMessage) -> list[Block]:
    """The content parts of a message as blocks; empty texts have no form and no meaning. Raises ``malformed``."""
    content = message.content
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return [block for part in content or () if (block := _block(part)) is not None]


def turn(message: chat.InputMessage) -> tuple[str, list[Block]]:
    """A message that is no system message, as (role, blocks). Raises ``malformed``."""
    if message.role == "user":
        return "user", content_blocks(message)
    if message.role == "assistant":
        blocks: list[Block] = [*map(_thinking, message.thinking_blocks or ()), *content_blocks(message)]
        if message.refusal:
            blocks.append({"type": "text", "text": message.refusal})
        blocks += [_tool_use(call) for call in message.tool_calls or ()]
        return "assistant", blocks
    if message.role == "tool":
        if not message.tool_call_id:
            raise unfit("messages", "a tool message needs a tool_call_id")
        result: dict[str, object] = {"type": "tool_result", "tool_use_id": message.tool_call_id}
        blocks = content_blocks(message)
        if blocks:
            result["content"] = message.content if isinstance(message.content, str) else blocks
        return "user", [result]
    raise unfit("messages", f"the role {message.role[:50]!r} has no form at Anthropic")


def add_turn(turns: list[Block], role: str, blocks: list[Block]) -> None:
    """Append blocks to the last turn if it is of the same role and of our making, else begin a turn."""
    if not blocks:
        return
    last = turns[-1] if turns else None
    if isinstance(last, dict) and last["role"] == role:
        content = last["content"]
        assert isinstance(content, list)
        cast("list[Block]", content).extend(blocks)
    else:
        turns.append({"role": role, "content": blocks})


def from_chat(conversation: Conversation) -> tuple[list[Block], list[Block]]:
    """(system, messages) of a conversation in the chat form; system messages from anywhere in it come first. Raises ``malformed``."""
    system: list[Block] = []
    turns: list[Block] = []
    for item in conversation:
        message = read(item.raw)
        if item.thoughts is not None:
            message.thinking_blocks = chat.decode_thoughts(item.thoughts).thinking_blocks
        if message.role in SYSTEM:
            system += system_blocks(message)
        else:
            add_turn(turns, *turn(message))
    return system, turns


def _block(part: chat.Part) -> Block | None:
    block = _unmarked(part)
    if isinstance(block, dict) and is_given(part.cache_control):
        block["cache_control"] = part.cache_control
    return block


def _unmarked(part: chat.Part) -> dict[str, object] | None:
    if part.type in {"text", "refusal"}:
        text = part.text or part.refusal
        return {"type": "text", "text": text} if text else None
    if part.type == "image_url" and part.image_url is not None:
        return {"type": "image", "source": _source(part.image_url.url, "image_url")}
    if part.type == "file" and part.file is not None:
        return _document(part.file)
    raise unfit("messages", f"a content part of type {part.type[:50]!r} has no form at Anthropic")


def _source(url: str, what: str) -> dict[str, object]:
    match = _DATA_URL.match(url)
    if match is not None:
        return {"type": "base64", "media_type": match[1], "data": url[match.end() :]}
    if url.startswith(("https://", "http://")):
        return {"type": "url", "url": url}
    raise unfit("messages", f"{what}: give an http(s) URL or a data URL in base64")


def _document(file: chat.File) -> dict[str, object]:
    if file.file_id:
        source: dict[str, object] = {"type": "file", "file_id": file.file_id}
    elif file.file_data:
        source = _source(file.file_data, "file.file_data")
        if source.get("media_type") not in {"application/pdf", None}:
            raise unfit("messages", "file.file_data: Anthropic reads PDF files only; give texts as text parts")
    else:
        raise unfit("messages", "file: neither file_data nor file_id")
    return {"type": "document", "source": source, **({"title": file.filename} if file.filename else {})}


def _thinking(block: Raw) -> Block:
    """A thinking block byte for byte, without the place that it had in a stream."""
    if b'"index"' not in bytes(block):
        return block
    try:
        return {name: value for name, value in _decode_object(block).items() if name != "index"}
    except DECODE_ERRORS as error:
        raise unreadable("messages", error) from None


def _tool_use(call: chat.ToolCall) -> Block:
    if call.type != "function" or call.function is None or not call.function.name:
        raise unfit("messages", "tool_calls: only function calls have a form at Anthropic")
    if not call.id:
        raise unfit("messages", f"tool_calls: the call of {call.function.name[:100]!r} has no id")
    arguments = call.function.arguments
    if arguments:
        try:
            _decode_object(arguments)
        except DECODE_ERRORS:
            raise unfit("messages", f"tool_calls: the arguments of {call.function.name[:100]!r} are no JSON object") from None
    value = Raw(arguments.encode()) if arguments else _EMPTY
    return {"type": "tool_use", "id": call.id, "name": call.function.name, "input": value}
