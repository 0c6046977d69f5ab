"""Thoughts of models that are not asked in this dialect, in its own blocks: to the caller, and back to who signed them.

Anthropic's ``thinking`` and ``redacted_thinking`` are what the chat form calls ``thinking_blocks``, so Bedrock's signed thoughts are
the same blocks here. Gemini signs texts and function calls and not thoughts; its signatures travel in ``thinking`` blocks too, which
every client of this API gives back as they were: before the ``tool_use`` that is signed, or behind the text. A mark before them tells
them from Anthropic's, which are base64 and hold no colon.
"""

from msgspec import Raw

from gateway.wire import anthropic as wire
from gateway.wire.chat import AnswerMessage, ChunkDelta, ThinkingBlock, read_signature, read_thinking_blocks
from gateway.wire.gemini import VENDOR
from gateway.wire.openai import encode

TEXT_MARK = f"{VENDOR}.text:"
"""Begins the signature of a text of Gemini's."""
CALL_MARK = f"{VENDOR}.call:"
"""Begins the signature of a function call of Gemini's."""


def is_own(block: wire.InputBlock) -> bool:
    """Whether a thinking block was made by this gateway of what another provider's model thought: Anthropic would refuse it."""
    return block.type == "thinking" and (not block.signature or block.signature.startswith((TEXT_MARK, CALL_MARK)))


def thinking(text: str, signature: str = "") -> dict[str, object]:
    """A ``thinking`` block."""
    return {"type": "thinking", "thinking": text, "signature": signature}


def written(block: ThinkingBlock) -> dict[str, object]:
    """A block of ``thinking_blocks`` in this dialect."""
    if block.type == "redacted_thinking":
        return {"type": block.type, "data": block.data}
    return thinking(block.thinking, block.signature or "")


def signed_thoughts(said: AnswerMessage | ChunkDelta) -> list[ThinkingBlock]:
    """The blocks that can be given back: those that are signed, or that nobody may read."""
    return [block for block in read_thinking_blocks(said.thinking_blocks) if block.signature or block.type != "thinking"]


def whole_thoughts(text: str, blocks: list[ThinkingBlock]) -> bool:
    """Whether blocks say a text. A guard may have changed it: then the signatures are of something else."""
    return text == "".join([block.thinking for block in blocks])


def text_signature(extra_content: Raw) -> str | None:
    """What must come back with a text, as the signature of a block."""
    found = read_signature(extra_content, VENDOR)
    return None if found is None else TEXT_MARK + found


def call_signature(extra_content: Raw) -> str | None:
    """What must come back with a tool call, as the signature of a block."""
    found = read_signature(extra_content, VENDOR)
    return None if found is None else CALL_MARK + found


def given_back(content: list[wire.InputBlock]) -> bytes | None:
    """The signed thoughts of an assistant's message, as :attr:`gateway.core.conversation.Message.thoughts`."""
    fields: dict[str, object] = {}
    blocks: list[dict[str, object]] = []
    texts: list[str] = []
    calls: list[dict[str, object]] = []
    waiting: str | None = None
    for block in content:
        if block.type == "redacted_thinking":
            blocks.append({"type": block.type, "data": block.data})
        elif block.type == "thinking" and block.signature:
            signature = block.signature
            if not is_own(block):
                blocks.append(thinking(block.thinking, signature))
                continue
            texts.append(block.thinking)
            if signature.startswith(TEXT_MARK):
                fields["extra_content"] = _extra(signature.removeprefix(TEXT_MARK))
            else:
                waiting = signature.removeprefix(CALL_MARK)
        elif block.type == "tool_use" and waiting is not None:
            calls.append({"id": block.id, "extra_content": _extra(waiting)})
            waiting = None
    if blocks:
        fields["thinking_blocks"] = blocks
    if any(texts):
        fields["reasoning_content"] = "".join(texts)
    if calls:
        fields["tool_calls"] = calls
    return encode(fields) if fields else None


def _extra(signature: str) -> dict[str, object]:
    return {VENDOR: {"thought_signature": signature}}
