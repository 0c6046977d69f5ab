"""Items of the Responses API -> messages of the chat form.

Two things differ in shape. A function call is an item of its own here and a part of an assistant's message there, so neighbouring
items of the assistant become one message. And reasoning items have no form in chat at all: OpenAI's travel with their neighbour for
providers that speak the Responses API; ours, with signed thoughts of other providers' models, go beside the message they belong to.
"""

from typing import TypeVar

from msgspec import Raw, Struct, structs

from gateway.core.conversation import Message
from gateway.core.errors import MALFORMED, GatewayError
from gateway.dialects.chat import malformed
from gateway.dialects.responses.thoughts import given_back, is_ours
from gateway.wire import openai as chat
from gateway.wire import responses as wire

MAX_ITEMS = 10_000
"""Of one conversation: far beyond any agent's run, and decoded in some milliseconds."""

_ASSISTANT = "assistant"
_T = TypeVar("_T")


class Conversion(Struct, gc=False):
    """Messages, and the first part of the items that has no form in chat."""

    messages: tuple[Message, ...]
    untranslatable: str | None


def text_item(text: str) -> Raw:
    """The item that ``input`` as a plain text stands for."""
    return Raw(b'{"type":"message","role":"user","content":%b}' % chat.encode(text))


def instructions_message(text: str) -> Message:
    """``instructions`` as the first message of the context."""
    body = b'"role":"system","content":%b}' % chat.encode(text)
    return Message("system", text, b"{" + body, b'{"type":"message",' + body)


def convert(items: list[Raw], param: str = "input") -> Conversion:
    """Items to messages, in order. Raises ``malformed`` naming the item."""
    if len(items) > MAX_ITEMS:
        raise GatewayError(MALFORMED, f"{param}: more than {MAX_ITEMS} items", param=param)
    reader = _Reader(param)
    for index, raw in enumerate(items):
        reader.add(index, raw)
    return reader.finish()


class _Group:
    """Neighbouring items of the assistant, until it is clear that they are complete."""

    def __init__(self) -> None:
        self.contents: list[str] = []
        self.refusals: list[str] = []
        self.calls: list[dict[str, object]] = []
        self.native: list[bytes] = []
        self.thoughts: list[tuple[str, str]] = []

    def message(self) -> Message:
        text = "\n".join(self.contents)
        body: dict[str, object] = {"role": _ASSISTANT, "content": text if self.contents else None}
        if self.refusals:
            body["refusal"] = "\n".join(self.refusals)
        if self.calls:
            body["tool_calls"] = self.calls
        return Message(
            _ASSISTANT, text or "\n".join(self.refusals), chat.encode(body), b",".join(self.native), given_back(self.thoughts)
        )


class _Reader:
    """Reads one list of items."""

    def __init__(self, param: str) -> None:
        self._param = param
        self._messages: list[Message] = []
        self._group: _Group | None = None
        self._waiting: list[bytes] = []
        """Reasoning items whose neighbour is to come."""
        self._thoughts: list[tuple[str, str]] = []
        """Signed thoughts whose message is to come."""
        self._untranslatable: str | None = None

    def add(self, index: int, raw: Raw) -> None:
        where = f"{self._param}[{index}]"
        try:
            item = wire.decode_item(raw)
        except wire.DECODE_ERRORS as error:
            raise malformed(error, where) from None
        native = bytes(raw)
        if item.type == "reasoning" and item.encrypted_content is not None and is_ours(item.encrypted_content):
            thoughts = self._thoughts if self._group is None else self._group.thoughts
            thoughts.append((item.encrypted_content, where))
        elif item.type == "reasoning":
            self._waiting.append(native)
        elif item.type == "item_reference":
            # The provider's store belongs to the gateway's account, not to one of its tenants.
            raise GatewayError(
                MALFORMED, f"{where}: send the item itself; references into a provider's store are not served", param=where
            )
        elif item.type == "function_call":
            self._call(item, native, where)
        elif item.type == "message" and item.role == _ASSISTANT:
            self._said(item, native, where)
        elif item.type == "message":
            self._close()
            if item.role is None:
                raise GatewayError(MALFORMED, f"{where}.role: missing", param=f"{where}.role")
            text, content = self._content(item.content, f"{where}.content")
            self._append(item.role, text, {"role": item.role, "content": content}, native)
        elif item.type == "function_call_output":
            self._close()
            call_id = _needed(item.call_id, f"{where}.call_id")
            text, content = self._content(_needed(item.output, f"{where}.output"), f"{where}.output")
            self._append("tool", text, {"role": "tool", "tool_call_id": call_id, "content": content}, native)
        else:
            self._close()
            self._cannot(f"{where}.type")
            self._append("user", "", {}, native)

    def finish(self) -> Conversion:
        self._close()
        if self._waiting and self._messages:
            last = self._messages[-1]
            native = b",".join((last.native or b"", *self._waiting))
            self._messages[-1] = structs.replace(last, native=native)
        return Conversion(tuple(self._messages), self._untranslatable)

    def _call(self, item: wire.Item, native: bytes, where: str) -> None:
        call: dict[str, object] = {
            "id": _needed(item.call_id, f"{where}.call_id"),
            "type": "function",
            "function": {
                "name": _needed(item.name, f"{where}.name"),
                "arguments": _needed(item.arguments, f"{where}.arguments"),
            },
        }
        group = self._open(native)
        group.calls.append(call)

    def _said(self, item: wire.Item, native: bytes, where: str) -> None:
        contents: list[str] = []
        refusals: list[str] = []
        if isinstance(item.content, str):
            contents.append(item.content)
        for number, raw in enumerate(item.content or ()) if not isinstance(item.content, str) else ():
            part = self._part(raw, f"{where}.content[{number}]")
            if part.type in {"output_text", "input_text", "text"}:
                contents.append(part.text or "")
            elif part.type == "refusal":
                refusals.append(part.refusal or "")
            else:
                self._cannot(f"{where}.content[{number}].type")
        group = self._group
        if group is not None and not group.calls:
            self._close()
        group = self._open(native)
        group.contents += ["".join(contents)] if contents else []
        group.refusals += refusals

    def _open(self, native: bytes) -> _Group:
        if self._group is None:
            self._group = _Group()
            self._group.thoughts += self._thoughts
            self._thoughts.clear()
        self._group.native += [*self._waiting, native]
        self._waiting.clear()
        return self._group

    def _close(self) -> None:
        if self._group is not None:
            self._messages.append(self._group.message())
            self._group = None

    def _append(self, role: str, text: str, body: dict[str, object], native: bytes) -> None:
        native = b",".join((*self._waiting, native))
        self._waiting.clear()
        self._messages.append(Message(role, text, chat.encode(body), native))

    def _content(self, content: str | list[Raw] | None, where: str) -> tuple[str, object]:
        """(text, content in the chat form)."""
        if content is None:
            raise GatewayError(MALFORMED, f"{where}: missing", param=where)
        if isinstance(content, str):
            return content, content
        texts: list[str] = []
        parts: list[dict[str, object]] = []
        for number, raw in enumerate(content):
            place = f"{where}[{number}]"
            part = self._part(raw, place)
            made = _chat_part(part)
            if isinstance(made, str):
                self._cannot(f"{place}.{made}")
                continue
            if part.text:
                texts.append(part.text)
            parts.append(made)
        return "\n".join(texts), parts

    def _part(self, raw: Raw, where: str) -> wire.Part:
        try:
            return wire.decode_part(raw)
        except wire.DECODE_ERRORS as error:
            raise malformed(error, where) from None

    def _cannot(self, what: str) -> None:
        self._untranslatable = self._untranslatable or what


def _chat_part(part: wire.Part) -> dict[str, object] | str:
    """A content part in the chat form, or the name of what it cannot say."""
    if part.type in {"input_text", "output_text", "text"}:
        return {"type": "text", "text": part.text or ""}
    if part.type == "input_image":
        if part.image_url is None:
            return "file_id"
        image: dict[str, object] = {"url": part.image_url}
        if part.detail is not None:
            image["detail"] = part.detail
        return {"type": "image_url", "image_url": image}
    if part.type == "input_file":
        if part.file_url is not None:
            return "file_url"
        given = {"filename": part.filename, "file_data": part.file_data, "file_id": part.file_id}
        return {"type": "file", "file": {name: value for name, value in given.items() if value is not None}}
    if part.type == "input_audio" and chat.is_given(part.input_audio):
        return {"type": "input_audio", "input_audio": part.input_audio}
    return "type"


def _needed(value: _T | None, where: str) -> _T:
    if value is None:
        raise GatewayError(MALFORMED, f"{where}: missing", param=where)
    return value
