"""Anthropic's messages -> messages in the chat form, each with the caller's own bytes beside it.

One message may become several: tool results are messages of their own in chat. The first of them carries the caller's bytes, the
others carry none (:attr:`gateway.core.conversation.Message.native`).
"""

from msgspec import Raw, Struct

from gateway.core.conversation import Message
from gateway.core.errors import MALFORMED, GatewayError
from gateway.dialects.chat import malformed
from gateway.dialects.messages.thoughts import given_back, is_own
from gateway.wire import anthropic as wire
from gateway.wire.chat_in import json_text
from gateway.wire.openai import DECODE_ERRORS, encode, is_given

_PDF = "application/pdf"
_THOUGHTS = frozenset({"thinking", "redacted_thinking"})
"""Blocks that mean something to the model that made them only; other providers are not sent them."""


class Read(Struct):
    """Messages, and the first thing in them that has no chat form."""

    messages: list[Message]
    untranslatable: str | None = None


def read(system: Raw, raws: list[Raw]) -> Read:
    """All messages of a body, its ``system`` first. Raises ``malformed`` naming the place."""
    found = Read([])
    if is_given(system):
        try:
            text = _system_text(wire.decode_system(system))
        except DECODE_ERRORS as error:
            raise malformed(error, "system") from None
        found.messages.append(_message("system", text, {"role": "system", "content": text}, bytes(system)))
    for number, raw in enumerate(raws):
        where = f"messages[{number}]"
        try:
            message = wire.decode_message(raw)
        except DECODE_ERRORS as error:
            raise malformed(error, where) from None
        if message.role == "user":
            _user(message, where, found, bytes(raw))
        elif message.role == "assistant":
            _assistant(message, where, found, _own_thoughts_removed(message, bytes(raw)))
        elif message.role == "system":
            text = _system_text(message.content)
            found.messages.append(_message("system", text, {"role": "system", "content": text}, bytes(raw)))
        else:
            raise GatewayError(MALFORMED, f"{where}.role: must be user, assistant or system", param=f"{where}.role")
    return found


def _message(role: str, text: str, chat: dict[str, object], native: bytes) -> Message:
    return Message(role, text, encode(chat), native)


def _system_text(content: str | list[wire.InputBlock]) -> str:
    return content if isinstance(content, str) else "\n".join([block.text for block in content if block.text])


def _texts(block: wire.InputBlock) -> list[str]:
    """Every text of a block, for guards and estimates, whether or not the block has a chat form."""
    texts = [block.text, block.title or ""]
    if block.source is not None and block.source.type == "text":
        texts.append(block.source.data)
    if isinstance(block.content, str):
        texts.append(block.content)
    else:
        for inner in block.content or ():
            texts += _texts(inner)
    return [text for text in texts if text]


def _user(message: wire.InputMessage, where: str, found: Read, native: bytes) -> None:
    """Tool results first, as the API demands of callers too; then what else the message says, as one user message."""
    if isinstance(message.content, str):
        found.messages.append(_message("user", message.content, {"role": "user", "content": message.content}, native))
        return
    made: list[tuple[str, str, dict[str, object]]] = []
    parts: list[dict[str, object]] = []
    texts: list[str] = []
    for number, block in enumerate(message.content):
        place = f"{where}.content[{number}]"
        if block.type != "tool_result":
            parts += _parts(block, place, found)
            texts += _texts(block)
            continue
        if not block.tool_use_id:
            raise GatewayError(MALFORMED, f"{place}.tool_use_id: required", param=f"{place}.tool_use_id")
        text = "\n".join(_texts(block))
        said = f"Error: {text}" if block.is_error else text
        made.append(("tool", text, {"role": "tool", "tool_call_id": block.tool_use_id, "content": said}))
        for inner in block.content if isinstance(block.content, list) else ():
            if inner.type != "text":
                # A tool message of the chat form holds text only; pictures follow it in the user's name.
                parts += _parts(inner, place, found)
    if parts or not made:
        only = parts[0].get("text") if len(parts) == 1 else None
        made.append(("user", "\n".join(texts), {"role": "user", "content": parts if only is None else only}))
    for number, (role, text, chat) in enumerate(made):
        found.messages.append(_message(role, text, chat, b"" if number else native))


def _parts(block: wire.InputBlock, place: str, found: Read) -> list[dict[str, object]]:
    """A block as content parts; none, and a note in ``found``, where it has no chat form."""
    source = block.source
    if block.type == "text":
        return [{"type": "text", "text": block.text}]
    if block.type == "image" and source is not None and source.type == "url":
        return [{"type": "image_url", "image_url": {"url": source.url}}]
    if block.type == "image" and source is not None and source.type == "base64":
        return [{"type": "image_url", "image_url": {"url": f"data:{source.media_type};base64,{source.data}"}}]
    if block.type == "document" and source is not None and source.type == "text":
        return [{"type": "text", "text": f"{block.title}\n{source.data}" if block.title else source.data}]
    if block.type == "document" and source is not None and source.type == "base64" and source.media_type == _PDF:
        file = {"filename": block.title or "document.pdf", "file_data": f"data:{_PDF};base64,{source.data}"}
        return [{"type": "file", "file": file}]
    found.untranslatable = found.untranslatable or place
    return []


def _assistant(message: wire.InputMessage, where: str, found: Read, native: bytes) -> None:
    chat: dict[str, object] = {"role": "assistant"}
    if isinstance(message.content, str):
        chat["content"] = message.content
        found.messages.append(_message("assistant", message.content, chat, native))
        return
    texts: list[str] = []
    calls: list[dict[str, object]] = []
    for number, block in enumerate(message.content):
        if block.type == "text":
            texts.append(block.text)
        elif block.type == "tool_use":
            arguments = json_text(block.input, f"{where}.content[{number}].input") if is_given(block.input) else "{}"
            calls.append({"id": block.id, "type": "function", "function": {"name": block.name, "arguments": arguments}})
        elif block.type not in _THOUGHTS:
            found.untranslatable = found.untranslatable or f"{where}.content[{number}]"
    text = "\n".join(texts)
    chat["content"] = text or (None if calls else "")
    if calls:
        chat["tool_calls"] = calls
    found.messages.append(Message("assistant", text, encode(chat), native, given_back(message.content)))


def _own_thoughts_removed(message: wire.InputMessage, raw: bytes) -> bytes:
    """The message without thinking that this gateway made of another provider's, which Anthropic would refuse."""
    content = message.content
    if isinstance(content, str) or not any(map(is_own, content)):
        return raw
    kept = [block for block, seen in zip(wire.decode_content(raw).content, content, strict=True) if not is_own(seen)]
    return encode({"role": message.role, "content": kept}) if kept else raw
